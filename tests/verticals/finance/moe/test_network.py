"""The network's blocks are the core's, its effects keep their order, and source terms keep their bounds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from core_model.config import ModelConfig
from core_model.moe import MoE as ServedMoE
from core_model.weights import Weights
from verticals.finance.moe.bins import fit_bins, infer_fields
from verticals.finance.moe.fit import rows_of
from verticals.finance.moe.network import ScoreNetwork, Size, SourceTerm

FRAME = pd.DataFrame({"x": np.arange(40.0), "y": ["a", "b"] * 20})


def _network(**sources: SourceTerm) -> ScoreNetwork:
    torch.manual_seed(0)
    binned = [fit_bins(f, FRAME[f.name], num_bins=8, rare_share=0.0) for f in infer_fields(FRAME, monotone={"x": -1})]
    count_T = rows_of(binned, FRAME).sum(0)
    return ScoreNetwork([binned], Size(), count_T=count_T, base_rate=0.2, sources=sources)


def test_the_serving_core_computes_the_same_mixture() -> None:
    network, x_TD = _network(), torch.randn(7, Size().dim)
    config: ModelConfig = Size().config(7)
    tensors = {f"0.mlp.{name}": tensor for name, tensor in network.effects.mlp.state_dict().items()}

    served = ServedMoE(config, Weights(tensors, precision="fp32"), "0")

    with torch.no_grad():
        torch.testing.assert_close(served(x_TD), network.effects.mlp(x_TD.unsqueeze(0))[0][0])


@pytest.mark.parametrize("scale", [0.1, 10.0, 1000.0])
def test_a_monotone_field_never_turns_whatever_the_weights_are(scale: float) -> None:
    network = _network()
    with torch.no_grad():
        network.effects.head.weight.mul_(scale)

    effect_T = network.effects().detach()

    assert (effect_T[:8].diff() <= 0).all()
    assert effect_T[:8].diff().abs().sum() > 0


def test_a_missing_value_without_training_rows_is_neutral() -> None:
    network = _network()

    effect_T = network.effects().detach()

    mean = (effect_T[:8] * network.effects.share_T[:8]).sum()
    torch.testing.assert_close(effect_T[8], mean)


class _Large(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 1e6 * x


def test_a_source_term_stays_in_its_bound_and_is_zero_where_the_source_is_absent() -> None:
    term = SourceTerm(_Large(), num_sources=2, bound=1.5)
    present_NS = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])

    effect_N = term(torch.tensor([1.0, -1.0, 1.0]), present_NS, 0).detach()

    assert (effect_N.abs() <= 1.5).all()
    assert effect_N[0] > 1 > -1 > effect_N[1]
    assert effect_N[2] == 0


def test_the_logit_is_the_table_plus_the_terms() -> None:
    network = _network(text=SourceTerm(_Large(), num_sources=1, bound=2.0))
    binned = [fit_bins(f, FRAME[f.name], num_bins=8, rare_share=0.0) for f in infer_fields(FRAME, monotone={"x": -1})]
    row_NT, inputs, present_NS = rows_of(binned, FRAME), {"text": torch.zeros(40) + 0.1}, torch.ones(40, 1)

    with torch.no_grad():
        whole_N = network(row_NT, inputs=inputs, present_NS=present_NS)
        term_N = network.sources["text"](inputs["text"], present_NS, 0)

        torch.testing.assert_close(whole_N, network(row_NT) + term_N)
