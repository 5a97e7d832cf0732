"""Engine: token ids in, token ids out. Knows no chat template, no HTTP, no domain, no tensors: a `Runner` has those."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from core_model.detokenize import TextStream
from core_model.generation import (
    EngineBusy,
    EngineStopped,
    FinishReason,
    GenerationFailed,
    SampledToken,
    SamplingParams,
    TokenChunk,
)
from core_model.scheduler import Request, Scheduler, Work

if TYPE_CHECKING:
    from core_model.detokenize import Decodes

_NOTHING = TokenChunk((), "")


class Runner(Protocol):
    """The model side of the engine; used from the engine's thread, but for `prepare`."""

    @property
    def vocab_size(self) -> int: ...

    def prepare(self, params: SamplingParams, *, prompt_ids: Sequence[int], end_ids: Collection[int]) -> Any:
        """The sampler of a new request. ValueError: an unusable grammar."""

    def begin(self, request: Request) -> None:
        """Give the request a cache slot; set `request.slot` and `request.num_computed`."""

    def step(self, batch: Sequence[Work]) -> list[SampledToken | Exception | None]:
        """Run the model once. Per work: the sampled token, None inside a prompt, or what went wrong with this one."""

    def end(self, request: Request) -> None:
        """Take the request's slot back."""


@dataclass(frozen=True)
class EngineStats:
    """A snapshot for metrics; totals count since the engine was made."""

    running: int
    waiting: int
    max_batch: int
    requests_total: int
    failed_total: int
    prompt_tokens_total: int
    generated_tokens_total: int
    cached_prompt_tokens_total: int  # prompt tokens whose keys and values were reused


