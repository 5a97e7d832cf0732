"""Engine: token ids in, token ids out. Knows no chat template, no HTTP, no domain, no tensors: a `Runner` has those."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from core_model.detokenize import TextStream
from core_model.generation import (
    EngineStopped,
    FinishReason,
    GenerationFailed,
    RequestOptions,
    SampledToken,
    SamplingParams,
    TokenChunk,
)
from core_model.pooled import READING, embed_all
from core_model.request_stream import RequestStream
from core_model.runs_model import Runner, check_adapter, check_prompt
from core_model.scheduler import Request, Scheduler, Work
from core_model.stats import EngineStats

if TYPE_CHECKING:
    from core_model.detokenize import Decodes
    from core_model.pooled import FloatArray, Pooler, Pooling

_NOTHING = TokenChunk((), "")
_LOOK_AGAIN_S = 0.05  # while every request is paused: for readers that vanished without a word


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
    ) -> None:
        self.model_version, self.max_context, self.max_batch = model_version, max_context, max_batch
        self._runner, self._tokenizer, self._eos_ids, self._max_unread = runner, tokenizer, eos_ids, max_unread
        self._scheduler = Scheduler(
            max_batch=max_batch,
            max_waiting=max_waiting,
            step_tokens=step_tokens,
            max_waiting_per_tenant=max_waiting_per_tenant,
        )
        self._wake = threading.Condition()  # guards the scheduler and _running
        self._running = self._draining = False
        self._changes: list[tuple[Future[None], Callable[[Any], str | None]]] = []
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

    @property
    def is_alive(self) -> bool:
        """Whether it still serves, or drains."""
        return self._running

    def drain(self) -> None:
        """Take no more requests; the thread ends with the last of those it has. Returns at once."""
        with self._wake:
            self._draining = True
            self._wake.notify()

    def between_steps(self, change: Callable[[Any], str | None]) -> None:
        """Change the model between two steps, and wait for it.

        Args:
            change: Gets the runner, on the engine's thread. The version that it returns is the model's from then on:
                requests under way are computed again so far, and nothing cached before is used. None: nothing changed.

        Raises:
            EngineStopped: not running. Else what `change` raises.
        """
        done: Future[None] = Future()
        with self._wake:
            self._must_run()
            self._changes.append((done, change))
            self._wake.notify()
        done.result()

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
        self._check(prompt_ids, params, options)
        return self._submit(
            prompt_ids,
            params,
            options,
            sampler=self._runner.prepare(params, prompt_ids=prompt_ids, end_ids=self._eos_ids),
        )

    def embed(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        pooling: Pooling = "mean",
        normalize: bool = False,
        options: RequestOptions | None = None,
    ) -> FloatArray:
        """Pooled last hidden states, (prompts, D) fp32, computed in the same batch as everybody's answers; blocks.

        Args:
            pooling: See `core_model.pooled.Pooling`.
            normalize: Each row has length 1.

        Raises:
            ValueError, EngineBusy, EngineStopped, GenerationFailed: as in `stream`; then no prompt is run further.
        """
        options = options or RequestOptions()

        def start(prompt_ids: Sequence[int]) -> tuple[RequestStream, Pooler]:
            self._check(prompt_ids, READING, options)
            pooler = self._runner.pooler(pooling)
            return self._submit(prompt_ids, READING, options, sampler=pooler, is_private=pooler.needs_all), pooler

        return embed_all(start, prompts, at_once=self.max_batch, normalize=normalize)

    def expert_counts(self) -> Mapping[int, Sequence[int]]:
        """Tokens per expert since the start, by layer with experts."""
        return self._runner.expert_counts()

    def _submit(
        self,
        prompt_ids: Sequence[int],
        params: SamplingParams,
        options: RequestOptions,
        *,
        sampler: Any,
        is_private: bool = False,
    ) -> RequestStream:
        request = Request(
            list(prompt_ids),
            params,
            sampler=sampler,
            is_private=is_private,
            text=TextStream(self._tokenizer, params.stop, min_tokens=params.min_tokens),
            options=options,
            max_length=min(len(prompt_ids) + params.max_tokens, self.max_context),
        )
        with self._wake:
            self._must_run()
            request.cache_root = (self.model_version, options.adapter, options.cache_salt)
            self._scheduler.add(request)
            self._requests += 1
            self._prompt_tokens += len(prompt_ids)
            self._wake.notify()
        return RequestStream(request, self._wake)

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
                preemptions_total=self._scheduler.num_preemptions,
                paused=paused,
                **asdict(self._runner.cache_stats()),
            )

    def _check(self, prompt_ids: Sequence[int], params: SamplingParams, options: RequestOptions) -> None:
        params.check()
        params.check_vocabulary(self._runner.vocab_size)
        check_prompt(prompt_ids, self._runner, max_tokens=params.max_tokens, max_context=self.max_context)
        check_adapter(options, self._runner)

    def _must_run(self) -> None:
        if not self._running or self._draining:
            raise EngineStopped("engine: not running. Call start() first.")

    # --- the background thread -------------------------------------------------------------------------------------

    def _loop(self) -> None:
        while True:
            with self._wake:
                self._apply_changes()
                is_idle = not (self._scheduler.running or self._scheduler.waiting)
                if not self._running or (self._draining and is_idle):
                    self._running = False
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

    def _apply_changes(self) -> None:
        for done, change in self._changes:
            try:
                self._must_run()
                version = change(self._runner)
            except Exception as error:  # noqa: BLE001 - handed to who asked for it
                done.set_exception(error)
                continue
            if version is not None:
                self.model_version = version
                self._scheduler.start_over(self._runner, version)
            done.set_result(None)
        self._changes.clear()

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

    def _count_cached(self, request: Request) -> None:
        if len(request.token_ids) == request.num_prompt:  # else it was preempted, and finds its own tokens
            self._cached += request.num_computed

    def _deliver(self, work: Work, sampled: SampledToken | Exception | None) -> None:
        request, params = work.request, work.request.params
        if isinstance(sampled, Exception):
            return self._fail(request, sampled)
        self._scheduler.count_served(work)
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
