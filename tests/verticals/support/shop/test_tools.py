"""Every rule of the shop, on its inside and its outside; money to the cent; nobody else's orders."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from tests.verticals.support.fakes import Trail
from verticals import support
from verticals.contract import Conflict, InvalidInput, NotFound, TriviumError
from verticals.support.shop.demo_data import DEMO_CUSTOMER, add_demo_shop
from verticals.support.shop.executor import Executor
from verticals.support.shop.tables import ExecutionRow, LineRow, MembershipRow, OrderRow, RefundRow
from verticals.support.shop.tool import Shopper
from verticals.support.shop.tools import CHANGES, TOOLS

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
ADDRESS = {"street": "9 Elm Street", "city": "Dayton", "state": "OH", "postal_code": "45402"}


@pytest.fixture
def executor(sessions: sessionmaker[Session]) -> Executor:
    add_demo_shop(sessions, "demo", now=NOW)
    return Executor(sessions)


def _who(customer: str = DEMO_CUSTOMER, *, tenant: str = "demo", later: timedelta = timedelta()) -> Shopper:
    return Shopper(tenant, customer, NOW + later)


def _refund(order: int, item: int, reason: str) -> dict[str, Any]:
    return {"order_id": f"MP-{order}", "item": item, "reason": reason}


@pytest.mark.parametrize(
    ("args", "amount"),
    [
        (_refund(10001, 1, "faulty"), "51.84"),
        (_refund(10001, 1, "changed_mind"), "51.84"),  # the label is free for members
        (_refund(10005, 1, "faulty"), "26.47"),  # the whole order was faulty: its delivery fee too
        (_refund(10006, 1, "changed_mind"), "691.20"),  # night 40 of a mattress trial
    ],
)
def test_a_refund_is_the_price_with_tax(executor: Executor, args: dict[str, Any], amount: str) -> None:
    assert executor.plan("request_refund", args, _who()).amount == Decimal(amount)


def test_the_label_is_deducted_from_who_is_no_member(executor: Executor, sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as db:
        db.delete(db.get_one(MembershipRow, ("demo", DEMO_CUSTOMER)))

    plan = executor.plan("request_refund", _refund(10001, 1, "changed_mind"), _who())

    assert plan.amount == Decimal("44.89")
    assert "$51.84 less $6.95" in plan.words


@pytest.mark.parametrize(
    ("tool", "args", "rule"),
    [
        ("request_refund", _refund(10002, 1, "faulty"), "not delivered yet"),
        ("request_refund", _refund(10004, 1, "changed_mind"), "within 30 days"),
        ("request_refund", _refund(10004, 1, "damaged"), "within 7 days"),
        ("request_refund", _refund(10005, 1, "changed_mind"), "cannot be returned"),
        ("cancel_order", {"order_id": "MP-10002"}, "the carrier has it"),
        ("cancel_order", {"order_id": "MP-10007"}, "for 15 minutes"),
        ("change_delivery_address", {"order_id": "MP-10007", **ADDRESS}, "for 15 minutes"),
        ("resume_subscription", {}, "renews already"),
    ],
)
def test_a_rule_of_the_shop_refuses_in_words(executor: Executor, tool: str, args: dict[str, Any], rule: str) -> None:
    with pytest.raises(Conflict, match=rule):
        executor.plan(tool, args, _who())


@pytest.mark.parametrize(
    ("later", "allowed"), [(timedelta(minutes=45), True), (timedelta(minutes=46), False)]
)  # the order is 14.4 minutes old
def test_an_order_can_be_cancelled_for_an_hour(executor: Executor, later: timedelta, allowed: bool) -> None:
    try:
        executor.plan("cancel_order", {"order_id": "MP-10003"}, _who(later=later))
        is_allowed = True
    except Conflict:
        is_allowed = False

    assert is_allowed is allowed


def test_a_large_order_can_be_cancelled_until_it_leaves(executor: Executor) -> None:
    assert "are not charged" in executor.plan("cancel_order", {"order_id": "MP-10008"}, _who()).done


def test_a_membership_is_refunded_less_what_it_saved_and_for_30_days(executor: Executor) -> None:
    assert executor.plan("cancel_subscription", {}, _who()).amount == Decimal("22.05")
    with pytest.raises(Conflict, match="within 30 days"):
        executor.plan("cancel_subscription", {}, _who(later=timedelta(days=21)))
    with pytest.raises(NotFound, match="no Maple Circle membership"):
        executor.plan("cancel_subscription", {}, _who("C-1002"))


@pytest.mark.parametrize("who", [_who("C-1002"), _who("nobody"), _who(tenant="other")])
@pytest.mark.parametrize("tool", [name for name, tool in TOOLS.items() if "order_id" in tool.args.model_fields])
def test_somebody_elses_order_does_not_exist(executor: Executor, tool: str, who: Shopper) -> None:
    args = {"order_id": "MP-10001", "item": 1, "reason": "faulty", **ADDRESS}
    mine = {name: value for name, value in args.items() if name in TOOLS[tool].args.model_fields}

    with pytest.raises(NotFound, match="you have no order MP-10001"):
        executor.plan(tool, mine, who)


@pytest.mark.parametrize(
    ("tool", "args", "field"),
    [
        ("order_status", {"order_id": "' OR 1=1"}, "args.order_id"),
        ("order_status", {}, "args.order_id"),
        ("request_refund", _refund(10001, 1, "because"), "args.reason"),
        ("request_refund", {**_refund(10001, 1, "faulty"), "amount": 1000}, "args.amount"),
        ("change_address", {**ADDRESS, "state": "Ohio"}, "args.state"),
        ("pause_subscription", {"customer": "C-1002"}, "args.customer"),
    ],
)
def test_malformed_arguments_name_their_field_and_are_not_repeated(
    executor: Executor, tool: str, args: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        executor.plan(tool, args, _who())

    assert caught.value.field == field
    assert "OR 1=1" not in str(caught.value)


def test_reading_says_what_the_order_holds(executor: Executor) -> None:
    assert executor.plan("order_status", {"order_id": "MP-10001"}, _who()).done == (
        "Order MP-10001: it has been delivered (February 25, 2026)."
    )
    assert "1. Aspen table lamp x 1, $51.84" in executor.plan("look_up_order", {"order_id": "MP-10001"}, _who()).done
    assert executor.plan("list_orders", {}, _who()).done.startswith("Your latest orders: MP-10003")


def test_the_same_key_changes_once_and_gives_the_same_outcome(
    executor: Executor, sessions: sessionmaker[Session]
) -> None:
    trail = Trail()

    first = executor.execute("k", "request_refund", _refund(10001, 1, "faulty"), _who(), record=trail)
    again = executor.execute("k", "request_refund", _refund(10001, 1, "faulty"), _who(), record=trail)

    assert (first.is_replay, again.is_replay, again.outcome) == (False, True, first.outcome)
    with sessions() as db:
        assert db.get_one(RefundRow, ("demo", "MP-10001", 1)).amount == Decimal("51.84")
    assert [d.kind for d in trail.decisions] == ["support.execute"]
    with pytest.raises(Conflict, match="used for another action"):
        executor.execute("k", "pause_subscription", {}, _who(), record=trail)


def test_a_failure_on_the_way_leaves_neither_effect_nor_proof(
    executor: Executor, sessions: sessionmaker[Session]
) -> None:
    def broken(*decisions: object, session: object = None) -> None:
        raise RuntimeError("audit store is down")

    with pytest.raises(RuntimeError, match="audit store is down"):
        executor.execute("k", "cancel_order", {"order_id": "MP-10003"}, _who(), record=broken)

    with sessions() as db:
        assert db.get(ExecutionRow, ("demo", "k")) is None
        assert db.get_one(OrderRow, ("demo", "MP-10003")).status == "received"


def test_every_change_of_money_or_personal_data_needs_a_person() -> None:
    alone = {name for name in CHANGES if not TOOLS[name].needs_approval}

    assert alone == {"pause_subscription", "resume_subscription"}


def test_the_demo_shop_is_added_once_and_is_plainly_made_up(sessions: sessionmaker[Session]) -> None:
    add_demo_shop(sessions, "demo", now=NOW)
    add_demo_shop(sessions, "demo", now=NOW + timedelta(days=9))

    with sessions() as db:
        assert db.get_one(OrderRow, ("demo", "MP-10003")).placed_at == NOW - timedelta(days=0.01)


def test_every_change_keeps_the_two_halves_apart(executor: Executor, sessions: sessionmaker[Session]) -> None:
    args: dict[str, dict[str, Any]] = {
        "request_refund": _refund(10001, 2, "faulty"),
        "cancel_order": {"order_id": "MP-10003"},
        "change_delivery_address": {"order_id": "MP-10003", **ADDRESS},
        "change_address": ADDRESS,
        "pause_subscription": {},
        "cancel_subscription": {},
    }
    for tool, given in args.items():
        before = executor.plan(tool, given, _who())

        assert executor.plan(tool, given, _who()) == before

    for tool, given in reversed(args.items()):
        try:
            executor.execute(tool, tool, given, _who(), record=Trail())
        except TriviumError as error:
            assert tool in ("pause_subscription", "cancel_order"), error  # noqa: PT017


def test_the_demo_orders_paid_for_delivery_what_the_articles_say(
    executor: Executor, sessions: sessionmaker[Session]
) -> None:
    with sessions() as db:
        orders, lines = db.scalars(select(OrderRow)).all(), db.scalars(select(LineRow)).all()
        joined = {row.customer_id: row.paid_at for row in db.scalars(select(MembershipRow))}

    for order in orders:
        goods = sum(line.quantity * line.unit_price for line in lines if line.order_id == order.order_id)
        is_member = order.customer_id in joined and order.placed_at >= joined[order.customer_id]
        standard = Decimal(0) if goods >= 49 or is_member else Decimal("5.95")  # standard-delivery
        fee = {"large": Decimal(79), "next_day": Decimal("24.95"), "standard": standard}[order.service]
        assert order.delivery_fee == fee, order.order_id
    assert {order.delivery_fee for order in orders} == {Decimal(0), Decimal("5.95"), Decimal("24.95"), Decimal(79)}


def test_the_articles_write_order_numbers_as_the_shop_does(executor: Executor, sessions: sessionmaker[Session]) -> None:
    with sessions() as db:
        numbers = list(db.scalars(select(OrderRow.order_id)))
    folders = [Path(support.__file__).parent / name for name in ("knowledge", "knowledge_zh")]

    articles = "\n".join(path.read_text("utf-8") for folder in folders for path in folder.glob("*.md"))

    assert set(re.findall(r"\bMP\b[^.]*", articles)) == {"MP, a hyphen and 5 digits"}
    assert all(re.fullmatch(r"MP-\d{5}", number) for number in numbers)
