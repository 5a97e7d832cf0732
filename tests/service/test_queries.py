"""No route takes a query parameter that it does not declare, and every route takes those that it does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from service.api import create_app
from service.discovery import discover
from tests.fake_kit import make_kit

VALUE = "jane.doe"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    """Every route there is; the operations behind them are not built."""
    home: Path = tmp_path_factory.mktemp("home")
    found = {name: replace(each, build=lambda _resources: {}, models=()) for name, each in discover().items()}
    kit = make_kit(home, found)
    yield create_app(kit)
    kit.close()


@pytest.fixture(scope="module")
def http(app: FastAPI) -> TestClient:
    return TestClient(app, raise_server_exceptions=False)


def operations(app: FastAPI) -> Iterator[tuple[str, str, list[str]]]:
    """Method, path and the names of the query's parameters."""
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            names = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]
            yield method.upper(), path.replace("{", "").replace("}", ""), names


def refused(answer: httpx.Response) -> Any:
    """The field that is refused, in a problem or in OpenAI's form."""
    body = answer.json()
    return answer.status_code, body.get("error", {}).get("param") or body.get("field")


def test_no_route_takes_a_query_parameter_that_it_does_not_declare(app: FastAPI, http: TestClient) -> None:
    found = {(method, path): http.request(method, f"{path}?actr={VALUE}") for method, path, _ in operations(app)}

    assert {route: refused(answer) for route, answer in found.items()} == dict.fromkeys(found, (422, "actr"))
    assert len(found) > 100
    assert not any(VALUE in answer.text for answer in found.values())


def test_every_route_takes_the_query_parameters_that_it_declares(app: FastAPI, http: TestClient) -> None:
    declared = [(method, path, names) for method, path, names in operations(app) if names]
    answers = [http.request(method, path, params=dict.fromkeys(names, "1")) for method, path, names in declared]

    assert {answer.status_code for answer in answers} == {401}
    assert len(answers) > 20


@pytest.mark.parametrize(
    ("asked", "remedy"),
    [
        ("/v1/audit/entries?actr=jane", "Did you mean `actor`?"),
        ("/v1/audit/export?form=xml", "Did you mean `format`?"),
        ("/v1/evals/runs?actor=jane", "It takes limit."),
        ("/v1/me?actor=jane", "It takes none."),
        ("/v1/audit/entries/7?sequence=8", "It takes none."),
        ("/v1/finance/score?dry_run", "It takes none."),
    ],
)
def test_the_remedy_names_the_near_parameter_or_those_there_are(http: TestClient, asked: str, remedy: str) -> None:
    told = (http.post if "score" in asked else http.get)(asked).json()

    assert (told["rule"], told["remedy"]) == ("is no query parameter of this route", remedy)


@pytest.mark.parametrize("path", ["/openapi.json?v=2", "/docs?v=2"])
def test_what_is_no_operation_may_be_asked_for_anyhow(http: TestClient, path: str) -> None:
    assert http.get(path).status_code == 200
