"""A recorded answer looked at again: whose words it answered, and what it was made from. Ignores how it was worded.

An answer's words are not made again: they hang on the model, its sampling and what the shop knew at the time. What is
compared is what the trail holds: the fingerprint of the conversation, and the passages that were cited.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from retrieval.tables import LedgerRow, PassageRow
from verticals.contract import InvalidInput
from verticals.replaying import Kept, Replayed
from verticals.support.schemas import Message
from verticals.support.sessions import talks_of
from verticals.support.tickets import messages_sha256

_MESSAGES = TypeAdapter(list[Message])
_SAID = (
    "The words are not made again. The conversation has the recorded fingerprint, the answer's own record cites what "
    "the trail says, and each of those passages is still kept as it was."
)
_UNKNOWN = "The conversation is not kept here, or has been forgotten: give its messages to compare their fingerprint."


def replay_entry(kept: Kept, entry: Mapping[str, Any], given: Mapping[str, Any] | None) -> Replayed:
    """`verticals.replaying.Replay`.

    Raises:
        InvalidInput: what was given are no messages.
    """
    if entry["kind"] != "support.answer":
        return Replayed("not replayable", "Of support, answers are looked at again.")
    versions = {"model": entry["model_version"], "policy": entry["policy_version"]}
    with kept.sessions() as session:
        prints = _given(given) if given is not None else _kept(session, kept.tenant, entry["subject"])
        cited, here = _cited(session, kept.tenant, entry)
    if not prints:
        return Replayed("input needed", _UNKNOWN, versions)
    if given is not None and prints[0] != entry["input_sha256"]:
        return Replayed("other input", "These are not the messages that were answered.", versions)
    wanted = entry["input_sha256"]
    pairs = {
        "input_sha256": (wanted, wanted if wanted in prints else None),
        "cited": (entry["outcome"]["cited"], cited),
        "passages": (sorted(entry["outcome"]["cited"]), here),
    }
    return Replayed.compared("unchanged", _SAID, pairs, versions)


def _given(given: Mapping[str, Any]) -> Sequence[str]:
    try:
        return [messages_sha256(_MESSAGES.validate_python(given.get("messages")))]
    except ValidationError:
        raise InvalidInput(
            "must be a list of messages with role and content", field="input.messages", remedy="As they were sent."
        ) from None


def _kept(session: Session, tenant: str, session_id: str) -> Sequence[str]:
    """The fingerprints of what each of a session's messages was answered on."""
    return [messages_sha256(talk) for talk in talks_of(session, session_id, tenant)]


def _cited(session: Session, tenant: str, entry: Mapping[str, Any]) -> tuple[list[str] | None, list[str]]:
    """What the ledger says that the answer cited, None if it has no such answer; and which passages are still kept."""
    recorded = entry["outcome"]["cited"]
    mine = (LedgerRow.tenant == tenant, LedgerRow.conversation_id == entry["subject"])
    answers = [
        list(dict.fromkeys(c["passage_id"] for c in row.citations))
        for row in session.scalars(select(LedgerRow).where(*mine))
    ]
    found = recorded if recorded in answers or not recorded else None
    passages = select(PassageRow.passage_id).where(PassageRow.tenant == tenant, PassageRow.passage_id.in_(recorded))
    return found, sorted(set(session.scalars(passages)))
