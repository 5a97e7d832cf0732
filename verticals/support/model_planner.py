"""A planner that asks a capable language model for a tool call. Ignores whether it may be made: `policy.py` decides.

It is asked only when the rules found nothing and the words are of the shop's business, since a question waits for it.
The embedded model is never asked: it cannot be trusted to choose.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage

from verticals.support.planning import Planner, Proposal
from verticals.support.prompting import as_data, load_prompt, tenant_option
from verticals.support.schemas import Message
from verticals.support.shop.tools import TOOLS

MAX_TOKENS = 120
_BUSINESS = re.compile(
    r"order|parcel|package|deliver|refund|money|return|back|address|mov|member|subscri|renew|cancel", re.I
)


class ModelPlanner:
    """Offers the shop's tools to a model by LangChain's `bind_tools`.

    Args:
        model: Any that calls tools.
        may_propose: Whether the model that serves now is good enough; asked each time.
    """

    def __init__(self, model: BaseChatModel, *, may_propose: Callable[[], bool]) -> None:
        self._model, self._may_propose = model, may_propose

    def propose(self, window: Sequence[Message], pending: Proposal | None, *, tenant: str) -> Proposal | None:
        """See `planning.Planner`."""
        if not self._may_propose() or not (pending or _BUSINESS.search(window[-1].content)):
            return None
        lines = [f"{'Customer' if m.role == 'user' else 'Assistant'}: {as_data(m.content)}" for m in window]
        ask = HumanMessage("<conversation>\n{}\n</conversation>".format("\n".join(lines)))
        options = {"max_tokens": MAX_TOKENS, "temperature": 0.0, **tenant_option(self._model, tenant)}
        model = self._model.bind_tools([_as_function(name) for name in TOOLS], tool_choice="auto", **options)
        said = model.invoke([*load_prompt("propose"), ask])
        if not isinstance(said, AIMessage) or not said.tool_calls:
            return None
        call = said.tool_calls[0]
        if call["name"] not in TOOLS:
            return None
        known = TOOLS[call["name"]].args.model_fields
        kept = pending.args if pending and pending.tool == call["name"] else {}
        return Proposal(call["name"], {**kept, **{n: v for n, v in call["args"].items() if n in known}})


class FirstOf:
    """The first planner that proposes something."""

    def __init__(self, planners: Sequence[Planner]) -> None:
        self._planners = planners

    def propose(self, window: Sequence[Message], pending: Proposal | None, *, tenant: str) -> Proposal | None:
        """See `planning.Planner`."""
        return next((p for planner in self._planners if (p := planner.propose(window, pending, tenant=tenant))), None)


def _as_function(name: str) -> dict[str, Any]:
    """A tool in OpenAI's form; no argument is required, since what the customer has not said is asked for."""
    tool = TOOLS[name]
    schema = {**tool.args.model_json_schema(), "required": []}
    return {"type": "function", "function": {"name": name, "description": tool.does, "parameters": schema}}
