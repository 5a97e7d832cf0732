"""Orders: look them up, cancel, change where they go, refund an item. The rules are the articles of `knowledge/`.

Each rule names its article. Ignores who approves a change and how often it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from verticals.contract import NotFound
from verticals.support.shop.tables import LineRow, MembershipRow, OrderRow, RefundRow
from verticals.support.shop.tool import (
    AddressArgs,
    NoArgs,
    OrderAddressArgs,
    OrderArgs,
    Plan,
    RefundArgs,
    Shopper,
    day,
    dollars,
    find_customer,
    full_address,
    refuse,
)

RETURN_DAYS = 30  # returns-policy
DAMAGE_DAYS = 7  # damaged-on-arrival
MATTRESS_NIGHTS = (21, 100)  # mattress-trial
CHANGE_MINUTES = {"next_day": 15}  # cancel-or-change-order
USUAL_CHANGE_MINUTES = 60
LABEL_FEE, PICKUP_FEE = Decimal("6.95"), Decimal("79.00")  # returns-policy, start-a-return
_LISTED = 5
_RETURN = f"You can return it within {RETURN_DAYS} days of delivery."
_REDIRECT = "Once it has shipped, the carrier's link in your email redirects it."
_HOLD = 'If it must not go there, write "person": a colleague can ask the carrier to hold it.'
_REASONS = {
    "changed_mind": "you no longer want it",
    "damaged": "it arrived damaged",
    "faulty": "it is faulty",
    "wrong_item": "it is the wrong item",
}
_STATUS = {
    "received": "we have it and will pack it soon",
    "packing": "the warehouse is packing it",
    "shipped": "the carrier has it",
    "delivered": "it has been delivered",
    "cancelled": "it is cancelled and not charged",
}


def find_order(session: Session, who: Shopper, order_id: str) -> OrderRow:
    """One of the customer's orders, locked until the transaction ends.

    Raises:
        NotFound: they have no such order; another customer's does not exist either.
    """
    row = session.get(OrderRow, (who.tenant, order_id), with_for_update=True)
    if row is None or row.customer_id != who.customer:
        raise NotFound(
            f"you have no order {order_id}", field="order_id", remedy="Please check the number in your email."
        )
    return row


def find_lines(session: Session, order: OrderRow) -> Sequence[LineRow]:
    """The order's items, by number."""
    mine = (LineRow.tenant == order.tenant, LineRow.order_id == order.order_id)
    return session.scalars(select(LineRow).where(*mine).order_by(LineRow.item)).all()


def list_orders(session: Session, who: Shopper, args: NoArgs) -> Plan:
    """The customer's latest orders with their states."""
    mine = select(OrderRow).where(OrderRow.tenant == who.tenant, OrderRow.customer_id == who.customer)
    rows = session.scalars(mine.order_by(OrderRow.placed_at.desc(), OrderRow.order_id).limit(_LISTED)).all()
    told = "; ".join(f"{row.order_id} of {day(row.placed_at)}: {_STATUS[row.status]}" for row in rows)
    return Plan("list your orders", f"Your latest orders: {told}." if rows else "You have no orders with us.")


def order_status(session: Session, who: Shopper, args: OrderArgs) -> Plan:
    """Where an order is."""
    order = find_order(session, who, args.order_id)
    told = f"Order {order.order_id}: {_STATUS[order.status]}"
    if order.delivered_at:
        told += f" ({day(order.delivered_at)})"
    elif order.shipped_at and order.status == "shipped":
        told += f" since {day(order.shipped_at)}"
    return Plan(f"look up order {order.order_id}", f"{told}.")


def look_up_order(session: Session, who: Shopper, args: OrderArgs) -> Plan:
    """An order's items, prices and address."""
    order = find_order(session, who, args.order_id)
    lines = find_lines(session, order)
    items = "; ".join(f"{line.item}. {line.title} x {line.quantity}, {dollars(_paid(line))}" for line in lines)
    total = sum((_paid(line) for line in lines), order.delivery_fee)
    told = (
        f"Order {order.order_id} of {day(order.placed_at)} ({_STATUS[order.status]}): {items}; "
        f"delivery {dollars(order.delivery_fee)}; in all {dollars(total)} with tax, to {_address(order)}."
    )
    return Plan(f"look up order {order.order_id}", told, total)


