"""The C structs of `cpu/layout.h`, field for field. Ignores what is in them."""

from __future__ import annotations

from ctypes import POINTER, Structure, c_float, c_int32, c_void_p


class Matrix(Structure):
    """A packed weight matrix; see `core_model/kernels/packing.py`."""

    _fields_ = (
        ("data", c_void_p),
        ("bias", c_void_p),
        ("bits", c_int32),
        ("outputs", c_int32),
        ("inputs", c_int32),
        ("factor", c_float),
    )


class Router(Structure):
    """How experts are chosen."""

    _fields_ = (
        *((name, c_void_p) for name in ("weight", "bias", "correction", "counts")),
        *((name, c_int32) for name in ("experts", "top_k", "groups", "top_groups")),
        *((name, c_int32) for name in ("is_sigmoid", "by_top2", "normalize")),
        ("scale", c_float),
    )


class Layer(Structure):
    """One layer's weights."""

    _fields_ = (
        *((name, c_void_p) for name in ("attention_norm", "q_norm", "k_norm", "feed_forward_norm")),
        *((name, Matrix) for name in ("qkv", "o", "gate_up", "down")),
        ("router", Router),
        ("expert_gate_up", POINTER(Matrix)),
        ("expert_down", POINTER(Matrix)),
    )


class Model(Structure):
    """All layers, and the sizes that they share."""

    _fields_ = (
        ("layers", POINTER(Layer)),
        *((name, c_void_p) for name in ("norm", "cos", "sin")),
        *((name, c_int32) for name in ("num_layers", "dim", "heads", "kv_heads", "head_dim", "rotary", "positions")),
        ("norm_per_head", c_int32),
        ("eps", c_float),
        ("score_scale", c_float),
    )


class Segment(Structure):
    """New tokens of one sequence, and the pages that hold it."""

    _fields_ = (
        ("pages", c_void_p),
        *((name, c_int32) for name in ("num_pages", "start", "num_tokens")),
    )


class Call(Structure):
    """What one call computes."""

    _fields_ = (
        ("x", c_void_p),
        ("cache", POINTER(c_void_p)),
        ("segments", POINTER(Segment)),
        *((name, c_int32) for name in ("num_segments", "num_tokens", "page_size", "slots")),
    )
