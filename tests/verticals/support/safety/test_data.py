"""The split is fixed by the words alone, and the card tells what the weights were made of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from verticals.support.safety.data import harmful_requests, is_held_back, own_ordinary_requests
from verticals.support.safety.head import WEIGHTS_DIR


def test_a_fifth_is_held_back_whatever_case_and_punctuation() -> None:
    texts = [f"request number {i}" for i in range(2_000)]

    assert 0.17 < sum(map(is_held_back, texts)) / len(texts) < 0.23
    assert [is_held_back(t) for t in texts] == [is_held_back(f"{t.upper()}!") for t in texts]


def test_both_sets_are_read_and_joined(tmp_path: Path) -> None:
    for folder in ("advbench", "harmbench"):
        (tmp_path / "safety" / folder).mkdir(parents=True)
    (tmp_path / "safety/advbench/adv_bench.prompt").write_text(
        "name: x\nseeds:\n- value: Do a long\n    bad thing\n  data_type: text\n- value: 'Do B'\n  data_type: text\n"
    )
    (tmp_path / "safety/harmbench/harmbench_prompts.txt").write_text("Do B\nDo C\n")

    assert harmful_requests(tmp_path) == ["Do a long bad thing", "Do B", "Do C"]


def test_our_own_ordinary_requests_are_in_one_half_only() -> None:
    assert not set(own_ordinary_requests("train")) & set(own_ordinary_requests("test"))


@pytest.mark.parametrize("name", ["harm", "injection"])
def test_weights_are_small_and_have_a_card(name: str) -> None:
    card = json.loads((WEIGHTS_DIR / f"{name}.card.json").read_text("utf-8"))

    assert {"trained_on", "licence", "recipe", "command", "limits"} <= set(card)
    assert (WEIGHTS_DIR / f"{name}.json").stat().st_size < 100_000
