"""The commands that show registered models: what is in force, cards, lineage, and whether files are whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from service.cli_admin import EXIT_FAILED
from service.cli_parts import Parts, note_model, open_parts
from service.cli_rollouts import Name, rollouts_app
from verticals.contract import ModelCard, NotFound, TriviumError, Unavailable

if TYPE_CHECKING:
    from service.rollout_ledger import Step

models_app = typer.Typer(help="Registered models: versions, cards, lineage, rollouts.", no_args_is_help=True)
models_app.add_typer(rollouts_app)


@models_app.command("list")
def list_models() -> None:
    """Each registered model: the version in force, what is on trial, and every version that is kept."""
    table = Table("model", "in force", "on trial", "kept versions, newest first", "trained on")
    with open_parts() as parts:
        steps = _steps(parts)
        for name in parts.registry.names():
            serving, versions = next(iter(parts.registry.in_force(name)), ""), parts.registry.versions(name)
            trained_on = _trained_on(parts, name, serving)
            table.add_row(name, serving, _on_trial(steps.get(name)), " ".join(versions), trained_on)
    Console().print(table)


@models_app.command()
def register(
    folder: Annotated[str, typer.Argument(help="A checkpoint folder or GGUF file in the models folder.")],
) -> None:
    """Register a language model as a version of the core; the steps bring it to those who ask."""
    from service.core_versions import register_core
    from service.settings import read_settings

    with open_parts() as parts:
        card = register_core(parts.registry, read_settings().home / "models", folder)
        note_model(parts, card)
    print(f"{card.name} {card.version}: {folder}, trained on: {card.trained_on}")


@models_app.command()
def show(name: Name, version: Annotated[str | None, typer.Option(help="Else the one in force.")] = None) -> None:
    """A version's card as JSON, its files verified."""
    with open_parts() as parts:
        wanted = version or _in_force(parts, name)
        card, files = parts.registry.require(name, wanted)
    told = asdict(card) | {"files": {file: path.stat().st_size for file, path in files.items()}}
    print(json.dumps(told, indent=2, ensure_ascii=False))


@models_app.command()
def verify() -> None:
    """Recompute the SHA-256 of every version's files; exit 1 when one is damaged."""
    from service.core_versions import CORE, verify_core
    from service.settings import read_settings

    is_whole, models = True, read_settings().home / "models"
    with open_parts() as parts:
        for name in parts.registry.names():
            for version in parts.registry.versions(name):
                state = "whole"
                try:
                    parts.registry.require(name, version)
                    if name == CORE:
                        verify_core(parts.registry, models, version)
                except TriviumError as error:
                    state, is_whole = f"DAMAGED: {error.rule}", False
                print(f"{name} {version}: {state}")
    if not is_whole:
        raise typer.Exit(EXIT_FAILED)


@models_app.command()
def lineage(name: Name) -> None:
    """Where the version in force comes from, and which steps brought it there."""
    from service.rollout_ledger import steps_of

    with open_parts() as parts:
        for card in _ancestors(parts, name, _in_force(parts, name)):
            print("\n".join(_told(card)))
        with parts.sessions() as session:
            steps = steps_of(session, name, limit=20)
    for step in steps:
        print(f"{step.at:%Y-%m-%d %H:%M} {step.state} {step.version}, {step.person}: {step.reason}")


def _in_force(parts: Parts, name: str) -> str:
    serving = parts.registry.in_force(name)
    if not serving:
        names = ", ".join(parts.registry.names()) or "none yet"
        raise NotFound(f"must be one of {names}", field="NAME", value=name)
    return serving[0]


def _ancestors(parts: Parts, name: str, version: str | None) -> Iterator[ModelCard]:
    """The version, what was in force when it was registered, and so on, as far as they are kept."""
    seen: set[str] = set()
    while version and version not in seen:
        seen.add(version)
        try:
            card = parts.registry.card(name, version)
        except NotFound:
            print(f"{name} {version}: no longer kept")
            return
        except Unavailable as error:
            print(f"{name} {version}: DAMAGED: {error.rule}")
            return
        yield card
        version = card.parent


def _told(card: ModelCard) -> Iterator[str]:
    yield f"{card.name} {card.version}, SHA-256 {card.sha256}"
    yield f"  registered {card.registered_at or 'before this was noted'} by {card.code or 'a version that did not say'}"
    yield f"  trained on: {card.trained_on}"
    yield from (f"  data: {reference}, SHA-256 {sha256}" for reference, sha256 in card.data.items())
    yield f"  recipe: {card.recipe}"
    if card.command:
        yield f"  command: {card.command}"
    yield from (f"  {name}: {value}" for name, value in card.metrics.items())
    yield f"  parent: {card.parent or 'none'}"


def _trained_on(parts: Parts, name: str, version: str) -> str:
    try:
        return parts.registry.card(name, version).trained_on
    except NotFound:  # none is in force, or it is no longer kept
        return ""
    except Unavailable as error:
        return f"DAMAGED: {error.rule}"


def _on_trial(step: Step | None) -> str:
    return "" if step is None or not step.is_on_trial else f"{step.version} ({step.state} {step.share:.0%})"


def _steps(parts: Parts) -> dict[str, Step]:
    from service.rollout_ledger import newest_steps

    with parts.sessions() as session:
        return newest_steps(session)
