"""A draft's sentences from the evidence: the shared core chooses each wording under a grammar, or a template says it.

The grammar holds, for each finding, the sentences of `wording`; so whatever the model writes, only the evidence's
entities, places, sides, sizes, certainties and negations can be said. What it wrote is read again by `verify` all the
same. The template needs no model, and stands in for one that is not there, fails, or writes what `verify` rejects.
Ignores sections and blanks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from langchain_core.runnables import Runnable

from verticals.medical.evidence import EvidenceGraph
from verticals.medical.verify import draft_faults
from verticals.medical.wording import Statement, statements

Model = Runnable[LanguageModelInput, BaseMessage]

_ASK = (
    "You write the findings of a radiology report. For each numbered finding choose the sentence that reads best after "
    "the one before it. Change nothing."
)
_TOKENS_A_SENTENCE = 60


@dataclass(frozen=True)
class Draft:
    """Sentences of a draft.

    Attributes:
        sentences: One a statement, in order.
        statements: What each of them says.
        written_by: The language model's choice, or the template's.
    """

    sentences: tuple[str, ...]
    statements: tuple[Statement, ...]
    written_by: Literal["model", "template"]


NOTHING_SAID = Draft((), (), "template")


def write(evidence: EvidenceGraph, model: Model | None = None) -> Draft:
    """A draft that `verify` finds no fault with; without findings it has no sentence.

    Raises:
        AssertionError: even the template's sentences do not say the evidence, which is a mistake of ours.
    """
    said = tuple(statements(evidence))
    if model is not None and said:
        chosen = choose(said, model)
        if chosen is not None and not draft_faults(chosen, evidence):
            return Draft(tuple(chosen), said, "model")
    template = tuple(statement.choices[0] for statement in said)
    faults = draft_faults(template, evidence)
    assert not faults, f"the template does not say the evidence: {faults[0].reason}"
    return Draft(template, said, "template")


def choose(said: Sequence[Statement], model: Model) -> list[str] | None:
    """The model's sentences; None if it failed, or wrote no such sentences."""
    lines = "\n".join(f"{i}. {json.dumps(list(s.choices))}" for i, s in enumerate(said, start=1))
    wanted = {"type": "json_schema", "json_schema": {"name": "draft", "schema": draft_schema(said)}}
    bound = model.bind(max_tokens=_TOKENS_A_SENTENCE * len(said) + 8, temperature=0.0, response_format=wanted)
    try:
        written = json.loads(str(bound.invoke([SystemMessage(_ASK), HumanMessage(lines)]).text))
        return [str(written[str(i)]) for i in range(1, len(said) + 1)]
    except Exception:  # noqa: BLE001  (a busy engine, a server's own error, a cut answer: no draft waits for a model)
        return None


def draft_schema(said: Sequence[Statement]) -> dict[str, Any]:
    """JSON Schema of a draft: each numbered sentence is one of its statement's."""
    numbers = [str(i) for i in range(1, len(said) + 1)]
    return {
        "type": "object",
        "properties": {n: {"enum": list(s.choices)} for n, s in zip(numbers, said, strict=True)},
        "required": numbers,
        "additionalProperties": False,
    }
