"""The commands that bring a version of a model to those who ask, step by step. Ignores how a step is taken.

The running service takes it, by the rules of its API: it alone has the models loaded. A step needs a key that names
`models.rollout` or `models.*`, a person and a reason, and is audited.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from service.cli_parts import key_in, require_url
from service.settings import read_settings
from verticals.contract import TriviumError

rollouts_app = typer.Typer()
ROUTE = "/v1/admin/models/registered/{name}/"
Name = Annotated[str, typer.Argument(help="Of a registered model, as `trivium models list` shows it.")]
Person = Annotated[str, typer.Option(help="Who decides.")]
Reason = Annotated[str, typer.Option(help="Why; kept in the audit trail.")]
KeyFile = Annotated[Path, typer.Option(help="File whose first line is a key that names models.rollout.")]
Version = Annotated[str | None, typer.Option(help="Of the model; else the one on trial.")]
Url = Annotated[str | None, typer.Option(help="Of the service; else TRIVIUM_HOST and TRIVIUM_PORT.")]


@rollouts_app.command()
def shadow(
    name: Name, person: Person, reason: Reason, key_file: KeyFile, version: Version = None, url: Url = None
) -> None:
    """Ask a version beside the one that serves; nobody sees what it says."""
    _take("shadow", name, key_file, url, person=person, reason=reason, version=version)


@rollouts_app.command()
def canary(
    name: Name,
    share: Annotated[float, typer.Option(help="Of subjects, above 0 and at most 1; the same ones at each request.")],
    person: Person,
    reason: Reason,
    key_file: KeyFile,
    version: Version = None,
    url: Url = None,
) -> None:
    """Let a version answer a share of subjects; again with another share, and it changes."""
    _take("canary", name, key_file, url, person=person, reason=reason, version=version, share=share)


@rollouts_app.command()
def full(
    name: Name, person: Person, reason: Reason, key_file: KeyFile, version: Version = None, url: Url = None
) -> None:
    """Let a version answer everybody; the one before stays ready."""
    _take("full", name, key_file, url, person=person, reason=reason, version=version)


@rollouts_app.command()
def roll_back(name: Name, person: Person, reason: Reason, key_file: KeyFile, url: Url = None) -> None:
    """End a trial, or serve again what served before the last full step."""
    _take("roll-back", name, key_file, url, person=person, reason=reason)


def _take(
    step: Literal["shadow", "canary", "full", "roll-back"], name: str, key_file: Path, url: str | None, **asked: Any
) -> None:
    from service.client import ApiError, TriviumClient

    address = require_url(url) if url else read_settings().api_address
    with TriviumClient(address, key_in(key_file)) as client:
        try:
            taken = client.send("POST", ROUTE + step, {"name": name, **asked})
        except ApiError as error:
            field, value = (error.field, error.value) if error.status else ("--url", address)
            raise TriviumError(error.rule or error.title, field=field, value=value, remedy=error.remedy) from None
    share = f" {taken['share']:.0%}" if taken["share"] else ""
    print(f"{taken['model']} {taken['version']}: {taken['state']}{share}; before: {taken['previous']}")
