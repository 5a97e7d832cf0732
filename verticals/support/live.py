"""The models that read messages, as they are exchanged while the agent answers. Ignores who decides."""

from __future__ import annotations

from collections.abc import Callable

from verticals.contract import ModelRegistry
from verticals.live import LiveModel, Said
from verticals.support.schemas import ChatRequest


def _open_intents(registry: ModelRegistry) -> Callable[[ChatRequest], Said]:
    """What the registry's intents say of the customer's last message."""
    from verticals.support.understanding.messages import load_reader

    reader = load_reader(registry)

    def say(request: ChatRequest) -> Said:
        read = reader.read(request.messages[-1].content)
        intent = read.intent
        return {"intent": intent.intent, "confidence": float(intent.confidence), "in_scope": intent.in_scope}

    return say


def _open_state(registry: ModelRegistry) -> None:
    """What follows a session needs its state: it is read, and cannot be asked without one."""
    from verticals.support.state.shop import trained_scorer

    trained_scorer(registry)


LIVE_MODELS = (
    LiveModel("support.intents", "chat", _open_intents),
    LiveModel("support.state", "send_message", _open_state),
)
