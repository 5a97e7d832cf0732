"""What a tool of the shop is: who it is for, its arguments, its plan. Ignores which tools there are.

A tool has two halves: `plan` checks the shop's rules and says with exact figures what would happen, changing nothing;
`apply` makes the change of a plan. A tool that only reads has no `apply`. `check` holds those of its rules that the
order alone decides, so that nobody is asked for details of what is refused anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy.orm import Session

from verticals.contract import Conflict, NotFound
from verticals.support.schemas.base import Strict
from verticals.support.shop.tables import CustomerRow


@dataclass(frozen=True)
class Shopper:
    """For whom a tool works, from the authenticated key, and when they asked: deadlines count from then."""

    tenant: str
    customer: str
    asked_at: datetime


@dataclass(frozen=True)
class Plan:
    """What a tool would do ("cancel order MP-10003"), what it says once done, and the figures of it."""

    words: str
    done: str
    amount: Decimal | None = None  # US dollars that the customer gets back


@dataclass(frozen=True)
class Tool:
    """A tool of the shop. Changes of money and of personal data need a person's approval."""

    name: str
    does: str
    args: type[Strict]
    plan: Callable[[Session, Shopper, Any], Plan]
    apply: Callable[[Session, Shopper, Any, Plan], None] | None = None
    needs_approval: bool = False
    check: Callable[[Session, Shopper, str], object] | None = None  # of an order's number; `plan` begins with it


Reason = Literal["changed_mind", "damaged", "faulty", "wrong_item"]
OrderId = Annotated[str, Field(pattern=r"^MP-[0-9]{5}$", description="An order's number, such as MP-10001.")]


class NoArgs(Strict):
    """Nothing to say: the customer is known."""


class OrderArgs(Strict):
    """Which order."""

    order_id: OrderId


class RefundArgs(OrderArgs):
    """Which item of an order, counted from 1, and why it goes back."""

    item: Annotated[int, Field(ge=1, le=99)]
    reason: Reason


class AddressArgs(Strict):
    """An address in the United States."""

    street: Annotated[str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z .,'#/-]{2,118}$")]
    city: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z .'-]{1,78}$")]
    state: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    postal_code: Annotated[str, Field(pattern=r"^[0-9]{5}(-[0-9]{4})?$")]


class OrderAddressArgs(AddressArgs, OrderArgs):
    """Where an order should go."""


def find_customer(session: Session, who: Shopper) -> CustomerRow:
    """The customer, locked until the transaction ends.

    Raises:
        NotFound: the shop does not know them.
    """
    row = session.get(CustomerRow, (who.tenant, who.customer), with_for_update=True)
    if row is None:
        raise NotFound("the shop has no such customer", field="customer", remedy="Sign in with the shop's account.")
    return row


def refuse(rule: str, remedy: str | None = None, *, field: str | None = None) -> Conflict:
    """A rule of the shop that forbids what was asked, in words for the customer."""
    return Conflict(rule, field=field, remedy=remedy)


def dollars(amount: Decimal) -> str:
    """An amount as the shop writes it: $1,234.50."""
    return f"${amount:,.2f}"


def day(moment: datetime) -> str:
    """A date as the shop writes it: November 3, 2026."""
    return f"{moment:%B} {moment.day}, {moment.year}"


def full_address(args: AddressArgs) -> str:
    """An address on one line."""
    return f"{args.street}, {args.city}, {args.state} {args.postal_code}"