class Engine:
    """The local engine: continuous batching (Orca, OSDI 2022) on one background thread.

    `start()` begins the thread; `close()` ends it and cancels what runs. Also a context manager.

    Args:
        runner: Runs the model.
        tokenizer: Decodes tokens to text.
        eos_ids: Tokens that end an answer; they are not handed out.
        max_context: Tokens of prompt and answer together; an answer that reaches it finishes with "length".
        max_waiting: Requests beyond those running before `EngineBusy`.
        step_tokens: Most tokens in one step; long prompts are cut to it, so that others go on meanwhile.
    """

    def __init__(
        self,
        runner: Runner,
        tokenizer: Decodes,
        *,
        model_version: str,
        eos_ids: frozenset[int],
        max_context: int,
        max_batch: int = 8,
        max_waiting: int = 64,
        step_tokens: int = 256,
    ) -> None:
        self.model_version, self.max_context, self.max_batch = model_version, max_context, max_batch
        self._runner, self._tokenizer, self._eos_ids = runner, tokenizer, eos_ids
        self._scheduler = Scheduler(max_batch=max_batch, max_waiting=max_waiting, step_tokens=step_tokens)
        self._wake = threading.Condition()  # guards the scheduler and _running
        self._running = False
        self._thread: threading.Thread | None = None
        self._requests = self._failed = self._prompt_tokens = self._generated = self._cached = 0

    def start(self) -> Engine:
        """Begin the background thread (once)."""
        with self._wake:
            if self._thread is None:
                self._running = True
                self._thread = threading.Thread(target=self._loop, name="trivium-engine", daemon=True)
                self._thread.start()
        return self

    def close(self) -> None:
        """Cancel every request and end the thread; safe to call twice."""
        with self._wake:
            self._running = False
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> Engine:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def stream(self, prompt_ids: Sequence[int], params: SamplingParams) -> Iterator[TokenChunk]:
        """As `TextEngine.stream`; checks and queues at once, not at the first `next`.

        Raises:
            ValueError: as in `TextEngine`.
            EngineBusy: too many requests wait.
            EngineStopped: not started, or closed.
        """
        params.check()
        params.check_vocabulary(self._runner.vocab_size)
        self._check_prompt(prompt_ids)
        request = Request(
            list(prompt_ids),
            params,
            sampler=self._runner.prepare(params, prompt_ids=prompt_ids, end_ids=self._eos_ids),
            text=TextStream(self._tokenizer, params.stop, min_tokens=params.min_tokens),
        )
        with self._wake:
            if not self._running:
                raise EngineStopped("engine: not running. Call start() first.")
            if not self._scheduler.add(request):
                raise EngineBusy(f"engine: {self._scheduler.max_waiting} requests wait already. Try again later.")
            self._requests += 1
            self._prompt_tokens += len(prompt_ids)
            self._wake.notify()
        return _Stream(request, self._wake)

    def stats(self) -> EngineStats:
        """Counters for metrics."""
        with self._wake:
            return EngineStats(
                running=len(self._scheduler.running),
                waiting=len(self._scheduler.waiting),
                max_batch=self.max_batch,
                requests_total=self._requests,
                failed_total=self._failed,
                prompt_tokens_total=self._prompt_tokens,
                generated_tokens_total=self._generated,
                cached_prompt_tokens_total=self._cached,
            )

    def _check_prompt(self, prompt_ids: Sequence[int]) -> None:
        if not prompt_ids:
            raise ValueError("prompt_ids: must not be empty.")
        if len(prompt_ids) >= self.max_context:
            raise ValueError(
                f"prompt_ids: the context holds {self.max_context} tokens, answer included "
                f"(got a prompt of {len(prompt_ids)}). Shorten the prompt."
            )
        if not 0 <= min(prompt_ids) <= max(prompt_ids) < self._runner.vocab_size:
            raise ValueError(f"prompt_ids: must be 0 to {self._runner.vocab_size - 1}. Use this model's tokenizer.")

    # --- the background thread -------------------------------------------------------------------------------------

    def _loop(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: not self._running or self._scheduler.has_work())
                if not self._running:
                    break
                cancelled = self._scheduler.take_cancelled()
                admitted = self._scheduler.admit()
            for request in cancelled:
                self._finish(request, "cancelled")
            for request in admitted:
                self._attempt_begin(request)
            batch = self._scheduler.schedule()
            if batch:
                for work, sampled in zip(batch, self._step(batch), strict=True):
                    self._deliver(work, sampled)
        for request in [*self._scheduler.running, *self._scheduler.waiting]:
            self._finish(request, "cancelled")

    def _step(self, batch: Sequence[Work]) -> list[SampledToken | Exception | None]:
        """Run a batch; if it fails as a whole, run its requests one by one, so that only the guilty one fails.

        Running again is safe: the same keys and values are written to the same places.
        """
        try:
            return self._runner.step(batch)
        except Exception as error:  # noqa: BLE001 - handed to the request's reader
            if len(batch) == 1:
                return [error]
            return [sampled for work in batch for sampled in self._step([work])]

    def _attempt_begin(self, request: Request) -> None:
        try:
            self._runner.begin(request)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong belongs to this request alone
            self._fail(request, error)
        else:
            self._cached += request.num_computed

    def _deliver(self, work: Work, sampled: SampledToken | Exception | None) -> None:
        request, params = work.request, work.request.params
        if isinstance(sampled, Exception):
            return self._fail(request, sampled)
        request.num_computed += work.num_tokens
        if sampled is None:
            return None
        token = sampled.token_id
        if token in params.stop_token_ids or (token in self._eos_ids and not params.ignore_eos):
            return self._finish(request, "stop")
        request.token_ids.append(token)
        self._generated += 1
        text, stopped = request.text.push(token)
        chunk = TokenChunk((token,), text, logprobs=(sampled.logprob,) if sampled.logprob else ())
        if stopped or sampled.ends:
            return self._finish(request, "stop", chunk)
        num_new = len(request.token_ids) - request.num_prompt
        if num_new >= params.max_tokens or len(request.token_ids) >= self.max_context:
            return self._finish(request, "length", chunk)
        request.output.put(chunk)
        return None

    def _finish(self, request: Request, reason: FinishReason, last: TokenChunk = _NOTHING) -> None:
        self._retire(request)
        request.output.put(replace(last, text=last.text + request.text.flush(), finish_reason=reason))

    def _fail(self, request: Request, error: Exception) -> None:
        self._failed += 1
        self._retire(request)
        failure = GenerationFailed("engine: generation failed for this request. Try again; the log names the cause.")
        failure.__cause__ = error
        request.output.put(failure)

    def _retire(self, request: Request) -> None:
        with self._wake:
            self._scheduler.remove(request)
        if request.slot is not None:
            self._runner.end(request)


class _Stream(Iterator[TokenChunk]):
    """A request's chunks; closing or dropping it cancels the request."""

    def __init__(self, request: Request, wake: threading.Condition) -> None:
        self._request, self._wake, self._ended = request, wake, False

    def __next__(self) -> TokenChunk:
        if self._ended:
            raise StopIteration
        item = self._request.output.get()
        if isinstance(item, Exception):
            self._ended = True
            raise item
        self._ended = item.finish_reason is not None
        return item

    def close(self) -> None:
        """Cancel the request, if it still runs."""
        if not self._ended:
            self._ended = True
            with self._wake:
                self._request.cancelled = True
                self._wake.notify()

    def __del__(self) -> None:
        # A dropped iterator must not go on using a slot. No lock: the collector may run in the engine's thread too.
        self._request.cancelled = True
