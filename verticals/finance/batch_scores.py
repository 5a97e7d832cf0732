"""Scores checked rows column by column: the numbers, reasons and decisions of `scoring.assess`. Ignores files.

N rows of which G are good, F fields of the scorecard. Nothing here is computed twice in two ways: bins, points,
reason texts, referrals and decisions come from the functions that serve one application.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from verticals.contract import InvalidInput
from verticals.finance import policy
from verticals.finance.batch_checks import Checked
from verticals.finance.fields import CATEGORIES, LIMITS
from verticals.finance.reasons import PROFILE, reason_of_source, reason_text
from verticals.finance.scaling import prob_default
from verticals.finance.scorecard import ScoredFeature
from verticals.finance.scoring import Models, refer_because
from verticals.finance.sources.names import SOURCES, TERM_COLUMNS
from verticals.finance.sources.reading import Reading

Ints = NDArray[np.int64]
Read = Callable[[Sequence[str | None]], list[Reading | None] | None]  # of customers; None: nobody is named


@dataclass(frozen=True)
class Scored:
    """The good rows of a chunk, (G,) each, and where they stand in it."""

    rows: Ints
    ids: list[str]
    categories: Mapping[str, Ints]
    numbers: Mapping[str, Ints]
    points_exact: NDArray[np.float64]
    points: Ints
    prob_default: NDArray[np.float64]
    decisions: list[str]
    reasons: list[pa.Array]  # text, null where there are fewer
    challenger: NDArray[np.float64] | None
    moe: NDArray[np.float64] | None
    readings: list[Reading | None]  # of the customers' sources
    term_GS: NDArray[np.float64]  # what each of them adds
    bin_counts: Mapping[str, list[int]]  # of each field of the scorecard, the last place for missing values


def score_checked(models: Models, checked: Checked, *, make_id: Callable[[int], str], read: Read) -> Scored:
    """Score the rows that `checked` found good; those with a category that has no evidence become bad.

    Args:
        models: In force.
        checked: The rows; errors are added to it.
        make_id: Gives row n of the chunk an id if the file has none.
        read: Reads the customers' sources.
    """
    card = models.scorecard
    tables = {f.name: _bins_of_categories(f) for f in card.features if f.name in CATEGORIES}
    for shadow in models.moe.features if models.moe else ():
        if shadow.name in tables:
            tables[shadow.name][1].update(_bins_of_categories(shadow)[1])
    for name, (_, told) in tables.items():
        for place, why in told.items():
            checked.errors[checked.is_good & (checked.categories[name] == place)] = why
    rows = np.flatnonzero(checked.is_good)
    categories = {name: column[rows] for name, column in checked.categories.items()}
    numbers = {name: column[rows] for name, column in checked.numbers.items()}
    bin_GF = np.stack(
        [
            tables[f.name][0][categories[f.name]] if f.name in tables else _number_bins(f, numbers[f.name])
            for f in card.features
        ],
        axis=1,
    )
    scores = card.score_bins(bin_GF)
    readings = _readings(checked, rows, read)
    term_GS = _terms(readings)
    refer, declined = _masks(models, categories, numbers)
    refer |= np.array([bool(reading and reading.doubts) for reading in readings], dtype=bool)
    logit_G = scores.logit
    for term_G in term_GS.T:  # one source after the other, as `Reading.add_to`; one that does not count adds 0
        logit_G = logit_G + term_G
    points_exact = card.scaling.points(logit_G)
    points = np.rint(points_exact).astype(np.int64)
    return Scored(
        rows=rows,
        ids=[checked.ids[row] or make_id(int(row)) for row in rows],
        categories=categories,
        numbers=numbers,
        points_exact=points_exact,
        points=points,
        prob_default=prob_default(logit_G),
        decisions=_decide(models, points, refer, declined),
        reasons=_reasons(models, scores.contributions, categories, numbers, readings, term_GS),
        challenger=_challenge(models, categories, numbers) if len(rows) else None,
        moe=_moe(models, categories, numbers) if len(rows) else None,
        readings=readings,
        term_GS=term_GS,
        bin_counts={
            f.name: np.bincount(bin_GF[:, i], minlength=len(f.bins) + 1).tolist() for i, f in enumerate(card.features)
        },
    )


def result_columns(models: Models, scored: Scored, errors: NDArray[np.object_]) -> dict[str, pa.Array]:
    """The columns that a batch adds, (N,); null in bad rows."""
    place = np.zeros(len(errors), dtype=np.int64)
    place[scored.rows] = np.arange(len(scored.rows))
    is_bad = np.ones(len(errors), dtype=bool)
    is_bad[scored.rows] = False
    index = pa.array(place, mask=is_bad)

    def spread(values: Any, kind: pa.DataType) -> pa.Array:
        return (values if isinstance(values, pa.Array) else pa.array(values, kind)).take(index)

    same = {"model_version": models.version, "policy_version": models.policy.version}
    nothing = pa.nulls(len(scored.rows), pa.float64())
    return {
        "application_id": spread(scored.ids, pa.string()),
        "points": spread(scored.points, pa.int64()),
        "points_exact": spread(scored.points_exact, pa.float64()),
        "prob_default": spread(scored.prob_default, pa.float64()),
        "decision": spread(scored.decisions, pa.string()),
        **{f"reason_{i}": spread(texts, pa.string()) for i, texts in enumerate(scored.reasons, start=1)},
        "challenger_prob_default": spread(nothing if scored.challenger is None else scored.challenger, pa.float64()),
        "moe_prob_default": spread(nothing if scored.moe is None else scored.moe, pa.float64()),
        **{name: spread(scored.term_GS[:, i], pa.float64()) for i, name in enumerate(TERM_COLUMNS)},
        **{name: spread(pa.repeat(text, len(scored.rows)), pa.string()) for name, text in same.items()},
        "error": pa.array([text or None for text in errors], pa.string()),
    }


def _readings(checked: Checked, rows: Ints, read: Read) -> list[Reading | None]:
    found = None if checked.customers is None else read(checked.customers[rows].tolist())
    return [None] * len(rows) if found is None else found


def _terms(readings: Sequence[Reading | None]) -> NDArray[np.float64]:
    """What each source adds to each row, (G, S); 0 where it does not count."""
    term_GS = np.zeros((len(readings), len(SOURCES)))
    for row, reading in enumerate(readings):
        for part in reading.used if reading else ():
            term_GS[row, SOURCES.index(part.source)] = part.term
    return term_GS


def _bins_of_categories(feature: ScoredFeature) -> tuple[Ints, dict[int, str]]:
    """The bin of each category, and last (so at -1) of a missing value; what is wrong with those that have none."""
    bins, told = [], {}
    for place, category in enumerate([*CATEGORIES[feature.name], None]):
        try:
            bins.append(int(feature.bin_index([category])[0]))
        except InvalidInput as error:
            bins.append(0)
            told[place] = str(error)
    return np.array(bins), told


def _number_bins(feature: ScoredFeature, values: Ints) -> NDArray[np.intp]:
    """Bins by way of the few values that occur."""
    found, place = np.unique(values, return_inverse=True)
    return feature.bin_index(found.tolist())[place]


def _values(name: str, categories: Mapping[str, Ints], numbers: Mapping[str, Ints]) -> tuple[list[Any], Ints]:
    """The values that a field may have, or of a number those that occur, and the place of each row's, (G,)."""
    if name in CATEGORIES:
        values = [*CATEGORIES[name], None]
        return values, categories[name] % len(values)  # -1, not known, is the last
    found, place = np.unique(numbers[name], return_inverse=True)
    return found.tolist(), place


