"""Answer from evidence: quote it, or let a capable model draft and check each sentence. Ignores retrieval.

Which models draft was measured, not wished. The embedded SmolLM2-135M, with the right facts in its prompt, writes few
sentences that the facts say, and those are copies, often of the wrong fact (figures: the baseline of the suite
`grounded`); it costs seconds where a quotation costs none. So for it the best span of the best article is the answer,
word for word and cited. A larger model drafts, and is quoted over from its first unsupported sentence on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby, takewhile
from typing import Literal

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.runnables import Runnable

from retrieval.chinese import has_chinese
from retrieval.grounding import Evidence, content_stems, find_support, narrow, quantities, stream_sentences
from verticals.support.prompting import as_data, load_prompt
from verticals.support.safety.injection_rules import ADDRESSES_MODEL
from verticals.support.safety.reveal import reveal
from verticals.support.schemas import Usage

MAX_SENTENCES = 4  # of a draft
MAX_QUOTED = 3
_TOO_SMALL = ("smollm2-135m",)  # model versions that begin so quote instead of drafting
_OPENING = re.compile(
    r"^(?:\s*(?:\d+[.)]\s|[-*•]\s|(?:yes|no|sure|of course|certainly|hello|hi)\b\s*[,:.!]|"
    r"(?:the answer is|answer|according to [^,]{1,40},)\s*:?\s|"
    r"(?:您好|你好|好的|是的|可以的|当然|没问题)[，,！!。：:]|(?:根据|按照)[^，]{1,20}，|(?:答案是|回答)[：:]))+\s*",
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


def can_draft(model_version: str) -> bool:
    """Whether a model is large enough to word answers; see the head of this file."""
    return not model_version.startswith(_TOO_SMALL)


def is_instruction(text: str) -> bool:
    """Whether a document's sentence addresses the assistant, as an injected prompt does."""
    return bool(ADDRESSES_MODEL.search(reveal(text)))


def answer_messages(question: str, evidence: Sequence[Evidence], known: Sequence[str] = ()) -> list[BaseMessage]:
    """The prompt: role, task, examples, then the evidence and what the customer said of themselves as data."""
    facts = "\n".join(f"- {as_data(e.text)}" for e in evidence)
    said = "\n".join(f"- {as_data(text)}" for text in known)
    customer = f"<customer>\n{said}\n</customer>\n" if known else ""
    asked = f"<facts>\n{facts}\n</facts>\n{customer}Question: {as_data(question)}"
    return [*load_prompt("answer"), HumanMessage(asked)]


def write_answer(
    model: Runnable[LanguageModelInput, BaseMessage] | None,
    question: str,
    evidence: Sequence[Evidence],
    *,
    known: Sequence[str] = (),
    draft: Draft,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Sentence]:
    """Sentences that the evidence says, each as soon as it is known.

    Args:
        model: Drafts the answer; the best article is quoted at once if None. Closed as soon as its text is not wanted.
        question: The customer's question in self-contained words.
        evidence: As `choose_evidence` gives it, at least one sentence; the best comes first.
        known: What the customer said of themselves, for the model's tone; it supports no sentence.
        draft: Filled in while the answer is written.
        cancelled: Asked before each piece; true stops generation and the answer.
    """
    said: list[Evidence] = []
    if model is not None:
        prompt = answer_messages(question, evidence, known)
        for text, support in _checked_sentences(model, prompt, evidence, draft, cancelled):
            said.append(support)
            yield Sentence(text, support, quoted=False)
    if said and not draft.rejected:
        return
    for fact in _quotable(question, evidence):
        if fact not in said and not cancelled():
            yield Sentence(_as_sentence(fact.text), fact, quoted=True)


def _quotable(question: str, evidence: Sequence[Evidence]) -> list[Evidence]:
    """Of the best article at most `MAX_QUOTED` sentences: its best span, then what answers best of its others."""
    chosen: list[Evidence] = []
    for _, span in groupby((e for e in evidence if e.doc_id == evidence[0].doc_id), key=lambda e: e.source):
        if room := MAX_QUOTED - len(chosen):
            chosen += narrow(question, list(span), room)
    return chosen


def _checked_sentences(
    model: Runnable[LanguageModelInput, BaseMessage],
    prompt: list[BaseMessage],
    evidence: Sequence[Evidence],
    draft: Draft,
    cancelled: Callable[[], bool],
) -> Iterator[tuple[str, Evidence]]:
    """The model's sentences with what says them, up to the first that nothing says or that repeats another."""
    said: list[Evidence] = []
    with closing(_stream_text(model, prompt, draft)) as pieces:
        for raw in stream_sentences(takewhile(lambda _: not cancelled(), pieces)):
            text = _OPENING.sub("", raw)
            if not content_stems(text) and not quantities(text):
                continue
            support = find_support(text, evidence)
            if support is None:
                draft.rejected += 1
            if support is None or support in said or cancelled():
                return
            draft.accepted += 1
            said.append(support)
            yield _as_sentence(text), support
            if len(said) == MAX_SENTENCES:
                return


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
    if text.endswith((".", "!", "?", "。", "！", "？")):
        return text
    return text.removesuffix("；") + ("。" if has_chinese(text) else ".")
