"""The data set's own form is read into services and dialogues."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from verticals.contract import Unavailable
from verticals.support.state.dialogue import Act
from verticals.support.state.sgd import ARCHIVE, read_sgd

SCHEMA = [
    {
        "service_name": "Banks_1",
        "description": "Manage bank accounts",
        "slots": [
            {"name": "account", "description": "Kind", "is_categorical": True, "possible_values": ["checking"]},
            {"name": "amount", "description": "How much", "is_categorical": False, "possible_values": ["$5"]},
        ],
        "intents": [
            {
                "name": "Pay",
                "description": "Pay",
                "required_slots": ["amount"],
                "optional_slots": {"account": "checking"},
            }
        ],
    }
]


def _frame(**extra: Any) -> dict[str, Any]:
    return {"service": "Banks_1", "actions": [], "slots": [], **extra}


DIALOGUES = [
    {
        "dialogue_id": "1_00000",
        "services": ["Banks_1"],
        "turns": [
            {"speaker": "USER", "utterance": "Pay", "frames": [_frame(state={"slot_values": {}})]},
            {
                "speaker": "SYSTEM",
                "utterance": "$5 or $6?",
                "frames": [
                    _frame(
                        actions=[{"act": "REQUEST", "slot": "amount", "values": ["$5", "$6"]}],
                        service_call={"method": "Pay"},
                    )
                ],
            },
            {
                "speaker": "USER",
                "utterance": "Five",
                "frames": [_frame(state={"slot_values": {"amount": ["$5", "five"]}})],
            },
        ],
    }
]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    path = tmp_path / ARCHIVE
    path.parent.mkdir()
    with tarfile.open(path, "w:xz") as archive:
        for name, content in (
            ("dev/schema.json", SCHEMA),
            ("dev/dialogues_001.json", DIALOGUES),
            ("train/x.json", "no"),
        ):
            data = json.dumps(content).encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return tmp_path


def test_a_turn_holds_the_systems_acts_before_it_and_all_wordings_of_the_right_values(data_dir: Path) -> None:
    (dialogue,) = read_sgd(data_dir, "dev")["dev"].dialogues

    first, second = dialogue.turns
    assert (first.turn.user, first.turn.system, first.turn.acts) == ("Pay", "", ())
    assert second.turn.acts == (
        Act("Banks_1", "REQUEST", "amount", "$5"),
        Act("Banks_1", "REQUEST", "amount", "$6"),
    )
    assert second.gold == {"Banks_1": {"amount": ("$5", "five")}}


def test_sample_values_of_a_free_slot_are_not_taken_for_a_list(data_dir: Path) -> None:
    (service,) = read_sgd(data_dir, "dev")["dev"].services.values()

    assert [slot.values for slot in service.slots] == [("checking",), ()]
    assert service.intents[0].optional == ("account",)


def test_without_the_data_the_reader_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="Set TRIVIUM_DATA"):
        read_sgd(tmp_path, "dev")
    with pytest.raises(Unavailable, match="not mounted"):
        read_sgd(None, "dev")
