"""The network scores a frame the same in any company, and its weights survive being written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.verticals.support.state.tiny_state import OFFERED, SERVICES, TABLES, TAXI
from verticals.contract import Unavailable
from verticals.support.state.batching import collate, make_rows, read_probabilities
from verticals.support.state.candidates import build_frame
from verticals.support.state.dialogue import State, Turn
from verticals.support.state.encoder import TurnEncoder
from verticals.support.state.network import StateNetwork
from verticals.support.state.neural import NeuralScorer, load_scorer, pad_turns

TURNS = (Turn("Find me a restaurant in Napa."), Turn("At 7 pm for two people.", "How about Blue Door?", OFFERED))
BEFORE = State({"Tables": {"city": "Reno"}})


@pytest.fixture
def scorer(encoder: TurnEncoder) -> NeuralScorer:
    torch.manual_seed(0)
    return NeuralScorer(encoder, StateNetwork(encoder.dim))


def test_every_slots_probabilities_sum_to_one(scorer: NeuralScorer) -> None:
    frames = [build_frame(service, TURNS[1], BEFORE, SERVICES) for service in (TABLES, TAXI)]

    slots = [slot for frame in scorer.score(TURNS[1], frames) for slot in frame]

    assert len(slots) == len(TABLES.inputs) + len(TAXI.inputs)
    assert all(sum(slot.values()) == pytest.approx(1, abs=1e-5) for slot in slots)
    assert "7 pm" in slots[2]
    assert "Blue Door" in slots[1]


def test_a_frame_scores_alone_as_in_a_batch_of_turns(encoder: TurnEncoder, scorer: NeuralScorer) -> None:
    frames = [build_frame(TABLES, turn, BEFORE, SERVICES) for turn in TURNS]
    network = StateNetwork(encoder.dim).eval()
    alone = NeuralScorer(encoder, network).score(TURNS[0], frames[:1])[0]

    tokens = [encoder.tokenize(turn) for turn in TURNS]
    rows = [make_rows(frame, turn) for frame, turn in zip(frames, tokens, strict=True)]
    ids_BT, mask_BT, user_BT = pad_turns(tokens)
    batch = collate(rows, [0, 1], encoder.embed)
    with torch.inference_mode():
        together = read_probabilities(network(encoder.states(ids_BT, mask_BT), mask_BT, user_BT, batch), batch, rows)[0]

    for one, other in zip(alone, together, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_a_turn_without_words_or_services_is_scored(scorer: NeuralScorer) -> None:
    assert scorer.score(Turn("hm"), []) == []
    assert len(scorer.score(Turn(""), [build_frame(TAXI, Turn(""), State(), SERVICES)])[0]) == 2


def test_weights_read_back_give_the_same_values(encoder: TurnEncoder, scorer: NeuralScorer, tmp_path: Path) -> None:
    frames = [build_frame(TABLES, TURNS[1], BEFORE, SERVICES)]
    path = tmp_path / "state.safetensors"
    path.write_bytes(scorer.to_bytes())

    read = load_scorer(path, encoder).score(TURNS[1], frames)

    for one, other in zip(read[0], scorer.score(TURNS[1], frames)[0], strict=True):
        assert one == pytest.approx(other, abs=2e-3)  # kept in fp16


@pytest.mark.parametrize("damage", [b"", b"not safetensors"])
def test_a_damaged_file_is_reported(encoder: TurnEncoder, tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "state.safetensors"
    path.write_bytes(damage)

    with pytest.raises(Unavailable, match="cannot be read"):
        load_scorer(path, encoder)