def plan_cancel(session: Session, who: Shopper, args: OrderArgs) -> Plan:
    """Article cancel-or-change-order.

    Raises:
        Conflict: it is cancelled already, has shipped, or is too old.
    """
    order = find_order(session, who, args.order_id)
    if order.status == "cancelled":
        raise refuse(f"order {order.order_id} is cancelled already")
    if not _is_large_and_here(order):
        _check_still_ours(order, who, "cancelled", _RETURN)
    total = sum((_paid(line) for line in find_lines(session, order)), order.delivery_fee)
    back = f"its {dollars(total)} are not charged, or go back to your {order.payment}"
    done = f"Order {order.order_id} is cancelled; {back}."
    return Plan(f"cancel order {order.order_id} ({dollars(total)})", done, total)


def apply_cancel(session: Session, who: Shopper, args: OrderArgs, plan: Plan) -> None:
    """Mark the order cancelled."""
    find_order(session, who, args.order_id).status = "cancelled"


def check_redirect(session: Session, who: Shopper, order_id: str) -> OrderRow:
    """Article change-delivery-address: an order that can still go elsewhere.

    Raises:
        NotFound: they have no such order.
        Conflict: it has shipped, or is too old.
    """
    order = find_order(session, who, order_id)
    if order.status == "cancelled":
        raise refuse(f"order {order.order_id} is cancelled")
    _check_still_ours(order, who, "changed", _REDIRECT if order.service == "standard" else _HOLD)
    return order


def plan_redirect(session: Session, who: Shopper, args: OrderAddressArgs) -> Plan:
    """Article change-delivery-address.

    Raises:
        Conflict: as `check_redirect`, or it goes there already.
    """
    order, where = check_redirect(session, who, args.order_id), full_address(args)
    if _address(order) == where:
        raise refuse(f"order {order.order_id} goes there already")
    return Plan(f"send order {order.order_id} to {where}", f"Order {order.order_id} now goes to {where}.")


def apply_redirect(session: Session, who: Shopper, args: OrderAddressArgs, plan: Plan) -> None:
    """Write the new address into the order."""
    order = find_order(session, who, args.order_id)
    order.street, order.city, order.state, order.postal_code = args.street, args.city, args.state, args.postal_code


def check_refund(session: Session, who: Shopper, order_id: str) -> OrderRow:
    """Article returns-policy: an order of which something may go back.

    Raises:
        NotFound: they have no such order.
        Conflict: it is not delivered yet.
    """
    order = find_order(session, who, order_id)
    if order.status == "cancelled":
        raise refuse(f"order {order_id} is cancelled and not charged, so there is nothing to refund")
    if order.delivered_at is None:
        is_young = order.status == "received" and who.asked_at <= _change_until(order)
        can_cancel = is_young or _is_large_and_here(order)
        remedy = f'It can still be cancelled: write "cancel order {order_id}".' if can_cancel else _RETURN
        raise refuse(f"order {order_id} is not delivered yet, so nothing can be sent back", remedy)
    return order


def plan_refund(session: Session, who: Shopper, args: RefundArgs) -> Plan:
    """Articles returns-policy, non-returnable-items, damaged-on-arrival, mattress-trial, refund-times.

    Raises:
        NotFound: the order has no such item.
        Conflict: a rule forbids the refund, or it is refunded already.
    """
    order = check_refund(session, who, args.order_id)
    lines = find_lines(session, order)
    line = next((line for line in lines if line.item == args.item), None)
    if line is None:
        raise NotFound(f"order {order.order_id} has items 1 to {len(lines)}", field="item", value=args.item)
    if session.get(RefundRow, (who.tenant, order.order_id, line.item)) is not None:
        raise refuse(f"the {line.title} of order {order.order_id} is refunded already")
    _check_returnable(line, order, args.reason, who.asked_at)
    fee = _return_fee(session, who, line, order) if args.reason == "changed_mind" else Decimal(0)
    whole_order = order.delivery_fee if args.reason != "changed_mind" and len(lines) == 1 else Decimal(0)
    amount = max(_paid(line) + whole_order - fee, Decimal(0))
    less = f" ({dollars(_paid(line))} less {dollars(fee)} for the way back)" if fee else ""
    what = f"{dollars(amount)}{less} for the {line.title} of order {order.order_id} to your {order.payment}"
    then = "after we have checked the return" if args.reason == "changed_mind" else "now"
    return Plan(f"refund {what}, because {_REASONS[args.reason]}", f"We refund {what} {then}.", amount)


