"""The table of the shop's tools: name, arguments, rules, effect, approval. Ignores who calls them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from verticals.broken_rules import first_of
from verticals.contract import InvalidInput, NotFound
from verticals.support.schemas.base import Strict
from verticals.support.shop import memberships, orders
from verticals.support.shop.tool import AddressArgs, NoArgs, OrderAddressArgs, OrderArgs, RefundArgs, Tool

_ALL = (
    Tool("list_orders", "List the customer's latest orders.", NoArgs, orders.list_orders),
    Tool("order_status", "Say where an order is.", OrderArgs, orders.order_status),
    Tool("look_up_order", "Say what an order holds, costs and where it goes.", OrderArgs, orders.look_up_order),
    Tool(
        "request_refund",
        "Refund one item.",
        RefundArgs,
        orders.plan_refund,
        orders.apply_refund,
        needs_approval=True,
        check=orders.check_refund,
    ),
    Tool("cancel_order", "Cancel an order.", OrderArgs, orders.plan_cancel, orders.apply_cancel, needs_approval=True),
    Tool(
        "change_delivery_address",
        "Send an order that has not shipped to another address.",
        OrderAddressArgs,
        orders.plan_redirect,
        orders.apply_redirect,
        needs_approval=True,
        check=orders.check_redirect,
    ),
    Tool(
        "change_address",
        "Change the customer's default address.",
        AddressArgs,
        orders.plan_move,
        orders.apply_move,
        needs_approval=True,
    ),
    Tool("subscription_status", "Say until when the membership lasts.", NoArgs, memberships.subscription_status),
    Tool("pause_subscription", "Stop the renewal.", NoArgs, memberships.plan_pause, memberships.apply_pause),
    Tool("resume_subscription", "Renew again.", NoArgs, memberships.plan_resume, memberships.apply_resume),
    Tool(
        "cancel_subscription",
        "Cancel the membership now, with a refund.",
        NoArgs,
        memberships.plan_cancel,
        memberships.apply_cancel,
        needs_approval=True,
    ),
)
TOOLS: Mapping[str, Tool] = {tool.name: tool for tool in _ALL}
CHANGES = tuple(tool.name for tool in _ALL if tool.apply)


def find_tool(name: str) -> Tool:
    """The tool of this name.

    Raises:
        NotFound: the shop has none.
    """
    if name not in TOOLS:
        raise NotFound(f"must be one of {', '.join(TOOLS)}", field="tool", value=name)
    return TOOLS[name]


def parse_args(tool: Tool, args: Mapping[str, Any]) -> Strict:
    """Arguments as the tool takes them.

    Raises:
        InvalidInput: one is missing, unknown or malformed; the message does not repeat it.
    """
    try:
        return tool.args.model_validate(dict(args))
    except ValidationError as error:
        field, rule = first_of(error, whole="")
        raise InvalidInput(rule, field=f"args.{field}", remedy=f"See the arguments of {tool.name}.") from None
