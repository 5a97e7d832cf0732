"""What goes in and out of the scoring of card transactions, checked at the border. Ignores features and storage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from verticals.broken_rules import first_of
from verticals.finance.histories.events import EARLIEST, Reference

MAX_ROWS = 1000  # of a request
MAX_AMOUNT = Decimal("100000.00")  # so that sums of squares fit 64 bits


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CardTransaction(_Strict):
    """A payment with a card, at the moment of its authorisation."""

    transaction_id: Reference
    at: AwareDatetime = Field(description="With its zone, not later than now; fractions of a second are dropped.")
    customer: Reference
    terminal: Reference
    amount: Annotated[Decimal, Field(gt=0, le=MAX_AMOUNT, decimal_places=2, allow_inf_nan=False)] = Field(
        description="In the account's currency."
    )

    def row(self) -> dict[str, Any]:
        """Its columns in the table."""
        return {
            "transaction_id": self.transaction_id,
            "at_s": int(self.at.timestamp()),
            "customer": self.customer,
            "terminal": self.terminal,
            "amount_cents": int(self.amount * 100),
        }


class PastCardTransaction(CardTransaction):
    """A transaction that was decided elsewhere, with what is known of it."""

    fraud: bool | None = Field(default=None, description="null: not known (yet).")

    def row(self) -> dict[str, Any]:
        """Its columns in the table."""
        return {**super().row(), "fraud": self.fraud}


class ScoreCardsRequest(_Strict):
    """Transactions to score, in any order; each is checked by itself, so that a bad one does not stop the others."""

    transactions: Annotated[list[Any], Field(min_length=1, max_length=MAX_ROWS)] = Field(
        description="Each as `CardTransaction`.", json_schema_extra={"items": CardTransaction.model_json_schema()}
    )


class KeepCardsRequest(_Strict):
    """Transactions that become history: nothing is scored, no case is opened."""

    transactions: Annotated[list[Any], Field(min_length=1, max_length=MAX_ROWS)] = Field(
        description="Each as `PastCardTransaction`.",
        json_schema_extra={"items": PastCardTransaction.model_json_schema()},
    )


class CardLabel(_Strict):
    """What became known of a transaction."""

    transaction_id: Reference
    fraud: bool


class LabelCardsRequest(_Strict):
    """Chargebacks and confirmations; a later report replaces an earlier one."""

    labels: Annotated[list[CardLabel], Field(min_length=1, max_length=MAX_ROWS)]


class FraudModelRequest(_Strict):
    """Nothing to choose: the model in force."""


class RowError(BaseModel):
    """A transaction that was not taken."""

    row: int = Field(description="Its place in the request, from 0.")
    transaction_id: str | None
    field: str
    rule: str
    remedy: str


class CardScore(BaseModel):
    """What the model says of one transaction."""

    transaction_id: str
    score: float | None = Field(description="Probability of fraud; null: kept as history, never scored.")
    flagged: bool = Field(description="Whether it lies above the threshold, and a case was opened.")
    case_id: str | None
    known: bool = Field(description="It was sent before: this is the answer of then.")
    model_version: str | None


class ScoreCardsResponse(BaseModel):
    """The good transactions scored, in the order of the request; the bad ones reported."""

    items: list[CardScore]
    errors: list[RowError]
    threshold: float
    false_positives: float = Field(description="Share of genuine transactions above it, on the days that chose it.")
    model_version: str
    synthetic: bool = Field(description="The model was trained on simulated cards, or a customer is a simulated one.")


class KeepCardsResponse(BaseModel):
    """What became of the history."""

    kept: int
    known: int = Field(description="Sent before, unchanged.")
    errors: list[RowError]


class LabelCardsResponse(BaseModel):
    """What became known."""

    changed: int
    unknown: list[str] = Field(description="Ids of no transaction here.")


class FraudModelResponse(BaseModel):
    """The model in force."""

    model_version: str
    trained_on: str
    recipe: str
    limits: str
    metrics: dict[str, list[float]] = Field(description="Value and 95 % interval, over terminals.")
    threshold: float
    false_positives: float
    columns: list[str]
    synthetic: bool


@dataclass(frozen=True)
class Checked:
    """The good rows of a request with their places, and the bad ones."""

    good: tuple[tuple[int, CardTransaction], ...]
    bad: tuple[RowError, ...]


def check_rows(rows: Sequence[Any], model: type[CardTransaction], *, now: datetime) -> Checked:
    """Each row by itself; the same id twice is bad from the second on, unless nothing differs."""
    good: list[tuple[int, CardTransaction]] = []
    bad: list[RowError] = []
    seen: dict[str, CardTransaction] = {}
    for i, row in enumerate(rows):
        try:
            found = model.model_validate(row)
        except ValidationError as error:
            field, rule = first_of(error, whole="transaction")
            bad.append(_error(i, row, field, rule, "Correct the field and send the row again."))
            continue
        if not EARLIEST <= found.at <= now:
            bad.append(_error(i, row, "at", "must be between 1990 and now", "Correct the time, with its zone."))
        elif seen.setdefault(found.transaction_id, found) != found:
            rule = "is there twice in this request, with another content"
            bad.append(_error(i, row, "transaction_id", rule, "Give each transaction an id of its own."))
        else:
            good.append((i, found))
    return Checked(tuple(good), tuple(bad))


def _error(i: int, row: Any, field: str, rule: str, remedy: str) -> RowError:
    named = row.get("transaction_id") if isinstance(row, dict) else None
    known = isinstance(named, str) and len(named) <= 64
    return RowError(row=i, transaction_id=named if known else None, field=field, rule=rule, remedy=remedy)
