"""Recorded steps: one graph a size, fixed places filled anew, rows of filling that count for nobody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from core_model.attention import Segment

pytest.importorskip("triton", reason="needs the extra `cuda`")

from core_model.kernels.gpu.attention import PagedTokens
from core_model.kernels.gpu.graphs import GraphedSteps, bucket
from tests.core_model.kernels.gpu.fake_recorder import FakeRecorder


class FakePages:
    """Slot 7 has three pages, others one."""

    page_size = 16

    def __init__(self) -> None:
        self.of = {slot: [slot] for slot in range(7)} | {7: [3, 1, 2]}

    def pages_of(self, slot: int) -> NDArray[np.int32]:
        return np.array(self.of[slot], np.int32)


class FakeStep:
    """Hidden states that tell what the step was given."""

    def __init__(self) -> None:
        self.counted: list[int] = []
        self.can_run, self.bias = True, object()

    def replaceable(self) -> list[object]:
        return [self.bias]

    def __call__(self, x_BD: Tensor, tokens: PagedTokens, num_tokens: Tensor) -> Tensor:
        self.counted.append(int(num_tokens))
        return torch.stack((x_BD[:, 0], tokens.position_B, tokens.entries()), -1)


@pytest.fixture
def step() -> FakeStep:
    return FakeStep()


@pytest.fixture
def record() -> FakeRecorder:
    return FakeRecorder()


@pytest.fixture
def pages() -> FakePages:
    return FakePages()


@pytest.fixture
def steps(step: FakeStep, record: FakeRecorder, pages: FakePages) -> GraphedSteps:
    return GraphedSteps(step, pages, others=_negated, record=record, x_BD=torch.zeros(4, 3), max_pages=3, num_experts=2)


def _negated(x_TD: Tensor, segments: Sequence[Segment], cache: object) -> Tensor:
    """What prompts are run by."""
    assert sum(segment.num_tokens for segment in segments) == len(x_TD)
    return -x_TD


def _run(steps: GraphedSteps, first: list[int], segments: list[Segment]) -> list[list[float]]:
    return steps(torch.tensor(first)[:, None].expand(-1, 3).float(), segments, None).tolist()


def test_sizes_up_to_a_power_of_two_share_a_graph(steps: GraphedSteps, record: FakeRecorder) -> None:
    for num in (1, 3, 4, 1, 3):
        _run(steps, [0] * num, [Segment(1, 5, 0)] * num)

    assert record.recorded == 2
    assert [bucket(num) for num in (1, 2, 3, 4, 5, 64, 65)] == [1, 2, 4, 4, 8, 64, 128]


def test_each_replay_sees_new_tokens_places_and_pages(steps: GraphedSteps) -> None:
    first = _run(steps, [9, 8, 7], [Segment(1, 2, 5), Segment(1, 33, 7), Segment(1, 0, 4)])
    second = _run(steps, [1, 2, 3], [Segment(1, 40, 7), Segment(1, 1, 4), Segment(1, 3, 5)])

    assert first == [[9, 2, 82], [8, 33, 33], [7, 0, 64]]
    assert second == [[1, 40, 40], [2, 1, 65], [3, 3, 83]]


def test_a_page_that_a_request_got_meanwhile_is_seen(steps: GraphedSteps, pages: FakePages) -> None:
    _run(steps, [1, 1], [Segment(1, 15, 5), Segment(1, 1, 4)])
    pages.of[5].append(9)

    assert _run(steps, [1, 1], [Segment(1, 16, 5), Segment(1, 2, 4)]) == [[1, 16, 144], [1, 2, 66]]
    assert _run(steps, [1], [Segment(1, 3, 4)]) == [[1, 3, 67]]


def test_filling_and_recording_count_no_tokens(steps: GraphedSteps, step: FakeStep) -> None:
    _run(steps, [0, 0, 0], [Segment(1, 5, 0)] * 3)

    assert step.counted == [0, 3]
    assert steps.expert_counts(0) == [0, 0]


def test_prompts_beside_steps_go_their_own_way(steps: GraphedSteps, step: FakeStep) -> None:
    segments = [Segment(2, 0, 3), Segment(1, 2, 5), Segment(1, 4, 5, context=32), Segment(1, 0, 4)]

    hidden = _run(steps, [1, 2, 3, 4, 5], segments)

    assert hidden == [[-1, -1, -1], [-2, -2, -2], [3, 2, 82], [-4, -4, -4], [5, 0, 64]]
    assert step.counted == [0, 2]


def test_only_calls_with_steps_of_one_token_over_its_cache_are_taken(
    steps: GraphedSteps, step: FakeStep, pages: Any
) -> None:
    one = Segment(1, 5, 0)

    assert steps.takes([one] * 4, pages)
    assert not steps.takes([one] * 5, pages)
    assert steps.takes([one, Segment(2, 5, 1)], pages)
    assert not steps.takes([Segment(2, 5, 1)], pages)
    assert not steps.takes([Segment(1, 5, 0, context=32)], pages)
    assert not steps.takes([one], None)
    step.can_run = False
    assert not steps.takes([one], pages)


def test_a_tensor_that_another_replaced_is_recorded_anew(
    steps: GraphedSteps, step: FakeStep, record: FakeRecorder
) -> None:
    _run(steps, [1], [Segment(1, 5, 0)])
    step.bias = object()
    _run(steps, [1], [Segment(1, 5, 0)])

    assert record.recorded == 2
