"""Registers the finance models that are not there yet: two are shipped, the others trained. Ignores how."""

from __future__ import annotations

from verticals.contract import Progress, Resources
from verticals.finance.fraud.demo import demo_cards
from verticals.finance.histories.demo import demo_histories
from verticals.finance.scoring import CHALLENGER, MOE, SCORECARD
from verticals.finance.shipped import register_shipped
from verticals.finance.sources.demo import demo_sources


def demo(resources: Resources, progress: Progress) -> None:
    """Safe to run again and to interrupt: each model is registered as soon as it is trained."""
    _demo_models(resources, progress)
    demo_cards(resources, progress)
    register_shipped(resources.registry)
    demo_histories(resources, progress)
    demo_sources(resources, progress)


def _demo_models(resources: Resources, progress: Progress) -> None:
    missing = [name for name in (SCORECARD, CHALLENGER, MOE) if resources.registry.load(name) is None]
    if not missing:
        return  # before the training code and its libraries are imported: that takes seconds
    from verticals.finance.train import train_challenger, train_moe, train_scorecard

    trainers = {SCORECARD: train_scorecard, CHALLENGER: train_challenger, MOE: train_moe}
    for name in missing:
        files, card = trainers[name](progress)
        resources.registry.save(name, files, card)
