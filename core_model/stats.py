"""Figures of a running engine, for metrics. Ignores how they are counted and shown."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CacheStats:
    """Pages of the KV cache: in all, with nothing in them, and with tokens that nobody uses but a prompt may reuse."""

    pages_total: int
    pages_free: int
    pages_cached: int
    host_pages: int  # evicted pages that are kept in main memory


@dataclass(frozen=True)
class EngineStats(CacheStats):
    """A snapshot for metrics; totals count since the engine was made."""

    running: int
    waiting: int
    max_batch: int
    requests_total: int
    failed_total: int
    prompt_tokens_total: int
    generated_tokens_total: int
    cached_prompt_tokens_total: int  # prompt tokens whose keys and values were reused
    drafted_tokens_total: int  # guessed, and checked by the model
    accepted_tokens_total: int  # of those, the ones that were right: each saved a pass through the model
    preemptions_total: int  # a request gave its pages to another and was computed again later
    paused: int  # of those running or waiting: their readers have not read what there is
