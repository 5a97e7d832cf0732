"""A schema's broken rules are told in our words, whatever the framework calls them; no value is repeated."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, get_args

import pytest
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator
from pydantic_core.core_schema import ErrorType

from verticals.broken_rules import OTHER, RULES, first_of, rule_of, size_of

SECRET = "Jane Doe"


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Dog(BaseModel):
    kind: Literal["dog"]


class Cat(BaseModel):
    kind: Literal["cat"]


class Person(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    age: int = Field(18, ge=18)

    @field_validator("name")
    @classmethod
    def _is_full(cls, name: str) -> str:
        if " " not in name:
            raise ValueError("must hold a first name, and a last name")
        return name


Money = Annotated[Decimal, Field(max_digits=6, decimal_places=2)]
CASES: list[tuple[Any, Any, str]] = [
    (Person, {}, "is required"),
    (Person, {"name": "A B", "wage": 1}, "is not known here"),
    (Person, {"name": SECRET, "age": 17}, "must be at least 18"),
    (Person, {"name": "Jane"}, "must hold a first name, and a last name"),
    (Person, SECRET, "must be an object"),
    (str, 5, "must be a text"),
    (Annotated[str, Field(max_length=3)], "\ud800", "must be a text in UTF-8"),
    (Annotated[str, Field(min_length=10)], SECRET, "must have 10 or more characters"),
    (Annotated[str, Field(max_length=3)], SECRET, "must have at most 3 characters"),
    (Annotated[str, Field(pattern="^[a-z]+$")], SECRET, "must be of the form ^[a-z]+$"),
    (Annotated[bytes, Field(max_length=3)], SECRET.encode(), "must have at most 3 bytes"),
    (Literal["a", "b", "c"], SECRET, "must be one of 'a', 'b', 'c'"),
    (Literal[0, 1], 2, "must be one of 0, 1"),
    (Colour, SECRET, "must be one of 'red', 'blue'"),
    (int, SECRET, "must be a whole number"),
    (int, 1.5, "must be a whole number"),
    (int, "9" * 5000, "must be a whole number"),
    (int, [], "must be a whole number"),
    (float, SECRET, "must be a number"),
    (Money, SECRET, "must be a number"),
    (Money, "0.123", "must have at most 2 decimal places"),
    (Money, "12345.67", "must have at most 6 digits"),
    (Annotated[float, Field(allow_inf_nan=False)], float("inf"), "must be a finite number"),
    (Annotated[float, Field(gt=0)], 0, "must be greater than 0"),
    (Annotated[float, Field(ge=0.5)], 0, "must be at least 0.5"),
    (Annotated[float, Field(lt=1e9)], 1e9, "must be less than 1000000000"),
    (Annotated[int, Field(le=-3)], 0, "must be at most -3"),
    (Annotated[int, Field(multiple_of=5)], 3, "must be a multiple of 5"),
    (bool, SECRET, "must be true or false"),
    (dt.date, SECRET, "must be a date, such as 2026-11-30"),
    (dt.date, "2026-11-30T12:00:00", "must be a date, such as 2026-11-30"),
    (dt.datetime, SECRET, "must be a date and time, such as 2026-11-30T12:00:00Z"),
    (AwareDatetime, "2026-11-30T12:00:00", "must name its time zone, as 2026-11-30T12:00:00Z does"),
    (list[int], SECRET, "must be a list"),
    (tuple[int, int], 5, "must be a list"),
    (Annotated[list[int], Field(min_length=10)], [1], "must hold 10 or more entries"),
    (Annotated[list[int], Field(max_length=1)], [1, 2], "must hold at most 1 entries"),
    (dict[str, int], SECRET, "must be an object"),
    (Annotated[Dog | Cat, Field(discriminator="kind")], {}, "must say its kind"),
    (Annotated[Dog | Cat, Field(discriminator="kind")], {"kind": SECRET}, "must be of the kind 'dog', 'cat'"),
]


@pytest.mark.parametrize(("schema", "value", "rule"), CASES)
def test_a_rule_is_told_in_our_words(schema: Any, value: Any, rule: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        TypeAdapter(schema).validate_python(value)

    assert rule_of(refusal.value.errors()[0]) == rule


def test_a_broken_text_of_json_is_told_as_that() -> None:
    with pytest.raises(ValidationError) as refusal:
        Person.model_validate_json("{")

    assert first_of(refusal.value, whole="body") == ("body", "must be well-formed JSON: line 1 column 1")


def test_every_type_that_the_framework_may_come_to_find_has_words_of_ours() -> None:
    context = dict.fromkeys(["expected", "pattern", "ge", "gt", "le", "lt", "min_length", "max_length"], 1)
    context |= dict.fromkeys(["multiple_of", "max_digits", "decimal_places", "whole_digits", "expected_tags"], 1)
    words = {*RULES.values(), OTHER, "said by us"}

    for kind in get_args(ErrorType):
        rule = rule_of({"type": kind, "msg": "Value error, said by us", "ctx": context})
        assert rule in {word.format(**context) for word in words}, kind


def test_a_place_within_lists_is_named_by_its_number() -> None:
    with pytest.raises(ValidationError) as refusal:
        TypeAdapter(list[Person]).validate_python([{"name": SECRET}, {"name": SECRET, "age": 1}])

    assert first_of(refusal.value, whole="rows") == ("1.age", "must be at least 18")


@pytest.mark.parametrize(("schema", "value", "size"), [
    (Annotated[str, Field(max_length=3)], SECRET, 8),
    (Annotated[list[int], Field(min_length=2)], [1], 1),
    (Annotated[int, Field(ge=9)], 8, None),
])  # fmt: skip
def test_of_a_size_that_is_wrong_the_size_is_told(schema: Any, value: Any, size: int | None) -> None:
    with pytest.raises(ValidationError) as refusal:
        TypeAdapter(schema).validate_python(value)

    assert size_of(refusal.value.errors()[0]) == size
