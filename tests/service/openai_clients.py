"""The clients of others that tests send, unmodified, to our server."""

from __future__ import annotations

from typing import Any

import httpx
import openai
from langchain_openai import ChatOpenAI
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from service.kit import Kit


def connect(
    url: str, kit: Kit, *, tenant: str = "acme", scopes: tuple[str, ...] = ("*",), customer: str | None = None
) -> openai.OpenAI:
    """OpenAI's client with a new key."""
    key = kit.keys.issue(tenant=tenant, label="test", scopes=scopes, customer=customer)
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, http_client=httpx.Client(trust_env=False), max_retries=0)


def ask(client: openai.OpenAI, said: Any = "hi", **options: Any) -> Any:
    """A response of the support agent, or as `options` say."""
    return client.responses.create(**{"model": "trivium-support", "input": said, **options})


def fits_openais_types(events: list[Any]) -> bool:
    """Whether every event is valid by the schema that OpenAI's client was generated from."""
    schema: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
    return all(schema.validate_python(event.to_dict()).type == event.type for event in events)


def langchain_model(client: openai.OpenAI, model: str, *, responses: bool) -> ChatOpenAI:
    """LangChain's model over the same server."""
    return ChatOpenAI(
        base_url=str(client.base_url),
        api_key=client.api_key,  # type: ignore[arg-type]
        model=model,
        use_responses_api=responses,
        http_client=httpx.Client(trust_env=False),
        max_retries=0,
    )
