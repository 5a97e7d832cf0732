"""What goes in and out of credit scoring: applications, scores, reasons, model facts. Ignores how a score is made.

The fields are those that the scorecard uses, and no more: what may not or need not be considered is not asked for
(`verticals.finance.data` names each attribute of the source data that is left out, with the reason).
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from verticals.contract import UploadedFile
from verticals.finance.fraud.schemas import FraudSignal
from verticals.finance.histories.events import Reference
from verticals.finance.overrides import Override
from verticals.finance.sources.names import Mode, Source
from verticals.finance.sources.schemas import SourcePart
from verticals.finance.vocabulary import FEATURE_LABELS as FEATURE_LABELS
from verticals.finance.vocabulary import LABELS as LABELS
from verticals.finance.vocabulary import (
    CheckingStatus,
    CreditHistory,
    Employment,
    InstallmentPlans,
    OtherDebtors,
    Purpose,
    Savings,
)

Decision = Literal["approve", "refer", "decline"]
Direction = Literal["low_side", "high_side", "referral"]
"""A person approved what was declined, declined what was approved, or decided what was referred."""
ApplicationId = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9._:-]+$",
        description="Your reference for the application; never a name or another personal detail.",
    ),
]


def _not_bool(value: Any) -> Any:
    """JSON's true would count as 1."""
    if isinstance(value, bool):
        raise ValueError("must be a whole number, not true or false")
    return value


WholeNumber = Annotated[int, BeforeValidator(_not_bool)]


class _Strict(BaseModel):
    """Requests refuse fields that they do not know."""

    model_config = ConfigDict(extra="forbid")


# --- the application -------------------------------------------------------------------------------------------------


_NULL = " null = not known: scored as neutral, and the application is referred to a person."


class Application(_Strict):
    """One application for consumer credit, in attributes of the Statlog German credit data (1973-75; amounts in DM).

    Every field must be given; a categorical one may be null when it is not known.
    """

    checking_status: CheckingStatus | None = Field(description="Checking account with this bank." + _NULL)
    duration_months: WholeNumber = Field(ge=1, le=120, description="Term of the credit in months.", examples=[24])
    credit_history: CreditHistory | None = Field(description="How earlier credits were repaid." + _NULL)
    purpose: Purpose | None = Field(description="What the credit is for." + _NULL)
    credit_amount_dm: WholeNumber = Field(ge=100, le=100_000, description="Amount asked for, in DM.", examples=[2500])
    savings: Savings | None = Field(description="Savings account or bonds." + _NULL)
    employment_since: Employment | None = Field(description="Time in the present employment." + _NULL)
    other_debtors: OtherDebtors | None = Field(description="Who else answers for the credit." + _NULL)
    other_installment_plans: InstallmentPlans | None = Field(description="Plans with other lenders." + _NULL)
    age_years: WholeNumber = Field(
        ge=18,
        le=120,
        description="Checked only for the capacity to contract (18 or older); never scored.",
        examples=[35],
    )


CUSTOMER_NOTE = "Whose history, text and document count beside the application; none are read without it."


class ScoreRequest(Application):
    """An application to score. Without an `application_id` one is made."""

    application_id: ApplicationId | None = None
    customer: Reference | None = Field(default=None, description=CUSTOMER_NOTE)


# --- the score -------------------------------------------------------------------------------------------------------


class Scale(BaseModel):
    """points = offset + factor * ln(odds good:bad); `factor` = pdo / ln 2."""

    base_points: float = Field(description="Points at `base_odds`.", examples=[600])
    base_odds: float = Field(description="Good:bad odds at `base_points`.", examples=[50])
    pdo: float = Field(description="Points that double the odds.", examples=[20])
    factor: float
    offset: float


