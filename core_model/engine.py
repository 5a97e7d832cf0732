"""Engine: token ids in, token ids out. Knows no chat template, no HTTP, no domain, no tensors: a `Runner` has those."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from core_model.adapter_names import AdapterNames, AdapterRoom, LoadedAdapter
from core_model.detokenize import TextStream
from core_model.generation import (
    EngineBusy,
    EngineStopped,
    FinishReason,
    GenerationFailed,
    RequestOptions,
    SampledToken,
    SamplingParams,
    TokenChunk,
)
from core_model.scheduler import CacheRoom, Request, Scheduler, Work
from core_model.speculate import Speculation
from core_model.stats import CacheStats, EngineStats

if TYPE_CHECKING:
    from core_model.detokenize import Decodes
    from core_model.speculate import Drafter

_NOTHING = TokenChunk((), "")
_LOOK_AGAIN_S = 0.05  # while every request is paused: for readers that vanished without a word


class Runner(CacheRoom, AdapterRoom, Protocol):
    """The model side of the engine; used from the engine's thread, but for `prepare`, `cache_stats` and adapters."""

    @property
    def vocab_size(self) -> int: ...

    @property
    def capacity(self) -> int:
        """Tokens that the cache holds, of all requests together."""

    @property
    def few_rows(self) -> int:
        """Tokens that may be computed together as guesses: more could come out otherwise than one by one."""

    @property
    def tile(self) -> int:
        """A prompt that does not fit into a step is cut at a multiple of this."""

    def read_adapter(self, folder: Path) -> LoadedAdapter:
        """Read and check an adapter's folder, from any thread. ValueError: it is damaged, or does not fit the model."""

    def prepare(self, params: SamplingParams, *, prompt_ids: Sequence[int], end_ids: Collection[int]) -> Any:
        """The sampler of a new request. ValueError: an unusable grammar."""

    def step(self, batch: Sequence[Work]) -> list[list[SampledToken] | Exception]:
        """Run the model once. Per work: the sampled tokens, or what went wrong with this one.

        One token, and one more for each right guess in `Work.draft`; none inside a prompt.
        """

    def cache_stats(self) -> CacheStats: ...


