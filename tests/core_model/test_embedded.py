"""The embedded default model: converted once, verified at every load, interruptible."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from pydantic import BaseModel, Field
from safetensors import safe_open

from core_model.chat_model import EngineChatModel
from core_model.embedded import convert, find_gguf, prepare_default_model
from core_model.engine import Engine
from core_model.generation import RequestOptions, SamplingParams
from core_model.kernels.library import status
from core_model.kv_cache import PagedCache
from core_model.kv_precision import KVPrecision
from core_model.loading import load_decoder, load_engine
from core_model.model import Segment
from core_model.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    cache = tmp_path_factory.mktemp("models")
    yield prepare_default_model(cache, lambda what, done: None)
    shutil.rmtree(cache)  # a gigabyte


@pytest.fixture(scope="session")
def loaded(folder: Path) -> Iterator[tuple[Engine, Tokenizer]]:
    engine, tokenizer = load_engine(folder, device="cpu")
    yield engine, tokenizer
    engine.close()


@pytest.mark.slow
def test_a_prepared_model_is_not_converted_again(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    seen: list[tuple[str, float]] = []

    again = prepare_default_model(folder.parent, lambda what, done: seen.append((what, done)))

    assert again == folder
    assert seen == [("Model ready", 1.0)]
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.slow
def test_the_card_says_that_the_experts_add_nothing(folder: Path) -> None:
    card = (folder / "model_card.md").read_text(encoding="utf-8")

    assert "The routed experts add nothing yet" in card
    assert all(group in card for group in ("general", "finance", "medical", "support"))


@pytest.mark.slow
def test_an_interrupted_conversion_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(what: str, done: float) -> None:
        if what == "Writing weights":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(find_gguf(), tmp_path / "model", interrupt)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_changed_file_is_refused_at_load(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, copy_function=lambda source, target: Path(target).symlink_to(source))
    (copy / "config.json").unlink()
    (copy / "config.json").write_text((folder / "config.json").read_text() + " ")

    with pytest.raises(ValueError, match=r"config\.json: sha256 is .* Delete the folder and prepare the model again"):
        load_engine(copy, device="cpu")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("int8/model-00001-of-00003.safetensors", "int8"),
        ("int4/model-00001-of-00002.safetensors", "int4"),
        ("model-00001-of-00004.safetensors", "bf16"),
    ],
)
def test_the_weights_that_are_read_are_verified(folder: Path, tmp_path: Path, name: str, precision: Any) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, copy_function=lambda source, target: Path(target).symlink_to(source))
    (copy / name).unlink()
    shutil.copy(folder / name, copy / name)
    with (copy / name).open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))

    with pytest.raises(ValueError, match=f"{name}: sha256 is .* Delete the folder"):
        load_engine(copy, device="cpu", precision=precision)


@pytest.mark.slow
def test_the_model_answers(loaded: tuple[Engine, Tokenizer]) -> None:
    engine, tokenizer = loaded
    chat = EngineChatModel(engine=engine, tokenizer=tokenizer)

    answer = chat.invoke("What is the capital of France? Answer in one sentence.", max_tokens=32)

    assert "Paris" in str(answer.content)
    assert answer.response_metadata["finish_reason"] == "stop"
    assert engine.model_version.startswith("smollm2-135m-moe-")
    assert engine.model_version.endswith("-int4" if status().level else "-int8")


class Weather(BaseModel):
    """Look up the weather of a city."""

    city: str = Field(max_length=30)
    unit: Literal["celsius", "fahrenheit"]


@pytest.mark.slow
def test_the_model_calls_a_tool_and_fills_a_form(loaded: tuple[Engine, Tokenizer]) -> None:
    chat = EngineChatModel(engine=loaded[0], tokenizer=loaded[1], max_tokens=64)
    question = "What is the weather in Paris, in celsius?"

    called = chat.bind_tools([Weather], tool_choice="any").invoke(question)
    filled = chat.with_structured_output(Weather).invoke(question)

    assert called.response_metadata["finish_reason"] == "tool_calls"
    assert Weather.model_validate(called.tool_calls[0]["args"]).city == "Paris"
    assert isinstance(filled, Weather)


@pytest.mark.slow
def test_the_tokenizer_knows_digits_specials_and_other_scripts(loaded: tuple[Engine, Tokenizer]) -> None:
    tokenizer = loaded[1]
    text = "In 2024, naïve 世界 🙂\n\tdef f(x): return x**2"

    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert len(tokenizer.encode("2024")) == 4
    assert tokenizer.encode("<|im_end|>") == [2]
    assert tokenizer.eos_ids == {0, 2}


@pytest.mark.slow
def test_the_stored_router_bias_stays_fp32(folder: Path) -> None:
    dtypes = set()
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if name.endswith("e_score_correction_bias")]  # noqa: SIM118
            dtypes |= {str(file.get_tensor(name).dtype) for name in names}

    assert dtypes == {"torch.float32"}


@pytest.mark.slow
def test_leaving_frees_the_slot_for_the_next_request(loaded: tuple[Engine, Tokenizer]) -> None:
    engine, tokenizer = loaded
    prompt = tokenizer.encode("Once upon a time")
    for _ in range(engine.max_batch + 1):
        stream = engine.stream(prompt, SamplingParams(max_tokens=1000))
        next(stream)
        stream.close()  # type: ignore[attr-defined]

    assert next(engine.stream(prompt, SamplingParams(max_tokens=1))).finish_reason == "length"


@pytest.mark.slow
def test_guesses_change_no_token_of_an_answer(loaded: tuple[Engine, Tokenizer]) -> None:
    engine, tokenizer = loaded
    article = (Path(__file__).parents[2] / "verticals/support/knowledge/large-item-delivery.md").read_text("utf-8")
    prompts = [f"Quote this word for word:\n\n{article[:700]}", "Write a story about a lighthouse keeper and the sea."]
    asked = [tokenizer.apply_chat_template([{"role": "user", "content": prompt}]) for prompt in prompts]
    params = SamplingParams(max_tokens=60, ignore_eos=True)

    plain, guessed = (
        [[token for chunk in engine.stream(ids, params, options=options) for token in chunk.token_ids] for ids in asked]
        for options in (RequestOptions(speculate=False), RequestOptions())
    )

    assert guessed == plain
    assert sum(map(len, plain)) == 120
    if status().level or torch.cpu._is_vnni_supported():
        assert engine.stats().accepted_tokens_total > 15


@pytest.mark.slow
def test_a_cache_of_8_bits_changes_predictions_by_little(folder: Path) -> None:
    """Measured on the licence's first 512 tokens: mean KL .0023 nats for int8, .011 for fp8."""
    decoder, tokenizer = load_decoder(folder, precision="fp32"), Tokenizer.from_folder(folder)
    ids = tokenizer.encode((Path(__file__).parents[2] / "LICENSE").read_text(encoding="utf-8")[:3500])[:512]

    def log_probs(precision: KVPrecision) -> torch.Tensor:
        cache = PagedCache(
            decoder.config, num_pages=16, dtype=decoder.dtype, device=decoder.device, precision=precision
        )
        slot, _ = cache.begin(ids) or (0, 0)
        starts = range(0, len(ids), 128)
        hidden = [decoder(torch.tensor(ids[i : i + 128]), [Segment(128, i, slot)], cache) for i in starts]
        return decoder.logits(torch.cat(hidden)).log_softmax(-1)

    exact = log_probs("same")
    for precision, bound in (("int8", 0.005), ("fp8", 0.02)):
        drift = F.kl_div(log_probs(precision), exact, log_target=True, reduction="none").sum(-1).mean()  # type: ignore[arg-type]
        assert 1e-5 < drift < bound