def _masks(
    models: Models, categories: Mapping[str, Ints], numbers: Mapping[str, Ints]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether a person must decide, and whether an override declines, by the rules for one value at a time."""
    count = len(next(iter(numbers.values())))
    refer, declined = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    for f in models.scorecard.features:
        values, place = _values(f.name, categories, numbers)
        mine = [o for o in models.policy.overrides if o.field == f.name]
        told = [{o.decision for o in mine if o.matches(value)} for value in values]
        doubts = [bool(refer_because([f], {f.name: value})) for value in values]
        refer |= np.array([d or "refer" in t for d, t in zip(doubts, told, strict=True)], dtype=bool)[place]
        declined |= np.array(["decline" in t for t in told], dtype=bool)[place]
    return refer, declined


def _decide(models: Models, points: Ints, refer: NDArray[np.bool_], declined: NDArray[np.bool_]) -> list[str]:
    keys = np.stack([points, refer, declined], axis=1)
    found, place = np.unique(keys, axis=0, return_inverse=True)
    made = [policy.decide(int(p), models.policy, ["x"] * int(r), ["x"] * int(d)) for p, r, d in found]
    return [made[i] for i in place.reshape(-1).tolist()]


def _reasons(
    models: Models,
    contribution_GF: NDArray[np.float64],
    categories: Mapping[str, Ints],
    numbers: Mapping[str, Ints],
    readings: Sequence[Reading | None],
    term_GS: NDArray[np.float64],
) -> list[pa.Array]:
    """The principal reasons' codes and texts, largest loss first: `reasons.principal_reasons` for many."""
    words: list[str] = []
    word_GF = np.empty(contribution_GF.shape, dtype=np.int64)
    for i, f in enumerate(models.scorecard.features):
        values, place = _values(f.name, categories, numbers)
        word_GF[:, i] = len(words) + place
        words += [f"{PROFILE.texts[f.name][0]} {reason_text(f.name, value)}" for value in values]
    if any(reading is not None and reading.used for reading in readings):
        factor = models.scorecard.scaling.factor
        contribution_GF = np.concatenate([contribution_GF, -factor * term_GS], axis=1)
        word_GF = np.concatenate([word_GF, _source_words(readings, factor, words)], axis=1)
    order_GF = np.argsort(contribution_GF, axis=1, kind="stable")[:, : PROFILE.max_reasons]
    is_none_GF = np.take_along_axis(contribution_GF, order_GF, axis=1) > -PROFILE.min_points
    chosen_GF = np.take_along_axis(word_GF, order_GF, axis=1)
    texts = pa.array(words, pa.string())
    return [texts.take(pa.array(chosen_GF[:, i], mask=is_none_GF[:, i])) for i in range(min(4, chosen_GF.shape[1]))]


def _source_words(readings: Sequence[Reading | None], factor: float, words: list[str]) -> Ints:
    """The place in `words` of each source's reason, (G, S); new ones are added."""
    place: dict[str, int] = {}
    word_GS = np.zeros((len(readings), len(SOURCES)), dtype=np.int64)
    for row, reading in enumerate(readings):
        for part in reading.used if reading else ():
            reason = reason_of_source(part, factor)
            found = place.setdefault(f"{reason.code} {reason.text}", len(words))
            if found == len(words):
                words.append(f"{reason.code} {reason.text}")
            word_GS[row, SOURCES.index(part.source)] = found
    return word_GS


def _challenge(
    models: Models, categories: Mapping[str, Ints], numbers: Mapping[str, Ints]
) -> NDArray[np.float64] | None:
    if models.challenger is None:
        return None
    columns: dict[str, list[Any]] = {n: np.array([*CATEGORIES[n], None])[c].tolist() for n, c in categories.items()}
    columns |= {n: numbers[n].tolist() for n in LIMITS}
    return models.challenger.predict(columns)


def _moe(models: Models, categories: Mapping[str, Ints], numbers: Mapping[str, Ints]) -> NDArray[np.float64] | None:
    """What the table in shadow says; its categories have evidence, or their rows are bad."""
    if models.moe is None:
        return None
    bins = [
        _bins_of_categories(f)[0][categories[f.name]] if f.name in CATEGORIES else _number_bins(f, numbers[f.name])
        for f in models.moe.features
    ]
    return models.moe.score_bins(np.stack(bins, axis=1)).prob_default
