"""A plan spends its budget where 4 bits hurt most."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_model.compress.plan import Part, Plan, choose_bits, measure_parts
from core_model.compress.recipe import Recipe, quantize_model
from core_model.compress.report import stored_bytes
from core_model.compress.rounding import Scheme
from core_model.config import parse_config
from tests.core_model.compress.tiny_moe import HELD_OUT, random_moe

parts_of = st.lists(st.tuples(st.floats(0, 1), st.integers(1, 1000)), min_size=1, max_size=12).map(
    lambda drawn: [Part(f"p{i}", (f"p{i}.a", f"p{i}.b"), harm, n, 2 * n) for i, (harm, n) in enumerate(drawn)]
)


@given(parts_of, st.floats(1, 2.5))
def test_a_plan_keeps_to_its_budget_and_counts_right(parts: list[Part], room: float) -> None:
    budget = int(sum(part.low_bytes for part in parts) * room)

    plan = choose_bits(parts, budget_bytes=budget)

    raised = [part for part in parts if part.layers[0] in plan.bits]
    assert plan.num_bytes <= budget
    assert plan.num_bytes == sum(part.high_bytes if part in raised else part.low_bytes for part in parts)
    assert plan.harm == pytest.approx(sum(part.harm for part in parts if part not in raised), abs=1e-9)


@given(parts_of)
def test_more_budget_never_leaves_more_harm_when_all_cost_the_same(parts: list[Part]) -> None:
    even = [Part(part.name, part.layers, part.harm, 10, 20) for part in parts]
    harms = [choose_bits(even, budget_bytes=10 * len(even) + 10 * i).harm for i in range(len(even) + 1)]

    assert harms == sorted(harms, reverse=True)
    assert harms[-1] == pytest.approx(0, abs=1e-9)


def test_the_most_harmful_byte_for_byte_comes_first() -> None:
    parts = [Part("big", ("big",), 0.5, 100, 200), Part("small", ("small",), 0.4, 10, 20)]

    assert set(choose_bits(parts, budget_bytes=130).bits) == {"small"}
    assert set(choose_bits(parts, budget_bytes=220).bits) == {"small", "big"}


def test_a_budget_below_the_low_bits_is_refused() -> None:
    with pytest.raises(ValueError, match=r"budget_bytes: the low bits alone take 10 bytes \(got 9\)"):
        choose_bits([Part("a", ("a",), 1.0, 10, 20)], budget_bytes=9)


def test_a_plan_survives_json() -> None:
    plan = choose_bits([Part("a", ("a.x",), 1.0, 10, 20)], budget_bytes=30)

    assert Plan.from_json(plan.to_json()) == plan
    with pytest.raises(ValueError, match="plan: not a plan of bits"):
        Plan.from_json('{"bits": {}}')


def test_parts_cover_the_model_and_an_outlier_shows_in_its_own() -> None:
    config, tensors = random_moe()
    parsed, scheme = parse_config(config), Scheme(3, 32)
    before = {part.name: part for part in measure_parts(parsed, tensors, HELD_OUT, scheme=scheme)}
    tensors["model.layers.1.self_attn.v_proj.weight"][0] *= 0.02  # the same function, with an outlier in each group
    tensors["model.layers.1.self_attn.o_proj.weight"][:, [0, 8]] /= 0.02

    after = {part.name: part for part in measure_parts(parsed, tensors, HELD_OUT, scheme=scheme)}

    kinds = ("self_attn", "mlp", "mlp.experts")
    assert set(after) == {f"model.layers.{i}.{kind}" for i in range(2) for kind in kinds}
    broken = "model.layers.1.self_attn"
    assert after[broken].harm > 2 * before[broken].harm
    assert after["model.layers.0.mlp"].harm == pytest.approx(before["model.layers.0.mlp"].harm, rel=0.01)
    plan = choose_bits(list(after.values()), budget_bytes=sum(part.low_bytes for part in after.values()) * 3 // 2)
    found = quantize_model(parsed, tensors, Recipe("rtn", scheme, bits=plan.bits))
    assert plan.bits
    assert stored_bytes(found.weights) == plan.num_bytes
