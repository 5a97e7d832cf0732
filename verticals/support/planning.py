"""What the customer wants done: the seam between a conversation and the shop's tools. Ignores who reads it.

A planner only proposes. What it proposes counts after `policy.py` has checked it: the tool is one of the shop's, its
arguments are valid, the customer said them, the rules of the shop allow it, and the customer has confirmed it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from verticals.support.schemas import Message


@dataclass(frozen=True)
class Proposal:
    """A tool and the arguments known so far; those that lack are asked for."""

    tool: str
    args: Mapping[str, Any] = field(default_factory=dict)


class Planner(Protocol):
    """Reads what to do from a conversation."""

    def propose(self, window: Sequence[Message], pending: Proposal | None, *, tenant: str) -> Proposal | None:
        """What the last message asks for, completed by earlier ones; None if nothing that a tool does.

        Args:
            window: The last five turns; the last message is the customer's.
            pending: What is being talked about, with the arguments so far; the last message may add to it.
            tenant: Whose shop it is; tenants share no prompt cache.
        """
