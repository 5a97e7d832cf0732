"""The table in shadow takes the champion's place on evidence, under audit, and gives it back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.registry import FileRegistry
from tests.verticals.finance.conftest import FolderRegistry, Recorder
from verticals.contract import Conflict, Context
from verticals.finance.promotion import KIND, Evidence, promote, roll_back, weigh
from verticals.finance.scoring import MOE, SCORECARD, Models, load_models

CARD = ("trained_on", "licence", "recipe", "metrics", "limits")


@pytest.fixture
def home(registry: FolderRegistry, tmp_path: Path) -> FileRegistry:
    """The trained models in a registry that keeps versions."""
    found = FileRegistry(tmp_path / "registry")
    for name, card in registry.cards.items():
        files = {path.name: path.read_bytes() for path in (registry.root / name).iterdir()}
        found.save(name, files, {field: getattr(card, field) for field in CARD})
    return found


@pytest.fixture
def recorder() -> Recorder:
    """Keeps the audit entries."""
    return Recorder()


def context(recorder: Recorder) -> Context:
    """An operator."""
    return Context(tenant="t", actor="cli", request_id="r", record=recorder)


def versions(home: FileRegistry) -> tuple[str, str]:
    """Of champion and shadow."""
    found = load_models(home)
    assert found.moe_card is not None
    return found.card.version, found.moe_card.version


def change_validation(home: FileRegistry, name: str, values: list[float]) -> None:
    """Another version of the table in shadow, with other values out of fold."""
    found = home.load(MOE)
    assert found is not None
    files = {file_name: path.read_bytes() for file_name, path in found[1].items()}
    validation = json.loads(files["validation.json"])
    validation["out_of_fold"][name] = values
    files["validation.json"] = json.dumps(validation).encode()
    home.save(MOE, files, {field: getattr(found[0], field) for field in CARD})


def entry(recorder: Recorder) -> dict[str, Any]:
    """The last audit entry, as the trail gives it."""
    return {"outcome": recorder.decisions[-1].outcome}


def promoted(home: FileRegistry, recorder: Recorder, models: Models) -> Evidence:
    """A promotion on its evidence."""
    evidence = weigh(home, models.policy)
    promote(home, context(recorder), evidence, reason="better", policy_version=models.policy.version)
    return evidence


def test_the_evidence_has_the_gain_with_its_interval_calibration_and_parity(home: FileRegistry, models: Models) -> None:
    found = weigh(home, models.policy)

    gain, low, high = found.auc_gain
    assert low < gain < high
    assert sum(found.grades) == 10
    assert found.points_apart < 1e-6
    assert found.num_rows == 1000
    assert (found.approve_at, found.decline_below) == (models.policy.approve_at, models.policy.decline_below)
    assert 0 < found.after.approved < 1
    assert found.refused == ()


def test_a_promotion_swaps_champion_and_shadow_and_is_audited(
    home: FileRegistry, models: Models, recorder: Recorder
) -> None:
    card, moe = versions(home)

    promoted(home, recorder, models)

    assert versions(home) == (moe, card)
    [told] = recorder.decisions
    assert (told.kind, told.outcome["step"], told.outcome["reason"]) == (KIND, "promote", "better")
    assert (told.outcome["champion"], told.outcome["previous"]) == (moe, card)
    assert home.load(SCORECARD, card) is not None  # replays of its decisions find it


def test_the_shadow_is_named_for_what_it_is(home: FileRegistry, models: Models, recorder: Recorder) -> None:
    assert load_models(home).moe_name == "Mixture of experts"

    promoted(home, recorder, models)

    assert load_models(home).moe_name == "WoE scorecard"


def test_a_roll_back_restores_both_and_can_be_done_once(home: FileRegistry, models: Models, recorder: Recorder) -> None:
    before = versions(home)
    promoted(home, recorder, models)

    roll_back(home, context(recorder), entry(recorder), reason="complaints", policy_version="p")

    assert versions(home) == before
    with pytest.raises(Conflict, match="no promotion is in force"):
        roll_back(home, context(recorder), entry(recorder), reason="again", policy_version="p")


def test_what_was_never_promoted_is_not_rolled_back(home: FileRegistry, recorder: Recorder) -> None:
    with pytest.raises(Conflict, match="no promotion is in force"):
        roll_back(home, context(recorder), None, reason="by mistake", policy_version="p")


def test_a_contender_that_discriminates_less_is_refused(home: FileRegistry, models: Models, recorder: Recorder) -> None:
    change_validation(home, "points", [500.0 + i % 7 for i in range(1000)])

    evidence = weigh(home, models.policy)

    assert "it discriminates less" in evidence.refused[0]
    with pytest.raises(Conflict, match="it discriminates less"):
        promote(home, context(recorder), evidence, reason="anyway", policy_version="p")
    assert recorder.decisions == []


def test_evidence_of_other_models_promotes_nothing(home: FileRegistry, models: Models, recorder: Recorder) -> None:
    stale = replace(weigh(home, models.policy), contender="Mixture of experts 000000000000")

    with pytest.raises(Conflict, match="changed since the evidence"):
        promote(home, context(recorder), stale, reason="late", policy_version="p")


def test_a_policy_that_would_approve_nobody_is_in_the_evidence(home: FileRegistry, models: Models) -> None:
    strict = models.policy.model_copy(update={"approve_at": 900})

    found = weigh(home, strict)

    assert any("approve nobody" in why for why in found.refused)


def test_a_contender_on_another_sample_is_not_compared(home: FileRegistry, models: Models) -> None:
    change_validation(home, "default", [i % 2 for i in range(1000)])

    with pytest.raises(Conflict, match="must be validated on the champion's development sample"):
        weigh(home, models.policy)
