"""A `TextEngine` over OpenAI-compatible servers (vLLM, SGLang, llama.cpp). Ignores chats: token ids in, text out.

`POST /v1/completions` with the prompt as token ids and `stream: true` is what all of them serve. Values that
`SamplingParams` leaves at their defaults are not sent, so a plain server is never asked for an extension; what it does
not know, it must refuse itself. A server tells the text of an answer but seldom its token ids: see `TokenChunk`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import fields
from typing import Any, get_args

import httpx

from core_model.generation import (
    EngineBusy,
    EngineStopped,
    FinishReason,
    GenerationFailed,
    SamplingParams,
    TokenChunk,
)
from core_model.replicas import Replicas

_SAME = (  # sent under their own names: OpenAI's, then extensions that vLLM and SGLang share
    *("max_tokens", "temperature", "top_p", "seed", "stop", "presence_penalty", "frequency_penalty"),
    *("top_k", "min_p", "repetition_penalty", "min_tokens", "stop_token_ids", "ignore_eos"),
)
_ALWAYS = ("max_tokens", "temperature")  # servers have other defaults than we
_DEFAULTS = {field.name: field.default for field in fields(SamplingParams)}


class OpenAIEngine:
    """A model of other servers. A request is sent at `stream()`, so refusals come from there.

    Args:
        replicas: The servers; closed with the engine.
        model: Its name there; also the model version.
        timeout_s: Longest wait for the next piece of an answer, or for its beginning.
    """

    def __init__(self, replicas: Replicas, model: str, *, timeout_s: float = 60.0) -> None:
        self.model_version, self.replicas = model, replicas
        self._client = replicas.client(timeout_s)

    def close(self) -> None:
        """Close the connections; what streams ends with an error."""
        self._client.close()

    def stream(self, prompt_ids: Sequence[int], params: SamplingParams) -> Iterator[TokenChunk]:
        """As `TextEngine.stream`.

        Raises:
            ValueError: as in `TextEngine`, or a value that cannot be sent; or the server calls the request bad.
            EngineBusy: 429 or 503 from every server, to the last retry.
            EngineStopped: no connection to any, or the server refuses the key or does not know the model.
            GenerationFailed: another error; the same from the iterator, when the stream breaks.
        """
        params.check()
        if not prompt_ids:
            raise ValueError("prompt_ids: must not be empty.")
        return _Stream(self._open(self._to_body(prompt_ids, params)))

    def _to_body(self, prompt_ids: Sequence[int], params: SamplingParams) -> dict[str, Any]:
        if params.logprobs is not None:
            raise ValueError(
                "logprobs: servers tell no token ids with them. Leave logprobs out, or use the local engine."
            )
        body: dict[str, Any] = {"model": self.model_version, "prompt": list(prompt_ids), "stream": True}
        for name in _SAME:
            value = getattr(params, name)
            if name in _ALWAYS or value != _DEFAULTS[name]:
                body[name] = list(value) if isinstance(value, tuple) else value
        if params.logit_bias:
            body["logit_bias"] = {str(token): bias for token, bias in params.logit_bias}
        if params.grammar is not None:
            if params.grammar.kind != "json_schema":
                kind = params.grammar.kind
                raise ValueError(f"grammar: servers agree on json_schema only (got {kind!r}). Use the local engine.")
            schema = {"name": "answer", "strict": True, "schema": json.loads(params.grammar.text)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def _open(self, body: dict[str, Any]) -> httpx.Response:
        """The response with good status, its body not yet read."""
        try:
            response = self._client.send(self._client.build_request("POST", "completions", json=body), stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise EngineStopped("engine: no connection to the model server. See that it runs.") from error
        except httpx.HTTPError as error:
            raise GenerationFailed(f"engine: the model server did not answer ({type(error).__name__}).") from error
        except RuntimeError as error:  # httpx's word for a closed client
            raise EngineStopped("engine: closed.") from error
        if response.is_success:
            return response
        with closing(response):
            raise _refusal(response)


class _Stream(Iterator[TokenChunk]):
    """A response's chunks; closing or dropping it closes the connection, which cancels the request there."""

    def __init__(self, response: httpx.Response) -> None:
        self._response, self._events = response, _read_events(response)
        self._ended = False

    def __next__(self) -> TokenChunk:
        if self._ended:
            raise StopIteration
        try:
            chunk = self._next_chunk()
        except BaseException:
            self.close()
            raise
        if chunk.finish_reason is not None:
            self.close()
        return chunk

    def _next_chunk(self) -> TokenChunk:
        try:
            for event in self._events:
                if "error" in event:
                    raise GenerationFailed("engine: the model server failed in the middle of the answer.")
                if choices := event.get("choices"):
                    return _to_chunk(choices[0])
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise GenerationFailed(f"engine: the answer broke off ({type(error).__name__}). Try again.") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise GenerationFailed("engine: the model server sent what is no completion.") from error
        raise GenerationFailed("engine: the answer ended without a finish reason. Try again.")

    def close(self) -> None:
        """Hang up."""
        self._ended = True
        self._response.close()

    def __del__(self) -> None:
        self._response.close()


def _read_events(response: httpx.Response) -> Iterator[dict[str, Any]]:
    """The JSON objects of a stream of server-sent events."""
    for line in response.iter_lines():
        if line.startswith("data:") and (data := line.removeprefix("data:").strip()) != "[DONE]":
            yield json.loads(data)


def _to_chunk(choice: dict[str, Any]) -> TokenChunk:
    reason = choice.get("finish_reason")
    if reason is not None and reason not in get_args(FinishReason):
        reason = "cancelled" if reason == "abort" else "stop"  # "content_filter" and the like
    return TokenChunk(tuple(choice.get("token_ids") or ()), choice["text"] or "", reason)


def _refusal(response: httpx.Response) -> Exception:
    status = response.status_code
    if status in (429, 503):
        return EngineBusy(f"engine: the model server is busy ({status}). Try again later.")
    if status in (401, 403):
        return EngineStopped(f"engine: the model server refuses the key ({status}). Set another.")
    if status == 404:
        return EngineStopped("engine: the model server knows no such model or address (404). See base_url and model.")
    if 400 <= status < 500:
        return ValueError(f"params: the model server refuses the request ({status}{_reason(response)}). Change it.")
    return GenerationFailed(f"engine: the model server failed ({status}).")


def _reason(response: httpx.Response) -> str:
    """Which parameter a server complains of; not its sentence, which may repeat the prompt."""
    try:
        body = json.loads(response.read())
        error = body.get("error", body)
        said = [str(error[key])[:80] for key in ("param", "code", "type") if error.get(key)]
    except (httpx.HTTPError, ValueError, AttributeError):
        return ""
    return "".join(f", {text}" for text in said)
