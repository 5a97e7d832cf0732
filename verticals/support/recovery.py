"""What a stopped process left undone, finished at the next start without a request. Ignores unanswered messages.

Those wait for their customer: `resume` answers them, and the history says that there are any.
"""

from __future__ import annotations

import logging

from langgraph.checkpoint.memory import InMemorySaver

from verticals.contract import ContextOf, Resources
from verticals.support.actions import ActionDesk
from verticals.support.handoffs import HandoffDesk
from verticals.support.shop.executor import Executor

_log = logging.getLogger(__name__)


def recover(resources: Resources, context_of: ContextOf) -> int:
    """Finish every tenant's accepted actions; how many there were. Other processes may do the same at once.

    One tenant's failure is told by its kind and does not keep the others from theirs.
    """
    sessions = resources.sessions
    # Actions that are decided wait for nobody, so their rows say all; no thread on disk is needed.
    desk = ActionDesk(sessions, Executor(sessions), InMemorySaver(), HandoffDesk(sessions).open_failed)
    finished = 0
    for tenant in desk.tenants_left():
        try:
            finished += desk.recover(context_of(tenant))
        except Exception as error:  # noqa: BLE001  (whatever it is, it stays as it is and is tried at the next look)
            _log.warning("Accepted actions were not finished: %s", type(error).__name__)
    return finished
