"""A small trainable decoder, dense or mixture of experts, that the serving core runs after training.

Reads like the paper and keeps the checkpoint's names: its state dict is a checkpoint in the Llama or GLM-4-MoE layout.
Ignores caches, precision and speed; `core_model.model` serves.
Shapes: B sequences of N tokens, T = B * N, D model dim, H query heads, M key-value heads, R head dim, V vocabulary,
E experts, K experts per token, G groups, P rotated dims.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from core_model.config import ModelConfig, parse_config
from core_model.rope import Rope
from core_model.routing import expert_scores, group_limited, hierarchical, routing_weights, top_k
from core_model.train.balance import NOBODY, assign, capacities, expert_choice


@dataclass(frozen=True)
class Strategy:
    """How tokens find experts, and what keeps the experts busy. The default is what GLM-4-MoE serves.

    Args:
        scoring_func: Scores of the router; only "sigmoid" fits the GLM-4-MoE layout.
        router: "flat" chooses among all experts, or within the best groups where the config has groups;
            "hierarchical" scores groups by a router of their own; "expert_choice" lets experts choose tokens.
        aux_loss, sequence_loss, z_loss: Weights of the losses in `balance`; 0 leaves them out.
        bias_rate: Step of the selection bias after each training step; 0 leaves it at zero.
        capacity_factor: Room of an expert over its expected load; None drops nothing.
        capacity: "fixed" gives all experts the same room, "following" follows their load.
        reroute: Send a token whose expert is full to its next choice; otherwise drop the pair.
    """

    scoring_func: Literal["sigmoid", "softmax"] = "sigmoid"
    router: Literal["flat", "hierarchical", "expert_choice"] = "flat"
    aux_loss: float = 0.0
    sequence_loss: float = 0.0
    z_loss: float = 0.0
    bias_rate: float = 0.0
    capacity_factor: float | None = None
    capacity: Literal["fixed", "following"] = "fixed"
    reroute: bool = False


@dataclass(frozen=True)
class Routing:
    """One layer's decision about one batch. `experts_TK` is `NOBODY` where a pair was dropped or not wanted."""

    logits_TE: Tensor
    probs_TE: Tensor  # rows sum to 1: what balancing losses act on
    experts_TK: Tensor
    weights_TK: Tensor
    num_dropped: int


class LanguageModel(nn.Module):
    """Token ids to logits.

    Args:
        raw_config: The keys of a config.json, as `core_model.config` reads them.
        strategy: Routing and balancing of MoE layers.

    Raises:
        ValueError: a config that this model does not train, or as `parse_config`.
    """

    def __init__(self, raw_config: Mapping[str, Any], strategy: Strategy | None = None) -> None:
        super().__init__()
        self.raw_config, self.strategy = dict(raw_config), strategy or Strategy()
        config = parse_config(raw_config)
        if config.model_type not in ("llama", "glm4_moe") or config.attention_bias or config.use_qk_norm:
            raise ValueError(
                f"model_type: must be llama or glm4_moe, without biases and qk norm (got {config.model_type!r})."
            )
        self.config = config
        self.model = Body(self.config, self.strategy)
        self.lm_head = None if config.tie_word_embeddings else Linear(config.hidden_size, config.vocab_size)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:  # routers start almost even, linear layers keep the size of what they get
                is_router = name.endswith(("gate.weight", "group_weight"))
                nn.init.normal_(parameter, std=0.02 if is_router else parameter.shape[1] ** -0.5)

    def forward(self, ids_BN: Tensor) -> tuple[Tensor, list[Routing]]:
        """Logits (B, N, V) and each MoE layer's routing."""
        hidden_BND, routings = self.hidden(ids_BN)
        return self.logits(hidden_BND), routings

    def hidden(self, ids_BN: Tensor) -> tuple[Tensor, list[Routing]]:
        """The last hidden states (B, N, D), and each MoE layer's routing."""
        routings: list[Routing] = []
        hidden_BND: Tensor = self.model(ids_BN, routings)
        return hidden_BND, routings

    def logits(self, hidden_BND: Tensor) -> Tensor:
        """Next-token logits of hidden states."""
        return F.linear(hidden_BND, self.model.embed_tokens.weight if self.lm_head is None else self.lm_head.weight)

    def moe_layers(self) -> dict[int, MoE]:
        """MoE layers by layer index."""
        return {i: layer.mlp for i, layer in enumerate(self.model.layers) if isinstance(layer.mlp, MoE)}

    def checkpoint(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """config.json keys and tensors that the serving decoder and transformers open.

        Raises:
            ValueError: the router is of a kind that the layout cannot express.
        """
        served = self.strategy.scoring_func == "sigmoid" and self.strategy.router == "flat"
        if self.moe_layers() and not served:
            raise ValueError(
                f"strategy: the glm4_moe layout holds flat sigmoid routers only (got {self.strategy.scoring_func} and "
                f"{self.strategy.router}). Train with scoring_func='sigmoid' and router='flat' to serve the model."
            )
        return self.raw_config, {name: tensor.detach().clone() for name, tensor in self.state_dict().items()}


class Body(nn.Module):
    """Embedding, layers, last norm."""

    def __init__(self, config: ModelConfig, strategy: Strategy) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config, strategy, i) for i in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)

    def forward(self, ids_BN: Tensor, routings: list[Routing]) -> Tensor:
        x_BND = self.embed_tokens(ids_BN)
        for layer in self.layers:
            x_BND = layer(x_BND, routings)
        normed: Tensor = self.norm(x_BND)
        return normed


