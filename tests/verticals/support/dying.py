"""A process that is killed between a person's approval and the change."""

from __future__ import annotations

import pytest

from tests.verticals.support.world import World
from verticals.support import schemas as s
from verticals.support.actions import ActionDesk
from verticals.support.checkpoints import open_checkpointer
from verticals.support.handoffs import HandoffDesk
from verticals.support.shop.executor import Executor

REFUND = "I want a refund for the Aspen table lamp of order MP-10001, it is faulty"


class Dies(Executor):
    """A process that is killed when it begins to execute."""

    def execute(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]
        raise KeyboardInterrupt


def leave_approved(world: World) -> tuple[str, str]:
    """An approved refund whose process died; its session and its id."""
    session = world.begin()
    world.say(session, REFUND, "yes")
    (action,) = world.waiting()
    checkpointer = open_checkpointer(world.sessions.kw["bind"])
    dying = ActionDesk(world.sessions, Dies(world.sessions), checkpointer, HandoffDesk(world.sessions).open_failed)
    with pytest.raises(KeyboardInterrupt):
        dying.decide(s.DecideApprovalRequest(action_id=action.action_id, decision="approve"), world.key(None))
    return session, action.action_id
