"""What goes into an engine and what comes out: sampling values, chunks of tokens, errors. Ignores how it is done."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, get_args

FinishReason = Literal["stop", "length", "cancelled"]
GrammarKind = Literal["json_schema", "regex", "lark", "choice"]
MAX_LOGPROBS = 20


@dataclass(frozen=True)
class Grammar:
    """What an answer must look like, from its first character to its last.

    Attributes:
        kind: "json_schema"; "regex" (Rust's dialect, the whole answer must match); "lark" (EBNF in llguidance's Lark
            dialect, beginning at the rule `start`); or "choice", one of several texts.
        text: The schema as JSON, the expression, the grammar, or a JSON list of texts.
    """

    kind: GrammarKind
    text: str

    @classmethod
    def json_schema(cls, schema: Mapping[str, object] | str) -> Grammar:
        """Compact JSON that fits a schema, given as text or as the object that it means."""
        return cls("json_schema", schema if isinstance(schema, str) else json.dumps(schema))

    @classmethod
    def choice(cls, *texts: str) -> Grammar:
        """Exactly one of `texts`."""
        return cls("choice", json.dumps(texts))


@dataclass(frozen=True)
class SamplingParams:
    """How to pick tokens, and when to end. What is left out changes nothing; the default is greedy.

    From the raw logits to a token, in this order: `logit_bias`; `repetition_penalty`; `presence_penalty` and
    `frequency_penalty`; what is forbidden (`min_tokens`, then `grammar`); `temperature`; `top_k`; `top_p` of what
    `top_k` left; `min_p`: transformers' order. Equal seeds give equal answers, whatever else runs.

    Attributes:
        max_tokens: Most tokens of the answer; at it, the answer ends with "length".
        temperature: 0 is greedy, and then `top_k`, `top_p`, `min_p` and `seed` mean nothing.
        top_k: Only the k most probable tokens; 0 for all.
        top_p: Only the smallest set of most probable tokens that reaches this mass (arXiv:1904.09751).
        min_p: Only tokens with at least this share of the best token's probability (arXiv:2407.01082).
        repetition_penalty: Divides positive and multiplies negative logits of every token of prompt and answer, once
            (arXiv:1909.05858, as in transformers); 1 is none.
        presence_penalty: Taken from the logits of tokens that the answer has already (as in OpenAI's API).
        frequency_penalty: The same, times how often the answer has them.
        logit_bias: (token id, what to add to its logit) pairs; 100 all but forces a token, -100 all but forbids it.
        seed: Of this request's own random numbers; None for fresh ones.
        stop: Texts that end the answer; they are not part of it.
        stop_token_ids: Tokens that end the answer, as the model's end-of-text tokens do; not part of it either.
        min_tokens: Neither token nor text ends an answer before it has this many tokens.
        ignore_eos: The model's end-of-text tokens are tokens like others; for measurements.
        logprobs: Report the log-probability of each token and of this many most probable ones besides; None for
            neither. They are the model's own: before bias, penalties, grammar and temperature.
        grammar: What the answer must look like; it ends as soon as nothing may follow.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    min_tokens: int = 0
    ignore_eos: bool = False
    logprobs: int | None = None
    grammar: Grammar | None = None

    def check(self) -> None:
        """Check every range; token ids against a vocabulary are the engine's to check.

        Raises:
            ValueError: names field, value, rule and remedy.
        """
        for name, holds, rule, remedy in self._rules():
            if not holds:
                raise ValueError(f"{name}: {rule} (got {getattr(self, name)!r}). {remedy}")
        if self.grammar is not None:
            if self.grammar.kind not in get_args(GrammarKind):
                known = ", ".join(get_args(GrammarKind))
                raise ValueError(f"grammar: kind must be one of {known} (got {self.grammar.kind!r}). Use one of these.")
            for name in ("min_tokens", "ignore_eos"):
                if getattr(self, name):
                    raise ValueError(f"{name}: the grammar alone says where an answer ends. Leave {name} out.")

    def _rules(self) -> tuple[tuple[str, bool, str, str], ...]:
        biases = [bias for _, bias in self.logit_bias]
        signed = "Leave it out for none."
        logprobs_remedy = "Leave it out for none at all."
        return (
            ("max_tokens", self.max_tokens >= 1, "must be at least 1", "Leave it out for 256."),
            ("temperature", 0 <= self.temperature <= 2, "must be 0 (greedy) to 2", "Leave it out for greedy."),
            ("top_k", self.top_k >= 0, "must be 0 or more", "Leave it out for all tokens."),
            ("top_p", 0 < self.top_p <= 1, "must be above 0 and at most 1", "Leave it out for all tokens."),
            ("min_p", 0 <= self.min_p <= 1, "must be 0 to 1", "Leave it out for all tokens."),
            ("repetition_penalty", 0 < self.repetition_penalty <= 10, "must be above 0 and at most 10", signed),
            ("presence_penalty", -2 <= self.presence_penalty <= 2, "must be -2 to 2", signed),
            ("frequency_penalty", -2 <= self.frequency_penalty <= 2, "must be -2 to 2", signed),
            ("logit_bias", all(-100 <= bias <= 100 for bias in biases), "each must be -100 to 100", signed),
            ("seed", self.seed is None or 0 <= self.seed < 2**63, "must be 0 to 2**63 - 1", "Leave it out for any."),
            ("stop", all(self.stop), "strings must not be empty", "Leave out the empty one."),
            ("min_tokens", self.min_tokens >= 0, "must be 0 or more", signed),
            ("min_tokens", self.min_tokens <= self.max_tokens, f"at most max_tokens={self.max_tokens}", "Lower it."),
            ("logprobs", 0 <= (self.logprobs or 0) <= MAX_LOGPROBS, f"must be 0 to {MAX_LOGPROBS}", logprobs_remedy),
        )

    def check_vocabulary(self, vocab_size: int) -> None:
        """Check the token ids in `logit_bias` and `stop_token_ids`.

        Raises:
            ValueError: an id that the model does not have.
        """
        named = {"logit_bias": [token for token, _ in self.logit_bias], "stop_token_ids": self.stop_token_ids}
        for name, tokens in named.items():
            for token in tokens:
                if not 0 <= token < vocab_size:
                    raise ValueError(
                        f"{name}: token ids must be 0 to {vocab_size - 1} (got {token}). Use this model's tokenizer."
                    )


@dataclass(frozen=True)
class TokenLogprob:
    """Log-probabilities (natural, at most 0) in the model's own distribution; `top` has the likeliest tokens first."""

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class SampledToken:
    """One drawn token; `ends` if it completes the grammar, so that nothing may follow it."""

    token_id: int
    logprob: TokenLogprob | None = None
    ends: bool = False


@dataclass(frozen=True)
class TokenChunk:
    """New tokens of one request.

    Attributes:
        token_ids: Empty too where a remote server tells the text only.
        text: Their text without stop strings; it may lag behind the tokens by half a character or stop string.
        finish_reason: Set on the last chunk.
        logprobs: One for each of `token_ids`, if asked for.
    """

    token_ids: tuple[int, ...]
    text: str
    finish_reason: FinishReason | None = None
    logprobs: tuple[TokenLogprob, ...] = field(default=())


class TextEngine(Protocol):
    """One interface; local, remote and fake engines."""

    @property
    def model_version(self) -> str: ...

    def stream(self, prompt_ids: Sequence[int], params: SamplingParams) -> Iterator[TokenChunk]:
        """Generate after `prompt_ids`. Closing the iterator cancels the request. Safe from many threads.

        Raises:
            ValueError: empty prompt, prompt longer than the context, sampling values out of range, unusable grammar.
        """


class EngineBusy(RuntimeError):
    """The waiting queue is full; try again later."""


class EngineStopped(RuntimeError):
    """The engine is not running, or a remote one is out of reach."""


class GenerationFailed(RuntimeError):
    """This request failed inside the model; others go on. The cause is attached."""


@dataclass(frozen=True)
class RequestOptions:
    """For whom a request runs, which never changes what it says but for `adapter`.

    Attributes:
        tenant: Tenants of equal priority take turns by the tokens that they were served.
        priority: Higher goes first; any integer.
        adapter: One that the engine has loaded; None for the model as it is.
        cache_salt: Requests with different salts share no cached prefix, so that none can time another's prompts.
        speculate: Whether next tokens may be guessed and checked together, where the engine does so.
    """

    tenant: str = ""
    priority: int = 0
    adapter: str | None = None
    cache_salt: str = ""
    speculate: bool = True
