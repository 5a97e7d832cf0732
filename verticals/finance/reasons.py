"""Why a score is not higher: at most four specific principal reasons. Ignores the decision.

12 CFR 1002.9(b)(2): a statement of reasons must be specific and give the principal reasons. Its official
interpretation, comment 9(b)(2)-1, finds more than four not likely to be helpful; 9(b)(2)-5 names, as one way to choose
them, the factors in which the applicant fell furthest below the average of all applicants. That is what we do: the
average is that of the development sample, so a reason's loss is the very bar that the field has in the waterfall.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from verticals.finance.schemas import FEATURE_LABELS, LABELS, Reason
from verticals.finance.scorecard import ScoredFeature
from verticals.finance.sources.reading import Part, Reading
from verticals.finance.sources.telling import source_reason


@dataclass(frozen=True)
class ReasonProfile:
    """Reason codes and texts of one jurisdiction, dated, so that an old notice can be explained by what held then."""

    version: str
    source: str
    max_reasons: int
    min_points: float  # a smaller loss is no principal reason
    texts: Mapping[str, tuple[str, str]]  # field or source -> (code, what is wrong)


_FIELDS = ReasonProfile(
    version="us-reg-b/2026-07",
    source="12 CFR 1002.9(b)(2) with official interpretation, as of July 2026",
    max_reasons=4,
    min_points=1.0,
    texts={
        "checking_status": ("F01", "Balance or lack of a checking account with this bank"),
        "duration_months": ("F02", "Term of the credit is too long"),
        "credit_history": ("F03", "Record of paying earlier or present credits"),
        "purpose": ("F04", "Purpose of the credit"),
        "credit_amount_dm": ("F05", "Amount of credit asked for is too high"),
        "savings": ("F06", "Savings are too low or not known"),
        "employment_since": ("F07", "Length of present employment"),
        "other_debtors": ("F08", "No guarantor for the credit"),
        "other_installment_plans": ("F09", "Instalment plans with other lenders"),
    },
)

PROFILE = replace(
    _FIELDS,
    version="us-reg-b/2026-11",
    source=f"{_FIELDS.source}; with the sources beside the application since November 2026",
    texts={
        **_FIELDS.texts,
        "history": ("S01", "Conduct of the account"),
        "text": ("S02", "What the application says of purpose, work and plans"),
        "document": ("S03", "Identity document"),
    },
)
PROFILES: Mapping[str, ReasonProfile] = {profile.version: profile for profile in (_FIELDS, PROFILE)}
"""Every version, the one in force last: a decision is made again under its own; one that names none had the first."""

_UNITS = {"duration_months": "months", "credit_amount_dm": "DM"}


def value_text(feature: str, value: str | int | None) -> str:
    """An applicant's value in words, with its unit."""
    if value is None:
        return "not known"
    if isinstance(value, str):
        return LABELS[feature][value]
    return f"{value:,} {_UNITS[feature]}"


def reason_text(feature: str, value: str | int | None, profile: ReasonProfile = PROFILE) -> str:
    """What is wrong with a field, and the applicant's value."""
    return f"{profile.texts[feature][1]}: {value_text(feature, value)}"


def bin_text(feature: ScoredFeature, index: int) -> str:
    """A bin in words; the one after the last is for missing values."""
    if index == len(feature.bins):
        return "Not known"
    b = feature.bins[index]
    if feature.kind == "numeric":
        return f"{b.range_label} {_UNITS[feature.name]}"
    return " / ".join(LABELS[feature.name][c] for c in b.categories)


def principal_reasons(
    points_F: NDArray[np.float64],
    values: Mapping[str, str | int | None],
    profile: ReasonProfile = PROFILE,
    *,
    reading: Reading | None = None,
    factor: float = 1.0,
) -> list[Reason]:
    """The fields and sources that lost most against the average applicant, largest loss first; one reason each.

    Args:
        points_F: Contributions of the fields of `FEATURE_LABELS`, in that order.
        values: The applicant's value of each field.
        reading: The sources; those that count stand beside the fields.
        factor: Points for one unit of ln(odds good:bad), for the sources.
    """
    names, used = list(FEATURE_LABELS), reading.used if reading else ()
    points_G = np.concatenate([points_F, [-factor * part.term for part in used]])
    chosen = [int(i) for i in np.argsort(points_G, kind="stable") if points_G[i] <= -profile.min_points]
    reasons = []
    for i in chosen[: profile.max_reasons]:
        if i >= len(names):
            reasons.append(reason_of_source(used[i - len(names)], factor, profile))
            continue
        code, _ = profile.texts[names[i]]
        shown = reason_text(names[i], values[names[i]], profile)
        reasons.append(Reason(code=code, feature=names[i], text=shown, points_lost=float(-points_G[i])))
    return reasons


def reason_of_source(part: Part, factor: float, profile: ReasonProfile = PROFILE) -> Reason:
    """What is wrong with a source, and what in it most of all."""
    code, text = profile.texts[part.source]
    return Reason(
        code=code, feature=part.source, text=source_reason(part, text), points_lost=max(factor * part.term, 0.0)
    )