class Contribution(BaseModel):
    """What one field adds to the score of the average applicant, or takes from it."""

    feature: str
    label: str = Field(description="The field in words.")
    value: str | int | None = Field(description="The applicant's value; null = not known.")
    bin: str = Field(description="The group of values that the scorecard puts it in, in words.")
    woe: float = Field(description="Weight of evidence of the bin: ln(share of goods / share of bads).")
    points: float = Field(description="Unrounded; negative lowers the score.")
    logit: float = Field(description="The same on the scale ln(odds bad:good); positive raises the risk.")


class Reason(BaseModel):
    """A specific principal reason why the score is not higher (12 CFR 1002.9(b)(2))."""

    code: str = Field(examples=["F01"])
    feature: str = Field(description="A field of the application, or a source.")
    text: str
    points_lost: float = Field(ge=0, description="Points below the average applicant's for this field or source.")


class Policy(BaseModel):
    """The rule that turns points into a decision, and where its cut-offs come from."""

    name: str
    version: str
    effective_from: date
    approve_at: int = Field(description="Approve at this many points or more.")
    decline_below: int = Field(description="Decline below this many points; refer in between.")
    cost_bad_approved: float
    cost_good_declined: float
    cost_review: float
    rule: str
    source: str
    overrides: list[Override] = []
    four_eyes: list[Direction] = Field(default=[], description="Manual decisions that a second person must confirm.")
    sources: dict[Source, Mode] = Field(
        default={}, description="How each source beside the application counts; one that is not named is off."
    )


class ChallengerScore(BaseModel):
    """The challenger's opinion: kept for comparison, without any effect on the decision."""

    name: str
    model_version: str
    prob_default: float = Field(ge=0, le=1)
    shadow: Literal[True] = True


class ScoreResponse(BaseModel):
    """A scored application.

    `base_points` plus all `contributions` and the points of `sources` is `points_exact`; so is `base_points`, less the
    reasons' `points_lost`, plus `other_points`.
    """

    application_id: str
    points: int = Field(description="`points_exact`, rounded half to even.")
    points_exact: float
    prob_default: float = Field(
        ge=0, le=1, description="Probability of default in a portfolio like the sample (30 % bad)."
    )
    logit: float = Field(description="ln(odds bad:good).")
    scale: Scale
    base_points: float = Field(description="Points of the average applicant of the development sample.")
    base_logit: float
    contributions: list[Contribution]
    reasons: list[Reason] = Field(max_length=4, description="Largest loss first; empty when no field is below average.")
    other_points: float = Field(description="Contributions of all fields and sources that are not reasons.")
    sources: list[SourcePart] = Field(
        default=[], description="What history, text and document of the customer add; empty if none was named."
    )
    fraud: FraudSignal | None = Field(
        default=None,
        description="What is suspected of the customer; null if nothing is, or none was named. Moves no point, and "
        "leaves the decision to a person.",
    )
    reason_profile: str = Field(description="Version of the reason texts.")
    decision: Decision
    refer_because: list[str] = Field(description="Why a person must decide, beside the score; empty if nothing does.")
    declined_because: list[str] = Field(
        default=[], description="Overrides of the policy that decline: the first reasons of the decision, if it stands."
    )
    policy: Policy
    challenger: ChallengerScore | None = Field(description="Gradient boosting; null when it is not registered.")
    challengers: list[ChallengerScore] = Field(default=[], description="Every model in shadow, `challenger` included.")
    model_version: str
    synthetic: bool = Field(
        default=False,
        description="Whether a term that was learned from simulated outcomes counts; the table is of real, old data.",
    )
    data_note: str


class BatchRequest(_Strict):
    """A CSV file or an Arrow IPC stream with the fields of `Application` as columns in any order, `application_id`
    and `customer` optional, one row each."""

    file: UploadedFile


RESULT_COLUMNS = (
    "points",
    "points_exact",
    "prob_default",
    "decision",
    "reason_1",
    "reason_2",
    "reason_3",
    "reason_4",
    "challenger_prob_default",
    "moe_prob_default",
    "model_version",
    "policy_version",
    "error",
)
"""Columns that a batch adds after the columns of the file; `error` is empty for a scored row."""


