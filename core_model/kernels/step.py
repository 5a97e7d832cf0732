"""A call of the decoder as one call of native code, for models that it can run; the torch layers are for the rest.

A `Step` knows the decoder's weights where they are, and computes what its layers would, but for rounding: activations
to 8 bits before each linear layer, keys and values to fp16. What a token gets depends on its own sequence alone, to the
bit: not on other sequences in the call, nor on how a prompt is cut.
Shapes: T tokens, D model dim, L layers, E experts.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from core_model.attention import GroupedQueryAttention, Segment
from core_model.kernels import structs
from core_model.kernels.library import Kernels
from core_model.kernels.linear import NativeGroupedLinear, NativeLinear
from core_model.kernels.packing import GROUP
from core_model.kv_cache import PAGE_SIZE, PagedCache
from core_model.moe import MLP, MoE, Router

if TYPE_CHECKING:
    from core_model.model import Decoder

_PAGE_STEP = 8  # sizes of pages that the kernels take are multiples of it


class Unsupported(ValueError):
    """The kernels cannot run this model as a whole; the message says what of it."""


class Step:
    """The decoder's layers and last norm in native code.

    Raises:
        Unsupported: something in the model that the kernels do not have.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder, config = decoder, decoder.config
        _require(decoder.attends_apart, "windows, latents, sinks or hashing")
        _require(not config.clip_qkv, "clipped queries")
        _require(decoder.dtype == torch.float32 and decoder.device.type == "cpu", "another device or precision")
        _require(config.hidden_size % GROUP == 0, f"hidden_size={config.hidden_size}")
        self._kept: list[object] = []  # what the structs point to
        self._kernels: Kernels | None = None
        self._counts_LE = np.zeros((config.num_hidden_layers, config.n_routed_experts), np.int64)
        self._biases: dict[int, tuple[Router, Tensor]] = {}  # by layer, as the structs know them
        layers = (structs.Layer * config.num_hidden_layers)(*(self._layer(i) for i in range(config.num_hidden_layers)))
        self._layers = layers
        self._model = structs.Model(
            layers=layers,
            norm=self._floats(decoder.norm.weight),
            num_layers=len(layers),
            dim=config.hidden_size,
            heads=config.num_attention_heads,
            kv_heads=config.num_key_value_heads,
            head_dim=config.head_dim,
            rotary=config.rotary_dim,
            norm_per_head=config.qk_norm_per_head,
            eps=config.rms_norm_eps,
            score_scale=config.head_dim**-0.5,
        )
        self._angles: tuple[Tensor, Tensor] | None = None
        self._known: tuple[list[Tensor], ctypes.Array[ctypes.c_void_p]] = [], (ctypes.c_void_p * 0)()

    def takes(self, segments: Sequence[Segment], cache: object) -> bool:
        """Whether it can run these: without adapters, and with a cache of half floats or none."""
        has_halves = isinstance(cache, PagedCache) and cache.halves is not None and cache.page_size % _PAGE_STEP == 0
        return (cache is None or has_halves) and all(segment.adapter is None for segment in segments)

    def __call__(self, x_TD: Tensor, segments: Sequence[Segment], cache: PagedCache | None) -> Tensor:
        """Embeddings to normed hidden states, (T, D) fp32, in place where they are that already.

        Raises:
            ValueError: tokens, positions and pages do not fit together.
        """
        config = self._decoder.config
        x_TD = x_TD.float().contiguous()
        if x_TD.shape != (sum(s.num_tokens for s in segments), config.hidden_size):
            raise ValueError(f"x: must be (tokens of the segments, {config.hidden_size}) (got {list(x_TD.shape)}).")
        self._follow_biases()
        self._prepare_angles(max(s.start + s.num_tokens for s in segments))
        if cache is None:
            halves, pages = self._scratch(segments)
        else:
            assert cache.halves is not None
            halves, pages = cache.halves, [cache.pages_of(segment.slot) for segment in segments]
        page_size = PAGE_SIZE if cache is None else cache.page_size
        parts = [
            structs.Segment(page.ctypes.data, len(page), segment.start, segment.num_tokens)
            for segment, page in zip(segments, pages, strict=True)
        ]
        call = structs.Call(
            x=x_TD.data_ptr(),
            cache=self._pointers(halves),
            segments=(structs.Segment * len(parts))(*parts),
            num_segments=len(parts),
            num_tokens=len(x_TD),
            page_size=page_size,
            slots=halves[0].shape[1],
        )
        assert self._kernels is not None
        self._kernels.call(self._model, call)
        return x_TD

    def expert_counts(self, layer_idx: int) -> list[int]:
        """Tokens that each expert of a layer got here."""
        return [int(count) for count in self._counts_LE[layer_idx]]

    def _pointers(self, halves: list[Tensor]) -> ctypes.Array[ctypes.c_void_p]:
        """To each layer's entries; an engine has one cache, so the last ones are kept."""
        known, pointers = self._known
        if known is not halves:
            pointers = (ctypes.c_void_p * len(halves))(*(part.data_ptr() for part in halves))
            self._known = halves, pointers
        return pointers

    def _scratch(self, segments: Sequence[Segment]) -> tuple[list[Tensor], list[np.ndarray]]:
        """A cache for whole sequences that nobody keeps."""
        config = self._decoder.config
        pages, first = [], 0
        for segment in segments:
            num_pages = -(-(segment.start + segment.num_tokens) // PAGE_SIZE)
            pages.append(np.arange(first, first + num_pages, dtype=np.int32))
            first += num_pages
        rows, width = config.cache_entry
        shape = (config.num_hidden_layers, rows, first * PAGE_SIZE, width)
        return list(torch.empty(shape, dtype=torch.float16)), pages

    def _follow_biases(self) -> None:
        """`rebalance` gives a router another tensor."""
        for layer_idx, (router, known_E) in self._biases.items():
            if router.correction_E is not known_E and router.correction_E is not None:
                self._biases[layer_idx] = router, router.correction_E
                self._layers[layer_idx].router.correction = router.correction_E.data_ptr()

    def _prepare_angles(self, num_positions: int) -> None:
        if num_positions > self._model.positions:
            num_positions = 1 << (num_positions - 1).bit_length()
            positions = torch.arange(num_positions)
            cos, signed_sin = self._decoder.rope(positions, torch.float32)
            half = self._decoder.config.rotary_dim // 2
            self._angles = cos[:, 0, :half].contiguous(), signed_sin[:, 0, half:].contiguous()
            self._model.cos, self._model.sin = (part.data_ptr() for part in self._angles)
            self._model.positions = num_positions

    def _layer(self, layer_idx: int) -> structs.Layer:
        layer = self._decoder.layers[layer_idx]
        attention, mlp = layer.self_attn, layer.mlp
        assert isinstance(attention, GroupedQueryAttention)
        found = structs.Layer(
            attention_norm=self._floats(layer.input_layernorm.weight),
            feed_forward_norm=self._floats(layer.post_attention_layernorm.weight),
            qkv=self._matrix(attention.qkv_proj),
            o=self._matrix(attention.o_proj),
        )
        if attention.q_norm and attention.k_norm:
            found.q_norm, found.k_norm = self._floats(attention.q_norm.weight), self._floats(attention.k_norm.weight)
        dense = mlp if isinstance(mlp, MLP) else mlp.shared_experts
        if dense is not None:
            found.gate_up, found.down = self._matrix(dense.gate_up_proj), self._matrix(dense.down_proj)
        if isinstance(mlp, MoE):
            found.router = self._router(mlp.gate, self._counts_LE[layer_idx])
            if mlp.gate.correction_E is not None:
                self._biases[layer_idx] = mlp.gate, mlp.gate.correction_E
            experts = mlp.experts
            _require(not (experts.limit or self._decoder.config.expert_bias), "experts with limits or biases")
            found.expert_gate_up, found.expert_down = (
                self._matrices(part) for part in (experts.gate_up_proj, experts.down_proj)
            )
        return found

    def _router(self, router: Router, counts_E: np.ndarray) -> structs.Router:
        config, correction_E = router.config, router.correction_E
        is_limited = config.topk_method != "greedy"
        return structs.Router(
            weight=self._floats(router.weight_ED),
            bias=None if router.bias_E is None else self._floats(router.bias_E),
            correction=None if correction_E is None else self._floats(correction_E),
            counts=counts_E.ctypes.data,
            experts=config.n_routed_experts,
            top_k=config.num_experts_per_tok,
            groups=config.n_group if is_limited else 1,
            top_groups=config.topk_group if is_limited else 1,
            is_sigmoid=config.scoring_func == "sigmoid",
            by_top2=config.topk_method == "noaux_tc",
            normalize=config.norm_topk_prob,
            scale=config.routed_scaling_factor,
        )

    def _matrices(self, part: object) -> ctypes.Array[structs.Matrix]:
        _require(isinstance(part, NativeGroupedLinear), "experts that are not in 4 or 8 bits, or not in groups of 32")
        assert isinstance(part, NativeGroupedLinear)
        matrices = (structs.Matrix * len(part.experts))(*(self._matrix(expert) for expert in part.experts))
        self._kept.append(matrices)
        return matrices

    def _matrix(self, linear: object) -> structs.Matrix:
        _require(isinstance(linear, NativeLinear), "weights that are not in 4 or 8 bits, or not in groups of 32")
        assert isinstance(linear, NativeLinear)
        self._kernels = self._kernels or linear.kernels
        self._kept.append(linear)
        return linear.matrix

    def _floats(self, tensor: Tensor) -> int:
        """Where its numbers are."""
        _require(tensor.dtype == torch.float32 and tensor.is_contiguous(), "norms or routers in another precision")
        self._kept.append(tensor)
        return tensor.data_ptr()


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise Unsupported(f"kernels: {what}")
