"""Makes the table in shadow the champion and the champion a challenger, on evidence, and takes that back.

Both tables are versions in the registry, and what changes is which one serves under which name: nothing is trained,
no version is lost, and replays find theirs. The audit entry is written first: a switch that was broken off is done by
running the command again. Ignores gradient boosting, which is no table and cannot serve. N rows.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verticals.contract import Conflict, Context, Decision, ModelCard, ModelRegistry, Unavailable
from verticals.finance import metrics, schemas
from verticals.finance.data import load_german
from verticals.finance.exports.sql import TABLE, export_sql
from verticals.finance.scaling import prob_default
from verticals.finance.scorecard import Scorecard
from verticals.finance.scoring import MOE, SCORECARD
from verticals.finance.shipped import REGISTERED
from verticals.finance.validate import auc_difference
from verticals.finance.validation.calibration import traffic_light

KIND = "finance.promotion"  # of the audit entry
MAX_POINTS_APART = 1e-6

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Candidate:
    """A table in the registry with its out-of-fold predictions on the development sample, (N,)."""

    card: ModelCard
    files: Mapping[str, Path]
    scorecard: Scorecard
    points: Array
    default: NDArray[np.int_]

    @property
    def prob_default(self) -> Array:
        """Probability of default of each row."""
        scale = self.scorecard.scaling
        return prob_default((scale.offset - self.points) / scale.factor)

    @property
    def name(self) -> str:
        """What it is, and its version."""
        return f"{self.card.recipe.partition(':')[0]} {self.card.version}"


@dataclass(frozen=True)
class UnderPolicy:
    """Shares of the sample at the cut-offs in force, and the bad among the approved with its 95 % interval."""

    approved: float
    declined: float
    bad_rate: float
    low: float
    high: float


@dataclass(frozen=True)
class Evidence:
    """The contender beside the champion. `refused` says what forbids the promotion."""

    champion: str
    contender: str
    num_rows: int
    auc_gain: tuple[float, float, float]  # with its interval
    slope: float
    slope_half: float  # of its 95 % interval
    grades: tuple[int, int, int]  # green, yellow, red tenths of the contender
    points_apart: float  # at most, from SQL
    approve_at: int
    decline_below: int
    before: UnderPolicy
    after: UnderPolicy
    refused: tuple[str, ...]


def weigh(registry: ModelRegistry, policy: schemas.Policy) -> Evidence:
    """The evidence for the table in shadow, under the policy in force.

    Raises:
        Unavailable: a table is not registered, or its files were changed.
        Conflict: the two cannot be compared: other fields, scale or development sample.
    """
    champion, contender = _candidate(registry, SCORECARD), _candidate(registry, MOE)
    _require_alike(champion, contender)
    gain = auc_difference(champion.default, contender.prob_default, champion.prob_default)
    default = contender.default.astype(np.float64)
    line = metrics.calibration_line(default, contender.prob_default)
    found = [band.grade for band in traffic_light(default, contender.prob_default)]
    apart, after = _points_apart(contender), _under(policy, contender)
    limit = policy.cost_review / policy.cost_bad_approved
    rules = {
        "it discriminates less: the whole interval of the AUC's gain is below 0": gain[2] < 0,
        "a tenth of its predictions is red by the Jeffreys traffic light": "red" in found,
        f"SQL gives other points, by more than {MAX_POINTS_APART:g}": apart > MAX_POINTS_APART,
        "the policy's cut-offs approve nobody on its points": after.approved == 0,
        f"the approved are worse than the policy's costs allow ({limit:.1%})": after.low > limit,
    }
    return Evidence(
        champion=champion.name,
        contender=contender.name,
        num_rows=len(champion.default),
        auc_gain=gain,
        slope=line.slope,
        slope_half=1.96 * line.slope_se,
        grades=(found.count("green"), found.count("yellow"), found.count("red")),
        points_apart=apart,
        approve_at=policy.approve_at,
        decline_below=policy.decline_below,
        before=_under(policy, champion),
        after=after,
        refused=tuple(rule for rule, is_broken in rules.items() if is_broken),
    )


def promote(registry: ModelRegistry, context: Context, evidence: Evidence, *, reason: str, policy_version: str) -> None:
    """Put the contender in force and the champion in its shadow.

    Raises:
        Conflict: the evidence forbids it, or the models are not those of the evidence.
    """
    champion, contender = _candidate(registry, SCORECARD), _candidate(registry, MOE)
    if evidence.refused:
        raise Conflict("; ".join(evidence.refused), field="promotion", value=evidence.contender)
    if (champion.name, contender.name) != (evidence.champion, evidence.contender):
        raise Conflict("the models changed since the evidence was made", field="promotion", remedy="Look again.")
    outcome = {"step": "promote", "reason": reason, "auc_gain": list(evidence.auc_gain)}
    _switch(registry, context, champion, contender, outcome=outcome, policy_version=policy_version)


def roll_back(
    registry: ModelRegistry, context: Context, last: Mapping[str, Any] | None, *, reason: str, policy_version: str
) -> None:
    """Take the last promotion back; needs no evidence.

    Args:
        registry: Holds both.
        context: Who asks.
        last: The newest audit entry of `KIND`; None: there is none.
        reason: For the trail.
        policy_version: In force.

    Raises:
        Conflict: nothing was promoted, or another model has come into force since.
    """
    if last is None or last["outcome"]["step"] != "promote":
        raise Conflict("no promotion is in force", field="promotion", remedy="`trivium finance promote` makes one.")
    champion = _candidate(registry, SCORECARD)
    if champion.card.version != last["outcome"]["champion"]:
        raise Conflict(
            "another model has come into force since the promotion",
            field="promotion",
            value=last["outcome"]["champion"],
            remedy="Promote what is to serve.",
        )
    outcome = {"step": "roll back", "reason": reason}
    _switch(registry, context, champion, _candidate(registry, MOE), outcome=outcome, policy_version=policy_version)


def _switch(
    registry: ModelRegistry,
    context: Context,
    champion: Candidate,
    contender: Candidate,
    *,
    outcome: Mapping[str, Any],
    policy_version: str,
) -> None:
    versions = {"champion": contender.card.version, "previous": champion.card.version}
    context.record(
        Decision(
            kind=KIND,
            subject=SCORECARD,
            input_sha256=contender.card.sha256,
            outcome={**outcome, **versions},
            model_version=f"{SCORECARD}@{contender.card.version}",
            policy_version=policy_version,
        )
    )
    for name, taken in ((SCORECARD, contender), (MOE, champion)):
        content = {file_name: path.read_bytes() for file_name, path in taken.files.items()}
        registry.save(name, content, {field: getattr(taken.card, field) for field in REGISTERED})


def _candidate(registry: ModelRegistry, name: str) -> Candidate:
    found = registry.load(name)
    if found is None:
        raise Unavailable("no such model is registered", field=name, remedy="Prepare it with `trivium prepare`.")
    card, files = found
    sample = json.loads(files["validation.json"].read_bytes())["out_of_fold"]
    return Candidate(
        card=card,
        files=files,
        scorecard=Scorecard.from_json(files["scorecard.json"].read_bytes()),
        points=np.array(sample["points"]),
        default=np.array(sample["default"]),
    )


def _require_alike(champion: Candidate, contender: Candidate) -> None:
    rules = {
        "must have the champion's fields in its order": [f.name for f in champion.scorecard.features]
        == [f.name for f in contender.scorecard.features],
        "must have the champion's scale of points": champion.scorecard.scaling == contender.scorecard.scaling,
        "must be validated on the champion's development sample": np.array_equal(champion.default, contender.default),
    }
    for rule, holds in rules.items():
        if not holds:
            raise Conflict(rule, field=MOE, value=contender.card.version, remedy="Train it again on the same data.")


def _points_apart(contender: Candidate) -> float:
    """How far the points of the exported SQL query are from ours on the development sample, at most."""
    sample, card = load_german()[0], contender.scorecard
    names = [f.name for f in card.features]
    connection = sqlite3.connect(":memory:")
    try:
        sample[names].to_sql(TABLE, connection, index=False)
        query = export_sql(card, version=contender.card.version).decode()
        found = connection.execute(f"SELECT points_exact FROM ({query})").fetchall()  # noqa: S608  (ours)
    finally:
        connection.close()
    return float(np.abs(np.array(found)[:, 0] - card.score({n: sample[n] for n in names}).points).max())


def _under(policy: schemas.Policy, candidate: Candidate) -> UnderPolicy:
    points = np.rint(candidate.points)
    is_approved = points >= policy.approve_at
    count, bad = int(is_approved.sum()), int(candidate.default[is_approved].sum())
    low, high = metrics.jeffreys_interval(count, bad) if count else (0.0, 1.0)
    return UnderPolicy(
        approved=float(is_approved.mean()),
        declined=float((points < policy.decline_below).mean()),
        bad_rate=bad / max(count, 1),
        low=low,
        high=high,
    )
