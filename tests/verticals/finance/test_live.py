"""Finance's live models are read as they are registered, answer their examples, and a broken one is found out."""

from __future__ import annotations

import json
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest

from service.registry import FileRegistry
from tests.fake_kit import make_kit
from verticals.contract import Context
from verticals.finance import VERTICAL
from verticals.finance.fraud.card_schemas import FraudModelRequest, ScoreCardsRequest
from verticals.finance.fraud.features import Transactions, all_features
from verticals.finance.fraud.model import FRAUD, to_files
from verticals.finance.histories.model import SEQUENCE
from verticals.finance.histories.schemas import EventsRequest
from verticals.finance.live import LIVE_MODELS
from verticals.finance.shipped import shipped_files

CARD = {"trained_on": "", "licence": "", "recipe": "", "metrics": {}, "limits": ""}
OPEN = {model.name: model.open for model in LIVE_MODELS}
EXAMPLE = {one.name: one.examples for one in VERTICAL.operations}


def fraud_files(seed: int) -> dict[str, bytes]:
    """Trees of random transactions."""
    rng = np.random.default_rng(seed)
    at_s = np.sort(rng.integers(1_700_000_000, 1_710_000_000, 300))
    t = Transactions(at_s, *(rng.integers(0, high, 300) for high in (20, 20, 10_000, 2)))
    features = all_features(t)
    trees = lgb.train({"objective": "binary", "verbose": -1, "num_threads": 1}, lgb.Dataset(features, t.fraud), 2)
    return to_files(
        trees, {"columns": list(features.columns), "threshold": 0.0, "false_positives": 0.1, "synthetic": True}
    )


def test_trees_say_how_suspicious_a_requests_transactions_are(tmp_path: Path) -> None:
    registry = FileRegistry(tmp_path)
    registry.save(FRAUD, fraud_files(1), CARD)
    [example] = EXAMPLE["score_cards"].values()

    said = OPEN[FRAUD](registry)(ScoreCardsRequest.model_validate(example))  # type: ignore[misc]

    assert said["flagged"] == 1
    assert 0 < float(said["highest"] or 0) < 1


def test_the_encoder_says_what_a_requests_events_add(tmp_path: Path) -> None:
    registry = FileRegistry(tmp_path)
    registry.save(SEQUENCE, shipped_files(SEQUENCE), CARD)
    [example] = EXAMPLE["append_events"].values()

    said = OPEN[SEQUENCE](registry)(EventsRequest.model_validate(example))  # type: ignore[misc]

    assert np.isfinite(float(said["log_odds"] or np.nan))


@pytest.mark.parametrize("name", [FRAUD, SEQUENCE])
def test_a_model_of_another_shape_is_found_out(name: str, tmp_path: Path) -> None:
    registry = FileRegistry(tmp_path)
    registry.save(name, {"other.bin": json.dumps({}).encode()}, CARD)

    with pytest.raises((ValueError, KeyError)):
        OPEN[name](registry)


def test_new_trees_are_brought_into_force_by_a_step(tmp_path: Path) -> None:
    registry = FileRegistry(tmp_path / "registry")
    first = registry.save(FRAUD, fraud_files(1), CARD).version
    kit = make_kit(tmp_path, {"finance": VERTICAL})
    second = registry.save(FRAUD, fraud_files(2), CARD, activate=False).version
    context = Context("bank", "a", "r", lambda *_, **__: None)
    describe = kit.handlers["finance"]["fraud_model"]
    assert describe(FraudModelRequest(), context).model_version == f"{FRAUD}@{first}"  # type: ignore[union-attr]

    who = {"tenant": "bank", "actor": "key", "request_id": "r"}
    kit.rollouts.take(FRAUD, "full", version=second, person="Ada", reason="newer", who=who)

    assert describe(FraudModelRequest(), context).model_version == f"{FRAUD}@{second}"  # type: ignore[union-attr]
    assert kit.rollouts.faults == {}
    kit.close()
