"""Engine: token ids in, token ids out. Knows no chat template, no HTTP, no domain, no tensors: a `Runner` has those."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from core_model.adapter_names import AdapterNames
from core_model.changes import Changes
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
from core_model.pooled import READING, embed_all
from core_model.request_stream import RequestStream
from core_model.runs_model import Runner, check_prompt
from core_model.scheduler import Request, Scheduler, Work
from core_model.speculate import Speculation
from core_model.stats import EngineStats
from core_model.timeline import Timeline

if TYPE_CHECKING:
    from core_model.detokenize import Decodes
    from core_model.pooled import FloatArray, Pooler, Pooling
    from core_model.speculate import Drafter
    from core_model.timeline import Observe

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
        new_drafter: Makes who guesses a request's next tokens (`core_model.speculate`); None guesses nothing.
        observe: Told of each request at its end; see `core_model.timeline`.
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
        observe: Observe | None = None,
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
        self._running = self._draining = False
        self._changes = Changes()
        self._thread: threading.Thread | None = None
        self._new_drafter, self._drafted, self._accepted = new_drafter, 0, 0
        self._adapters, self._observe = AdapterNames(runner), observe  # the names are guarded by _wake too
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
        """Whether it serves, or drains."""
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
        with self._wake:
            self._must_run()
            done = self._changes.ask(change)
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

        def new_sampler() -> Any:
            return self._runner.prepare(params, prompt_ids=prompt_ids, end_ids=self._eos_ids)

        return self._submit(prompt_ids, params, options or RequestOptions(), new_sampler)[0]

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
        options = replace(options or RequestOptions(), speculate=False)

        def start(prompt_ids: Sequence[int]) -> tuple[RequestStream, Pooler]:
            return self._submit(prompt_ids, READING, options, lambda: self._runner.pooler(pooling))

        return embed_all(start, prompts, at_once=self.max_batch, normalize=normalize)

    def expert_counts(self) -> Mapping[int, Sequence[int]]:
        """Tokens per expert since the start, by layer with experts."""
        return self._runner.expert_counts()

    def _submit(
        self,
        prompt_ids: Sequence[int],
        params: SamplingParams,
        options: RequestOptions,
        new_sampler: Callable[[], Any],
    ) -> tuple[RequestStream, Any]:
        """Check and queue; the stream, and the sampler of the request."""
        params.check()
        params.check_vocabulary(self._runner.vocab_size)
        adapter = self._adapters.find(options.adapter)
        virtual_ids = [0] * (adapter.num_virtual_tokens if adapter else 0)
        max_length = min(len(virtual_ids) + len(prompt_ids) + params.max_tokens, self.max_context)
        check_prompt(
            prompt_ids, self._runner, num_virtual=len(virtual_ids), params=params, max_context=self.max_context
        )
        request = Request(
            [*virtual_ids, *prompt_ids],
            params,
            sampler=new_sampler(),
            text=TextStream(self._tokenizer, params.stop, min_tokens=params.min_tokens),
            options=options,
            adapter=adapter,
            max_length=max_length,
            speculation=Speculation(self._new_drafter()) if self._new_drafter and options.speculate else None,
            timeline=Timeline(self._observe, self.model_version),
        )
        with self._wake:
            self._must_run()
            request.cache_root = (self.model_version, adapter.id if adapter else None, options.cache_salt)
            if self._adapters.find(options.adapter) is not adapter:
                raise EngineBusy(f"adapter: {options.adapter!r} is being replaced. Try again.")
            self._scheduler.add(request)
            self._requests += 1
            self._prompt_tokens += len(prompt_ids)
            self._wake.notify()
        return RequestStream(request, self._wake), request.sampler

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

    def _must_run(self) -> None:
        if not self._running or self._draining:
            raise EngineStopped("engine: not running. Call start() first.")

    # --- the background thread -------------------------------------------------------------------------------------

    def _loop(self) -> None:
        while True:
            with self._wake:
                for version in self._changes.apply(self._runner, check=self._must_run):
                    self.model_version = version
                    self._scheduler.start_over(self._runner, version)
                if not self._running or (self._draining and self._scheduler.is_idle):
                    self._running = False
                    break
                batch = self._plan()
                if not batch:
                    self._wake.wait(timeout=None if self._scheduler.is_idle else _LOOK_AGAIN_S)
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
            num_cached = max(0, request.num_computed - num_virtual)
            self._cached += num_cached
            request.timeline.start(num_prompt=request.num_prompt - num_virtual, num_cached=num_cached)

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
        request.timeline.count_token()
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
        request.timeline.end()

    def _let_go_of_adapters(self) -> None:
        requests = (*self._scheduler.running, *self._scheduler.waiting)
        self._adapters.clean({request.adapter.id for request in requests if request.adapter})
