"""Loading never holds more than the model and about a layer: measured in a process of its own, on 200 MB of weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from core_model.checkpoint import save_checkpoint
from core_model.config import parse_config
from core_model.layout import expected_tensors

pytestmark = pytest.mark.slow

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 2000,
    "hidden_size": 1024,
    "intermediate_size": 2816,
    "num_hidden_layers": 8,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
}
# Peak resident memory above what Python and PyTorch take before.
PROGRAM = """
import resource, sys, torch
from pathlib import Path
from core_model.loading import load_decoder

torch.set_num_threads(1)
torch.ones(64, 64) @ torch.ones(64, 64)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
decoder = load_decoder(Path(sys.argv[1]), precision=sys.argv[2])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("large")
    shapes = expected_tensors(parse_config(CONFIG))
    save_checkpoint(target, CONFIG, {name: torch.randn(shape).bfloat16() for name, shape in shapes.items()})
    return target


@pytest.mark.parametrize(("precision", "bytes_per_weight"), [("bf16", 2), ("fp32", 4), ("int8", 1)])
def test_the_peak_is_the_model_and_about_a_layer(folder: Path, precision: str, bytes_per_weight: int) -> None:
    stored = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    model = stored // 2 * bytes_per_weight
    layer = stored // CONFIG["num_hidden_layers"]

    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), precision], capture_output=True, text=True, check=True
    )

    assert stored > 190 * 2**20
    assert int(run.stdout) <= 1.15 * model + layer  # a layer is an eighth here, of the stored size
