"""Constrained decoding: before each token, forbid those that leave the grammar. Ignores what the answer means.

llguidance walks grammar and vocabulary, on a thread of its own while the model computes; here its answer, a bit per
token, becomes -inf in the logits.
Shapes: V vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer
from torch import Tensor

from core_model.generation import Grammar

_NUM_CACHED = 64


class ConstraintFactory:
    """Compiles grammars for one tokenizer; keeps the last 64. Safe from many threads."""

    def __init__(self, tokenizer_json: str, *, vocab_size: int, eos_ids: Collection[int]) -> None:
        self._tokenizer = LLTokenizer(tokenizer_json, n_vocab=vocab_size, eos_token=sorted(eos_ids))
        self._vocab_size = vocab_size
        self._compiled = lru_cache(_NUM_CACHED)(self._compile)
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="trivium-grammar")

    def compile(self, grammar: Grammar) -> Constraint:
        """A fresh constraint at the beginning of `grammar`.

        Raises:
            ValueError: not a grammar of its kind, one that llguidance does not support, or one that no text fits.
        """
        copy = self._compiled(grammar).deep_copy()  # takes microseconds
        return Constraint(copy, self._vocab_size, ahead=self._ahead)

    def _compile(self, grammar: Grammar) -> LLMatcher:
        source = _to_llguidance(grammar)
        problem = LLMatcher.validate_grammar(source, self._tokenizer)
        matcher = LLMatcher(self._tokenizer, source, log_level=0)
        if not problem:
            probe = matcher.deep_copy()
            probe.compute_bitmask()
            problem = "no text fits it" if probe.is_error() else ""
        if problem:
            brief = " ".join(problem.split())[:200]
            raise ValueError(f"grammar: {grammar.kind} not usable ({brief}). Use the subset that llguidance supports.")
        return matcher


class Constraint:
    """Where one answer stands in its grammar.

    Args:
        ahead: Finds out what may come next as soon as that can be known, which is long before logits come.
    """

    def __init__(self, matcher: LLMatcher, vocab_size: int, *, ahead: Executor) -> None:
        self._matcher, self._vocab_size, self._ahead = matcher, vocab_size, ahead
        self._bits = np.zeros((vocab_size + 31) // 32, np.uint32)
        self._look_ahead()

    def mask(self, logits_V: Tensor) -> Tensor:
        """`logits_V` with -inf for the tokens that the grammar forbids here.

        Raises:
            RuntimeError: the matcher gave up: the grammar is too complex for its limits, or leads nowhere from here.
        """
        self._looking.result()
        self._check()
        allowed_V = np.unpackbits(self._bits.view(np.uint8), count=self._vocab_size, bitorder="little")
        allowed = torch.from_numpy(allowed_V).view(torch.bool).to(logits_V.device)
        return torch.where(allowed, logits_V, float("-inf"))

    def accept(self, token: int) -> bool:
        """Move on by `token`.

        Returns:
            Whether the grammar is complete: nothing but the end may follow.

        Raises:
            RuntimeError: as for `mask`, or a token that it forbids.
        """
        self._looking.result()
        self._matcher.consume_token(token)
        self._check()
        is_complete = bool(self._matcher.is_stopped())
        if not is_complete:
            self._look_ahead()
        return is_complete

    def num_possible(self, tokens: Sequence[int]) -> int:
        """How many of `tokens`, one after another, the grammar allows from here; moves nowhere."""
        self._looking.result()
        return int(self._matcher.validate_tokens(list(tokens)))

    def _look_ahead(self) -> None:
        bits = self._bits  # kept alive by this, whoever drops the constraint meanwhile
        self._looking = self._ahead.submit(lambda: self._matcher.unsafe_compute_mask_ptr(bits.ctypes.data, bits.nbytes))

    def _check(self) -> None:
        if self._matcher.is_error():
            raise RuntimeError(f"grammar: the matcher stopped ({self._matcher.stop_reason()}).")


def _to_llguidance(grammar: Grammar) -> str:
    if grammar.kind == "json_schema":
        schema = _parse_json(grammar)
        if not isinstance(schema, dict):
            raise ValueError(f"grammar: json_schema must be a JSON object (got {type(schema).__name__}). Wrap it.")
        compact = {"whitespace_flexible": False}  # small models love to indent, at one token a space
        return str(LLMatcher.grammar_from_json_schema(schema, overrides=compact))
    if grammar.kind == "choice":
        return str(
            LLMatcher.grammar_from_lark(
                f"start: {' | '.join(json.dumps(text, ensure_ascii=False) for text in _choices(grammar))}"
            )
        )
    compile_text = LLMatcher.grammar_from_regex if grammar.kind == "regex" else LLMatcher.grammar_from_lark
    return str(compile_text(grammar.text))


def _choices(grammar: Grammar) -> list[str]:
    choices = _parse_json(grammar)
    if not isinstance(choices, list) or not choices or not all(isinstance(text, str) and text for text in choices):
        raise ValueError("grammar: choice must be a JSON list of one or more texts, none empty. Use Grammar.choice().")
    return choices


def _parse_json(grammar: Grammar) -> object:
    try:
        value: object = json.loads(grammar.text)
    except json.JSONDecodeError as error:
        at = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"grammar: {grammar.kind} is not JSON ({at}). Quote names and texts.") from error
    return value
