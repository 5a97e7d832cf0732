"""Made-up customers and orders of the demo shop; names and streets are plainly invented. Ignores the articles.

Dates count from the day of the first run, so that every rule has an order inside and one outside its limit.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from verticals.support.shop.tables import CustomerRow, LineRow, MembershipRow, OrderRow

NUM_CUSTOMERS = 36
DEMO_CUSTOMER = "C-1001"  # has an order for every rule
_TAX = Decimal("0.08")
_FREE_FROM = Decimal(49)  # standard-delivery; the fees: also express-delivery, large-item-delivery
_FEES = {"standard": Decimal("5.95"), "next_day": Decimal("24.95"), "large": Decimal("79.00")}
_SEED = 20261122
_FIRST = ("Ada", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hana", "Ivo", "June", "Kai", "Lena")
_CITIES = (("Sampleton", "IL", "62704"), ("Exampleville", "OH", "43004"), ("Mockford", "TX", "75001"))
# title, price, which return rule holds
ITEMS: tuple[tuple[str, str, str], ...] = (
    ("Aspen table lamp", "48.00", "usual"),
    ("Birch bookshelf", "129.00", "usual"),
    ("Cedar coffee machine", "89.00", "usual"),
    ("Juniper bath towels", "32.00", "usual"),
    ("Maple cutting board", "24.50", "usual"),
    ("Oak dining chair", "115.00", "usual"),
    ("Rowan wool rug", "210.00", "usual"),
    ("Spruce robot vacuum", "249.00", "usual"),
    ("Willow pillow", "39.00", "unopened"),
    ("Engraved name plate", "19.00", "never"),
    ("Alder mattress", "640.00", "mattress"),
)


class _Order(NamedTuple):
    """An order by its age; `delivered` is days since delivery, None if not delivered; `items` are rows of ITEMS."""

    age_days: float
    status: str
    service: str
    delivered: float | None
    items: tuple[int, ...]


_DEMO_ORDERS = (
    _Order(9, "delivered", "standard", 5, (0, 6)),
    _Order(3, "shipped", "standard", None, (2,)),
    _Order(0.01, "received", "standard", None, (3, 4)),
    _Order(60, "delivered", "standard", 52, (7,)),
    _Order(12, "delivered", "standard", 3, (9,)),
    _Order(50, "delivered", "large", 40, (10,)),
    _Order(0.02, "received", "next_day", None, (0,)),
    _Order(1, "packing", "large", None, (1,)),
)


def add_demo_shop(sessions: sessionmaker[Session], tenant: str, *, now: datetime | None = None) -> None:
    """Add the customers, orders and memberships; does nothing when the tenant has customers."""
    now = now or datetime.now(UTC)
    draw = random.Random(_SEED)  # noqa: S311  (nothing secret)
    with sessions.begin() as session:
        if session.scalar(select(func.count()).select_from(CustomerRow).where(CustomerRow.tenant == tenant)):
            return
        number, lines = 10_000, []
        for index in range(NUM_CUSTOMERS):
            customer = _customer(tenant, index)
            session.add(customer)
            joined = now - timedelta(days=10 + 20 * index) if index % 3 == 0 else None
            for order in _DEMO_ORDERS if customer.customer_id == DEMO_CUSTOMER else _random_orders(draw):
                number += 1
                session.add(_order(customer, f"MP-{number}", order, now, joined=joined))
                lines += _lines(tenant, f"MP-{number}", order.items)
            if joined:
                session.add(_membership(customer, joined))
        session.flush()  # the lines refer to the orders
        session.add_all(lines)


def _random_orders(draw: random.Random) -> Sequence[_Order]:
    orders = []
    for _ in range(draw.randint(1, 3)):
        age = draw.choice([0.01, 2.0, 8.0, 20.0, 70.0])
        status = "received" if age < 1 else "shipped" if age < 5 else "delivered"
        items = tuple(draw.sample(range(10), draw.randint(1, 3)))
        orders.append(_Order(age, status, "standard", age - 4 if status == "delivered" else None, items))
    return orders


def _customer(tenant: str, index: int) -> CustomerRow:
    name = _FIRST[index % len(_FIRST)]
    city, state, postal_code = _CITIES[index % len(_CITIES)]
    return CustomerRow(
        tenant=tenant,
        customer_id=f"C-{1001 + index}",
        name=f"{name} Example{index + 1}",
        email=f"{name.lower()}{index + 1}@example.com",
        street=f"{10 + index} Invented Street",
        city=city,
        state=state,
        postal_code=postal_code,
    )


def _order(customer: CustomerRow, order_id: str, about: _Order, now: datetime, *, joined: datetime | None) -> OrderRow:
    placed = now - timedelta(days=about.age_days)
    is_free = _price(about.items) >= _FREE_FROM or (joined is not None and placed >= joined)
    return OrderRow(
        tenant=customer.tenant,
        order_id=order_id,
        customer_id=customer.customer_id,
        status=about.status,
        service=about.service,
        payment="credit card" if int(order_id[-1]) % 2 else "PayPal account",
        delivery_fee=Decimal(0) if is_free and about.service == "standard" else _FEES[about.service],
        placed_at=placed,
        shipped_at=placed + timedelta(days=1) if about.status in ("shipped", "delivered") else None,
        delivered_at=None if about.delivered is None else now - timedelta(days=about.delivered),
        street=customer.street,
        city=customer.city,
        state=customer.state,
        postal_code=customer.postal_code,
    )


def _price(items: Sequence[int]) -> Decimal:
    return sum((Decimal(ITEMS[index][1]) for index in items), Decimal(0))


def _lines(tenant: str, order_id: str, items: Sequence[int]) -> list[LineRow]:
    rows = []
    for number, (title, price, returns) in enumerate((ITEMS[index] for index in items), start=1):
        unit_price = Decimal(price)
        rows.append(
            LineRow(
                tenant=tenant,
                order_id=order_id,
                item=number,
                title=title,
                quantity=1,
                unit_price=unit_price,
                tax=(unit_price * _TAX).quantize(Decimal("0.01")),
                returns=returns,
            )
        )
    return rows


def _membership(customer: CustomerRow, paid_at: datetime) -> MembershipRow:
    return MembershipRow(
        tenant=customer.tenant,
        customer_id=customer.customer_id,
        status="active",
        price=Decimal("29.00"),
        saved=Decimal("6.95"),
        refunded=Decimal(0),
        paid_at=paid_at,
        ends_at=paid_at + timedelta(days=365),
    )
