"""Training with rounded weights beats rounding after training, and what is trained is what is stored."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from core_model.compress.rounding import Scheme, round_to_nearest
from core_model.train.qat import finish_qat, prepare_qat

SCHEME = Scheme(2, 16)  # few bits, so that rounding hurts


class Net(nn.Module):
    """A linear layer and two experts in one tensor, mixed evenly."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(16, 32)
        self.experts = nn.Parameter(torch.randn(2, 8, 32) * 0.2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 16) to (N, 8)."""
        return torch.einsum("ni,eoi->no", F.silu(self.first(x)), self.experts)


def train(net: Net, steps: int, *, rate: float = 3e-3) -> float:
    """Fit a fixed random function; returns the last loss."""
    generator = torch.Generator().manual_seed(5)
    x, mix = torch.randn(128, 16, generator=generator), torch.randn(16, 8, generator=generator)
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    for _ in range(steps):
        loss = F.mse_loss(net(x), torch.tanh(x @ mix))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return float(F.mse_loss(net(x), torch.tanh(x @ mix)))


def is_weight(name: str) -> bool:
    """Of `Net`."""
    return name in ("first.weight", "experts")


@pytest.fixture
def trained() -> Net:
    """A net in full precision."""
    torch.manual_seed(0)
    net = Net()
    train(net, 200, rate=1e-2)
    return net


@pytest.mark.parametrize(("bits", "share"), [(2, 0.5), (3, 0.7), (4, 1.0)])
def test_training_with_rounding_beats_rounding_after_as_much_training(trained: Net, bits: int, share: float) -> None:
    scheme, after, aware = Scheme(bits, 16), copy.deepcopy(trained), copy.deepcopy(trained)

    prepare_qat(aware, scheme, wanted=is_weight)
    train(aware, 100)
    finish_qat(aware)

    train(after, 100)
    with torch.no_grad():
        for weight in (after.first.weight, after.experts):
            rounded = round_to_nearest(weight.flatten(0, -2), scheme, importance_I=torch.ones(weight.shape[-1]))
            weight.copy_(rounded.dequantize().view_as(weight))
    assert train(aware, 0) < share * train(after, 0)


def test_what_is_trained_is_what_is_stored(trained: Net) -> None:
    names = prepare_qat(trained, SCHEME, wanted=is_weight)
    train(trained, 5)
    expected = {"first.weight": trained.first.weight.detach(), **_experts(trained)}

    found = finish_qat(trained)

    assert sorted(names) == ["experts", "first.weight"]
    assert set(found) == {"first.weight", "experts.0", "experts.1"}
    for name, weight in found.items():
        assert weight.bits == 2
        assert torch.allclose(weight.dequantize(), expected[name], atol=1e-6)
    assert torch.allclose(trained.first.weight, expected["first.weight"])
    assert not hasattr(trained.first, "parametrizations")


def test_scales_learn_and_do_not_start_at_random(trained: Net) -> None:
    before = train(trained, 0)
    prepare_qat(trained, Scheme(8, 16), wanted=is_weight)
    fake = trained.first.parametrizations.weight[0]  # type: ignore[index, union-attr]
    start = fake.scale.detach().clone()

    assert train(trained, 0) == pytest.approx(before, rel=0.05)
    train(trained, 3)
    assert not torch.equal(fake.scale, start)


@pytest.mark.parametrize(
    ("scheme", "wanted", "message"),
    [
        (Scheme(4, 16, "integer"), "experts", r"offset: only symmetric scales are learned \(got 'integer'\)"),
        (SCHEME, "nothing", "wanted: chooses no parameter"),
        (SCHEME, "first.bias", "wanted: first.bias has 1 dimension"),
    ],
)
def test_what_cannot_be_trained_is_refused(scheme: Scheme, wanted: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepare_qat(Net(), scheme, wanted=lambda name: name == wanted)


def _experts(net: Net) -> dict[str, Tensor]:
    return {f"experts.{i}": expert for i, expert in enumerate(net.experts.detach())}
