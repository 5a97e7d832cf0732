"""What would have to change for an approval, by exact search over the scorecard's bins. Ignores what changes cost.

Only what a person can act on changes, and only the way that a person can act: a term can be shorter, an amount lower,
savings higher (Ustun, Spangher and Liu 2019, arXiv:1809.06514). Within a bin every value scores the same, so the
nearest value of each reachable bin is all there is to try: the search over their combinations is complete.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any, Literal

from verticals.finance import schemas, serving_schemas
from verticals.finance.data import DATA_NOTE
from verticals.finance.fields import CATEGORIES, LIMITS
from verticals.finance.overrides import Override
from verticals.finance.reasons import value_text
from verticals.finance.scorecard import ScoredFeature
from verticals.finance.scoring import Assessment, Models, assess, refer_because
from verticals.finance.sources.names import LABELS
from verticals.finance.sources.reading import Reading

Direction = Literal["lower", "higher", "to the last"]

ACTIONS: Mapping[str, Direction] = {
    "duration_months": "lower",
    "credit_amount_dm": "lower",
    "checking_status": "higher",
    "savings": "higher",
    "other_installment_plans": "to the last",  # pay them off
    "other_debtors": "higher",  # find a co-applicant or a guarantor
}
"""Fields that a person can change, and which way along the field's order of values; numbers only go lower."""


@dataclass(frozen=True)
class Move:
    """Another value of one field, `steps` values (of a category) or bins (of a number) away; points it is worth."""

    feature: str
    to: str | int
    steps: int
    gain: float
    told: tuple[str, ...]  # what stands in the way of an approval at this value, whatever the score


def counterfactual(
    models: Models, request: serving_schemas.CounterfactualRequest, reading: Reading | None = None
) -> serving_schemas.CounterfactualResponse:
    """The ways to an approval: fewest fields first, then fewest steps, then most points.

    Args:
        reading: Of the customer's sources, which no way changes.
    """
    application = schemas.Application.model_validate(request.model_dump(exclude={"limit", "customer"}))
    [found] = assess(models, [("as it is", application)], [reading])
    approved = found.decision == "approve"
    ways = [] if approved else list(_ways(models, application, found, request.limit))
    return serving_schemas.CounterfactualResponse(
        points=found.points,
        approve_at=models.policy.approve_at,
        approved=approved,
        ways=ways,
        explanation=_explanation(approved, ways, _blocked(models, found)),
        fixed=[schemas.FEATURE_LABELS[f.name] for f in models.scorecard.features if f.name not in ACTIONS]
        + [LABELS[part.source] for part in (reading.used if reading else ())],
        model_version=models.version,
        policy_version=models.policy.version,
        data_note=DATA_NOTE,
    )


def moves(models: Models, application: schemas.Application) -> dict[str, list[Move]]:
    """For each field that can change: the nearest of the values that it can reach and that help alike."""
    found = {}
    for feature in models.scorecard.features:
        value = getattr(application, feature.name)
        if feature.name not in ACTIONS or value is None:  # a value that is not known has no way from it
            continue
        reach = _lower_numbers if feature.name in LIMITS else _other_categories
        found[feature.name] = _useful(reach(models, feature, value), _told(models, feature, value))
    return {name: options for name, options in found.items() if options}


def _ways(
    models: Models, application: schemas.Application, found: Assessment, limit: int
) -> Iterator[serving_schemas.Way]:
    """Ways of which no field can be left out; the policy has the last word on each."""
    if _blocked(models, found):
        return
    options, needed = moves(models, application), models.policy.approve_at - found.points_exact - 1
    must = {f.name for f in models.scorecard.features if _told(models, f, found.values[f.name])}
    enough: list[set[str]] = []
    for size in range(1, len(options) + 1):
        ways = []
        for names in combinations(options, size):
            if not must <= set(names) or any(small <= set(names) for small in enough):
                continue
            tried = [way for way in product(*(options[n] for n in names)) if sum(m.gain for m in way) >= needed]
            tried.sort(key=lambda way: (sum(m.steps for m in way), -sum(m.gain for m in way)))
            way = next(filter(None, (_try(models, application, way, found.reading) for way in tried)), None)
            if way is not None:
                enough.append(set(names))
                ways.append(way)
        for way in sorted(ways, key=lambda way: (way.steps, -way.points)):
            yield way
            limit -= 1
            if not limit:
                return


