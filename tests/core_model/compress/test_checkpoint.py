"""A quantized folder opens again, computes the same, and says how it was made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core_model.checkpoint import save_checkpoint
from core_model.compress.checkpoint import quantize_checkpoint
from core_model.compress.recipe import Recipe
from core_model.compress.rounding import Scheme
from core_model.config import parse_config
from core_model.evaluate import token_logits
from core_model.loading import load_decoder
from core_model.model import Decoder
from core_model.weights import Weights
from tests.core_model.compress.tiny_moe import HELD_OUT, IDS, random_moe


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The tiny model as a folder."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    save_checkpoint(folder, *random_moe())
    (folder / "tokenizer.json").write_text("{}")
    return folder


def test_what_was_written_is_what_was_found(source: Path, tmp_path: Path) -> None:
    config, tensors = random_moe()

    found = quantize_checkpoint(source, tmp_path / "out", Recipe("awq+gptq", Scheme(4, 32)), windows=IDS)

    decoder = load_decoder(tmp_path / "out", precision="fp32")
    expected = Decoder(parse_config(config), Weights(found.over(tensors), precision="fp32"))
    difference = token_logits(decoder, HELD_OUT[0]) - token_logits(expected, HELD_OUT[0])
    assert difference.abs().max() < 1e-4
    assert (tmp_path / "out" / "tokenizer.json").is_file()
    summary = json.loads((tmp_path / "out" / "quantization.json").read_text())
    assert summary["quantized_share_of_bytes"] == {"experts": 1.0, "linear": 1.0}
    assert token_logits(load_decoder(tmp_path / "out", precision="int4"), HELD_OUT[0]).isfinite().all()


def test_a_quantized_folder_is_not_quantized_again(source: Path, tmp_path: Path) -> None:
    quantize_checkpoint(source, tmp_path / "once", Recipe("rtn", Scheme(4, 32)))

    with pytest.raises(ValueError, match=r"model: 'once' is quantized already\. Start from"):
        quantize_checkpoint(tmp_path / "once", tmp_path / "twice", Recipe("rtn", Scheme(4, 32)))


def test_a_folder_that_exists_is_not_overwritten(source: Path) -> None:
    with pytest.raises(ValueError, match=r"out: must not exist yet \(got 'tiny'\)"):
        quantize_checkpoint(source, source, Recipe("rtn"))


def test_offsets_that_the_format_cannot_say_are_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="offset: compressed-tensors cannot write free offsets"):
        quantize_checkpoint(source, tmp_path / "out", Recipe("rtn", Scheme(4, 32, "free")))
    assert not (tmp_path / "out").exists()
