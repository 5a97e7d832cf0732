"""The Maple Circle membership: pause its renewal, resume it, cancel it. The rules are article maple-circle-membership.

Ignores orders, and who approves a change.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from sqlalchemy.orm import Session

from verticals.contract import NotFound
from verticals.support.shop.tables import MembershipRow
from verticals.support.shop.tool import NoArgs, Plan, Shopper, day, dollars, refuse

REFUND_DAYS = 30


def find_membership(session: Session, who: Shopper) -> MembershipRow:
    """The customer's membership, locked until the transaction ends.

    Raises:
        NotFound: they have none, or it is cancelled or over.
    """
    row = session.get(MembershipRow, (who.tenant, who.customer), with_for_update=True)
    if row is None or row.status == "cancelled" or row.ends_at <= who.asked_at:
        raise NotFound("you have no Maple Circle membership", remedy="You can join in your account.")
    return row


def subscription_status(session: Session, who: Shopper, args: NoArgs) -> Plan:
    """Until when it is paid, and whether it renews."""
    row = find_membership(session, who)
    renews = f"renews for {dollars(row.price)}" if row.status == "active" else "ends"
    return Plan("look up your membership", f"Your Maple Circle membership {renews} on {day(row.ends_at)}.")


def plan_pause(session: Session, who: Shopper, args: NoArgs) -> Plan:
    """Turn the renewal off.

    Raises:
        Conflict: it is off already.
    """
    row = find_membership(session, who)
    if row.status == "paused":
        raise refuse("the renewal of your membership is off already")
    done = f"Your Maple Circle membership no longer renews; its benefits last until {day(row.ends_at)}."
    return Plan("turn off the renewal of your Maple Circle membership", done)


def apply_pause(session: Session, who: Shopper, args: NoArgs, plan: Plan) -> None:
    """Write it down."""
    find_membership(session, who).status = "paused"


def plan_resume(session: Session, who: Shopper, args: NoArgs) -> Plan:
    """Turn the renewal on again.

    Raises:
        Conflict: it is on already.
    """
    row = find_membership(session, who)
    if row.status == "active":
        raise refuse("your membership renews already")
    done = f"Your Maple Circle membership renews for {dollars(row.price)} on {day(row.ends_at)}."
    return Plan(f"let your Maple Circle membership renew for {dollars(row.price)} on {day(row.ends_at)}", done)


def apply_resume(session: Session, who: Shopper, args: NoArgs, plan: Plan) -> None:
    """Write it down."""
    find_membership(session, who).status = "active"


def plan_cancel(session: Session, who: Shopper, args: NoArgs) -> Plan:
    """Cancel now, with a refund less what the benefits saved.

    Raises:
        Conflict: the last payment is more than 30 days ago.
    """
    row = find_membership(session, who)
    if who.asked_at > row.paid_at + timedelta(days=REFUND_DAYS):
        raise refuse(
            f"a membership is refunded within {REFUND_DAYS} days, and yours was paid on {day(row.paid_at)}",
            f"I can turn off its renewal: the benefits then last until {day(row.ends_at)}.",
        )
    amount = max(row.price - row.saved, Decimal(0))
    less = f" ({dollars(row.price)} less {dollars(row.saved)} that the benefits saved you)" if row.saved else ""
    back = f"refund {dollars(amount)}{less}"
    done = f"Your Maple Circle membership is cancelled, and we {back}."
    return Plan(f"cancel your Maple Circle membership and {back}", done, amount)


def apply_cancel(session: Session, who: Shopper, args: NoArgs, plan: Plan) -> None:
    """End it and note the refund."""
    assert plan.amount is not None, "plan_cancel gives the amount"
    row = find_membership(session, who)
    row.status, row.refunded = "cancelled", plan.amount
