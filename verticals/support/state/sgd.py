"""The Schema-Guided Dialogue data set (Rastogi 2020, arXiv:1909.05855; CC BY-SA 4.0) as services and dialogues.

Reads what the tracker may know: words, and the system's own acts. Ignores the user's acts, service calls and results.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verticals.contract import Unavailable
from verticals.support.state.dialogue import Act, Turn
from verticals.support.state.schema import Intent, Service, Slot

ARCHIVE = "support/sgd_train_dev.tar.xz"
_NO_ACTS: tuple[Act, ...] = ()


@dataclass(frozen=True)
class Labelled:
    """A turn and the right state after it: by service of the turn, by slot, all wordings of the value."""

    turn: Turn
    gold: Mapping[str, Mapping[str, tuple[str, ...]]]


@dataclass(frozen=True)
class Dialogue:
    """A conversation: its turns in order."""

    dialogue_id: str
    turns: tuple[Labelled, ...]

    @property
    def services(self) -> frozenset[str]:
        """Names of the services that occur."""
        return frozenset(name for labelled in self.turns for name in labelled.gold)


@dataclass(frozen=True)
class Split:
    """`train` or `dev`: its services by name, and its dialogues in the order of their ids."""

    services: Mapping[str, Service]
    dialogues: tuple[Dialogue, ...]


def read_sgd(data_dir: Path | None, *splits: str) -> dict[str, Split]:
    """The named splits, in one pass over the archive.

    Raises:
        Unavailable: the archive is not there.
    """
    path = data_dir / ARCHIVE if data_dir else None
    if path is None or not path.is_file():
        raise Unavailable(
            "the Schema-Guided Dialogue data is not mounted", field="data_dir", remedy="Set TRIVIUM_DATA to its folder."
        )
    services: dict[str, dict[str, Service]] = {split: {} for split in splits}
    dialogues: dict[str, list[Dialogue]] = {split: [] for split in splits}
    with tarfile.open(path) as archive:
        for member in archive:
            split, _, name = member.name.removeprefix("./").partition("/")
            if split not in services or not name.endswith(".json") or (file := archive.extractfile(member)) is None:
                continue
            content = json.load(file)
            if name == "schema.json":
                services[split] = {service.name: service for service in map(read_service, content)}
            else:
                dialogues[split] += map(read_dialogue, content)
    return {
        split: Split(services[split], tuple(sorted(dialogues[split], key=lambda d: d.dialogue_id))) for split in splits
    }


def read_service(raw: Mapping[str, Any]) -> Service:
    """One entry of schema.json. Sample values of slots that are not categorical are left out."""
    return Service(
        name=raw["service_name"],
        description=raw["description"],
        slots=tuple(
            Slot(slot["name"], slot["description"], tuple(slot["possible_values"]) if slot["is_categorical"] else ())
            for slot in raw["slots"]
        ),
        intents=tuple(
            Intent(
                intent["name"], intent["description"], tuple(intent["required_slots"]), tuple(intent["optional_slots"])
            )
            for intent in raw["intents"]
        ),
    )


def read_dialogue(raw: Mapping[str, Any]) -> Dialogue:
    """One dialogue; each turn of the user with the system's turn before it."""
    return Dialogue(raw["dialogue_id"], tuple(_turns(raw["turns"])))


def _turns(raw: list[Mapping[str, Any]]) -> Iterator[Labelled]:
    system, acts = "", _NO_ACTS
    for turn in raw:
        if turn["speaker"] == "SYSTEM":
            system, acts = turn["utterance"], tuple(_acts(turn["frames"]))
            continue
        gold = {
            frame["service"]: {slot: tuple(values) for slot, values in frame["state"]["slot_values"].items()}
            for frame in turn["frames"]
        }
        yield Labelled(Turn(turn["utterance"], system, acts), gold)
        system, acts = "", _NO_ACTS


def _acts(frames: list[Mapping[str, Any]]) -> Iterator[Act]:
    for frame in frames:
        for act in frame["actions"]:
            for value in act["values"] or [""]:
                yield Act(frame["service"], act["act"], act["slot"], value)
