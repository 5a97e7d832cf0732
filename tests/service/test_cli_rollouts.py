"""A version is brought to those who ask by commands, under the API's rules: key, person, reason, an audit entry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.api import create_app
from service.cli import app
from service.kit import Kit
from service.registry import FileRegistry
from tests.conftest import served
from tests.fake_kit import make_kit
from tests.service.fake_scales import MODEL, SCALES, register
from verticals.contract import InvalidInput, NotFound, TriviumError

WHO = ("--person", "Ada", "--reason", "more data")
Models = Callable[..., Result]


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    home = tmp_path_factory.mktemp("home")
    register(FileRegistry(home / "registry"), 2, activate=True)
    kit = make_kit(home, {"scales": SCALES})
    yield kit
    kit.close()


@pytest.fixture(scope="module")
def url(kit: Kit) -> Iterator[str]:
    with served(create_app(kit)) as url:
        yield url


@pytest.fixture
def models(kit: Kit, url: str, tmp_path: Path) -> Models:
    """`trivium models STEP MODEL ...`, with a key of this scope."""

    def run(step: str, *options: str, scope: str = "models.rollout", name: str = MODEL) -> Result:
        (tmp_path / "key").write_text(kit.keys.issue(tenant="ops", label="cli", scopes=[scope]) + "\n")
        told = ("--url", f"{url}/", "--key-file", str(tmp_path / "key"))
        return CliRunner().invoke(app, ["models", step, name, *options, *told])

    return run


def test_a_version_goes_from_the_shadow_to_everybody_and_back_and_is_audited(kit: Kit, models: Models) -> None:
    [old], new = kit.registry.versions(MODEL), register(kit.registry, 3)

    told = [
        models("shadow", "--version", new, *WHO),
        models("canary", "--share", "0.1", *WHO),
        models("full", *WHO),
        models("roll-back", *WHO),
    ]

    lines = [line for done in told for line in done.output.splitlines() if line.startswith(MODEL)]  # not the server's
    assert lines == [
        f"{MODEL} {new}: shadow; before: {old}",
        f"{MODEL} {new}: canary 10%; before: {old}",
        f"{MODEL} {new}: full; before: {old}",
        f"{MODEL} {old}: rolled back; before: {new}",
    ]
    steps = [*kit.audit.of_kind("ops", "models.rollout")]
    assert [step["outcome"]["state"] for step in steps] == ["shadow", "canary", "full", "rolled back"]
    assert {(step["outcome"]["person"], step["outcome"]["reason"]) for step in steps} == {("Ada", "more data")}


@pytest.mark.parametrize(
    ("arguments", "scope", "message"),
    [
        (("full", *WHO), "models.rollout", "version: must be given: none is on trial"),
        (("full", "--version", "0" * 12, *WHO), "models.rollout", "no such version is registered"),
        (("roll-back", *WHO), "models.rollout", "model: there is no step to take back"),
        (("canary", "--share", "2", *WHO), "models.rollout", "share: must be at most 1"),
        (("full", "--person", "Ada", "--reason", "x"), "models.rollout", "reason: must have 3 or more characters"),
        (("roll-back", *WHO), "*", "models.rollout"),
        (("roll-back", *WHO), "models.read", "models.rollout"),
    ],
)
def test_what_the_api_refuses_the_command_refuses(
    models: Models, arguments: tuple[str, ...], scope: str, message: str
) -> None:
    done = models(*arguments, scope=scope)

    assert isinstance(done.exception, TriviumError)
    assert message in str(done.exception)


@pytest.mark.parametrize("missing", ["--person", "--reason"])
def test_no_step_without_a_person_and_a_reason(models: Models, missing: str) -> None:
    given = {"--person": "Ada", "--reason": "more data"}
    del given[missing]

    done = models("roll-back", *(word for pair in given.items() for word in pair))

    assert done.exit_code == 2
    assert missing in done.output


def test_a_service_that_is_not_there_a_wrong_address_and_a_missing_key_are_told(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("tvm_x")

    def failure(url: str, key: str) -> BaseException | None:
        told = ("--url", url, "--key-file", str(tmp_path / key))
        return CliRunner().invoke(app, ["models", "roll-back", MODEL, *WHO, *told]).exception

    assert "--url: The service cannot be reached (got 'http://127.0.0.1:9')" in str(
        failure("http://127.0.0.1:9", "key")
    )
    assert isinstance(wrong := failure("127.0.0.1:8000", "key"), InvalidInput)
    assert "--url: must begin with http:// or https://" in str(wrong)
    assert isinstance(failure("http://127.0.0.1:9", "none"), NotFound)
