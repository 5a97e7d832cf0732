"""Own outcomes: what was on file on the day of an application teaches the terms, and nothing later."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select, update

from tests.verticals.finance.applications import body
from tests.verticals.finance.conftest import FolderRegistry
from tests.verticals.finance.sources.small_models import FakeEmbedder
from tests.verticals.finance.test_batch import csv_of
from verticals.contract import Context, Handler, InvalidInput, Resources
from verticals.finance.scoring import load_models
from verticals.finance.sources.model import NAME, load_sources
from verticals.finance.sources.outcomes import Files, read_outcomes, register_outcomes, train_outcomes
from verticals.finance.sources.schemas import TextRequest
from verticals.finance.sources.tables import FinanceEvidence, FinanceSourceTerm

TODAY = datetime.now(UTC).date()


def rows(count: int = 240, **changes: Any) -> list[dict[str, Any]]:
    """Every second one of these defaults."""
    same = {k: v for k, v in body(**changes).items() if k != "application_id"}
    return [same | {"customer": f"c-{i}", "date": TODAY.isoformat(), "default": i % 2} | changes for i in range(count)]


def forget(registry: FolderRegistry) -> None:
    """The model of sources, whose folder would be in the way of another version."""
    del registry.cards[NAME]
    (registry.root / NAME).rename(registry.root / "before")


@pytest.fixture
def filed(served: Mapping[str, Handler], context: Context) -> Mapping[str, Handler]:
    """Whoever defaults has lost something, most of the time."""
    rng = np.random.default_rng(0)
    for i in range(240):
        lost = rng.random() < (0.8 if i % 2 else 0.2)
        text = "I lost my work this spring and need help." if lost else "All is well and I have a steady job."
        served["file_text"](TextRequest(customer=f"c-{i}", text=text), context)
    return served


def test_the_terms_learn_from_the_file_and_serve_real_customers(
    filed: Mapping[str, Handler], resources: Resources, full_registry: FolderRegistry, context: Context
) -> None:
    forget(full_registry)
    card = register_outcomes(
        full_registry, resources.sessions, "bank", csv_of(*rows()), embedder_name=FakeEmbedder.name
    )
    model = load_sources(full_registry)
    with resources.sessions() as session:
        terms = select(FinanceSourceTerm.bounded).where(FinanceSourceTerm.model_version == f"{NAME}@{card.version}")
        bounded = session.scalars(terms).all()

    assert model is not None
    assert (model.synthetic, model.heads["history"]) == (False, ())
    assert "240 outcomes of own customers, 120 bad; sources: text" in card.trained_on
    assert card.metrics["AUC over the champion, out of fold"][0] > 0.1
    assert len(bounded) == 240
    assert max(bounded) - min(bounded) > 0.5  # whoever has lost something is riskier
    assert max(map(abs, bounded)) <= 1.5


def test_a_file_of_simulated_customers_makes_a_simulated_model(
    filed: Mapping[str, Handler], resources: Resources, full_registry: FolderRegistry
) -> None:
    found = read_outcomes(csv_of(*rows()))
    found[0] = found[0].model_copy(update={"customer": "sim-1-000000"})
    files = Files(resources.sessions, "bank", sequence=None, embedder_name=FakeEmbedder.name)
    _, card = train_outcomes(load_models(full_registry), found, files)

    assert "Synthetic" in card["trained_on"]


def test_what_was_filed_after_the_day_of_the_application_is_not_read(
    filed: Mapping[str, Handler], resources: Resources
) -> None:
    files = Files(resources.sessions, "bank", sequence=None, embedder_name=FakeEmbedder.name)
    now, before = (read_outcomes(csv_of(*rows(date=str(day)))) for day in (TODAY, TODAY - timedelta(days=1)))
    with resources.sessions.begin() as session:
        session.execute(
            update(FinanceEvidence)
            .where(FinanceEvidence.customer == "c-0")
            .values(filed_at=datetime.now(UTC) - timedelta(days=2))
        )

    assert files.inputs(now)["text"].present.all()
    assert files.inputs(before)["text"].present.nonzero()[0].tolist() == [0]


def test_nothing_on_file_is_refused(resources: Resources, full_registry: FolderRegistry) -> None:
    with pytest.raises(InvalidInput, match="nothing is on file of any customer on the day of an application"):
        register_outcomes(full_registry, resources.sessions, "bank", csv_of(*rows()), embedder_name="fake@1")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"default": "2"}, r"row 1: default"),
        ({"date": "soon"}, r"row 1: date"),
        ({"customer": ""}, r"row 1: customer"),
        ({"default": "1"}, r"default: must hold at least 50 of each outcome \(got '240 bad, 0 good'\)"),
    ],
)
def test_a_bad_file_is_refused_with_its_row(changes: dict[str, str], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        read_outcomes(csv_of(*rows(**changes)))