class Engine:
    """The local engine: continuous batching (Orca, OSDI 2022) on one background thread.

    `start()` begins the thread; `close()` ends it and cancels what runs. Also a context manager.

    Args:
        runner: Runs the model.
        tokenizer: Decodes tokens to text.
        eos_ids: Tokens that end an answer; they are not handed out.
        max_context: Tokens of prompt and answer together; an answer that reaches it finishes with "length".
        max_waiting: Requests beyond those running before `EngineBusy`.
        max_waiting_per_tenant: The same for each tenant; None is no limit of its own.
        max_unread: Chunks that a reader may leave unread before its request is paused.
        step_tokens: Most tokens in one step; long prompts are cut to it, so that others go on meanwhile.
        new_drafter: Makes who guesses a request's next tokens (`core_model.speculate`); None guesses nothing.
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
        max_waiting_per_tenant: int | None = None,
        max_unread: int = 64,
        step_tokens: int = 256,
        new_drafter: Callable[[], Drafter] | None = None,
    ) -> None:
        self.model_version, self.max_context, self.max_batch = model_version, max_context, max_batch
        self._runner, self._tokenizer, self._eos_ids, self._max_unread = runner, tokenizer, eos_ids, max_unread
        self._scheduler = Scheduler(
            max_batch=max_batch,
            max_waiting=max_waiting,
            step_tokens=step_tokens,
            max_waiting_per_tenant=max_waiting_per_tenant,
            few_rows=runner.few_rows,
            tile=runner.tile,
        )
        self._wake = threading.Condition()  # guards the scheduler and _running
        self._running = False
        self._thread: threading.Thread | None = None
        self._new_drafter, self._drafted, self._accepted = new_drafter, 0, 0
        self._adapters = AdapterNames(runner)  # guarded by _wake too
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

    def stream(
        self, prompt_ids: Sequence[int], params: SamplingParams, *, options: RequestOptions | None = None
    ) -> Iterator[TokenChunk]:
        """As `TextEngine.stream`; checks and queues at once, not at the first `next`.

        Raises:
            ValueError: as in `TextEngine`, more tokens than the cache holds, an unusable grammar or adapter.
            EngineBusy: too many requests wait.
            EngineStopped: not started, or closed.
        """
        options = options or RequestOptions()
        params.check()
        params.check_vocabulary(self._runner.vocab_size)
        adapter = self._adapters.find(options.adapter)
        virtual_ids = [0] * (adapter.num_virtual_tokens if adapter else 0)
        self._check(prompt_ids, params, num_virtual=len(virtual_ids))
        request = Request(
            [*virtual_ids, *prompt_ids],
            params,
            sampler=self._runner.prepare(params, prompt_ids=prompt_ids, end_ids=self._eos_ids),
            text=TextStream(self._tokenizer, params.stop, min_tokens=params.min_tokens),
            options=options,
            adapter=adapter,
            max_length=self._max_length(len(virtual_ids) + len(prompt_ids), params),
            cache_root=(self.model_version, adapter.id if adapter else None, options.cache_salt),
            speculation=Speculation(self._new_drafter()) if self._new_drafter and options.speculate else None,
        )
        with self._wake:
            if not self._running:
                raise EngineStopped("engine: not running. Call start() first.")
            if self._adapters.find(options.adapter) is not adapter:
                raise EngineBusy(f"adapter: {options.adapter!r} is being replaced. Try again.")
            self._scheduler.add(request)
            self._requests += 1
            self._prompt_tokens += len(prompt_ids)
            self._wake.notify()
        return _Stream(request, self._wake)

    def load_adapter(self, name: str, folder: Path) -> None:
        """Let requests ask for the adapter in `folder` (PEFT's format) by `name`, from now on.

        A name that is in use changes at once: running requests go on with the adapter that they began with.

        Raises:
            ValueError: a damaged folder, one for another model, an unusable name, too many adapters; nothing changed.
        """
        adapter = self._runner.read_adapter(folder)
        with self._wake:
            self._adapters.give(name, adapter)
            self._let_go_of_adapters()

    def unload_adapter(self, name: str) -> None:
        """Refuse new requests for an adapter; its memory is free when those that run have ended.

        Raises:
            ValueError: none is loaded under that name.
        """
        with self._wake:
            self._adapters.take(name)
            self._let_go_of_adapters()

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names that requests may ask for, sorted."""
        with self._wake:
            return self._adapters.loaded

    def stats(self) -> EngineStats:
        """Counters for metrics."""
        with self._wake:
            running, waiting = self._scheduler.running, self._scheduler.waiting
            paused = sum(request.paused for request in (*running, *waiting))
            return EngineStats(
                running=len(running),
                waiting=len(waiting),
                max_batch=self.max_batch,
                requests_total=self._requests,
                failed_total=self._failed,
                prompt_tokens_total=self._prompt_tokens,
                generated_tokens_total=self._generated,
                cached_prompt_tokens_total=self._cached,
                drafted_tokens_total=self._drafted,
                accepted_tokens_total=self._accepted,
                preemptions_total=self._scheduler.num_preemptions,
                paused=paused,
                **asdict(self._runner.cache_stats()),
            )

    def _check(self, prompt_ids: Sequence[int], params: SamplingParams, *, num_virtual: int) -> None:
        if not prompt_ids:
            raise ValueError("prompt_ids: must not be empty.")
        num_tokens = num_virtual + len(prompt_ids)
        if num_tokens >= self.max_context:
            raise ValueError(
                f"prompt_ids: the context holds {self.max_context} tokens, answer included "
                f"(got a prompt of {num_tokens}). Shorten the prompt."
            )
        if not 0 <= min(prompt_ids) <= max(prompt_ids) < self._runner.vocab_size:
            raise ValueError(f"prompt_ids: must be 0 to {self._runner.vocab_size - 1}. Use this model's tokenizer.")
        if self._max_length(num_tokens, params) > self._runner.capacity:
            raise ValueError(
                f"prompt_ids: the cache holds {self._runner.capacity} tokens (got a prompt of {num_tokens} and "
                f"max_tokens={params.max_tokens}). Shorten one of them."
            )

    def _max_length(self, num_tokens: int, params: SamplingParams) -> int:
        return min(num_tokens + params.max_tokens, self.max_context)

    # --- the background thread -------------------------------------------------------------------------------------

    def _loop(self) -> None:
        while True:
            with self._wake:
                if not self._running:
                    break
                batch = self._plan()
                if not batch:
                    is_idle = not (self._scheduler.running or self._scheduler.waiting)
                    self._wake.wait(timeout=None if is_idle else _LOOK_AGAIN_S)
                    continue
            for work, sampled in zip(batch, self._step(batch), strict=True):
                self._deliver(work, sampled)
        for request in [*self._scheduler.running, *self._scheduler.waiting]:
            self._finish(request, "cancelled")

    def _plan(self) -> list[Work]:
        """Let go who has left, pause and resume for slow readers, start who fits; then the next step."""
        scheduler = self._scheduler
        for request in scheduler.take_cancelled():
            self._finish(request, "cancelled")
        for request in (*scheduler.running, *scheduler.waiting):
            request.paused = request.output.qsize() > (self._max_unread // 2 if request.paused else self._max_unread)
        while first := scheduler.next_waiting():
            try:
                if not scheduler.start(first, self._runner):
                    break
            except Exception as error:  # noqa: BLE001 - whatever goes wrong belongs to this request alone
                self._fail(first, error)
            else:
                self._count_cached(first)
        return scheduler.schedule(self._runner)

    def _step(self, batch: Sequence[Work]) -> list[list[SampledToken] | Exception]:
        """Run a batch; if it fails as a whole, run its requests one by one, so that only the guilty one fails.

        Running again is safe: the same keys and values are written to the same places.
        """
        try:
            return self._runner.step(batch)
        except Exception as error:  # noqa: BLE001 - handed to the request's reader
            if len(batch) == 1:
                return [error]
            return [sampled for work in batch for sampled in self._step([work])]

    def _count_cached(self, request: Request) -> None:
        if len(request.token_ids) == request.num_prompt:  # else it was preempted, and finds its own tokens
            num_virtual = request.adapter.num_virtual_tokens if request.adapter else 0
            self._cached += max(0, request.num_computed - num_virtual)

    def _deliver(self, work: Work, sampled: list[SampledToken] | Exception) -> None:
        request = work.request
        if isinstance(sampled, Exception):
            return self._fail(request, sampled)
        self._scheduler.count_served(work, num_sampled=len(sampled))
        request.num_computed += work.num_tokens
        self._drafted += len(work.draft)
        for i, token in enumerate(sampled):
            request.num_computed += i > 0  # the token before was guessed: its keys and values are there already
            self._accepted += i > 0
            self._append(request, token)
            if request.slot is None:  # it has ended
                return None
        if sampled and request.speculation:
            try:
                request.speculation.learn(num_drafted=len(work.draft), num_accepted=len(sampled) - 1)
                most = min(request.max_length - len(request.token_ids) - 1, self._scheduler.max_draft)
                request.draft = request.speculation.propose(request.token_ids, limit=most)
            except Exception as error:  # noqa: BLE001 - handed to the request's reader
                self._fail(request, error)
        return None

    def _append(self, request: Request, sampled: SampledToken) -> None:
        """One more token of the answer, unless it ends it."""
        params, token = request.params, sampled.token_id
        if token in params.stop_token_ids or (token in self._eos_ids and not params.ignore_eos):
            return self._finish(request, "stop")
        request.token_ids.append(token)
        self._generated += 1
        text, stopped = request.text.push(token)
        chunk = TokenChunk((token,), text, logprobs=(sampled.logprob,) if sampled.logprob else ())
        if stopped or sampled.ends:
            return self._finish(request, "stop", chunk)
        if len(request.token_ids) >= request.max_length:
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
            if request.adapter is not None:
                self._let_go_of_adapters()
        if request.speculation:
            request.speculation.drafter.end()

    def _let_go_of_adapters(self) -> None:
        requests = (*self._scheduler.running, *self._scheduler.waiting)
        self._adapters.clean({request.adapter.id for request in requests if request.adapter})


class _Stream(Iterator[TokenChunk]):
    """A request's chunks; closing or dropping it cancels the request."""

    def __init__(self, request: Request, wake: threading.Condition) -> None:
        self._request, self._wake, self._ended = request, wake, False

    def __next__(self) -> TokenChunk:
        if self._ended:
            raise StopIteration
        item = self._request.output.get()
        if self._request.paused:
            with self._wake:
                self._wake.notify()
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
