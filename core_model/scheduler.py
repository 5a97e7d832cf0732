"""Which requests run in the next step, and with how many tokens. Ignores tensors, threads and text.

Waiting requests start by priority; among equals, the tenant that was served fewest tokens goes first (virtual token
counter, arXiv:2401.00588). Running answers go on with one token each and what is guessed to follow it; prompts fill
what is left of a step, cut if need be (Sarathi-Serve, arXiv:2403.02310), so that a long prompt does not stop the
others. When the cache runs out of pages, the least important request gives its pages up and is computed again later;
its reader never knows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

from core_model.generation import EngineBusy, RequestOptions
from core_model.timeline import Timeline

if TYPE_CHECKING:
    from core_model.adapter_names import LoadedAdapter
    from core_model.detokenize import TextStream
    from core_model.generation import SamplingParams, TokenChunk
    from core_model.speculate import Speculation

_LONGEST_WAITING_EVERY = 8  # of so many starts one is by age alone: no priority and no tenant starves another
_GENERATED_WEIGHT = 2  # a generated token counts as two prompt tokens, as in the paper


@dataclass(eq=False)
class Request:
    """One generation on its way. `token_ids` is the prompt and what was generated so far.

    A learned prompt stands before the prompt: its virtual tokens have ids too, which mean nothing.
    """

    token_ids: list[int]
    params: SamplingParams
    sampler: Any
    text: TextStream
    options: RequestOptions = field(default_factory=RequestOptions)
    adapter: LoadedAdapter | None = None
    max_length: int = 0  # where its answer ends at the latest, prompt included
    cache_root: tuple[str | None, ...] = ()  # requests with different roots share no cached prefix
    output: SimpleQueue[TokenChunk | Exception] = field(default_factory=SimpleQueue)
    slot: int | None = None
    num_computed: int = 0  # tokens whose keys and values are in the cache
    speculation: Speculation | None = None
    draft: tuple[int, ...] = ()  # guessed to follow `token_ids`
    cancelled: bool = False
    paused: bool = False  # its reader is behind; it goes on when that has read
    order: int = -1  # of arrival
    timeline: Timeline = field(default_factory=Timeline)
    num_prompt: int = field(init=False)

    def __post_init__(self) -> None:
        self.num_prompt = len(self.token_ids)

    @property
    def num_pending(self) -> int:
        """Tokens still to be computed before the next one can be sampled."""
        return len(self.token_ids) - self.num_computed


@dataclass(frozen=True)
class Work:
    """The next `num_tokens` tokens of a request, and after its last one what is guessed to follow."""

    request: Request
    num_tokens: int
    draft: tuple[int, ...] = ()

    @property
    def samples(self) -> bool:
        """Whether these tokens reach the end, so that a new one is sampled: more if `draft` is right."""
        return self.num_tokens == self.request.num_pending


class CacheRoom(Protocol):
    """Room in the cache, request by request."""

    def begin(self, request: Request) -> bool:
        """Make room for its tokens; set `slot` and `num_computed`. False: there is too little now."""

    def reserve(self, request: Request, num_tokens: int) -> bool:
        """Make room for its next `num_tokens` tokens. False: there is too little now."""

    def end(self, request: Request) -> None:
        """Take all its room back; `slot` becomes None."""


class Scheduler:
    """A bounded waiting queue and at most `max_batch` requests in a step.

    Args:
        max_waiting: Requests that may wait, of all tenants.
        max_waiting_per_tenant: The same for each tenant; None is no limit of its own.
        step_tokens: Most tokens in one step.
        few_rows: Most tokens of answers in one step, guessed ones included; without guesses there may be more answers.
        tile: A prompt that does not fit into a step is cut at a multiple of this.

    Raises:
        ValueError: `step_tokens` is less than `max_batch` and a tile.
    """

    def __init__(
        self,
        *,
        max_batch: int,
        max_waiting: int,
        step_tokens: int,
        max_waiting_per_tenant: int | None = None,
        few_rows: int = 1,
        tile: int = 1,
    ) -> None:
        least = max_batch - 1 + tile
        if step_tokens < least:
            raise ValueError(f"step_tokens: must be at least {least} for max_batch={max_batch} (got {step_tokens}).")
        self.max_batch, self.max_waiting, self.step_tokens, self.tile = max_batch, max_waiting, step_tokens, tile
        self.few_rows = few_rows
        self.max_waiting_per_tenant = max_waiting if max_waiting_per_tenant is None else max_waiting_per_tenant
        self.waiting: list[Request] = []
        self.running: list[Request] = []  # by start; also those that are paused and keep their pages for now
        self.num_preemptions = 0
        self._served: dict[str, int] = {}  # weighted tokens by tenant
        self._num_added = self._num_started = 0

    def add(self, request: Request) -> None:
        """Queue a request.

        Raises:
            EngineBusy: the queue is full, for all or for this tenant.
        """
        if len(self.waiting) >= self.max_waiting:
            raise EngineBusy(f"engine: {self.max_waiting} requests wait already. Try again later.")
        tenant = request.options.tenant
        if sum(other.options.tenant == tenant for other in self.waiting) >= self.max_waiting_per_tenant:
            raise EngineBusy(
                f"engine: {self.max_waiting_per_tenant} requests of this tenant wait already. Try again later."
            )
        self._enter(tenant)
        request.order = self._num_added
        self._num_added += 1
        self.waiting.append(request)

    def take_cancelled(self) -> list[Request]:
        """The cancelled requests, waiting or running; `remove` them."""
        return [request for request in (*self.waiting, *self.running) if request.cancelled]

    def next_waiting(self) -> Request | None:
        """Which request starts next, if there is a place in the batch."""
        ready = [request for request in self.waiting if not request.paused]
        if not ready or sum(not request.paused for request in self.running) >= self.max_batch:
            return None
        if self._num_started % _LONGEST_WAITING_EVERY == _LONGEST_WAITING_EVERY - 1:
            return min(ready, key=lambda r: r.order)
        return min(ready, key=lambda r: (-r.options.priority, self._served[r.options.tenant], r.order))

    def start(self, request: Request, room: CacheRoom) -> bool:
        """Move a waiting request to the running ones; False if there is no room for it, even without those paused."""
        while not room.begin(request):
            paused = [other for other in self.running if other.paused]
            if not paused:
                return False
            self._preempt(min(paused, key=_importance), room)
        self.waiting.remove(request)
        self.running.append(request)
        self._num_started += 1
        return True

    def remove(self, request: Request) -> None:
        """Forget a finished request."""
        if request in self.running:
            self.running.remove(request)
        elif request in self.waiting:
            self.waiting.remove(request)

    def schedule(self, room: CacheRoom) -> list[Work]:
        """The next step: at most `step_tokens` tokens of at most `max_batch` requests, with room for all of them."""
        left, batch = self.step_tokens, list[Work]()
        ready = [request for request in self.running if not request.paused]
        num_drafted = min(self.max_draft, (left - self.max_batch) // self.max_batch)  # every answer goes on
        for request in sorted(ready, key=lambda r: r.num_pending > 1):  # stable: answers, then prompts; each by start
            num_tokens = min(request.num_pending, left)
            if num_tokens < request.num_pending:
                num_tokens -= (request.num_computed + num_tokens) % self.tile
            fits = num_tokens > 0 and len(batch) < self.max_batch and request.slot is not None
            draft = request.draft[:num_drafted] if fits and request.num_pending == 1 else ()
            if draft and not room.reserve(request, num_tokens + len(draft)):
                draft = ()  # a guess pushes nobody out
            if draft or (fits and self._make_room(request, num_tokens, room)):
                batch.append(Work(request, num_tokens, draft))
                left -= num_tokens + len(draft)
        return [work for work in batch if work.request.slot is not None]  # without those that gave up their pages

    @property
    def is_idle(self) -> bool:
        """Whether there is no request."""
        return not (self.running or self.waiting)

    @property
    def max_draft(self) -> int:
        """Guessed tokens that each running request may add to a step."""
        num_running = sum(not request.paused for request in self.running)
        return max(0, self.few_rows - num_running) // max(1, num_running)

    def count_served(self, work: Work, *, num_sampled: int) -> None:
        """Charge the request's tenant for a step that generated `num_sampled` tokens; wrong guesses are free."""
        cost = work.num_tokens - 1 + _GENERATED_WEIGHT * num_sampled if num_sampled else work.num_tokens
        self._served[work.request.options.tenant] += cost

    def start_over(self, room: CacheRoom, version: str) -> None:
        """The model has changed: what is computed is worth nothing any more."""
        for request in [*self.running]:
            self._preempt(request, room)
        for request in self.waiting:
            request.cache_root = (version, *request.cache_root[1:])

    def _make_room(self, request: Request, num_tokens: int, room: CacheRoom) -> bool:
        """Make room for a step of `request`, at the cost of less important ones; else it gives up its own pages."""
        while not room.reserve(request, num_tokens):
            least = min(self.running, key=_importance)
            self._preempt(least, room)
            if least is request:
                return False
        return True

    def _preempt(self, request: Request, room: CacheRoom) -> None:
        room.end(request)
        request.num_computed = 0
        self.running.remove(request)
        self.waiting.append(request)
        self.num_preemptions += 1

    def _enter(self, tenant: str) -> None:
        """A tenant that was away gets no credit for that: it starts level with the least served of those present."""
        present = {request.options.tenant for request in (*self.waiting, *self.running)}
        if tenant not in present:
            floor = min((self._served[name] for name in present), default=0)
            self._served = {name: n for name, n in self._served.items() if name in present or (present and n > floor)}
            self._served[tenant] = max(self._served.get(tenant, 0), floor)


def _importance(request: Request) -> tuple[bool, int, int]:
    """The least important is paused, of low priority, and came last."""
    return not request.paused, request.options.priority, -request.order
