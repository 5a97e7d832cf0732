"""One event of an account, checked at the border, and the table of many. Ignores storage and features.

A table of events is a DataFrame with `COLUMNS`: money in cents (whole numbers, which every engine adds alike), time in
whole seconds since 1970. Missing: no amount known, no category, no channel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from verticals.broken_rules import first_of
from verticals.finance.histories.vocabulary import Category, Channel, Kind

if TYPE_CHECKING:  # the command line and the pages only read schemas
    import pandas as pd

MAX_AMOUNT = Decimal("1000000000.00")
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
COLUMNS = (
    *("customer", "event_id", "at_s", "kind", "category", "channel", "amount_cents", "balance_cents", "limit_cents"),
)
Reference = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9._:-]+$",
        description="Your reference; never a name or another personal detail.",
    ),
]
Money = Annotated[Decimal, Field(decimal_places=2, le=MAX_AMOUNT, allow_inf_nan=False)]


class Event(BaseModel):
    """What happened on a customer's account, at one moment."""

    model_config = ConfigDict(extra="forbid")

    event_id: Reference
    at: AwareDatetime = Field(description="With its zone; fractions of a second are dropped.")
    kind: Kind
    category: Category | None = None
    channel: Channel | None = None
    amount: Annotated[Money, Field(ge=0)] | None = Field(
        default=None, description="In the account's currency, not negative: the kind says which way it went."
    )
    balance: Annotated[Money, Field(ge=-MAX_AMOUNT)] | None = Field(
        default=None, description="Owed at the end of a statement's period; negative when paid ahead."
    )
    credit_limit: Annotated[Money, Field(ge=0)] | None = Field(default=None, description="Of a statement.")

    def row(self, customer: str) -> dict[str, Any]:
        """As a row of `COLUMNS`."""
        return {
            "customer": customer,
            "event_id": self.event_id,
            "at_s": int(self.at.timestamp()),
            "kind": str(self.kind),
            "category": None if self.category is None else str(self.category),
            "channel": None if self.channel is None else str(self.channel),
            "amount_cents": _cents(self.amount),
            "balance_cents": _cents(self.balance),
            "limit_cents": _cents(self.credit_limit),
        }


@dataclass(frozen=True)
class BadEvent:
    """A row that was not taken: where it stood, which field, which rule."""

    row_idx: int
    field: str
    rule: str
    remedy: str


def read_events(rows: Sequence[Any], *, now: datetime) -> tuple[list[Event], list[BadEvent]]:
    """The good events and the bad rows of a request; the same id twice is bad from the second on.

    Args:
        now: No event may be later, and none before 1990.
    """
    good: list[Event] = []
    bad: list[BadEvent] = []
    seen: set[str] = set()
    for i, row in enumerate(rows):
        try:
            event = Event.model_validate(row)
        except ValidationError as error:
            field, rule = first_of(error, whole="event")
            bad.append(BadEvent(i, field, rule, "Correct the field and send the row again."))
            continue
        if not EARLIEST <= event.at <= now:
            bad.append(BadEvent(i, "at", "must be between 1990 and now", "Correct the time, with its zone."))
        elif event.event_id in seen:
            bad.append(BadEvent(i, "event_id", "is there twice in this request", "Give each event an id of its own."))
        else:
            seen.add(event.event_id)
            good.append(event)
    return good, bad


def event_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows of `COLUMNS` as a typed table, by customer, then time, then id; it may be empty."""
    import pandas as pd

    table = pd.DataFrame(list(rows), columns=list(COLUMNS))
    table = table.astype(
        {"customer": object, "event_id": object, "kind": object, "category": object, "channel": object}
    )
    table = table.astype({"at_s": "int64"} | dict.fromkeys(("amount_cents", "balance_cents", "limit_cents"), "Int64"))
    return table.sort_values(["customer", "at_s", "event_id"], ignore_index=True)


def _cents(amount: Decimal | None) -> int | None:
    return None if amount is None else int(amount * 100)