# --- the model -------------------------------------------------------------------------------------------------------


class ModelRequest(_Strict):
    """Nothing to choose: the active model."""


class Bin(BaseModel):
    """A group of values of one field in the development sample."""

    label: str
    count: int
    defaults: int
    default_rate: float | None = Field(description="null for an empty bin.")
    woe: float
    points: float = Field(description="Contribution to the score, against the average applicant.")


class Feature(BaseModel):
    """A scored field. `bins` are in natural order for ordered fields; the last one is for missing values."""

    name: str
    label: str
    kind: Literal["numeric", "ordered", "nominal"]
    iv: float = Field(description="Information value.")
    coefficient: float = Field(description="Of the WoE in the logit of default; negative for every field.")
    bins: list[Bin]


class Excluded(BaseModel):
    """An attribute of the source data that is not scored, and why."""

    name: str
    reason: str


class Figure(BaseModel):
    """A figure of validation with its 95 % interval."""

    name: str = Field(examples=["AUC"])
    model: str = Field(examples=["scorecard", "challenger", "moe"])
    value: float
    low: float
    high: float
    n: int


class CalibrationBand(BaseModel):
    """Predicted against observed defaults in a tenth of the out-of-fold sample."""

    count: int
    prob_default: float = Field(description="Mean prediction.")
    default_rate: float = Field(description="Observed.")
    low: float = Field(description="95 % Jeffreys interval of the observed rate.")
    high: float


class ModelResponse(BaseModel):
    """The model card and everything that a validator reads first."""

    name: str
    model_version: str
    sha256: str
    trained_on: str
    licence: str
    recipe: str
    limits: str
    scale: Scale
    base_points: float
    base_logit: float
    features: list[Feature]
    excluded: list[Excluded]
    validation: str = Field(description="How the figures were measured.")
    figures: list[Figure]
    calibration: list[CalibrationBand]
    policy: Policy
    reason_profile: str
    challenger: str | None = Field(description="Version of the challenger; null when none is registered.")
    synthetic: Literal[False] = False


class DistributionRequest(_Strict):
    """Nothing to choose: the active model and policy."""


class DistributionBin(BaseModel):
    """Applicants with `low` <= points < `high`, by decision and by outcome."""

    low: int
    high: int
    approve: int
    refer: int
    decline: int
    defaults: int


class DecisionBand(BaseModel):
    """One decision's share of the sample and its observed default rate."""

    decision: Decision
    count: int
    share: float
    defaults: int
    default_rate: float | None


class DistributionResponse(BaseModel):
    """Out-of-fold scores of the development sample under the active policy."""

    model_version: str
    n: int
    bins: list[DistributionBin]
    bands: list[DecisionBand]
    policy: Policy
    note: str
    synthetic: Literal[False] = False


# --- the portfolio ---------------------------------------------------------------------------------------------------


class DecisionsRequest(_Strict):
    """A page of decisions, newest first."""

    limit: Annotated[int, Field(ge=1, le=500)] = 50
    offset: Annotated[int, Field(ge=0)] = 0


class ManualMark(BaseModel):
    """That a person decided otherwise."""

    decision: Literal["approve", "decline"]
    state: Literal["in_force", "proposed"]
    reason: str = Field(description="Its code.")


class DecisionItem(BaseModel):
    """A decision as stored: no attribute of the applicant."""

    application_id: str
    points: int
    prob_default: float
    decision: Decision
    model_version: str
    policy_version: str
    created_at: datetime
    manual: ManualMark | None = Field(default=None, description="The newest that holds or waits; null: nobody did.")


class DecisionPage(BaseModel):
    """Decisions of the caller's tenant."""

    items: list[DecisionItem]
    total: int
    limit: int
    offset: int
