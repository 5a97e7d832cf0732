"""`trivium quantize` writes a folder that opens again; mistakes are one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core_model.checkpoint import open_checkpoint, save_checkpoint, write_json
from core_model.quantized_weight import QuantizedWeight
from core_model.tokenizer import Tokenizer
from service.cli_quantize import calibration_windows, quantize_app
from tests.core_model.compress.tiny_moe import random_moe
from tests.core_model.tiny import TEMPLATE, make_backend
from verticals.contract import InvalidInput, NotFound


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A tiny checkpoint folder with a tokenizer."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    save_checkpoint(folder, *random_moe())
    make_backend().save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {"chat_template": TEMPLATE})
    write_json(folder / "generation_config.json", {"eos_token_id": 258})
    return folder


def run(*words: object) -> str:
    """The command's output; failures are raised."""
    return CliRunner().invoke(quantize_app, [str(word) for word in words], catch_exceptions=False).output


def test_a_model_is_written_in_int4(model: Path, tmp_path: Path) -> None:
    options = ("--group-size", 32, "--max-tokens", 700)

    output = run("--model", model, "--out", tmp_path / "int4", *options)

    weights = open_checkpoint(tmp_path / "int4").weights
    assert isinstance(weights["model.layers.0.mlp.experts.3.down_proj.weight"], QuantizedWeight)
    assert json.loads((tmp_path / "int4" / "quantization.json").read_text())["method"] == "awq+gptq"
    assert "100.0% of the bytes of linear layers, 100.0% of the experts'" in output
    assert Tokenizer.from_folder(tmp_path / "int4").eos_ids == {258}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (("--precision", "int3"), InvalidInput, r"precision: is not offered \(got 'int3'\). Use int4 or int8"),
        (("--method", "best"), InvalidInput, r"method: must be one of rtn, awq, gptq"),
        (("--group-size", 33, "--method", "rtn"), InvalidInput, r"group_size: must divide a layer's 32 inputs"),
        (("--text", "nowhere.txt"), NotFound, r"must be a file that can be read \(got 'nowhere.txt'\)"),
    ],
)
def test_a_mistake_is_named_and_nothing_written(
    model: Path, tmp_path: Path, options: tuple[object, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run("--model", model, "--out", tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


def test_own_text_replaces_the_shipped_articles(model: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_folder(model)
    text = tmp_path / "own.txt"
    text.write_text("x" * 1000)

    own, shipped = calibration_windows(tokenizer, [text], 600), calibration_windows(tokenizer, [], 2000)

    assert [len(window) for window in own] == [512, 88]
    assert tokenizer.decode(own[0]) == "x" * 512
    assert "\n\n" in tokenizer.decode(shipped[0])
