"""Every shipped model's card says from which data and by which command it was made; so does every prepared one's."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks.lineage import ORIGINS, sha256_of
from core_model.model_card import model_card
from core_model.upcycle import UpcycleRecipe
from service.registry import FileRegistry
from verticals.finance.shipped import SHIPPED, register_shipped

ROOT = Path(__file__).parents[1]


def has_origin(data: Mapping[str, str], command: str) -> bool:
    return bool(data) and all(re.fullmatch("[0-9a-f]{64}", sum_) for sum_ in data.values()) and command != ""


@pytest.mark.parametrize("card", ORIGINS)
def test_a_shipped_card_names_its_data_with_sums_and_its_command(card: str) -> None:
    told: dict[str, Any] = json.loads((ROOT / card).read_text("utf-8"))

    assert has_origin(told["data"], told["command"])
    assert set(told["data"]) == {*ORIGINS[card].data, *ORIGINS[card].ours}
    assert told["command"] == ORIGINS[card].command


def test_every_folder_with_weights_has_a_card_that_is_looked_at() -> None:
    shipped = {path.parent for path in (ROOT / "verticals").rglob("*.safetensors")}

    assert shipped <= {(ROOT / card).parent for card in ORIGINS}


def test_what_is_registered_keeps_the_origin(tmp_path: Path) -> None:
    registry = FileRegistry(tmp_path)

    register_shipped(registry)

    cards = {card.name: card for card in registry.cards()}
    assert set(cards) == set(SHIPPED)
    assert all(has_origin(card.data, card.command) for card in cards.values())


def test_the_converted_core_names_the_file_that_it_came_from() -> None:
    card, _ = model_card("core", UpcycleRecipe(), num_parameters=1, source={"model.gguf": "0" * 64})

    assert has_origin(card["data"], card["command"])


def test_a_folder_is_summed_by_names_and_contents(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    before = sha256_of(tmp_path)
    (tmp_path / "b").rename(tmp_path / "c")

    assert sha256_of(tmp_path) != before
