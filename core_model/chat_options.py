"""The options of a chat, in the words of OpenAI's API, as `SamplingParams`. Ignores messages and calls of tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core_model.generation import Grammar, SamplingParams

_SAME = (  # the same words as in SamplingParams
    *("max_tokens", "temperature", "top_p", "top_k", "min_p", "seed", "min_tokens"),
    *("repetition_penalty", "presence_penalty", "frequency_penalty", "grammar"),
)
OPTIONS = (*_SAME, "logit_bias", "logprobs", "top_logprobs", "response_format", "stop_token_ids", "extra_body")
_IGNORED = ("ls_structured_output_format",)  # LangChain's own tracing detail


def to_params(options: Mapping[str, Any], *, stop: Sequence[str] = ()) -> SamplingParams:
    """Sampling values of one call.

    Args:
        options: Any of `OPTIONS`; None is as good as left out. `extra_body` holds more of them, as OpenAI's client
            sends extensions. `response_format` is {"type": "text" | "json_object" | "json_schema", ...}.
        stop: Stop strings.

    Raises:
        ValueError: an unknown option or response format, or a grammar twice.
    """
    flat = {**options, **(options.get("extra_body") or {})}
    given = {name: value for name, value in flat.items() if value is not None and name != "extra_body"}
    if unknown := sorted(set(given) - set(OPTIONS) - set(_IGNORED)):
        raise ValueError(f"{unknown[0]}: unknown option. Use {', '.join(OPTIONS)}, tools, tool_choice or stop.")
    values: dict[str, Any] = {name: given[name] for name in _SAME if name in given}
    grammar = _to_grammar(given.get("response_format", {"type": "text"}))
    if grammar and "grammar" in values:
        raise ValueError("response_format: only one grammar can hold (got grammar besides). Leave one of them out.")
    if grammar:
        values["grammar"] = grammar
    biases = given.get("logit_bias", {}).items()
    return SamplingParams(
        stop=tuple(stop),
        stop_token_ids=tuple(given.get("stop_token_ids", ())),
        logit_bias=tuple((_token_id(token), float(bias)) for token, bias in biases),
        logprobs=_num_logprobs(given),
        **values,
    )


def _to_grammar(response_format: Mapping[str, Any]) -> Grammar | None:
    kind = response_format.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return Grammar.json_schema({"type": "object"})
    if kind != "json_schema":
        raise ValueError(f"response_format: type must be text, json_object or json_schema (got {kind!r}). Use one.")
    schema = response_format.get("json_schema", {}).get("schema")
    if not isinstance(schema, Mapping):
        raise ValueError("response_format: json_schema.schema is missing. Put the JSON schema there.")
    return Grammar.json_schema(schema)


def _num_logprobs(given: Mapping[str, Any]) -> int | None:
    if given.get("logprobs"):
        return int(given.get("top_logprobs", 0))
    if "top_logprobs" in given:
        raise ValueError("top_logprobs: needs logprobs=true. Set it, or leave top_logprobs out.")
    return None


def _token_id(token: Any) -> int:
    if not str(token).isdecimal():
        raise ValueError(f"logit_bias: keys must be token ids (got {token!r}). Use this model's tokenizer.")
    return int(token)
