"""Attention over pages gives what torch gives over the same entries side by side."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from core_model.attention import attend

pytest.importorskip("triton", reason="needs the extra `cuda`")

from core_model.kernels.gpu.attention import PagedTokens, attend_latents, attend_pages

PAGE, POSITIONS = 16, [0, 37, 63]


@pytest.fixture
def tokens(device: torch.device) -> PagedTokens:
    """Three requests with their pages anywhere among twelve; page 12 is nobody's."""
    torch.manual_seed(0)
    pages = torch.randperm(12).view(3, 4).int()
    return PagedTokens(pages.to(device), torch.tensor(POSITIONS, device=device), PAGE)


def _entries(tokens: PagedTokens, *, rows: int, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Behind each request's newest token there is anything, even what is no number."""
    entries = torch.full((rows, 13 * PAGE, width), torch.nan, dtype=dtype, device=tokens.page_BC.device)
    for row in range(len(POSITIONS)):
        seen = _places(tokens, row)
        entries[:, seen] = torch.randn(rows, len(seen), width, device=entries.device, dtype=dtype)
    return entries


def _places(tokens: PagedTokens, row: int) -> Tensor:
    first = tokens.page_BC[row].long() * PAGE
    return (first[:, None] + torch.arange(PAGE, device=first.device)).flatten()[: POSITIONS[row] + 1]


@pytest.mark.parametrize(("dtype", "window"), [(torch.float32, 0), (torch.float32, 20), (torch.float16, 0)])
def test_each_request_sees_its_own_pages(tokens: PagedTokens, dtype: torch.dtype, window: int) -> None:
    torch.manual_seed(0)
    entries = _entries(tokens, rows=4, width=24, dtype=dtype)
    q = torch.randn(3, 6, 24, device=entries.device, dtype=dtype)

    out = attend_pages(q, entries, tokens, window=window)

    for row in range(3):
        k, v = entries[:, _places(tokens, row)[-window:]].chunk(2)
        tolerance = 1e-5 if dtype == torch.float32 else 2e-3
        expected = attend(q[row : row + 1], k, v, mask_NS=None)[0]
        torch.testing.assert_close(out[row], expected, atol=tolerance, rtol=tolerance)


def test_heads_attend_to_latents_and_the_rotated_key(tokens: PagedTokens) -> None:
    torch.manual_seed(0)
    entries = _entries(tokens, rows=1, width=24 + 8)
    q, q_rope = (torch.randn(3, 5, width, device=entries.device) for width in (24, 8))

    out = attend_latents(q, q_rope, entries, tokens, scale=0.3)

    for row in range(3):
        k = entries[:, _places(tokens, row)]
        whole = torch.cat((q, q_rope), -1)[row : row + 1]
        torch.testing.assert_close(out[row].flatten(), attend(whole, k, k[..., :24], mask_NS=None, scale=0.3)[0])


def test_a_new_tokens_place_follows_from_its_position(tokens: PagedTokens) -> None:
    assert tokens.entries().tolist() == [int(_places(tokens, row)[-1]) for row in range(3)]