def apply_refund(session: Session, who: Shopper, args: RefundArgs, plan: Plan) -> None:
    """Add the refund."""
    assert plan.amount is not None, "plan_refund gives the amount"
    session.add(
        RefundRow(
            tenant=who.tenant,
            order_id=args.order_id,
            item=args.item,
            customer_id=who.customer,
            reason=args.reason,
            amount=plan.amount,
            created_at=who.asked_at,
        )
    )


def plan_move(session: Session, who: Shopper, args: AddressArgs) -> Plan:
    """Article change-email-and-profile: the default address; orders that are placed keep theirs.

    Raises:
        Conflict: it is the address already.
    """
    customer, where = find_customer(session, who), full_address(args)
    if _address(customer) == where:
        raise refuse("this is your default address already")
    return Plan(f"change your default address to {where}", f"Your default address for new orders is now {where}.")


def apply_move(session: Session, who: Shopper, args: AddressArgs, plan: Plan) -> None:
    """Write the new address into the account."""
    row = find_customer(session, who)
    row.street, row.city, row.state, row.postal_code = args.street, args.city, args.state, args.postal_code


def _check_still_ours(order: OrderRow, who: Shopper, done: str, remedy: str) -> None:
    if order.status != "received":
        raise refuse(f"order {order.order_id} can no longer be {done}: {_STATUS[order.status]}", remedy)
    if who.asked_at > _change_until(order):
        minutes = _change_minutes(order)
        raise refuse(f"an order can be {done} for {minutes} minutes, and {order.order_id} is older", remedy)


def _is_large_and_here(order: OrderRow) -> bool:
    """Whether it can be cancelled however old it is: free of charge until it leaves the warehouse."""
    return order.service == "large" and order.status in ("received", "packing")


def _change_minutes(order: OrderRow) -> int:
    return CHANGE_MINUTES.get(order.service, USUAL_CHANGE_MINUTES)


def _change_until(order: OrderRow) -> datetime:
    return order.placed_at + timedelta(minutes=_change_minutes(order))


def _check_returnable(line: LineRow, order: OrderRow, reason: str, asked_at: datetime) -> None:
    assert order.delivered_at is not None, "checked before"
    since, today = order.delivered_at.date(), asked_at.date()
    if reason == "damaged" and today > since + timedelta(days=DAMAGE_DAYS):
        raise refuse(
            f"damage is reported within {DAMAGE_DAYS} days of delivery, which was on {day(order.delivered_at)}",
            "A colleague can look at a warranty claim.",
        )
    if reason == "changed_mind" and line.returns == "never":
        raise refuse(f"the {line.title} cannot be returned unless it is faulty, damaged or wrong")
    if reason == "changed_mind" and line.returns == "mattress":
        first, last = (since + timedelta(days=nights) for nights in MATTRESS_NIGHTS)
        if not first <= today <= last:
            raise refuse(
                f"the mattress trial ends {MATTRESS_NIGHTS[1]} nights after delivery and needs {MATTRESS_NIGHTS[0]}"
            )
    elif reason != "damaged" and today > _last_return_day(order, since):
        remedy = None if reason == "changed_mind" else "A colleague can look at a warranty claim."
        raise refuse(f"items can be sent back within {RETURN_DAYS} days of delivery, {day(order.delivered_at)}", remedy)


def _last_return_day(order: OrderRow, delivered: date) -> date:
    bought = order.placed_at.date()
    usual = delivered + timedelta(days=RETURN_DAYS)
    if (11, 1) <= (bought.month, bought.day) <= (12, 24):
        return max(usual, date(bought.year + 1, 1, 31))
    return usual


def _return_fee(session: Session, who: Shopper, line: LineRow, order: OrderRow) -> Decimal:
    if line.returns == "mattress":
        return Decimal(0)
    if order.service == "large":
        return PICKUP_FEE
    member = session.get(MembershipRow, (who.tenant, who.customer))
    is_member = member is not None and member.status != "cancelled" and member.ends_at > who.asked_at
    return Decimal(0) if is_member else LABEL_FEE


def _paid(line: LineRow) -> Decimal:
    return line.quantity * line.unit_price + line.tax


def _address(row: object) -> str:
    return full_address(AddressArgs.model_construct(**{n: getattr(row, n) for n in AddressArgs.model_fields}))
