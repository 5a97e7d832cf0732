"""Write a ticket's texts and choose its action: grammar-constrained, checked against the customer's words.

The grammar holds what rules know: category, priority, and only the actions that the customer asked for and the shop
allows now. So whatever the model writes is a valid ticket, and its action can be run. Ignores where tickets are kept.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import jsonschema
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.runnables import Runnable

from retrieval.documents import Hit
from retrieval.grounding import Evidence, content_stems, find_support
from retrieval.sentences import split_sentences
from verticals.support.prompting import as_data, load_prompt
from verticals.support.schemas import Message, TicketAction, TicketCategory, TicketDraft, TicketPriority, Tone
from verticals.support.triage import decide_category, decide_priority
from verticals.support.understanding.tone import raise_priority

Model = Runnable[LanguageModelInput, BaseMessage]

MAX_TICKET_TOKENS = 900  # more than the longest ticket that the grammar allows: no ticket is ever cut
_TELLING_WORDS = 4
_PROMPT_CHARS = 1_500  # of the conversation: a small model reads no more with profit
_LIMITS = {"subject": 80, "summary": 300, "customer_request": 300}  # as in `TicketDraft`
_TEXTS = tuple(_LIMITS)


def ticket_schema(
    category: TicketCategory, priority: TicketPriority, actions: Sequence[TicketAction] = ()
) -> dict[str, Any]:
    """JSON Schema of a draft whose category and priority are decided; the model writes the texts.

    Args:
        category: The only one that is allowed.
        priority: Likewise.
        actions: The model chooses one of these; a ticket without any has no `action`.
    """
    properties = TicketDraft.model_json_schema()["properties"]
    texts = {key: {k: properties[key][k] for k in ("type", "minLength", "maxLength")} for key in _TEXTS}
    chosen = {"action": {"enum": [action.model_dump(mode="json") for action in actions]}} if actions else {}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"category": {"const": str(category)}, "priority": {"const": str(priority)}, **texts, **chosen},
        "required": ["category", "priority", *_TEXTS, *chosen],
        "additionalProperties": False,
    }


def draft_ticket(
    model: Model,
    window: Sequence[Message],
    hits: Sequence[Hit] = (),
    actions: Sequence[TicketAction] = (),
    *,
    tone: Tone = Tone.CALM,
) -> TicketDraft:
    """A schema-valid draft of a ticket about the conversation.

    A text of the model is kept only if the customer said every sentence of it (`find_support`); else the customer's own
    words stand there, trimmed. A model without constrained decoding may return anything: what breaks the schema is not
    used.
    """
    said = _telling([message.content for message in window if message.role == "user"])
    category, priority = decide_category(said, hits), raise_priority(decide_priority(said), tone)
    texts = _own_words(said, category)
    evidence = [Evidence(sentence.text, i) for i, text in enumerate(said) for sentence in split_sentences(text)]
    evidence += [Evidence(" ".join(text.split()), i) for i, text in enumerate(said)]
    json_text = write_json(model, window, category, priority, actions)
    written_json = read_json(json_text, category, priority, actions) or {}
    for key in _TEXTS:
        written = written_json.get(key, "")
        sentences = [sentence.text for sentence in split_sentences(written)]
        repeats = len(set(sentences)) < len(sentences)
        if not sentences or repeats or (key == "summary" and not _covers(written, said[-1])):
            continue
        if all(find_support(sentence, evidence, kept=0.0) for sentence in sentences):
            texts[key] = _trim(written, _LIMITS[key])
    chosen = written_json.get("action") or (actions[0] if len(actions) == 1 else None)
    action = TicketAction.model_validate(chosen) if chosen else None
    return TicketDraft(category=category, priority=priority, action=action, **texts)


def write_json(
    model: Model,
    window: Sequence[Message],
    category: TicketCategory,
    priority: TicketPriority,
    actions: Sequence[TicketAction] = (),
    *,
    constrained: bool = True,
) -> str:
    """What the model writes when asked for the ticket; unconstrained only to measure what the grammar is worth."""
    lines = [f"{'Customer' if m.role == 'user' else 'Assistant'}: {as_data(m.content)}" for m in window]
    talk = "\n".join(lines)[-_PROMPT_CHARS:]
    known = f"Category: {category}. Priority: {priority}."
    if actions:
        known += f" Possible actions: {json.dumps([action.model_dump(mode='json') for action in actions])}."
    ask = HumanMessage(f"{known}\n<conversation>\n{talk}\n</conversation>")
    schema = ticket_schema(category, priority, actions)
    wanted = {"type": "json_schema", "json_schema": {"name": "ticket", "schema": schema}}
    grammar = {"response_format": wanted} if constrained else {}
    bound = model.bind(max_tokens=MAX_TICKET_TOKENS, temperature=0.0, **grammar)
    return str(bound.invoke([*load_prompt("ticket"), ask]).text)


def read_json(
    text: str, category: TicketCategory, priority: TicketPriority, actions: Sequence[TicketAction] = ()
) -> dict[str, Any] | None:
    """The ticket in the model's text; None if it is not JSON or breaks the schema."""
    try:
        written = json.loads(text)
        jsonschema.validate(written, ticket_schema(category, priority, actions))
    except (json.JSONDecodeError, jsonschema.ValidationError):
        return None
    return dict(written)


def _own_words(said: Sequence[str], category: TicketCategory) -> dict[str, str]:
    """Texts without a model: subject and request are the last message, the summary is all of them."""
    return {
        "subject": _trim(f"{category.capitalize()}: {said[-1]}", _LIMITS["subject"]),
        "summary": _trim(" / ".join(said), _LIMITS["summary"]),
        "customer_request": _trim(said[-1], _LIMITS["customer_request"]),
    }


def _covers(summary: str, message: str) -> bool:
    """Whether a summary keeps half of what a message is about: "wants to speak to a person" must not lose the fire."""
    wanted = set(content_stems(message))
    return 2 * len(wanted & set(content_stems(summary))) >= len(wanted)


def _telling(said: Sequence[str]) -> list[str]:
    """The messages that say what it is about, without "yes please"; all of them if none does."""
    return [text for text in said if len(text.split()) >= _TELLING_WORDS] or list(said)


def _trim(text: str, limit: int) -> str:
    """One line of at most `limit` characters, cut between words; at least three characters, as the schema asks."""
    text = " ".join(text.split())
    if len(text) > limit:
        text = (text[: limit - 1].rsplit(" ", 1)[0] or text[: limit - 1]) + "…"
    return text.ljust(3, ".")
