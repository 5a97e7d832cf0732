"""A recorded decision made again by the vertical that made it. Ignores how a vertical does that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session, sessionmaker

from service.audit_check import check_link
from service.audit_read import find
from verticals.contract import Conflict, ModelRegistry, NotFound, Vertical
from verticals.replaying import Kept, Replayed
from verticals.undisturbed import see_one_state

_NOTHING = "This entry says what was done; there is nothing in it to make again."
_ERASED = "What it said was erased: its hash stands in the chain, and nothing can be made from it."


def replay_entry(
    registry: ModelRegistry,
    sessions: sessionmaker[Session],
    verticals: Mapping[str, Vertical],
    *,
    tenant: str,
    sequence: int,
    given: Mapping[str, Any] | None = None,
) -> Replayed:
    """Make one entry's decision again.

    Args:
        registry: Holds the models that decided.
        sessions: Of the database.
        verticals: By name.
        tenant: Whose.
        sequence: The entry's number.
        given: The input, where the trail and the tables do not have it.
    Raises:
        NotFound: the tenant has no such entry.
        Conflict: the entry is not what was recorded.
    """
    with sessions() as session:
        see_one_state(session)
        found = find(session, tenant, sequence)
        if found is None:
            raise NotFound("no such entry", field="sequence", value=sequence)
        if reason := check_link(session, found[0]):
            raise Conflict(reason, field="sequence", value=sequence, remedy="`trivium audit verify` tells more.")
    entry = found[1]
    if entry["outcome"] is None:
        return Replayed("not replayable", _ERASED)
    vertical = verticals.get(entry["kind"].partition(".")[0])
    if vertical is None or vertical.replay is None:
        return Replayed("not replayable", _NOTHING)
    return vertical.replay(Kept(tenant, registry, sessions), entry, given)
