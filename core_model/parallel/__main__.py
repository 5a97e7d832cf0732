"""An answer from a model on several devices: `torchrun --nproc-per-node 2 -m core_model.parallel FOLDER PROMPT`."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import torch.distributed as dist

from core_model.engine import Engine
from core_model.generation import SamplingParams
from core_model.parallel.launch import share_engine
from core_model.tokenizer import Tokenizer


def main() -> None:
    """Print the answer, on the first process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="checkpoint folder or GGUF file")
    parser.add_argument("prompt")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--precision", choices=("int4", "int8", "bf16", "fp32"), default="bf16")
    parser.add_argument("--tokens", type=int, default=64)
    args = parser.parse_args()

    def serve(engine: Engine, tokenizer: Tokenizer) -> None:
        prompt_ids = tokenizer.apply_chat_template([{"role": "user", "content": args.prompt}])
        for chunk in engine.stream(prompt_ids, SamplingParams(max_tokens=args.tokens)):
            print(chunk.text, end="", flush=True)
        print()

    device = torch.device("cuda", dist.get_node_local_rank()) if args.device == "cuda" else torch.device("cpu")
    share_engine(args.folder, serve, device=device, precision=args.precision)


if __name__ == "__main__":
    main()
