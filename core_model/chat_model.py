"""A LangChain chat model over any TextEngine. Ignores tools: constrain with `bind(json_schema=...)` instead."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel

# Usage, all keyword-only:
#   chat = EngineChatModel(engine=engine, tokenizer=tokenizer, max_tokens=256, temperature=0.0)
#   chat.invoke(messages, stop=["\n\n"], temperature=0.7, max_tokens=64, seed=1, top_p=0.9, top_k=40, json_schema="{...}" or {...})
#   chat.bind(json_schema=schema).invoke(messages)
#   for chunk in chat.stream(messages): chunk.content; the last chunk has response_metadata["finish_reason"] and usage_metadata
# AIMessage.response_metadata: {"finish_reason": "stop"|"length", "model_name": model_version}; usage_metadata: input/output/total tokens.


class EngineChatModel(BaseChatModel):
    """Messages in, one AI message out; streams. `engine` is any TextEngine, `tokenizer` renders the chat template."""

    engine: Any
    tokenizer: Any
    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
