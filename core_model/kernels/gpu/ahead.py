"""Compile every kernel for a GPU that is not there: `python -m core_model.kernels.gpu.ahead [--capability 90]`.

Finds what the interpreter lets through: types, layouts, shared memory. Kernels that run are compiled when they first
do, for the shapes that they get. Ignores speed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from core_model.kernels.gpu.attention import attend_kernel, join_splits_kernel
from core_model.kernels.gpu.latents import store_latents_kernel
from core_model.kernels.gpu.matmul import block_shape, multiply_kernel
from core_model.kernels.gpu.norm import add_rms_norm_kernel
from core_model.kernels.gpu.rope import rotate_kernel
from core_model.kernels.gpu.router import choose_experts_kernel, sort_pairs_kernel

_INTS = "*i32"
# Pointers that are not of the activations' kind, by kernel; every other argument is a number.
_POINTERS: Mapping[str, Mapping[str, str]] = {
    "choose_experts_kernel": dict.fromkeys(("logits_ptr", "correction_ptr", "weights_ptr"), "*fp32")
    | {"experts_ptr": _INTS},
    "sort_pairs_kernel": dict.fromkeys(("experts_ptr", "pair_ptr", "tile_ptr", "num_tokens_ptr"), _INTS)
    | {"counts_ptr": "*i64"},
    "store_latents_kernel": {"entry_ptr": "*i64"},
    "multiply_kernel": {"pair_ptr": _INTS, "tile_ptr": _INTS, "weights_ptr": "*fp32"},
    "attend_kernel": {"page_ptr": _INTS, "position_ptr": "*i64", "part_ptr": "*fp32", "norm_ptr": "*fp32"},
    "join_splits_kernel": {"part_ptr": "*fp32", "norm_ptr": "*fp32"},
}
_FLOATS = ("eps", "scale")

_Constants = dict[str, int | bool]


def kernels(item_bytes: int) -> Iterator[tuple[str, Any, _Constants, Mapping[str, int]]]:
    """(name, kernel, its constants, options) in each way that DeepSeek-V2-Lite and Llama use them."""
    yield "add_rms_norm", add_rms_norm_kernel, {"PARTS": 8, "BLOCK": 2048}, {}
    yield "rotate", rotate_kernel, {"IS_INTERLEAVED": True, "BLOCK": 32}, {}
    yield "store_latents", store_latents_kernel, {"IS_INTERLEAVED": True, "BLOCK_L": 512, "BLOCK_P": 32}, {}
    yield "join_splits", join_splits_kernel, {"BLOCK_Z": 32, "BLOCK_V": 512}, {}
    yield from _routers()
    yield from _products(item_bytes)
    yield from _attention()


def _routers() -> Iterator[tuple[str, Any, _Constants, Mapping[str, int]]]:
    greedy: _Constants = {"K": 6, "NUM_SHARED": 2, "BLOCK_K": 8, "BLOCK_G": 1, "BLOCK_X": 64}
    greedy |= dict.fromkeys(("IS_SIGMOID", "HAS_CORRECTION", "BY_TOP2", "NORMALIZE"), False) | {"TOPK_GROUP": 0}
    yield "choose_experts", choose_experts_kernel, greedy, {"num_warps": 1}
    groups = greedy | dict.fromkeys(("IS_SIGMOID", "HAS_CORRECTION", "BY_TOP2", "NORMALIZE"), True)
    groups |= {"TOPK_GROUP": 4, "BLOCK_G": 8, "BLOCK_X": 32}
    yield "choose_experts, by groups", choose_experts_kernel, groups, {"num_warps": 1}
    sizes: _Constants = {"K": 8, "ROWS": 8, "BLOCK_E": 128, "BLOCK": 64, "BLOCK_OTHERS": 128}
    yield "sort_pairs", sort_pairs_kernel, sizes, {}


def _products(item_bytes: int) -> Iterator[tuple[str, Any, _Constants, Mapping[str, int]]]:
    """Few rows and many, gated and not, of one layer."""
    first: _Constants = {"HAS_TILES": True, "NUM_CHOSEN": 8, "HAS_WEIGHTS": False, "IS_GATED": True, "IS_EVEN": True}
    second = first | {"IS_GATED": False, "HAS_WEIGHTS": True, "NUM_CHOSEN": 0, "IS_EVEN": False}
    plain = second | {"HAS_TILES": False, "HAS_WEIGHTS": False}
    cases = [(bits, rows, "gated", first) for bits in (16, 8, 4) for rows in (8, 64)]
    for bits, rows, what, case in (*cases, (4, 16, "weighted", second), (4, 8, "one layer", plain)):
        outputs, inputs, warps = block_shape(bits, rows, item_bytes=item_bytes)
        grouped: _Constants = {"BITS": bits, "HAS_MIDDLE": bits == 4, "GROUP_SIZE": 32 if bits == 4 else 2048}
        grouped |= {"GROUP": 32 if bits == 4 else inputs, "ROWS": rows, "OUTPUTS": outputs, "INPUTS": inputs}
        options = {"num_warps": warps, "num_stages": 4}
        yield f"multiply, {bits} bits, {rows} rows, {what}", multiply_kernel, case | grouped, options


def _attention() -> Iterator[tuple[str, Any, _Constants, Mapping[str, int]]]:
    latents: _Constants = {"NUM_SHARED": 16, "IS_LATENT": True, "PAGE": 32, "HEADS": 16, "DIM": 512, "ROPE_DIM": 64}
    yield "attend, latents", attend_kernel, latents, {"num_warps": 8, "num_stages": 2}
    grouped = latents | {"NUM_SHARED": 4, "IS_LATENT": False, "DIM": 128, "ROPE_DIM": 16}
    yield "attend, grouped queries", attend_kernel, grouped, {"num_warps": 4, "num_stages": 3}


def compile_ahead(
    kernel: Any, constants: Mapping[str, Any], options: Mapping[str, int], *, kind: str, capability: int
) -> Any:
    """One kernel for activations of `kind` ("bf16", "fp16", "fp32"); what Triton makes, with `asm` and `metadata`."""
    types = dict.fromkeys(kernel.arg_names, "i32")
    for name in kernel.arg_names:
        if name.endswith("_ptr"):
            types[name] = _POINTERS.get(kernel.__name__, {}).get(name, f"*{kind}")
        elif name in _FLOATS:
            types[name] = "fp32"
        elif name in constants:
            types[name] = "constexpr"
    if constants.get("BITS", 16) < 16:
        types["values_ptr"] = "*u8"
    aligned = {(i,): [["tt.divisibility", 16]] for i, name in enumerate(kernel.arg_names) if types[name][0] in "*i"}
    source = ASTSource(kernel, types, {**constants}, aligned)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options={**options})


def main() -> None:
    """Print what each kernel takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capability", type=int, default=90, help="90 is Hopper (H100, H200)")
    parser.add_argument("--kind", choices=("bf16", "fp16", "fp32"), default="bf16")
    args = parser.parse_args()
    for name, kernel, constants, options in kernels(4 if args.kind == "fp32" else 2):
        made = compile_ahead(kernel, constants, options, kind=args.kind, capability=args.capability)
        line = {"kernel": name, "cubin_bytes": len(made.asm["cubin"]), "shared_bytes": made.metadata.shared}
        print(json.dumps(line))


if __name__ == "__main__":
    main()
