"""Who runs in a step: first come first served, answers before prompts, prompts in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_model.generation import SamplingParams
from core_model.scheduler import Request, Scheduler


@pytest.fixture
def scheduler() -> Scheduler:
    return Scheduler(max_batch=2, max_waiting=2, step_tokens=4)


def make_request(num_tokens: int, *, computed: int = 0) -> Request:
    request = Request([1] * num_tokens, SamplingParams(), sampler=None, text=None)  # type: ignore[arg-type]
    request.num_computed = computed
    return request


def test_requests_are_admitted_in_order_up_to_the_batch(scheduler: Scheduler) -> None:
    a, b, c = (make_request(1) for _ in range(3))

    assert [scheduler.add(r) for r in (a, b, c)] == [True, True, False]
    assert scheduler.admit() == [a, b]
    scheduler.add(c)
    assert scheduler.admit() == []
    scheduler.remove(a)
    assert scheduler.admit() == [c]


def test_a_long_prompt_is_cut_and_an_answer_goes_on_beside_it(scheduler: Scheduler) -> None:
    prompt, answer = make_request(10), make_request(5, computed=4)
    scheduler.add(prompt)
    scheduler.add(answer)
    scheduler.admit()

    batch = scheduler.schedule()

    assert [(w.request, w.num_tokens, w.samples) for w in batch] == [(answer, 1, True), (prompt, 3, False)]


def test_the_last_piece_of_a_prompt_samples(scheduler: Scheduler) -> None:
    scheduler.add(make_request(6, computed=3))
    scheduler.admit()

    [work] = scheduler.schedule()

    assert (work.num_tokens, work.samples) == (3, True)


def test_cancelled_requests_are_found_wherever_they_are(scheduler: Scheduler) -> None:
    running, waiting = make_request(1), make_request(1)
    scheduler.add(running)
    scheduler.admit()
    scheduler.add(waiting)
    running.cancelled = waiting.cancelled = True

    assert set(scheduler.take_cancelled()) == {running, waiting}
    for request in (running, waiting):
        scheduler.remove(request)
    assert not scheduler.has_work()


def test_a_step_smaller_than_the_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="step_tokens: must be at least max_batch=8"):
        Scheduler(max_batch=8, max_waiting=1, step_tokens=4)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=6))
def test_every_prompt_is_computed_and_no_step_exceeds_its_budget(lengths: list[int]) -> None:
    scheduler = Scheduler(max_batch=3, max_waiting=10, step_tokens=7)
    requests = [make_request(n) for n in lengths]
    for request in requests:
        scheduler.add(request)
    for _ in range(sum(lengths) + len(lengths)):
        scheduler.admit()
        batch = scheduler.schedule()
        assert sum(work.num_tokens for work in batch) <= 7
        for work in batch:
            samples = work.samples
            work.request.num_computed += work.num_tokens
            if samples:
                scheduler.remove(work.request)

    assert not scheduler.has_work()
    assert [r.num_computed for r in requests] == lengths
