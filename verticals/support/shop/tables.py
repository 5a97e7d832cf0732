"""The demo shop's database: customers, orders, refunds, memberships, and what tools did. Ignores the shop's rules.

Everything belongs to a tenant. Money is Decimal in Python and whole cents in the database, on every engine the same.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import JSON, Dialect, ForeignKeyConstraint, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from verticals.contract import Base, Time

CENT = Decimal("0.01")


class Money(TypeDecorator[Decimal]):
    """US dollars with two places, kept as cents: SQLite has no decimals."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        """Cents of an amount."""
        return None if value is None else int((value * 100).to_integral_exact())

    def process_result_value(self, value: int | None, dialect: Dialect) -> Decimal | None:
        """The amount of cents."""
        return None if value is None else Decimal(value) * CENT


class CustomerRow(Base):
    """A customer and their default address."""

    __tablename__ = "support_shop_customers"

    tenant: Mapped[str] = mapped_column(String(200), primary_key=True)
    customer_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    email: Mapped[str] = mapped_column(String(200))
    street: Mapped[str] = mapped_column(String(120))
    city: Mapped[str] = mapped_column(String(80))
    state: Mapped[str] = mapped_column(String(2))
    postal_code: Mapped[str] = mapped_column(String(10))


class OrderRow(Base):
    """An order. `service` is standard, express, next_day or large; times that have not come are None."""

    __tablename__ = "support_shop_orders"
    __table_args__ = (Index("ix_support_shop_orders_customer", "tenant", "customer_id", "placed_at"),)

    tenant: Mapped[str] = mapped_column(String(200), primary_key=True)
    order_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    customer_id: Mapped[str] = mapped_column(String(128))
    status: Mapped[str] = mapped_column(String(20))
    service: Mapped[str] = mapped_column(String(20))
    payment: Mapped[str] = mapped_column(String(40))
    delivery_fee: Mapped[Decimal] = mapped_column(Money)
    placed_at: Mapped[datetime] = mapped_column(Time)
    shipped_at: Mapped[datetime | None] = mapped_column(Time)
    delivered_at: Mapped[datetime | None] = mapped_column(Time)
    street: Mapped[str] = mapped_column(String(120))
    city: Mapped[str] = mapped_column(String(80))
    state: Mapped[str] = mapped_column(String(2))
    postal_code: Mapped[str] = mapped_column(String(10))


class LineRow(Base):
    """One item of an order. `returns` is usual, never, unopened or mattress: which rule holds for it."""

    __tablename__ = "support_shop_lines"
    __table_args__ = (
        ForeignKeyConstraint(["tenant", "order_id"], ["support_shop_orders.tenant", "support_shop_orders.order_id"]),
    )

    tenant: Mapped[str] = mapped_column(String(200), primary_key=True)
    order_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    item: Mapped[int] = mapped_column(Integer, primary_key=True)  # from 1
    title: Mapped[str] = mapped_column(String(200))
    quantity: Mapped[int] = mapped_column(Integer)
    unit_price: Mapped[Decimal] = mapped_column(Money)
    tax: Mapped[Decimal] = mapped_column(Money)  # of all its pieces
    returns: Mapped[str] = mapped_column(String(20))


class RefundRow(Base):
    """A refund of one item of an order; the key forbids a second one."""

    __tablename__ = "support_shop_refunds"

    tenant: Mapped[str] = mapped_column(String(200), primary_key=True)
    order_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    item: Mapped[int] = mapped_column(Integer, primary_key=True)
    customer_id: Mapped[str] = mapped_column(String(128))
    reason: Mapped[str] = mapped_column(String(20))
    amount: Mapped[Decimal] = mapped_column(Money)
    created_at: Mapped[datetime] = mapped_column(Time)


class MembershipRow(Base):
    """A Maple Circle membership. `saved` is what its benefits have been worth since the last payment."""

    __tablename__ = "support_shop_memberships"

    tenant: Mapped[str] = mapped_column(String(200), primary_key=True)
    customer_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    status: Mapped[str] = mapped_column(String(20))  # active, paused (does not renew) or cancelled
    price: Mapped[Decimal] = mapped_column(Money)
    saved: Mapped[Decimal] = mapped_column(Money)
    refunded: Mapped[Decimal] = mapped_column(Money)
    paid_at: Mapped[datetime] = mapped_column(Time)
    ends_at: Mapped[datetime] = mapped_column(Time)


class ExecutionRow(Base):
    """A change that a tool made, written in the transaction of the change; `key` is its idempotency key."""

    __tablename__ = "support_executions"

    tenant: Mapped[str] = mapped_column(String(200), primary_key=True)
    key: Mapped[str] = mapped_column(String(128), primary_key=True)
    customer_id: Mapped[str] = mapped_column(String(128))
    tool: Mapped[str] = mapped_column(String(64))
    args: Mapped[dict[str, Any]] = mapped_column(JSON)
    outcome: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Time)
