"""Training finds the right candidates, learns them, and depends on nothing but its data."""

from __future__ import annotations

import pytest

from tests.verticals.support.state.tiny_state import SERVICES, TABLES, dialogue
from verticals.support.state.batching import make_rows
from verticals.support.state.candidates import build_frame
from verticals.support.state.dialogue import State, Turn
from verticals.support.state.encoder import TurnEncoder
from verticals.support.state.evaluation import every, joint_goal_accuracy
from verticals.support.state.rules import NoChange
from verticals.support.state.training import fit, read_examples, right_candidates

DIALOGUES = [dialogue("Napa", "7 pm"), dialogue("Reno", "noon")]


def test_right_are_the_candidates_of_the_value_after_the_turn(encoder: TurnEncoder) -> None:
    turn, before = Turn("Find me a restaurant in Napa."), State({"Tables": {"time": "noon", "party_size": "2"}})
    frame = build_frame(TABLES, turn, before, SERVICES)
    rows = make_rows(frame, encoder.tokenize(turn))
    gold = {"city": ("napa",), "time": ("dontcare",), "party_size": ("2",)}

    right = right_candidates(frame, rows, gold, before)

    slots = [view.slot.name for view in frame.slots]
    unchanged, any_value = right.keep_S2[:, 0].tolist(), right.keep_S2[:, 1].tolist()
    assert [s for s, same in zip(slots, unchanged, strict=True) if same] == [
        "restaurant_name",
        "party_size",
        "has_music",
    ]
    assert [s for s, free in zip(slots, any_value, strict=True) if free] == ["time"]
    pairs = [rows.pair_R2[i].tolist() for i in right.pair_R.nonzero().flatten().tolist()]
    assert [(slots[slot], rows.span_texts[span]) for slot, span in pairs] == [("city", "Napa")]
    named = [rows.named_values[i] for i in right.named_K.nonzero().flatten().tolist()]
    assert named == ["2"]


def test_every_service_of_every_turn_is_an_example(encoder: TurnEncoder) -> None:
    turns, examples = read_examples(DIALOGUES, SERVICES, encoder)

    assert (len(turns), len(examples)) == (8, 8)
    assert all(example.right.flat().any() for example in examples)


@pytest.mark.slow
def test_a_trained_scorer_follows_what_it_was_shown(encoder: TurnEncoder) -> None:
    scorer = fit(DIALOGUES[:1], SERVICES, encoder, progress=lambda what, share: None, epochs=200)

    found = joint_goal_accuracy(DIALOGUES[:1], SERVICES, scorer, seen={"Tables"})

    assert found["all"].value > 0.9
    assert (found["all"].n, found["seen"].n, found["unseen"].n) == (4, 3, 1)


def test_the_same_data_gives_the_same_scorer(encoder: TurnEncoder) -> None:
    first, second = (fit(DIALOGUES, SERVICES, encoder, progress=lambda what, share: None, epochs=2) for _ in range(2))

    assert first.to_bytes() == second.to_bytes()


def test_the_figure_of_knowing_nothing_is_the_share_of_empty_frames() -> None:
    found = joint_goal_accuracy(DIALOGUES, SERVICES, NoChange(), seen=SERVICES)

    assert found["all"].value == 0.0
    assert found["unseen"].value != found["unseen"].value  # no such frame: NaN


@pytest.mark.parametrize(("count", "picked"), [(2, [0, 9]), (10, list(range(10))), (99, list(range(10)))])
def test_a_sample_is_spread_over_the_order(count: int, picked: list[int]) -> None:
    dialogues = [dialogue(str(i), "noon") for i in range(10)]

    assert [int(d.dialogue_id.split("-")[0]) for d in every(dialogues, count)] == picked
