"""fp8 tiles: every value times the scale of its tile, exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core_model.formats.compressed_tensors import PlainFormat
from core_model.formats.fp8 import Fp8Format
from core_model.formats.layers import StoredLayers


def test_each_value_is_multiplied_by_its_blocks_scale() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(300, 200, generator=generator).to(torch.float8_e4m3fn)
    scale = torch.rand(3, 2, generator=generator) + 0.1
    layers = StoredLayers({"x.weight": weight, "x.weight_scale_inv": scale}, [Fp8Format(block=(128, 128))])
    rows, columns = np.indices((300, 200))
    expected = weight.float().numpy() * scale.numpy()[rows // 128, columns // 128]

    found = layers["x.weight"]

    assert list(layers) == ["x.weight"]
    assert layers.shape("x.weight") == (300, 200)
    assert isinstance(found, torch.Tensor)
    assert np.array_equal(found.numpy(), expected)


def test_stacked_experts_have_tiles_of_their_own() -> None:
    weight = torch.ones(2, 4, 4).to(torch.float8_e4m3fn)
    scale = torch.arange(8.0).view(2, 2, 2)

    found = StoredLayers({"gate_up_proj": weight, "gate_up_proj_scale_inv": scale}, [Fp8Format(block=(2, 2))])

    assert torch.equal(found["gate_up_proj"], scale.repeat_interleave(2, 1).repeat_interleave(2, 2))


@pytest.mark.parametrize("shape", [(), (1,), (4, 1), (4,)])
def test_scales_of_rows_and_of_all(shape: tuple[int, ...]) -> None:
    weight, scale = torch.ones(4, 6).to(torch.float8_e4m3fn), torch.rand(shape) + 0.5
    expected = scale.reshape(-1, 1).expand(4, 6)

    found = StoredLayers({"x.weight": weight, "x.weight_scale": scale}, [PlainFormat()])["x.weight"]

    assert torch.equal(found, expected)


def test_tiles_that_do_not_cover_the_weight_are_refused() -> None:
    tensors = {"x.weight": torch.ones(300, 200).to(torch.float8_e4m3fn), "x.weight_scale_inv": torch.ones(2, 2)}

    with pytest.raises(ValueError, match=r"tensor x\.weight: .*300 values in tiles of 128, but 2 scales"):
        StoredLayers(tensors, [Fp8Format(block=(128, 128))])["x.weight"]
