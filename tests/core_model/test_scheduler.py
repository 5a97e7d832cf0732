"""Who runs in a step: by priority and fair to tenants, answers before prompts, prompts in pieces, within the pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_model.generation import EngineBusy, RequestOptions, SamplingParams
from core_model.scheduler import Request, Scheduler


class Room:
    """Counts tokens; a request takes what it has and gives all back."""

    def __init__(self, capacity: int = 10**9) -> None:
        self.capacity, self.taken = capacity, Counter[Request]()

    def begin(self, request: Request) -> bool:
        request.num_computed = 0
        if self.taken.total() + len(request.token_ids) > self.capacity:
            return False
        self.taken[request], request.slot = len(request.token_ids), id(request)
        return True

    def reserve(self, request: Request, num_tokens: int) -> bool:
        more = max(0, request.num_computed + num_tokens - self.taken[request])
        if self.taken.total() + more > self.capacity:
            return False
        self.taken[request] += more
        return True

    def end(self, request: Request) -> None:
        del self.taken[request]
        request.slot = None


def make_request(num_tokens: int, *, tenant: str = "", priority: int = 0) -> Request:
    options = RequestOptions(tenant=tenant, priority=priority)
    return Request([1] * num_tokens, SamplingParams(), sampler=None, text=None, options=options)  # type: ignore[arg-type]


def make_scheduler(*requests: Request, **limits: int) -> Scheduler:
    scheduler = Scheduler(**{"max_batch": 2, "max_waiting": 99, "step_tokens": 4, **limits})
    for request in requests:
        scheduler.add(request)
    return scheduler


def start_all(scheduler: Scheduler, room: Room) -> list[Request]:
    """Start whoever may; those started."""
    started = []
    while (request := scheduler.next_waiting()) and scheduler.start(request, room):
        started.append(request)
    return started


def step(scheduler: Scheduler, room: Room, is_done: Callable[[Request], bool]) -> list[Request]:
    """Start, run one step, append a token where one is due; those that started."""
    started = start_all(scheduler, room)
    for work in scheduler.schedule(room):
        request, samples = work.request, work.samples
        scheduler.count_served(work, num_sampled=int(samples))
        request.num_computed += work.num_tokens
        if samples:
            request.token_ids.append(1)
            if is_done(request):
                scheduler.remove(request)
                room.end(request)
    return started


def test_equals_start_in_order_up_to_the_batch() -> None:
    a, b, c = (make_request(1) for _ in range(3))
    scheduler, room = make_scheduler(a, b, c), Room()

    assert start_all(scheduler, room) == [a, b]
    assert start_all(scheduler, room) == []
    scheduler.remove(a)
    assert start_all(scheduler, room) == [c]


def test_a_full_queue_is_busy_for_all_or_for_one_tenant() -> None:
    scheduler = make_scheduler(make_request(1, tenant="a"), max_waiting=2, max_waiting_per_tenant=1)

    with pytest.raises(EngineBusy, match="1 requests of this tenant wait already"):
        scheduler.add(make_request(1, tenant="a"))
    scheduler.add(make_request(1, tenant="b"))
    with pytest.raises(EngineBusy, match="2 requests wait already"):
        scheduler.add(make_request(1, tenant="c"))


def test_higher_priority_starts_first() -> None:
    low, high, usual = make_request(1, priority=-1), make_request(1, priority=5), make_request(1)

    assert start_all(make_scheduler(low, high, usual, max_batch=3), Room()) == [high, usual, low]


def test_a_flooding_tenant_and_a_modest_one_are_served_alike() -> None:
    flood = [make_request(4, tenant="flood") for _ in range(40)]
    modest = [make_request(4, tenant="modest") for _ in range(8)]
    scheduler, room = make_scheduler(*flood, *modest, max_batch=1), Room()
    started: list[Request] = []
    for _ in range(300):
        started += step(scheduler, room, lambda r: len(r.token_ids) == 8)

    assert Counter(r.options.tenant for r in started[:14])["modest"] >= 6
    assert len(started) == 48


def test_a_tenant_that_was_away_gets_no_credit_for_it() -> None:
    scheduler, room = make_scheduler(*(make_request(4, tenant="old") for _ in range(20)), max_batch=1), Room()
    for _ in range(30):
        step(scheduler, room, lambda r: len(r.token_ids) == 8)
    for _ in range(10):
        scheduler.add(make_request(4, tenant="new"))

    started: list[Request] = []
    for _ in range(40):
        started += step(scheduler, room, lambda r: len(r.token_ids) == 8)

    assert Counter(r.options.tenant for r in started[:6])["old"] >= 2


def test_a_stream_of_urgent_requests_starves_nobody() -> None:
    patient = make_request(1, priority=-9)
    scheduler, room = make_scheduler(patient, max_batch=1), Room()
    started: list[Request] = []
    for _ in range(40):
        scheduler.add(make_request(1, priority=9))
        started += step(scheduler, room, lambda r: True)

    assert patient in started


def test_a_long_prompt_is_cut_and_an_answer_goes_on_beside_it() -> None:
    prompt, answer = make_request(10), make_request(5)
    scheduler, room = make_scheduler(prompt, answer), Room()
    start_all(scheduler, room)
    answer.num_computed = 4

    batch = scheduler.schedule(room)

    assert [(w.request, w.num_tokens, w.samples) for w in batch] == [(answer, 1, True), (prompt, 3, False)]


def test_the_last_piece_of_a_prompt_samples() -> None:
    request = make_request(6)
    scheduler, room = make_scheduler(request), Room()
    start_all(scheduler, room)
    request.num_computed = 3

    [work] = scheduler.schedule(room)

    assert (work.num_tokens, work.samples) == (3, True)


def test_without_room_the_newest_of_the_lowest_priority_gives_way() -> None:
    first, low, newer_low = make_request(3), make_request(3, priority=-1), make_request(3, priority=-1)
    scheduler, room = make_scheduler(first, low, newer_low, max_batch=3, step_tokens=9), Room(10)
    start_all(scheduler, room)
    for _ in range(2):
        step(scheduler, room, lambda r: False)

    assert (scheduler.running, scheduler.waiting) == ([first, low], [newer_low])
    assert (newer_low.slot, newer_low.num_computed, scheduler.num_preemptions) == (None, 0, 1)


def test_without_room_the_least_important_gives_way_itself() -> None:
    first, newer = make_request(3), make_request(3)
    scheduler, room = make_scheduler(first, newer, step_tokens=9), Room(7)
    start_all(scheduler, room)
    first.num_computed, newer.num_computed = 2, 2
    newer.token_ids += [1, 1]  # two tokens to go: the important one is served first, and takes the last place
    first.token_ids += [1]

    batch = scheduler.schedule(room)

    assert [work.request for work in batch] == [first]
    assert scheduler.waiting == [newer]


def test_a_paused_request_waits_and_gives_way_first() -> None:
    paused, waiting = make_request(4, priority=9), make_request(4)
    scheduler, room = make_scheduler(paused, max_batch=1), Room(6)
    start_all(scheduler, room)
    paused.paused = True

    assert scheduler.schedule(room) == []
    scheduler.add(waiting)
    assert start_all(scheduler, room) == [waiting]
    assert (scheduler.waiting, scheduler.next_waiting()) == ([paused], None)


def test_cancelled_requests_are_found_wherever_they_are() -> None:
    running, waiting = make_request(1), make_request(1)
    scheduler = make_scheduler(running, max_batch=1)
    start_all(scheduler, Room())
    scheduler.add(waiting)
    running.cancelled = waiting.cancelled = True

    assert set(scheduler.take_cancelled()) == {running, waiting}
    for request in (running, waiting):
        scheduler.remove(request)
    assert (scheduler.running, scheduler.waiting) == ([], [])


def test_a_step_smaller_than_the_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="step_tokens: must be at least 8 for max_batch=8"):
        Scheduler(max_batch=8, max_waiting=1, step_tokens=4)


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(-1, 1)), min_size=1, max_size=6), st.integers(24, 60))
def test_every_request_ends_and_no_step_exceeds_its_limits(lengths: list[tuple[int, int]], capacity: int) -> None:
    requests = [make_request(n, priority=priority) for n, priority in lengths]
    scheduler, room = make_scheduler(*requests, max_batch=3, step_tokens=7), Room(capacity)
    for _ in range(1000):
        start_all(scheduler, room)
        batch = scheduler.schedule(room)
        assert sum(work.num_tokens for work in batch) <= 7
        assert len(batch) <= 3
        assert room.taken.total() <= capacity
        for work in batch:
            samples = work.samples
            scheduler.count_served(work, num_sampled=int(samples))
            work.request.num_computed += work.num_tokens
            if samples:
                work.request.token_ids.append(1)
                if len(work.request.token_ids) == work.request.num_prompt + 4:
                    scheduler.remove(work.request)
                    room.end(work.request)

    assert (scheduler.running, scheduler.waiting) == ([], [])
    assert [len(r.token_ids) for r in requests] == [n + 4 for n, _ in lengths]
