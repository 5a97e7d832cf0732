"""JSON-schema constrained decoding: before each token, forbid those that leave the schema. Ignores what values mean."""

from __future__ import annotations

import json
from collections.abc import Collection

import torch
from llguidance import LLMatcher, LLTokenizer
from torch import Tensor


class ConstraintFactory:
    """Compiles schemas for one tokenizer."""

    def __init__(self, tokenizer_json: str, *, vocab_size: int, eos_ids: Collection[int]) -> None:
        self._tokenizer = LLTokenizer(tokenizer_json, n_vocab=vocab_size, eos_token=sorted(eos_ids))
        self._vocab_size = vocab_size

    def compile(self, json_schema: str) -> Constraint:
        """A fresh matcher for `json_schema`; its output is compact JSON, then end of text.

        Raises:
            ValueError: not JSON, or a schema that llguidance does not support.
        """
        try:
            schema = json.loads(json_schema)
        except json.JSONDecodeError as error:
            raise ValueError(f"json_schema: not JSON (line {error.lineno}, column {error.colno}).") from error
        compact = {"whitespace_flexible": False}
        grammar = LLMatcher.grammar_from_json_schema(schema, overrides=compact)
        problem = LLMatcher.validate_grammar(grammar, self._tokenizer)
        if problem:
            raise ValueError(f"json_schema: not usable ({problem}). Use the subset that llguidance supports.")
        return Constraint(LLMatcher(self._tokenizer, grammar, log_level=0), self._vocab_size)


class Constraint:
    """Where one answer stands in its schema."""

    def __init__(self, matcher: LLMatcher, vocab_size: int) -> None:
        self._matcher, self._vocab_size = matcher, vocab_size
        self._bits = torch.zeros((vocab_size + 31) // 32, dtype=torch.int32)
        self._shift = torch.arange(32, dtype=torch.int32)

    def mask(self, logits_V: Tensor) -> Tensor:
        """`logits_V` with -inf for the tokens that the schema forbids here."""
        self._matcher.unsafe_compute_mask_ptr(self._bits.data_ptr(), self._bits.numel() * self._bits.element_size())
        allowed_V = ((self._bits.unsqueeze(1) >> self._shift) & 1).flatten()[: self._vocab_size].bool()
        return logits_V.masked_fill(~allowed_V.to(logits_V.device), float("-inf"))

    def accept(self, token: int) -> None:
        """Move on by `token`.

        Raises:
            RuntimeError: the matcher gave up (schema too complex for its limits).
        """
        if not self._matcher.consume_token(token):
            raise RuntimeError(f"json_schema: the matcher stopped ({self._matcher.get_error()}).")
