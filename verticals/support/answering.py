"""Answer from evidence: the model drafts, each sentence is checked, what the evidence does not say is quoted instead.

Ignores retrieval and whether the question can be answered at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Literal

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.runnables import Runnable

from retrieval.grounding import Evidence, content_stems, find_support, quantities, stream_sentences
from verticals.support.prompting import as_data, load_prompt
from verticals.support.schemas import Usage

MAX_SENTENCES = 3
_OPENING = re.compile(
    r"^(?:\s*(?:\d+[.)]\s|[-*•]\s|(?:yes|no|sure|of course|certainly|hello|hi)\b\s*[,:.!]|"
    r"(?:the answer is|answer|according to [^,]{1,40},)\s*:?\s))+\s*",
    re.IGNORECASE,
)
# What a document says to the assistant instead of to the customer. It is never evidence, so the model never reads it.
_INSTRUCTION = re.compile(
    r"\b(?:ignore|disregard|forget|override|bypass)\b.{0,40}\b(?:instruction|prompt|rule|guideline|above|previous|prior)|"
    r"\bsystem prompt\b|\byou are (?:now|an? (?:ai|assistant|language model))\b|\bas an ai\b|\bnew instructions?\b|"
    r"\b(?:assistant|chatbot|the model|the bot)\b.{0,40}\b(?:must|should|shall|always|never|reply|say|tell|output)\b|"
    r"\b(?:reply|respond|answer) (?:only )?with\b|<\|?\w+\|?>",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Sentence:
    """A released sentence and what says it; `quoted` if it is the evidence word for word, not the model's."""

    text: str
    evidence: Evidence
    quoted: bool


@dataclass
class Draft:
    """What the model did, known once the answer is written."""

    usage: Usage = field(default_factory=Usage)
    finish_reason: Literal["stop", "length"] = "stop"
    accepted: int = 0
    rejected: int = 0


def is_instruction(text: str) -> bool:
    """Whether a document's sentence addresses the assistant, as an injected prompt does."""
    return bool(_INSTRUCTION.search(text))


def answer_messages(question: str, evidence: Sequence[Evidence]) -> list[BaseMessage]:
    """The prompt: role, task, examples, then the evidence as data and the question."""
    facts = "\n".join(f"- {as_data(e.text)}" for e in evidence)
    return [*load_prompt("answer"), HumanMessage(f"<facts>\n{facts}\n</facts>\nQuestion: {as_data(question)}")]


def write_answer(
    model: Runnable[LanguageModelInput, BaseMessage],
    question: str,
    evidence: Sequence[Evidence],
    *,
    draft: Draft,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Sentence]:
    """Sentences that the evidence says, one to three, as soon as each is known.

    The model's first unsupported sentence ends its draft. The answer always holds the best evidence, in the model's
    words or quoted, because a small model likes to speak of the second best.

    Args:
        model: Chat model; closed as soon as its text is no longer wanted.
        question: The customer's question in self-contained words.
        evidence: Best first, at least one.
        draft: Filled in while the answer is written.
        cancelled: Asked before each piece; true stops generation and the answer.
    """
    used: list[Evidence] = []
    with closing(_stream_text(model, answer_messages(question, evidence), draft)) as pieces:
        for raw in stream_sentences(takewhile(lambda _: not cancelled(), pieces)):
            if cancelled():
                return
            text = _OPENING.sub("", raw)
            if not content_stems(text) and not quantities(text):
                continue
            support = find_support(text, evidence)
            if support is None:
                draft.rejected += 1
                break
            if support in used:
                break  # a small model that says a thing twice will say it a third time
            draft.accepted += 1
            used.append(support)
            yield Sentence(_as_sentence(text), support, quoted=False)
            if len(used) == MAX_SENTENCES:
                break
    if not cancelled() and evidence[0] not in used:
        yield Sentence(_as_sentence(evidence[0].text), evidence[0], quoted=True)


def _stream_text(
    model: Runnable[LanguageModelInput, BaseMessage], messages: list[BaseMessage], draft: Draft
) -> Generator[str]:
    """Text of the model's chunks; notes usage and finish reason."""
    chunks = model.stream(messages)
    try:
        for chunk in chunks:
            if isinstance(chunk, AIMessageChunk) and chunk.usage_metadata:
                usage = chunk.usage_metadata
                draft.usage = Usage(prompt_tokens=usage["input_tokens"], completion_tokens=usage["output_tokens"])
            if chunk.response_metadata.get("finish_reason") == "length":
                draft.finish_reason = "length"
            yield str(chunk.text)
    finally:
        close = getattr(chunks, "close", None)
        if close:
            close()


def _as_sentence(text: str) -> str:
    text = re.sub(r"\s*\[\d+\]", "", text).strip()
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."
