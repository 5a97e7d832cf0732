"""The words of an application: what each field may say, and how people read it. Ignores which fields are scored.

Source: Statlog German credit data (UCI, CC BY 4.0); labels as corrected by Groemping 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class CheckingStatus(StrEnum):
    """Checking account with this bank, worst first."""

    NO_ACCOUNT = "no_account"
    OVERDRAWN = "overdrawn"
    UNDER_200_DM = "under_200_dm"
    OVER_200_DM = "200_dm_or_salary"


class CreditHistory(StrEnum):
    """How earlier credits were repaid, worst first."""

    DELAY = "delay_in_the_past"
    CRITICAL = "critical_or_other_credits"
    NO_CREDITS = "no_credits_or_all_paid"
    PAID_SO_FAR = "existing_paid_so_far"
    ALL_PAID_HERE = "all_paid_at_this_bank"


class Purpose(StrEnum):
    """What the credit is for. Education is not offered: the development sample has no such credit."""

    CAR_NEW = "car_new"
    CAR_USED = "car_used"
    FURNITURE = "furniture_equipment"
    RADIO_TV = "radio_television"
    APPLIANCES = "domestic_appliances"
    REPAIRS = "repairs"
    VACATION = "vacation"
    RETRAINING = "retraining"
    BUSINESS = "business"
    OTHER = "other"


class Savings(StrEnum):
    """Savings account or bonds, least first."""

    NONE = "unknown_or_none"
    UNDER_100 = "under_100_dm"
    UNDER_500 = "100_to_500_dm"
    UNDER_1000 = "500_to_1000_dm"
    OVER_1000 = "1000_dm_or_more"


class Employment(StrEnum):
    """Time in the present employment, shortest first."""

    UNEMPLOYED = "unemployed"
    UNDER_1 = "under_1_year"
    UNDER_4 = "1_to_4_years"
    UNDER_7 = "4_to_7_years"
    OVER_7 = "7_years_or_more"


class OtherDebtors(StrEnum):
    """Who else answers for the credit."""

    NONE = "none"
    CO_APPLICANT = "co_applicant"
    GUARANTOR = "guarantor"


class InstallmentPlans(StrEnum):
    """Instalment plans with other lenders."""

    BANK = "bank"
    STORES = "stores"
    NONE = "none"


LABELS: Mapping[str, Mapping[str, str]] = {
    "checking_status": {
        "no_account": "No checking account",
        "overdrawn": "Overdrawn (below 0 DM)",
        "under_200_dm": "0 to under 200 DM",
        "200_dm_or_salary": "200 DM or more, or salary paid in for a year",
    },
    "credit_history": {
        "delay_in_the_past": "Delays in paying off in the past",
        "critical_or_other_credits": "Critical account, or credits elsewhere",
        "no_credits_or_all_paid": "No credits taken, or all paid back duly",
        "existing_paid_so_far": "Existing credits paid back duly until now",
        "all_paid_at_this_bank": "All credits at this bank paid back duly",
    },
    "purpose": {
        "car_new": "Car (new)",
        "car_used": "Car (used)",
        "furniture_equipment": "Furniture or equipment",
        "radio_television": "Radio or television",
        "domestic_appliances": "Domestic appliances",
        "repairs": "Repairs",
        "vacation": "Vacation",
        "retraining": "Retraining",
        "business": "Business",
        "other": "Other",
    },
    "savings": {
        "unknown_or_none": "Unknown or none",
        "under_100_dm": "Under 100 DM",
        "100_to_500_dm": "100 to under 500 DM",
        "500_to_1000_dm": "500 to under 1,000 DM",
        "1000_dm_or_more": "1,000 DM or more",
    },
    "employment_since": {
        "unemployed": "Unemployed",
        "under_1_year": "Under 1 year",
        "1_to_4_years": "1 to under 4 years",
        "4_to_7_years": "4 to under 7 years",
        "7_years_or_more": "7 years or more",
    },
    "other_debtors": {"none": "None", "co_applicant": "Co-applicant", "guarantor": "Guarantor"},
    "other_installment_plans": {"bank": "At a bank", "stores": "At stores", "none": "None"},
}
"""Words for a person, for each category of each categorical field."""

FEATURE_LABELS: Mapping[str, str] = {
    "checking_status": "Checking account",
    "duration_months": "Term of the credit (months)",
    "credit_history": "Credit history",
    "purpose": "Purpose",
    "credit_amount_dm": "Credit amount (DM)",
    "savings": "Savings",
    "employment_since": "Present employment",
    "other_debtors": "Co-applicant or guarantor",
    "other_installment_plans": "Other instalment plans",
}
"""Words for a person, for each scored field, in the order of the form."""
