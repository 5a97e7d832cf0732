"""A scripted chat model, a retriever over a list, and a recorder: the agent's seams without models or indexes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from numpy.typing import NDArray
from pydantic import Field
from sqlalchemy.orm import Session

from retrieval.documents import Hit
from tests.retrieval.conftest import WordEmbedder
from verticals.contract import Context, Decision, ModelCard


class ScriptedModel(BaseChatModel):
    """Says `script`, word by word; `prompts` and `settings` keep what it was asked, `spoken` counts words let out."""

    script: str = ""
    prompts: list[Any] = Field(default_factory=list)
    settings: list[dict[str, Any]] = Field(default_factory=list)
    spoken: int = 0
    closed: int = 0

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self.prompts.append(messages)
        self.settings.append(kwargs)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(self.script))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        self.prompts.append(messages)
        self.settings.append(kwargs)
        try:
            for word in self.script.split(" "):
                self.spoken += 1
                yield ChatGenerationChunk(message=AIMessageChunk(word + " "))
            usage = {"input_tokens": 7, "output_tokens": self.spoken, "total_tokens": 7 + self.spoken}
            yield ChatGenerationChunk(message=AIMessageChunk("", usage_metadata=usage))
        finally:
            self.closed += 1


class ListRetriever:
    """Hits of one tenant, whatever the query; remembers the queries."""

    def __init__(self, hits: Sequence[Hit] = (), *, tenant: str = "demo") -> None:
        self.hits, self.tenant = list(hits), tenant
        self.queries: list[str] = []
        self.vectors: list[NDArray[np.float32] | None] = []
        self.embedder = WordEmbedder()

    def version(self, tenant: str) -> str | None:
        return "v1" if tenant == self.tenant else None

    def embed_query(self, text: str) -> NDArray[np.float32]:
        return self.embedder.embed_query(text)

    def search(
        self,
        query: str,
        *,
        tenant: str,
        acl: Sequence[str] = (),
        k: int = 5,
        query_D: NDArray[np.float32] | None = None,
    ) -> list[Hit]:
        self.queries.append(query)
        self.vectors.append(query_D)
        return self.hits[:k] if tenant == self.tenant else []


class Unprepared:
    """A registry in which nothing was registered."""

    def save(
        self, name: str, files: Mapping[str, bytes], card: Mapping[str, Any], *, activate: bool = True
    ) -> ModelCard:
        raise NotImplementedError

    def load(self, name: str) -> None:
        return None


class Trail:
    """Keeps decisions in memory."""

    def __init__(self) -> None:
        self.decisions: list[Decision] = []

    def __call__(self, *decisions: Decision, session: Session | None = None) -> None:
        self.decisions.extend(decisions)


def hit(text: str, *, number: int = 1, similarity: float = 0.8, title: str = "Returns", **metadata: Any) -> Hit:
    return Hit(f"p{number}", f"d{number}", title, "", text, 1.0 / number, similarity, metadata)


def context(trail: Trail | None = None, *, tenant: str = "demo") -> Context:
    return Context(tenant=tenant, actor="key-1", request_id="r-1", record=trail or Trail())


def ticket_json(**texts: str) -> str:
    return json.dumps(texts)
