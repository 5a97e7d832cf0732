"""Every vertical keeps the contract: what it declares can be routed, documented and tried."""

from __future__ import annotations

import re

import pytest
from pydantic import BaseModel

from service.discovery import discover
from verticals.contract import InvalidInput, Operation, TriviumError, UploadedFile

OPERATIONS = [
    pytest.param(operation, id=f"{name}.{operation.name}")
    for name, vertical in discover().items()
    for operation in vertical.operations
]


def takes_a_file(operation: Operation) -> bool:
    return any(
        field.annotation in (UploadedFile, list[UploadedFile]) for field in operation.request.model_fields.values()
    )


@pytest.mark.parametrize("operation", OPERATIONS)
def test_path_names_are_fields_of_the_request(operation: Operation) -> None:
    assert set(re.findall(r"{(\w+)}", operation.path)) <= set(operation.request.model_fields)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_requests_refuse_unknown_fields(operation: Operation) -> None:
    assert operation.request.model_config.get("extra") == "forbid"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_json_body_has_an_example_and_every_example_is_valid(operation: Operation) -> None:
    if operation.method in ("POST", "PUT") and not takes_a_file(operation):
        assert operation.examples, "the schema page shows nothing to try"
    in_path = dict.fromkeys(re.findall(r"{(\w+)}", operation.path), "an-id")
    for example in operation.examples.values():
        assert isinstance(operation.request.model_validate({**in_path, **example}), BaseModel)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_request_has_a_schema_for_whoever_lists_the_operations(operation: Operation) -> None:
    assert operation.request.model_json_schema()["type"] == "object"


def test_an_error_names_field_rule_value_and_remedy() -> None:
    error = InvalidInput("must be 1 to 60", field="duration_months", value=99, remedy="Give months, not days.")

    assert str(error) == "duration_months: must be 1 to 60 (got 99). Give months, not days."
    assert isinstance(error, TriviumError)
    assert isinstance(error, ValueError)
