"""The demo shop's own services in words, and the tracker for them. Ignores how the shop carries them out."""

from __future__ import annotations

import logging
from pathlib import Path

from verticals.contract import ModelRegistry, Progress, Resources, Unavailable
from verticals.support.state.encoder import TurnEncoder
from verticals.support.state.neural import WEIGHTS, load_scorer
from verticals.support.state.rules import RuleScorer
from verticals.support.state.schema import Service, read_services
from verticals.support.state.sgd import read_sgd
from verticals.support.state.tracker import Scorer, StateTracker
from verticals.support.state.training import train_tracker

MODEL = "support.state"

_log = logging.getLogger(__name__)


def shop_services() -> tuple[Service, ...]:
    """Order look-up, refund, address change and subscription."""
    return read_services((Path(__file__).parent / "shop.json").read_text("utf-8"))


def shop_tracker(registry: ModelRegistry) -> StateTracker:
    """The tracker of the shop's services: with the trained scorer if there is a sound one here, else with rules."""
    try:
        scorer = trained_scorer(registry)
    except Unavailable as error:
        _log.warning("Dialogue state is tracked by rules: %s", error)
        scorer = None
    return StateTracker(shop_services(), scorer or RuleScorer())


def trained_scorer(registry: ModelRegistry) -> Scorer | None:
    """The registered scorer; None if none was trained here.

    Raises:
        Unavailable: its files are damaged.
    """
    found = registry.load(MODEL)
    return load_scorer(found[1][WEIGHTS], TurnEncoder()) if found else None


def train_once(resources: Resources, progress: Progress) -> None:
    """Train and register the scorer if there is none (tens of minutes on one core).

    Raises:
        Unavailable: the training data is not there.
    """
    if resources.registry.load(MODEL) is None:
        files, card = train_tracker(read_sgd(resources.data_dir, "train")["train"], progress)
        resources.registry.save(MODEL, files, card)
