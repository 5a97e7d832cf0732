"""What goes in and out of histories: events, features as of a date, the vector's state. Ignores how they are made."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SkipValidation

from verticals.finance.histories.events import Event, Reference
from verticals.finance.histories.vocabulary import Category, Channel, Kind

MAX_EVENTS = 1000  # of a request


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class EventsRequest(_Strict):
    """Events to append to one customer's history. Each is checked alone: bad ones are reported, the rest is kept."""

    customer: Reference
    # Not validated here, so that a bad event is reported and the rest is kept: what arrives are the bodies as sent.
    events: Annotated[list[SkipValidation[Event]], Field(min_length=1, max_length=MAX_EVENTS)]


class RowError(BaseModel):
    """An event that was not kept, and why."""

    row: int = Field(ge=0, description="Its place in the request, from 0.")
    field: str
    rule: str
    remedy: str


class EventsResponse(BaseModel):
    """What became of the events."""

    customer: str
    appended: int = Field(description="New ones, kept.")
    known: int = Field(description="Sent before with the same content; nothing was done.")
    errors: list[RowError]


class EventPageRequest(_Strict):
    """A page of a customer's events, newest first."""

    customer: Reference
    limit: Annotated[int, Field(ge=1, le=500)] = 50
    offset: Annotated[int, Field(ge=0)] = 0


class EraseRequest(_Strict):
    """Whose history and other sources to erase."""

    customer: Reference


class EraseResponse(BaseModel):
    """What went: events with their vectors; texts and document checks with their terms."""

    customer: str
    erased: int = Field(description="Events.")
    evidence: int = Field(description="Texts and document checks.")


class EventItem(BaseModel):
    """An event as stored."""

    event_id: str
    at: datetime
    kind: Kind
    category: Category | None
    channel: Channel | None
    amount: float | None = Field(description="In the account's currency.")
    balance: float | None
    credit_limit: float | None


class EventPage(BaseModel):
    """Events of one customer of the caller's tenant."""

    items: list[EventItem]
    total: int
    limit: int
    offset: int
    synthetic: bool = Field(description="Whether the customer is one of the bank simulator's.")


class FeaturesRequest(_Strict):
    """A customer's features as of a moment; none given: now."""

    customer: Reference
    as_of: AwareDatetime | None = Field(default=None, description="With its zone; not in the future.")


class FeatureValue(BaseModel):
    """One feature of the view."""

    name: str
    label: str
    value: float | None = Field(description="null: cannot be said of these events.")


class SequenceState(BaseModel):
    """The vector of the history that the score reads, and what it adds."""

    model_version: str
    as_of: datetime = Field(description="Time of the last event in it.")
    num_events: int
    log_odds: float = Field(description="Added to the log odds of default, within the bound.")
    bound: float
    synthetic: bool = Field(default=True, description="The model was trained on simulated histories.")


class FeaturesResponse(BaseModel):
    """The feature view of one customer, and the state of the history's vector."""

    customer: str
    as_of: datetime
    features: list[FeatureValue]
    sequence: SequenceState | None = Field(description="null: no event yet, the vector is being made, or no model.")
    synthetic: bool = Field(description="Whether the customer is one of the bank simulator's.")
