"""Quantization-aware training: the forward pass rounds, the backward pass looks through, and the scales learn too.

Works on any `torch.nn.Module`, as a parametrization of its weights: linear layers (O, I), and experts stacked in one
tensor (E, O, I), which swapping layers would miss. Learned step size quantization needs a scale for each group and
nothing of a library; torchao's range learning covers linear layers alone. Ignores the training loop.
Shapes: O outputs, I inputs, G groups, X inputs of one group; leading dimensions, if any, are experts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from core_model.compress.rounding import Scheme, round_to_nearest
from core_model.quantized_weight import QuantizedWeight


def prepare_qat(model: nn.Module, scheme: Scheme, *, wanted: Callable[[str], bool]) -> list[str]:
    """Make `model` compute with rounded weights, and their scales parameters (LSQ, Esser 2019, arXiv:1902.08153).

    Call it before the optimizer is made: it changes the parameters. Scales learn well at the weights' learning rate.

    Args:
        wanted: Which parameters, by name; weights of linear layers and experts, not embeddings, norms and routers.

    Returns:
        The names of the rounded parameters.

    Raises:
        ValueError: none is wanted, one is no matrix, or a scheme with offsets.
    """
    if scheme.offset != "symmetric":
        raise ValueError(f"offset: only symmetric scales are learned (got {scheme.offset!r}).")
    names = [name for name, _ in model.named_parameters() if wanted(name)]
    if not names:
        raise ValueError("wanted: chooses no parameter. Give a test that holds for some of named_parameters().")
    for name in names:
        owner, _, last = name.rpartition(".")
        module = model.get_submodule(owner)
        weight = getattr(module, last)
        if weight.ndim < 2:
            raise ValueError(f"wanted: {name} has {weight.ndim} dimension; only weight matrices are rounded.")
        parametrize.register_parametrization(module, last, FakeQuantize(weight.detach(), scheme))
    return names


def finish_qat(model: nn.Module) -> dict[str, QuantizedWeight]:
    """Codes of every rounded matrix by parameter name, as trained; `model` is left with plain weights of these values.

    Stacked experts are named `name.E`, one matrix each.
    """
    found: dict[str, QuantizedWeight] = {}
    for owner, module in list(model.named_modules()):
        parametrizations: Mapping[str, nn.ModuleList] = getattr(module, "parametrizations", {})
        for last, chain in list(parametrizations.items()):
            (fake,) = chain
            assert isinstance(fake, FakeQuantize)
            original = chain.original
            assert isinstance(original, Tensor)
            found |= fake.codes(f"{owner}.{last}".lstrip("."), original.detach())
            parametrize.remove_parametrizations(module, last, leave_parametrized=True)
    return found


class FakeQuantize(nn.Module):
    """A weight to what its codes stand for. Gradients pass to weights inside the grid, and to the scales by LSQ's rule.

    Scales start where rounding to nearest puts them, shrunk to where the squared error is least. What is learned is
    the logarithm of their growth: Adam's steps have the learning rate's size, which would be much for a small scale.
    """

    def __init__(self, weight: Tensor, scheme: Scheme) -> None:
        super().__init__()
        self.scheme, num_inputs = scheme, weight.shape[-1]
        start = round_to_nearest(weight.flatten(0, -2), scheme, importance_I=torch.ones(num_inputs))
        self.register_buffer("start_OG", start.scale_OG)
        self.start_OG: Tensor
        self.growth_OG = nn.Parameter(torch.zeros_like(start.scale_OG))
        # Without this the scales, each with many weights behind it, would learn far faster than the weights.
        self.grad_scale = 1 / math.sqrt(scheme.width(num_inputs) * (scheme.middle - 1))

    @property
    def scale(self) -> Tensor:
        """Of each group, (O, G)."""
        return self.start_OG * self.growth_OG.exp()

    def forward(self, weight: Tensor) -> Tensor:
        """Rounded, in the weight's shape."""
        scale_OG = self.scale
        weight_OGX = weight.reshape(*scale_OG.shape, -1)
        scale_OG1 = (scale_OG.detach() + self.grad_scale * (scale_OG - scale_OG.detach())).unsqueeze(-1)
        steps_OGX = (weight_OGX / scale_OG1).clamp(-self.scheme.middle, self.scheme.middle - 1)
        whole_OGX = steps_OGX + (steps_OGX.round() - steps_OGX).detach()  # straight through
        return (whole_OGX * scale_OG1).view_as(weight)

    def codes(self, name: str, weight: Tensor) -> dict[str, QuantizedWeight]:
        """The weight's codes on the learned grid."""
        weight_OI, middle = weight.flatten(0, -2), self.scheme.middle
        scale_OG = self.scale.detach().float()
        steps_OGX = weight_OI.float().view(*scale_OG.shape, -1) / scale_OG.unsqueeze(-1)
        codes_OI = (steps_OGX.clamp(-middle, middle - 1).round() + middle).flatten(1).to(torch.uint8)
        if weight.ndim == 2:
            return {name: QuantizedWeight(codes_OI, scale_OG, scale_OG * -middle, self.scheme.bits)}
        rows = int(weight.shape[-2])
        experts = zip(torch.split(codes_OI, rows), torch.split(scale_OG, rows), strict=True)
        return {
            f"{name}.{i}": QuantizedWeight(codes, scale, scale * -middle, self.scheme.bits)
            for i, (codes, scale) in enumerate(experts)
        }