class Layer(nn.Module):
    """Attention, then a feed-forward network or a mixture of experts, each on a normed residual."""

    def __init__(self, config: ModelConfig, strategy: Strategy, layer_idx: int) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        is_moe = config.is_moe_layer(layer_idx)
        self.mlp = MoE(config, strategy) if is_moe else MLP(config.hidden_size, config.intermediate_size)

    def forward(self, x_BND: Tensor, routings: list[Routing]) -> Tensor:
        x_BND = x_BND + self.self_attn(self.input_layernorm(x_BND))
        y_BND: Tensor = self.post_attention_layernorm(x_BND)
        if isinstance(self.mlp, MoE):
            y_BND, routing = self.mlp(y_BND)
            routings.append(routing)
        else:
            y_BND = self.mlp(y_BND)
        return x_BND + y_BND


class Attention(nn.Module):
    """Causal grouped-query attention with rotary positions."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, width = config.hidden_size, config.head_dim
        self.config = config
        self.q_proj = Linear(dim, config.num_attention_heads * width)
        self.k_proj = Linear(dim, config.num_key_value_heads * width)
        self.v_proj = Linear(dim, config.num_key_value_heads * width)
        self.o_proj = Linear(config.num_attention_heads * width, dim)

    def forward(self, x_BND: Tensor) -> Tensor:
        q_BHNR, k_BMNR, v_BMNR = (
            projection(x_BND).unflatten(-1, (-1, self.config.head_dim)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        positions_N = torch.arange(x_BND.shape[1], device=x_BND.device)
        cos_N1P, signed_sin_N1P = Rope(self.config, x_BND.device)(positions_N, x_BND.dtype)
        angles = cos_N1P.squeeze(1), signed_sin_N1P.squeeze(1)
        out_BHNR = F.scaled_dot_product_attention(
            self._rotated(q_BHNR, *angles), self._rotated(k_BMNR, *angles), v_BMNR, is_causal=True, enable_gqa=True
        )
        y_BND: Tensor = self.o_proj(out_BHNR.transpose(1, 2).flatten(2))
        return y_BND

    def _rotated(self, x_BHNR: Tensor, cos_NP: Tensor, signed_sin_NP: Tensor) -> Tensor:
        """As `rope.rotate_`, which works in place and so has no gradient."""
        turned, kept = x_BHNR[..., : self.config.rotary_dim], x_BHNR[..., self.config.rotary_dim :]
        half = self.config.rotary_dim // 2
        return torch.cat((turned * cos_NP + turned.roll(half, -1) * signed_sin_NP, kept), dim=-1)


class MLP(nn.Module):
    """SwiGLU (arXiv:2002.05202): down(silu(gate x) * up x)."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = Linear(dim, width), Linear(dim, width), Linear(width, dim)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return y


