"""The U-Net: a logit of each pixel from near and far, and each picture by itself."""

from __future__ import annotations

import torch
from torch import Tensor

from core_model.weights import Weights
from verticals.medical.vision.unet import UNet, UNetSize, first_parameters

SIZE = UNetSize(inputs=2, widths=(8, 16, 24))


def _read(pictures_BISS: Tensor) -> Tensor:
    return UNet(SIZE, Weights(first_parameters(SIZE, 0), precision="fp32"))(pictures_BISS)


def test_each_pixel_of_each_picture_has_a_logit_of_its_own() -> None:
    pictures = torch.randn(3, 2, 32, 40, generator=torch.Generator().manual_seed(0))

    together = _read(pictures)

    assert together.shape == (3, 32, 40)
    assert torch.allclose(together[1], _read(pictures[1:2])[0], atol=1e-5)


def test_a_pixel_minds_what_lies_around_it_more_than_what_is_far() -> None:
    pictures = torch.randn(1, 2, 32, 32, generator=torch.Generator().manual_seed(1)).requires_grad_()

    _read(pictures)[0, 16, 16].backward()  # type: ignore[no-untyped-call]

    assert pictures.grad is not None
    minded = pictures.grad.abs().sum((0, 1))
    assert minded[12:21, 12:21].mean() > 3 * minded[:6].mean()
    assert minded[16, 6] > minded[:6].mean()


def test_the_same_seed_makes_the_same_parameters_and_all_of_them_learn() -> None:
    parameters, again = first_parameters(SIZE, 3), first_parameters(SIZE, 3)
    for tensor in parameters.values():
        tensor.requires_grad_()

    logits = UNet(SIZE, Weights(parameters, precision="fp32"))(torch.randn(1, 2, 16, 16))
    logits.square().sum().backward()  # type: ignore[no-untyped-call]

    assert all(torch.equal(parameters[name], again[name]) for name in again)
    assert all(tensor.grad is not None and tensor.grad.abs().max() > 0 for tensor in parameters.values())
