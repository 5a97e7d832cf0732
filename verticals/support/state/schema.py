"""Services, intents and slots described in words: all that the tracker knows of a domain. Ignores who runs a service.

A new domain is a new JSON file of this form; nothing is trained for it (Rastogi 2020, arXiv:1909.05855).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError, model_validator

from verticals.broken_rules import first_of
from verticals.contract import InvalidInput

DONTCARE = "dontcare"  # the value of a slot about which the customer has no wish
BOOLEAN = frozenset({"True", "False"})


@dataclass(frozen=True)
class Slot:
    """A parameter of a service.

    Attributes:
        name: As the service calls it.
        description: What it means, in words; the tracker reads it.
        values: All values that it may take; empty if any text may be one.
    """

    name: str
    description: str
    values: tuple[str, ...] = ()

    @property
    def is_boolean(self) -> bool:
        """Whether its values are True and False."""
        return bool(self.values) and set(self.values) <= BOOLEAN

    @property
    def spoken_name(self) -> str:
        """The name as words."""
        return self.name.replace("_", " ")

    @property
    def text(self) -> str:
        """Name and description, as they are embedded."""
        return f"{self.spoken_name}: {self.description}"


@dataclass(frozen=True)
class Intent:
    """What a customer may want of a service; `required` and `optional` name its slots."""

    name: str
    description: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


@dataclass(frozen=True)
class Service:
    """A service in words. Only slots that an intent takes can have a value in the state; others are its answers."""

    name: str
    description: str
    slots: tuple[Slot, ...]
    intents: tuple[Intent, ...]

    @property
    def inputs(self) -> tuple[Slot, ...]:
        """The slots that some intent takes, in the order of `slots`."""
        taken = {name for intent in self.intents for name in (*intent.required, *intent.optional)}
        return tuple(slot for slot in self.slots if slot.name in taken)


_Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]
_Words = Annotated[str, Field(min_length=3, max_length=300)]
_Value = Annotated[str, Field(min_length=1, max_length=80)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _SlotJson(_Strict):
    name: _Name
    description: _Words
    values: list[_Value] = Field(default=[], max_length=50)


class _IntentJson(_Strict):
    name: _Name
    description: _Words
    required: list[_Name]
    optional: list[_Name] = []


class _ServiceJson(_Strict):
    name: _Name
    description: _Words
    slots: list[_SlotJson] = Field(min_length=1, max_length=64)
    intents: list[_IntentJson] = Field(min_length=1, max_length=32)

    @model_validator(mode="after")
    def _names_fit(self) -> _ServiceJson:
        names = [slot.name for slot in self.slots]
        if len(set(names)) < len(names):
            raise ValueError("a slot's name stands twice")
        for intent in self.intents:
            if unknown := {*intent.required, *intent.optional} - set(names):
                raise ValueError(f"intent {intent.name} takes slots that are not described: {sorted(unknown)}")
        return self


class _ServicesJson(RootModel[list[_ServiceJson]]):
    pass


def read_services(text: str) -> tuple[Service, ...]:
    """Services from JSON: a list of {name, description, slots: [...], intents: [...]}.

    Raises:
        InvalidInput: the text is no JSON of this form, or a name stands twice or is used but not described.
    """
    try:
        read = _ServicesJson.model_validate_json(text).root
    except ValidationError as error:
        where, rule = first_of(error, whole="text")
        raise InvalidInput(f"{where}: {rule}", field="services", remedy="Describe the services anew.") from error
    _unique([service.name for service in read])
    return tuple(
        Service(
            name=service.name,
            description=service.description,
            slots=tuple(Slot(slot.name, slot.description, tuple(slot.values)) for slot in service.slots),
            intents=tuple(
                Intent(intent.name, intent.description, tuple(intent.required), tuple(intent.optional))
                for intent in service.intents
            ),
        )
        for service in read
    )


def _unique(names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise InvalidInput("two services have this name", field="services", value=name, remedy="Rename one.")