def _try(
    models: Models, application: schemas.Application, way: tuple[Move, ...], reading: Reading | None
) -> serving_schemas.Way | None:
    """The way, if the policy approves the changed application."""
    changed = schemas.Application.model_validate(application.model_dump() | {move.feature: move.to for move in way})
    [found] = assess(models, [("changed", changed)], [reading])
    if found.decision != "approve":
        return None
    before: dict[str, Any] = application.model_dump(mode="json")
    changes = [
        serving_schemas.Change(
            feature=move.feature,
            label=schemas.FEATURE_LABELS[move.feature],
            value=before[move.feature],
            to=move.to,
            text=f"{schemas.FEATURE_LABELS[move.feature]}: {value_text(move.feature, move.to)} "
            f"instead of {value_text(move.feature, before[move.feature])}",
        )
        for move in way
    ]
    return serving_schemas.Way(changes=changes, points=found.points, steps=sum(move.steps for move in way))


def _lower_numbers(models: Models, feature: ScoredFeature, value: int) -> Iterator[Move]:
    """The highest value of each lower bin, and those just below what stands in the way of every score."""
    lowest = max(LIMITS[feature.name][0], math.ceil(feature.seen_low or 0))
    tried = {math.ceil(b.high) - 1 for b in feature.bins if b.high is not None}
    tried |= {math.ceil(float(o.values[0])) - 1 for o in _overrides(models, feature) if o.operator == "at_least"}
    tried |= {int(feature.seen_high)} if feature.seen_high is not None else set()
    [now] = feature.bin_index([value])
    gains = _gains(models, feature, int(now))
    for to in sorted((n for n in tried if lowest <= n < value), reverse=True):
        [place] = feature.bin_index([to])
        yield Move(feature.name, to, max(int(now - place), 1), gains[place], _told(models, feature, to))


def _other_categories(models: Models, feature: ScoredFeature, value: str) -> Iterator[Move]:
    """The categories after the present one."""
    order = CATEGORIES[feature.name]
    [now] = feature.bin_index([value])
    gains = _gains(models, feature, int(now))
    gain_of = {category: gain for b, gain in zip(feature.bins, gains, strict=True) for category in b.categories}
    start = len(order) - 1 if ACTIONS[feature.name] == "to the last" else 0
    for place in range(max(start, order.index(value) + 1), len(order)):
        if (to := order[place]) in gain_of:
            yield Move(feature.name, to, place - order.index(value), gain_of[to], _told(models, feature, to))


def _overrides(models: Models, feature: ScoredFeature) -> list[Override]:
    return [o for o in models.policy.overrides if o.field == feature.name]


def _told(models: Models, feature: ScoredFeature, value: Any) -> tuple[str, ...]:
    """What stands in the way of an approval, whatever the score."""
    doubts = refer_because([feature], {feature.name: value})
    return (*doubts, *(o.reason for o in _overrides(models, feature) if o.matches(value)))


def _gains(models: Models, feature: ScoredFeature, now: int) -> list[float]:
    points = [models.scorecard.bin_points(feature, b.woe) for b in feature.bins]
    return [p - points[now] for p in points]


def _useful(found: Iterator[Move], told: tuple[str, ...]) -> list[Move]:
    """Moves that score more or leave nothing in the way that is now; of those that do the same, the nearest."""
    nearest: dict[tuple[float, tuple[str, ...]], Move] = {}
    for move in sorted(found, key=lambda m: m.steps):
        if move.gain > 0 or len(move.told) < len(told):
            nearest.setdefault((move.gain, move.told), move)
    return list(nearest.values())


def _blocked(models: Models, found: Assessment) -> list[str]:
    """What stands in the way in fields that no action changes, and beside the application."""
    doubts: list[str] = list(found.reading.doubts) if found.reading else []
    values: dict[str, Any] = found.values
    for f in models.scorecard.features:
        too_low = f.seen_low is not None and values[f.name] is not None and values[f.name] < f.seen_low
        if f.name not in ACTIONS or values[f.name] is None or too_low:
            doubts += _told(models, f, values[f.name])
    return doubts


def _explanation(approved: bool, ways: list[serving_schemas.Way], blocked: list[str]) -> str:
    if approved:
        return "It is approved as it is."
    if blocked:
        return f"The policy does not approve it, whatever the score: {'; '.join(blocked)}."
    if ways:
        return "Each way is enough by itself, and none of its changes can be left out, all else being equal."
    return "Nothing that can change is enough: no combination of permitted changes reaches the cut-off."
