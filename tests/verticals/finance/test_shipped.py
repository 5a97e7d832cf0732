"""What is shipped is small, is what its card says, and fits together."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.verticals.finance.conftest import FolderRegistry
from verticals.finance.histories import training as sequence_training
from verticals.finance.histories.model import ENCODER, SEQUENCE, encoder_id, load_sequence
from verticals.finance.shipped import SHIPPED, folder_of, register_shipped, shipped_card, shipped_files
from verticals.finance.sources import training
from verticals.finance.sources.model import NAME, load_sources
from verticals.finance.sources.names import SOURCES

SEEDS = {SEQUENCE: sequence_training.SEED, NAME: training.SEED}
MAX_BYTES = 2**20


@pytest.mark.parametrize("name", SHIPPED)
def test_files_have_the_checksums_of_their_card_and_are_small(name: str) -> None:
    files, card = shipped_files(name), shipped_card(name)

    assert {file: hashlib.sha256(content).hexdigest() for file, content in files.items()} == card["sha256"]
    assert sum(map(len, files.values())) < MAX_BYTES
    assert {path.suffix for path in folder_of(name).iterdir()} <= {".json", ".safetensors"}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_card_names_command_seed_and_that_it_is_synthetic(name: str) -> None:
    card = shipped_card(name)

    assert (card["name"], card["command"]) == (name, "python -m benchmarks.sources train")
    assert card["seed"] == SEEDS[name]
    assert "Synthetic" in card["trained_on"]
    assert "Synthetic" in card["limits"]
    assert card["licence"] == "Apache-2.0"


def test_the_terms_read_the_shipped_encoder_and_the_products_embedder(tmp_path: Path) -> None:
    registry = FolderRegistry(tmp_path)
    register_shipped(registry)
    model, sequence = load_sources(registry), load_sequence(registry)

    assert model is not None
    assert sequence is not None
    assert model.synthetic
    assert [head.reads for head in model.heads["history"]] == [encoder_id(shipped_files(SEQUENCE)[ENCODER])]
    assert [head.reads.partition("@")[0] for head in model.heads["text"]] == ["all-MiniLM-L6-v2"]
    assert all(model.heads[source] for source in SOURCES)


def test_a_banks_own_model_is_not_replaced(tmp_path: Path) -> None:
    registry = FolderRegistry(tmp_path)
    for _ in range(2):
        register_shipped(registry)

    assert registry.saves == list(SHIPPED)
