"""The validation suite: every figure of a scored sample as a row under a dated rule. Ignores where samples come from.

A figure that the data do not allow is a row too, "not measured" with the reason: a report has no silent gaps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from verticals.finance import metrics
from verticals.finance.validation import calibration, discrimination, drift, fairness
from verticals.finance.validation.discrimination import Measured
from verticals.finance.validation.rules import RULES, Grade, light
from verticals.finance.validation.sample import Array, ScoredSample, split_by_time
from verticals.finance.validation.schemas import EvidenceRow, Section
from verticals.finance.validation.sensitivity import Sensitivity

WHOLE, LATER = "whole sample", "later months against earlier"
MIN_OBSERVED = 20  # goods and bads; below, a figure would only look like one
Z_999 = 3.290527


@dataclass(frozen=True)
class Question:
    """What is validated.

    `development`: the sample that the model was built on, to compare with; None when `sample` is it.
    `approve`: points -> approved by the policy. `seen`: the model was fitted on these rows.
    """

    sample: ScoredSample
    development: ScoredSample | None
    approve: Callable[[Array], NDArray[np.bool_]]
    seen: bool = False
    sensitivity: tuple[Sensitivity, ...] = ()


def run_suite(question: Question) -> list[EvidenceRow]:
    """All rows, section by section."""
    observed = question.sample.observed
    bads = int(observed.default.sum())
    enough = min(bads, len(observed) - bads) >= MIN_OBSERVED
    rows: list[EvidenceRow] = []
    if enough:
        rows += [*_discrimination(observed), *_loss(question, observed), *_calibration(observed, seen=question.seen)]
    else:
        why = f"needs {MIN_OBSERVED} goods and {MIN_OBSERVED} bads, has {len(observed) - bads} and {bads}"
        rows += [
            _gap("discrimination", "AUC", "discrimination", why, n=len(observed)),
            _gap("calibration", "Jeffreys", "jeffreys", why, n=len(observed)),
        ]
    return [*rows, *_drift(question), *_stability(question.sample), *_sensitivity(question), *_fairness(question)]


def _discrimination(s: ScoredSample) -> Iterator[EvidenceRow]:
    for name, measure, chance in (
        ("AUC", discrimination.auc, 0.5),
        ("Gini", discrimination.gini, 0.0),
        ("KS", discrimination.ks, 0.0),
    ):
        found = measure(s.default, s.prob_default)
        grade: Grade = "green" if found.low > chance else "red" if found.high < chance else "yellow"
        yield _row("discrimination", name, WHOLE, found, n=len(s), rule="discrimination", grade=grade)


def _loss(question: Question, observed: ScoredSample) -> Iterator[EvidenceRow]:
    """Out of time, and against development."""
    pairs = {LATER: split_by_time(observed)}
    if question.development is not None:
        pairs["this sample against development"] = (question.development.observed, observed)
    for of, pair in pairs.items():
        if pair is None:
            yield _gap("discrimination", "AUC lost", "discrimination-loss", "the sample has no two months", of=of)
            continue
        found = discrimination.fall(*pair)
        yield _row(
            "discrimination",
            "AUC lost",
            of,
            Measured(found.value, found.low, found.high),
            n=len(pair[1]),
            rule="discrimination-loss",
            grade=light(found.confidence),
            note=f"confidence {found.confidence:.4f}",
        )


def _calibration(s: ScoredSample, *, seen: bool) -> Iterator[EvidenceRow]:
    whole = calibration.jeffreys(s.default, s.prob_default)
    bands = calibration.traffic_light(s.default, s.prob_default)
    named = [(WHOLE, whole), *((f"band {i} of {len(bands)}", band) for i, band in enumerate(bands, start=1))]
    for of, band in named:
        yield _row(
            "calibration",
            "observed default rate (Jeffreys)",
            of,
            Measured(band.default_rate, band.low, band.high),
            n=band.count,
            rule="jeffreys",
            grade=band.grade,
            note=f"predicted {band.prob_default:.4f}; confidence that it is too low {band.confidence:.4f}",
        )
    chi_square, freedom, p = calibration.hosmer_lemeshow(s.default, s.prob_default, seen=seen)
    found = Measured(chi_square, math.nan, math.nan)
    note = f"{freedom} degrees of freedom, p {p:.4f}"
    yield _row(
        "calibration", "Hosmer-Lemeshow", WHOLE, found, n=len(s), rule="hosmer-lemeshow", grade=light(1 - p), note=note
    )
    yield from _line(s)
    parts = calibration.brier_parts(s.default, s.prob_default)
    low, high = calibration.brier_intervals(s.default, s.prob_default)
    for part in fields(calibration.BrierParts):
        figure = Measured(*(float(getattr(end, part.name)) for end in (parts, low, high)))
        title = "Brier" if part.name == "brier" else f"Brier, {part.name}"
        yield _row("calibration", title, WHOLE, figure, n=len(s), rule="brier", grade="information")


def _line(s: ScoredSample) -> Iterator[EvidenceRow]:
    """Slope, and intercept with the slope held at 1."""
    line, z = metrics.calibration_line(s.default, s.prob_default), discrimination.Z
    slope = Measured(line.slope, line.slope - z * line.slope_se, line.slope + z * line.slope_se)
    inside, touches = 0.9 <= slope.value <= 1.1, slope.low <= 1.1 and slope.high >= 0.9
    grade: Grade = "not measured" if math.isnan(slope.value) else "green" if inside else "yellow" if touches else "red"
    yield _row("calibration", "slope", WHOLE, slope, n=len(s), rule="slope", grade=grade)
    value, se = metrics.calibration_in_the_large(s.default, s.prob_default)
    grade = "green" if abs(value) <= z * se else "yellow" if abs(value) <= Z_999 * se else "red"
    intercept = Measured(value, value - z * se, value + z * se)
    yield _row("calibration", "intercept", WHOLE, intercept, n=len(s), rule="intercept", grade=grade)


def _drift(question: Question) -> Iterator[EvidenceRow]:
    """Against development, and later months against earlier, as far as there are such."""
    pairs = {}
    if question.development is not None:
        pairs["this sample against development"] = question.development, question.sample
    if (halves := split_by_time(question.sample)) is not None:
        pairs[LATER] = halves
    if not pairs:
        yield _gap("drift", "PSI", "psi-test", "the sample is the development sample and has no dates", of="points")
    for what, (before, now) in pairs.items():
        found = {"points": drift.of_scores(before.points, now.points)}
        for field in map(str, now.features):
            if field in before.features:
                found[field] = drift.of_field(before.features[field], now.features[field])
        for field, d in found.items():
            yield from _compared(field if what != LATER else f"{field}, {LATER}", d, what)


def _compared(of: str, d: drift.Drift, what: str) -> Iterator[EvidenceRow]:
    """The test, and beside it the convention."""
    statistic, figure = "PSI" if of.startswith("points") else "CSI", Measured(d.psi, *d.interval())
    note = f"{what}; chi-square {d.chi_square:.2f}, {d.freedom} df, confidence {d.confidence:.4f}"
    grade = light(d.confidence, **drift.LIGHT)
    yield _row("drift", statistic, of, figure, n=d.num_now, rule="psi-test", grade=grade, note=note)
    words = "no change" if d.psi < 0.10 else "some change" if d.psi <= drift.PSI_SHIFT else "a shift"
    yield _row("drift", statistic, of, figure, n=d.num_now, rule="psi-convention", grade="information", note=words)


def _stability(sample: ScoredSample) -> Iterator[EvidenceRow]:
    parts = discrimination.vintages(sample.observed)
    if len(parts) < 2:
        yield _gap("stability", "vintages", "stability", "the sample has no two months of application")
        return
    for vintage in parts:
        s = vintage.sample
        band = calibration.jeffreys(s.default, s.prob_default)
        rate = Measured(band.default_rate, band.low, band.high)
        note = f"predicted {band.prob_default:.4f}"
        yield _row(
            "stability", "default rate", vintage.label, rate, n=len(s), rule="jeffreys", grade=band.grade, note=note
        )
        if min(band.defaults, band.count - band.defaults) >= discrimination.MIN_OF_CLASS:
            found = discrimination.auc(s.default, s.prob_default)
            yield _row("stability", "AUC", vintage.label, found, n=len(s), rule="stability", grade="information")
    q, freedom, confidence = discrimination.heterogeneity(parts)
    note = f"{freedom} degrees of freedom, confidence {confidence:.4f}"
    if math.isnan(q):
        note = f"needs two months with {discrimination.MIN_OF_CLASS} goods and bads"
    yield _row(
        "stability",
        "Cochran's Q of AUC",
        WHOLE,
        Measured(q, math.nan, math.nan),
        n=len(sample.observed),
        rule="stability",
        grade=light(confidence),
        note=note,
    )


def _sensitivity(question: Question) -> Iterator[EvidenceRow]:
    if not question.sensitivity:
        yield _gap("sensitivity", "AUC lost", "sensitivity", "needs the model's fields and outcomes in the sample")
    for s in question.sensitivity:
        lost = Measured(s.auc_lost, s.auc_lost_low, s.auc_lost_high)
        yield _row(
            "sensitivity", "AUC lost when not known", s.field, lost, n=s.n, rule="sensitivity", grade="information"
        )
        if s.moved is not None:
            moved = Measured(s.moved, s.moved_low, s.moved_high)
            yield _row(
                "sensitivity",
                "decisions changed by 10 % more",
                s.field,
                moved,
                n=s.n,
                rule="sensitivity",
                grade="information",
                note=f"points move by {s.mean_points:.2f} on average",
            )


def _fairness(question: Question) -> Iterator[EvidenceRow]:
    sample = question.sample
    if not sample.groups:
        yield _gap("fairness", "adverse impact ratio", "four-fifths", "the sample names no protected group")
    approved, observed = question.approve(sample.points), ~np.isnan(sample.default)
    for attribute, group in sample.groups.items():
        known = [g if g is None or not pd.isna(g) else None for g in group]
        for statistic, rule, caveat, found in (
            ("adverse impact ratio", "four-fifths", fairness.IMPACT_CAVEAT, fairness.adverse_impact(approved, known)),
            (
                "equal opportunity difference",
                "equal-opportunity",
                fairness.OPPORTUNITY_CAVEAT,
                fairness.equal_opportunity(approved, observed & (sample.default == 0), known),
            ),
        ):
            if not found:
                yield _gap("fairness", statistic, rule, "fewer than two groups", of=attribute)
            for c in found:
                figure, of = Measured(c.value, c.low, c.high), f"{attribute}: {c.group} against {c.reference}"
                yield _row("fairness", statistic, of, figure, n=c.count, rule=rule, grade=c.grade, note=caveat)


def _row(
    section: Section, statistic: str, of: str, found: Measured, *, n: int, rule: str, grade: Grade, note: str = ""
) -> EvidenceRow:
    held = RULES[rule]
    return EvidenceRow(
        section=section,
        statistic=statistic,
        of=of,
        value=_known(found.value),
        low=_known(found.low),
        high=_known(found.high),
        n=n,
        rule=rule,
        rule_version=held.version,
        source=held.source,
        grade=grade,
        note=note,
    )


def _gap(section: Section, statistic: str, rule: str, why: str, *, of: str = WHOLE, n: int = 0) -> EvidenceRow:
    nothing = Measured(math.nan, math.nan, math.nan)
    return _row(section, statistic, of, nothing, n=n, rule=rule, grade="not measured", note=why)


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
