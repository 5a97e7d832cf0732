"""What goes in and out of validation: evidence, reports, documents, expected losses. Ignores how they are made."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from verticals.contract import UploadedFile
from verticals.finance.validation.rules import Grade as Grade

MAX_SAMPLE_BYTES = 50_000_000
MAX_SAMPLE_ROWS = 200_000
MAX_EXPOSURES = 10_000
MAX_DECIDED_ROWS = 20_000

Section = Literal[
    "discrimination", "calibration", "drift", "stability", "sensitivity", "fairness", "overrides", "reject inference"
]


class _Strict(BaseModel):
    """Requests refuse fields that they do not know."""

    model_config = ConfigDict(extra="forbid")


class EvidenceRow(BaseModel):
    """One figure under one rule. null: the data do not allow it; `note` says why."""

    section: Section
    statistic: str = Field(examples=["AUC"])
    of: str = Field(description="Of what: the whole sample, a band, a month, a field, a group.")
    value: float | None
    low: float | None = Field(description="95 % interval.")
    high: float | None
    n: int
    rule: str
    rule_version: str
    source: str
    grade: Grade
    note: str = ""


class RuleText(BaseModel):
    """A rule that rows are held against, or a regime that asks for evidence."""

    rule: str
    version: str
    applies_from: date
    text: str
    source: str


class ValidationReport(BaseModel):
    """Evidence on one scored sample, row by row."""

    model_version: str
    policy_version: str
    sample: str = Field(description="Which applicants, and who scored them.")
    n: int
    defaults: int = Field(description="Among those whose outcome is known.")
    num_observed: int
    first_month: str | None = Field(description="Of application; null where the sample has no dates.")
    last_month: str | None
    grades: dict[Grade, int] = Field(description="Rows by grade.")
    rows: list[EvidenceRow]
    rules: list[RuleText]
    regimes: list[RuleText] = Field(description="Regimes in force on the day of the report. Not legal advice.")
    made_on: date
    limits: str
    synthetic: Literal[False] = False


class ReportRequest(_Strict):
    """Nothing to choose: the development sample, out of fold."""


class SampleReportRequest(_Strict):
    """A CSV of applicants with outcomes.

    `default` (1 bad, 0 good, empty not known yet) is required, and either `prob_default` (0-1) or every field of an
    application, which the active model then scores. Optional: `date` of application (YYYY-MM-DD), and protected groups
    as `group_<name>`, used for fairness alone. Other columns are fields whose drift is looked at.
    """

    file: UploadedFile


class RejectInferenceRequest(_Strict):
    """A CSV of applicants: `accepted` (1, 0), `default` of the accepted (1, 0, empty not known yet), and fields.

    Every other column is a field, except `application_id`, `date`, `prob_default` and `group_<name>`.
    """

    file: UploadedFile
    prudence: float = Field(
        default=1.0, ge=1, le=10, description="Odds of the declined against accepted ones with the same score."
    )


class MethodNote(BaseModel):
    """What a method does, and what to beware of."""

    method: str
    note: str


class RejectInferenceReport(BaseModel):
    """The methods beside each other. Evidence on their difference, not on the declined."""

    num_accepted: int = Field(description="With a known outcome.")
    num_bad: int
    num_rejected: int
    num_unknown: int = Field(description="Accepted whose outcome is not known yet: left out.")
    prudence: float
    rows: list[EvidenceRow]
    methods: list[MethodNote]
    caveats: list[str]
    rule: RuleText


class DocumentRequest(_Strict):
    """The model document, made from the report of the development sample."""

    format: Literal["md", "pdf"] = "md"


# --- expected loss ---------------------------------------------------------------------------------------------------

Probability = Annotated[float, Field(ge=0, lt=1)]


class ExposureIn(_Strict):
    """A credit as of the reporting date."""

    exposure_id: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._:-]+$")
    prob_default_12m: Probability
    prob_default_12m_at_origination: Probability
    amount: Decimal = Field(ge=0, le=10**12, description="Outstanding, in any one currency.")
    months_remaining: int = Field(ge=1, le=600)
    annual_rate: float = Field(ge=0, le=2, description="Effective interest rate.")
    loss_given_default: float = Field(ge=0, le=1)
    days_past_due: int = Field(default=0, ge=0, le=10_000)
    defaulted: bool = False


class ExpectedLossRequest(_Strict):
    """A portfolio, the shape of the term structure and the rule of staging."""

    exposures: list[ExposureIn] = Field(min_length=1, max_length=MAX_EXPOSURES)
    year_factors: list[Annotated[float, Field(gt=0, le=100)]] = Field(
        default=[1.0],
        min_length=1,
        max_length=50,
        description="Hazard of year 1, 2, ... relative to year 1, which is 1; the last holds for later years.",
    )
    lifetime_ratio: float = Field(default=2.0, ge=1, le=100, description="Stage 2: lifetime probability, now / then.")
    lifetime_rise: float = Field(default=0.005, ge=0, le=1, description="Stage 2: and it rose by this much.")


class ExposureLoss(BaseModel):
    """Stage and loss of one credit; amounts to the cent."""

    exposure_id: str
    stage: Literal[1, 2, 3]
    because: str
    lifetime_prob_default: float
    loss_12m: Decimal
    loss_lifetime: Decimal
    loss: Decimal = Field(description="What the stage books.")


class StageTotal(BaseModel):
    """One stage of the portfolio; its amounts are the sums of the rounded ones."""

    stage: Literal[1, 2, 3]
    count: int
    amount: Decimal
    loss: Decimal


class ExpectedLossResponse(BaseModel):
    """The portfolio, staged."""

    exposures: list[ExposureLoss]
    stages: list[StageTotal]
    loss: Decimal
    term_structure: str
    staging_rule: str
    source: str
    computed_at: datetime
    note: str
