"""The nightly figures of the score as it is served, asked one applicant at a time. Ignores training and validation.

In this process `explain` is asked, which gives the same probability and records nothing; of a live API `score`, whose
decisions stay under the tenant of the key.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from verticals.asking import evaluator, is_live
from verticals.contract import Cases, Example, Handler, Metric, Progress, Resources, Suite
from verticals.finance.data import SOURCE, load_german
from verticals.finance.schemas import ModelRequest, ModelResponse, ScoreRequest, ScoreResponse
from verticals.finance.serving_schemas import ExplainRequest, ExplainResponse
from verticals.finance.validate import figure

TENANT = "evals.finance"
EVERY = 4  # a live API keeps each decision for good, so not all 1,000 applicants ask every night
HIGHER_IS_BETTER = {"AUC": True, "KS": True, "Brier": False}
AGE_YEARS = 40  # is not in the scored fields; checked for the capacity to contract, never scored


def served_suite(resources: Resources, handlers: Mapping[str, Handler]) -> Suite:
    """One suite; it judges a live API too."""
    runs = _Runs(resources, handlers)
    return Suite(
        name="served score",
        dataset=SOURCE,
        split=f"every {EVERY}th applicant. The model in force may have been fitted to them: upper bounds, which tell "
        "when what is served has changed; 95 % bootstrap over applicants",
        solver="the model in force, one request an applicant",
        scorer="AUC, KS, Brier of the probability; baseline: out of fold, from the model's own card",
        run=Cases(runs.read, runs.score, runs.summarise),
        operations=("score", "model"),
    )


class _Runs:
    """The suite's cases."""

    def __init__(self, resources: Resources, handlers: Mapping[str, Handler]) -> None:
        self._live, self._handlers, self._context = is_live(resources), handlers, evaluator(TENANT)

    def read(self, progress: Progress) -> dict[str, tuple[dict[Hashable, Any], bool]]:
        """Fields and outcome by the applicant's row."""
        progress("Reading applicants", 0.0)
        frame, default = load_german()
        rows = frame.to_dict("records")
        return {f"row {i}": (rows[i], bool(default[i])) for i in range(0, len(rows), EVERY)}

    def score(self, case: tuple[dict[Hashable, Any], bool]) -> Example:
        """The probability, its squared error, and the outcome."""
        fields, default = case
        answer = self._ask(fields | {"age_years": AGE_YEARS})
        scores = {
            "prob_default": answer.prob_default,
            "default": float(default),
            "Brier": (answer.prob_default - default) ** 2,
        }
        shown = f"{answer.points} points, {answer.decision}; {'default' if default else 'repaid'}"
        return Example(scores, {"outcome": "default" if default else "repaid"}, shown)

    def summarise(self, examples: Mapping[str, Example]) -> Sequence[Metric]:
        """Figures over all applicants, beside those of the card."""
        default, prob = (
            np.array([example.scores[name] for example in examples.values()]) for name in ("default", "prob_default")
        )
        card, found = self._ask_card(), []
        for name, higher_is_better in HIGHER_IS_BETTER.items():
            value, low, high = figure(default.astype(int), prob, name)
            baseline = card.get(name)
            label = "out of fold, from the card" if baseline is not None else None
            found.append(Metric(name, value, low, high, len(default), higher_is_better, label, baseline))
        return found

    def _ask(self, fields: dict[Hashable, Any]) -> ScoreResponse | ExplainResponse:
        operation, request = ("score", ScoreRequest) if self._live else ("explain", ExplainRequest)
        answer = self._handlers[operation](request.model_validate(fields), self._context)
        assert isinstance(answer, ScoreResponse | ExplainResponse)
        return answer

    def _ask_card(self) -> dict[str, float]:
        model = self._handlers["model"](ModelRequest(), self._context)
        assert isinstance(model, ModelResponse)
        return {one.name: one.value for one in model.figures if one.model == "scorecard"}
