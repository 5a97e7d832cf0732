"""Training: the same bytes each time, registered once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.verticals.finance.conftest import FolderRegistry
from tests.verticals.finance.histories.test_embeddings import register
from tests.verticals.finance.sources.small_models import FakeEmbedder
from verticals.contract import Resources
from verticals.finance import VERTICAL
from verticals.finance.data import load_german
from verticals.finance.fit import fit_scorecard
from verticals.finance.fraud.model import FRAUD
from verticals.finance.histories.model import SEQUENCE
from verticals.finance.scoring import CHALLENGER, MOE, SCORECARD, Models
from verticals.finance.sources.model import NAME
from verticals.finance.train import train_challenger, train_moe, train_scorecard


def test_fitting_twice_gives_the_same_bytes(models: Models) -> None:
    assert fit_scorecard(*load_german()).to_json() == models.scorecard.to_json()


@pytest.mark.slow
def test_training_twice_gives_the_same_artefacts(registry: FolderRegistry) -> None:
    """Validation figures included, bit for bit."""
    for name, train in ((SCORECARD, train_scorecard), (CHALLENGER, train_challenger), (MOE, train_moe)):
        files, _ = train(lambda what, share: None, folds=2)
        stored = registry.load(name)

        assert stored is not None
        assert files == {file_name: path.read_bytes() for file_name, path in stored[1].items()}


def test_nothing_is_pickled(registry: FolderRegistry) -> None:
    kinds = {p.suffix for p in Path(registry.root).rglob("*") if p.is_file()}

    assert kinds == {".json", ".txt"}


def test_the_card_names_data_licence_figures_and_limits(models: Models) -> None:
    card = models.card

    assert "Statlog German Credit" in card.trained_on
    assert "CC BY 4.0" in card.licence
    assert "personal_status_sex" in card.limits
    value, low, high = card.metrics["AUC"]
    assert 0.7 < low < value < high < 0.85
    assert card.command == "trivium prepare"
    assert all(len(sha256) == 64 for sha256 in card.data.values())


def test_the_demo_goes_on_where_it_was_interrupted_and_then_does_nothing(
    tmp_path: Path, registry: FolderRegistry, make_resources: Callable[[Any], Resources]
) -> None:
    interrupted = FolderRegistry(tmp_path / "models")
    steps: list[float] = []
    interrupted.cards |= {name: registry.cards[name] for name in (SCORECARD, MOE)}
    register(interrupted)
    retriever: Any = SimpleNamespace(embedder=FakeEmbedder())
    resources = replace(make_resources(interrupted), retriever=retriever)

    VERTICAL.demo(resources, lambda what, share: steps.append(share))
    VERTICAL.demo(resources, lambda what, share: steps.append(share))

    assert interrupted.saves == [SEQUENCE, CHALLENGER, FRAUD, NAME]
    assert all(interrupted.cards[name].data and interrupted.cards[name].command for name in (CHALLENGER, FRAUD, NAME))
    assert steps
    assert all(0 <= s <= 1 for s in steps)
