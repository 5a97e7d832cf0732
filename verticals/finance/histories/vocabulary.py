"""The words of an event: what may happen on an account, where, and how. Ignores amounts and times."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What happened. Amounts are positive; the kind says which way the money went."""

    SALARY = "salary"
    OTHER_INCOME = "other_income"
    PURCHASE = "purchase"
    BILL = "bill"
    CASH = "cash_withdrawal"
    DRAW = "credit_draw"
    REPAYMENT = "credit_repayment"
    LATE_FEE = "late_fee"
    STATEMENT = "statement"  # no money moves: balance owed and limit at the end of a period


class Category(StrEnum):
    """What a purchase or a bill was for."""

    GROCERIES = "groceries"
    RESTAURANTS = "restaurants"
    FUEL = "fuel"
    TRAVEL = "travel"
    ELECTRONICS = "electronics"
    CLOTHING = "clothing"
    HEALTH = "health"
    LEISURE = "leisure"
    GAMBLING = "gambling"
    RENT = "rent"
    UTILITIES = "utilities"


class Channel(StrEnum):
    """How it was done."""

    CARD = "card"
    ONLINE = "online"
    TRANSFER = "transfer"
    DIRECT_DEBIT = "direct_debit"
    ATM = "atm"
    BRANCH = "branch"


INCOME = (Kind.SALARY, Kind.OTHER_INCOME)
SPENDING = (Kind.PURCHASE, Kind.BILL, Kind.CASH, Kind.LATE_FEE)
