"""Norm and rotation give what the torch ones give."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name

from core_model import rope
from core_model.config import parse_config
from tests.core_model.tiny import LLAMA

pytest.importorskip("triton", reason="needs the extra `cuda`")

from core_model.kernels.gpu.norm import add_rms_norm
from core_model.kernels.gpu.rope import rotate_, rotated_pairs


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_parts_of_a_sum_are_added_before_the_norm(device: torch.device, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x, parts, weight = (torch.randn(*shape, device=device, dtype=dtype) for shape in ((3, 40), (3, 4, 40), (40,)))

    total, normed = add_rms_norm(x, parts, weight, eps=1e-5)

    expected = (x.float() + parts.float().sum(1)).to(dtype)
    torch.testing.assert_close(total, expected)
    torch.testing.assert_close(normed, F.rms_norm(expected.float(), (40,), weight.float(), 1e-5).to(dtype))


def test_without_an_addition_rows_may_lie_apart_and_stay_as_they_are(device: torch.device) -> None:
    wide, weight = torch.randn(5, 64, device=device), torch.randn(24, device=device)
    before = wide.clone()

    same, normed = add_rms_norm(wide[:, 8:32], None, weight, eps=1e-6)

    torch.testing.assert_close(normed, F.rms_norm(before[:, 8:32], (24,), weight, 1e-6))
    assert same.data_ptr() == wide[:, 8:32].data_ptr()
    assert torch.equal(wide, before)


def test_pairs_turn_as_in_torch(device: torch.device) -> None:
    angles = rope.Rope(parse_config(LLAMA), device)(torch.tensor([0, 3, 99], device=device), torch.float32)
    x = torch.randn(3, 5, 12, device=device)
    halves, expected = x.clone(), x.clone()

    rotate_(halves[..., 2:10], *angles)
    rope.rotate_(expected[..., 2:10], *angles)

    torch.testing.assert_close(halves, expected)
    torch.testing.assert_close(rotated_pairs(x[..., :8], *angles), rope.rotated_pairs(x[..., :8], *angles))