class MoE(nn.Module):
    """Routed experts plus a shared one (DeepSeekMoE, arXiv:2401.06066)."""

    def __init__(self, config: ModelConfig, strategy: Strategy) -> None:
        super().__init__()
        dim, width = config.hidden_size, config.moe_intermediate_size
        self.gate = Router(config, strategy)
        self.experts = nn.ModuleList(MLP(dim, width) for _ in range(config.n_routed_experts))
        self.shared_experts = MLP(dim, width * config.n_shared_experts) if config.n_shared_experts else None

    def forward(self, x_BND: Tensor) -> tuple[Tensor, Routing]:
        x_TD = x_BND.flatten(0, 1)
        routing: Routing = self.gate(x_TD)
        out_TD = self.shared_experts(x_TD) if self.shared_experts is not None else torch.zeros_like(x_TD)
        num_chosen, weight_P = routing.experts_TK.shape[1], routing.weights_TK.flatten().unsqueeze(-1)
        for i, expert in enumerate(self.experts):
            pair = (routing.experts_TK.flatten() == i).nonzero().flatten()
            token = pair // num_chosen
            # index_select, whose gradient is an index_add: that of x[token] is many times slower on a CPU
            y_PD = expert(x_TD.index_select(0, token)) * weight_P.index_select(0, pair)
            out_TD = out_TD.index_add(0, token, y_PD)
        return out_TD.view_as(x_BND), routing


class Router(nn.Module):
    """Chooses experts with the serving core's functions; capacity binds in training only."""

    def __init__(self, config: ModelConfig, strategy: Strategy) -> None:
        super().__init__()
        self.config, self.strategy, num_experts = config, strategy, config.n_routed_experts
        self.weight = nn.Parameter(torch.empty(num_experts, config.hidden_size))
        self.group_weight: nn.Parameter | None = None
        if strategy.router == "hierarchical":
            self.group_weight = nn.Parameter(torch.empty(config.n_group, config.hidden_size))
        self.register_buffer("e_score_correction_bias", torch.zeros(num_experts))
        self.register_buffer("load_E", torch.full((num_experts,), 1 / num_experts), persistent=False)
        self.e_score_correction_bias: Tensor
        self.load_E: Tensor

    def forward(self, x_TD: Tensor) -> Routing:
        config, num_chosen = self.config, self.config.num_experts_per_tok
        logits_TE = F.linear(x_TD.float(), self.weight)
        scores_TE = expert_scores(logits_TE, self.strategy.scoring_func)
        choice_TE = scores_TE + self.e_score_correction_bias
        if self.group_weight is not None:
            scores_TE, choice_TE = self._two_levels(x_TD, logits_TE)
        else:
            choice_TE = group_limited(choice_TE, num_groups=config.n_group, topk_group=config.topk_group, by="top2_sum")
        probs_TE = scores_TE / scores_TE.sum(-1, keepdim=True)
        wanted = len(x_TD) * num_chosen
        if self.strategy.router == "expert_choice":
            taken_TE = expert_choice(scores_TE, capacity=wanted // config.n_routed_experts)
            experts_TK = torch.arange(config.n_routed_experts, device=x_TD.device).where(taken_TE, NOBODY)
            return Routing(logits_TE, probs_TE, experts_TK, scores_TE * config.routed_scaling_factor, 0)
        if self.training and self.strategy.capacity_factor is not None:
            experts_TK = assign(
                choice_TE,
                num_experts_per_tok=num_chosen,
                capacity_E=self._capacity(wanted),
                reroute=self.strategy.reroute,
            )
        else:
            experts_TK = top_k(choice_TE, num_chosen)
        kept_TK = experts_TK != NOBODY
        weights_TK = routing_weights(
            scores_TE, experts_TK.clamp(min=0), normalize=config.norm_topk_prob, scale=config.routed_scaling_factor
        )
        return Routing(logits_TE, probs_TE, experts_TK, weights_TK * kept_TK, wanted - int(kept_TK.sum()))

    def _two_levels(self, x_TD: Tensor, logits_TE: Tensor) -> tuple[Tensor, Tensor]:
        """p(expert) = p(group) p(expert | group), and the choice within the best groups."""
        config = self.config
        assert self.group_weight is not None
        group_TG = F.linear(x_TD.float(), self.group_weight).softmax(-1)
        within_TGX = logits_TE.view(len(x_TD), config.n_group, -1).softmax(-1)
        scores_TE = (group_TG.unsqueeze(-1) * within_TGX).flatten(1)
        choice_TE = hierarchical(scores_TE + self.e_score_correction_bias, group_TG, topk_group=config.topk_group)
        return scores_TE, choice_TE

    def _capacity(self, num_pairs: int) -> Tensor:
        assert self.strategy.capacity_factor is not None
        even_E = torch.full_like(self.load_E, 1 / len(self.load_E))
        load_E = self.load_E if self.strategy.capacity == "following" else even_E
        return capacities(load_E, num_pairs=num_pairs, factor=self.strategy.capacity_factor)


class Linear(nn.Linear):
    """Without a bias."""

    def __init__(self, num_inputs: int, num_outputs: int) -> None:
        super().__init__(num_inputs, num_outputs, bias=False)
