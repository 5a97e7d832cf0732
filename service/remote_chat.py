"""A remote server's chats through LangChain, failing as our own engine does. Ignores which server it is.

Importing this needs the extra package langchain-openai.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import openai
from langchain_core.language_models import BaseChatModel
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from core_model.generation import EngineBusy, EngineStopped, GenerationFailed
from core_model.replicas import BASE_URL, Replicas


class RemoteChatModel(ChatOpenAI):
    """`ChatOpenAI`, whose errors are a `ValueError` (a bad request), `EngineBusy`, `EngineStopped`, `GenerationFailed`.

    The messages of a server are not handed on: they may repeat the prompt.
    """

    @classmethod
    def over(cls, replicas: Replicas, model: str, *, timeout_s: float) -> RemoteChatModel:
        """`model` on these servers, which also know the key and when to ask again."""
        return cls(
            base_url=BASE_URL,
            model=model,
            api_key=SecretStr("none"),  # without one, OpenAI's client asks the environment
            stream_usage=True,
            max_retries=0,
            timeout=timeout_s,
            http_client=replicas.client(timeout_s),
        )

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        with _our_errors():
            return super()._generate(*args, **kwargs)

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        with _our_errors():
            yield from super()._stream(*args, **kwargs)

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        return await BaseChatModel._agenerate(self, *args, **kwargs)  # `_generate` in a thread: there is one transport

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        async for chunk in BaseChatModel._astream(self, *args, **kwargs):
            yield chunk


@contextmanager
def _our_errors() -> Iterator[None]:
    try:
        yield
    except openai.APIConnectionError as error:
        if _was_refused(error):
            raise EngineStopped("engine: no connection to the model server. See that it runs.") from error
        raise GenerationFailed("engine: the answer did not come or broke off. Try again.") from error
    except openai.APIStatusError as error:
        status = error.status_code
        if status in (429, 503):
            raise EngineBusy(f"engine: the model server is busy ({status}). Try again later.") from error
        if status in (401, 403, 404):
            raise EngineStopped(f"engine: the model server refuses key, model or address ({status}).") from error
        if status < 500:
            about = f", {error.param}" if error.param else ""
            raise ValueError(f"params: the model server refuses the request ({status}{about}). Change it.") from error
        raise GenerationFailed(f"engine: the model server failed ({status}).") from error
    except openai.OpenAIError as error:
        raise GenerationFailed(f"engine: the model server broke off ({type(error).__name__}).") from error


def _was_refused(error: BaseException | None) -> bool:
    """Whether no connection was made at all, which a client says in the same words as that one broke."""
    return error is not None and (
        isinstance(error, httpx.ConnectError | httpx.ConnectTimeout) or _was_refused(error.__cause__)
    )
