"""The support agent's citations reach OpenAI's clients in the extension member, whole and streamed alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import httpx
import openai

from service.kit import Kit
from tests.fake_kit import make_kit
from verticals.contract import Context, Handler, Resources
from verticals.support import VERTICAL
from verticals.support import schemas as s

CITATION = {"number": 1, "passage_id": "p1", "start": 4, "end": 20}


def _build(_resources: Resources) -> Mapping[str, Handler]:
    def chat(_request: s.ChatRequest, _context: Context) -> Iterator[s.ChatEvent]:
        yield s.ChatEvent(s.SourcesEvent(sources=[], query="q"))
        yield s.ChatEvent(s.CitationEvent.model_validate(CITATION))
        yield s.ChatEvent(s.DeltaEvent(text="Returns take 30 days. [1]"))
        yield s.ChatEvent(
            s.DoneEvent(finish_reason="stop", usage=s.Usage(), answered=True, conversation_id="c-1", answer_id="ans-1")
        )

    return {"chat": chat}


def test_citations_and_the_answers_id_come_whole_and_streamed(tmp_path: Path, serve: Callable[[Kit], str]) -> None:
    chat_only = tuple(operation for operation in VERTICAL.operations if operation.name == "chat")
    kit = make_kit(tmp_path, {"support": replace(VERTICAL, operations=chat_only, build=_build)})
    key, http = kit.keys.issue(tenant="acme", label="test"), httpx.Client(trust_env=False)
    client = openai.OpenAI(base_url=f"{serve(kit)}/v1", api_key=key, http_client=http, max_retries=0)
    ask = {"model": "trivium-support", "messages": [{"role": "user", "content": "hi"}]}

    whole = client.chat.completions.create(**ask)  # type: ignore[call-overload]
    chunks = [*client.chat.completions.create(**ask, stream=True)]  # type: ignore[call-overload]

    expected = {
        "sources": [],
        "query": "q",
        "citations": [CITATION],
        "answered": True,
        "conversation_id": "c-1",
        "answer_id": "ans-1",
        "session_state": None,
    }
    assert whole.model_extra["trivium"] == expected
    assert chunks[-1].model_extra["trivium"] == expected
