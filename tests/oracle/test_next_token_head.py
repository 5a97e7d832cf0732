"""The multi-token-prediction layer against a plain one: transformers has its parts, but not the whole.

The plain one follows DeepSeek-V3's report, 2.2, and its published weights: transformers' norms and decoder layer, and a
linear layer on the normed embedding of the next token beside the normed hidden state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from core_model.config import ModelConfig, parse_config
from core_model.draft_models import NextTokenHead, NextTokens
from core_model.engine import Engine
from core_model.generation import SamplingParams, TokenChunk
from core_model.kv_cache import PagedCache
from core_model.model import Decoder, Segment
from core_model.runner import ModelRunner
from core_model.weights import Weights
from tests.core_model.tiny import make_tokenizer
from tests.oracle.families import VARIANTS
from tests.oracle.oracles import randomize, save_and_read

FAMILIES = {"Glm4Moe": "qk norm, biases", "DeepseekV3": "groups"}
TOKENS = [5, 80, 3, 3, 41, 17, 80, 3, 9, 60, 2, 33, 90, 11, 7, 7]
TOLERANCE = 2e-5


@pytest.fixture(params=FAMILIES, scope="module")
def parts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A random model with one layer more than ours shall have, and what the checkpoint has besides."""
    return build(request.param, tmp_path_factory.mktemp(request.param))


def build(family: str, folder: Path) -> tuple[Any, dict[str, Tensor], ModelConfig, Decoder, NextTokenHead]:
    sizes, variants = VARIANTS[family]
    theirs = getattr(transformers, f"{family}ForCausalLM")
    config_class = getattr(transformers, f"{family}Config")
    model = randomize(theirs(config_class(**sizes, **variants[FAMILIES[family]], attn_implementation="eager")), seed=1)
    raw, tensors = save_and_read(model, folder)
    dim, last = raw["hidden_size"], raw["num_hidden_layers"] - 1
    own = {
        "enorm.weight": torch.rand(dim) + 0.5,
        "hnorm.weight": torch.rand(dim) + 0.5,
        "eh_proj.weight": torch.randn(dim, 2 * dim) * 0.2,
        "shared_head.norm.weight": torch.rand(dim) + 0.5,
    }
    config = parse_config({**raw, "num_hidden_layers": last, "num_nextn_predict_layers": 1})
    every = {**dict(tensors.items()), **{f"model.layers.{last}.{name}": tensor for name, tensor in own.items()}}
    assert all(config.leaves_unread(f"model.layers.{last}.{name}") for name in own)
    decoder = Decoder(config, Weights(every, precision="fp32"))
    return model, own, config, decoder, NextTokenHead(config, Weights(every, precision="fp32"), decoder)


@torch.no_grad()
def plain_head(model: Any, own: dict[str, Tensor], next_ids: Tensor, hidden_ND: Tensor) -> Tensor:
    """Hidden states (N, D) of the layer, before its last norm."""

    def norm(x: Tensor, name: str) -> Tensor:
        return x * (x.pow(2).mean(-1, keepdim=True) + model.config.rms_norm_eps).rsqrt() * own[f"{name}.weight"]

    embedded = model.model.embed_tokens(next_ids)
    x = torch.cat((norm(embedded, "enorm"), norm(hidden_ND, "hnorm")), -1) @ own["eh_proj.weight"].T
    positions = torch.arange(len(x))[None]
    rope = model.model.rotary_emb(x[None], positions)
    mask = torch.full((len(x), len(x)), float("-inf")).triu(1)[None, None]
    out: Tensor = model.model.layers[-1](x[None], attention_mask=mask, position_ids=positions, position_embeddings=rope)
    return out[0]


@torch.no_grad()
def plain_logits(model: Any, own: dict[str, Tensor], hidden_ND: Tensor) -> Tensor:
    rms = (hidden_ND.pow(2).mean(-1, keepdim=True) + model.config.rms_norm_eps).rsqrt()
    logits: Tensor = model.lm_head(hidden_ND * rms * own["shared_head.norm.weight"])
    return logits


def test_the_layer_is_the_plain_one(parts: Any) -> None:
    model, own, _, decoder, head = parts
    hidden = decoder(torch.tensor(TOKENS[:-1]), [Segment(len(TOKENS) - 1)])
    next_ids = torch.tensor(TOKENS[1:])

    ours = head.logits(head(next_ids, hidden, segment=Segment(len(next_ids))))

    theirs = plain_logits(model, own, plain_head(model, own, next_ids, hidden))
    assert (ours - theirs).abs().max() < TOLERANCE * theirs.abs().max()


def plain_guess(model: Any, own: dict[str, Tensor], decoder: Decoder, ids: list[int], num_tokens: int) -> list[int]:
    """Feed the layer with its own hidden states, computing everything anew for each token."""
    hidden, guess = decoder(torch.tensor(ids[:-1]), [Segment(len(ids) - 1)]), list[int]()
    while True:
        next_ids = torch.tensor([*ids[1:], *guess])
        out = plain_head(model, own, next_ids, hidden)
        guess.append(int(plain_logits(model, own, out[-1:]).argmax()))
        if len(guess) == num_tokens:
            return guess
        hidden = torch.cat((hidden, out[-1:]))


def test_guesses_read_on_from_pieces_and_forget_what_was_wrong(parts: Any) -> None:
    model, own, config, decoder, head = parts
    drafter = NextTokens(head, head.new_cache(config, num_pages=2))
    hidden = decoder(torch.tensor(TOKENS), [Segment(len(TOKENS))])

    for start, end, limit in [(0, 3, 1), (3, 4, 3), (4, 9, 2), (9, 15, 4)]:
        drafter.observe(start, hidden[start : end - 1])
        drafter.observe(end - 1, hidden[end - 1 : end])
        assert list(drafter.propose(TOKENS[: end + 1], limit)) == plain_guess(
            model, own, decoder, TOKENS[: end + 1], limit
        )


def test_a_request_that_begins_again_is_read_again(parts: Any) -> None:
    model, own, config, decoder, head = parts
    cache = head.new_cache(config, num_pages=2)
    drafter, hidden = NextTokens(head, cache), decoder(torch.tensor(TOKENS), [Segment(len(TOKENS))])
    drafter.observe(0, hidden[:8])
    drafter.propose(TOKENS[:9], 3)

    drafter.observe(0, hidden[:10])
    again = drafter.propose(TOKENS[:11], 3)

    assert list(again) == plain_guess(model, own, decoder, TOKENS[:11], 3)
    drafter.end()
    assert cache.stats().pages_free == 2


def test_the_answer_is_the_one_without_guesses(parts: Any, start: Callable[..., Engine]) -> None:
    _, _, config, decoder, head = parts

    def make_runner() -> ModelRunner:
        cache = PagedCache(config, num_pages=12, page_size=8, dtype=torch.float32, device=decoder.device)
        return ModelRunner(decoder, cache)

    cache = head.new_cache(config, num_pages=8)
    plain = start(make_runner())
    engine = start(make_runner(), new_drafter=lambda: NextTokens(head, cache, price=0.0))
    prompts = [TOKENS[:n] for n in (2, 9, 16)]
    params = SamplingParams(max_tokens=20, ignore_eos=True)

    streams = [engine.stream(prompt, params) for prompt in prompts]

    assert [ids_of(stream) for stream in streams] == [ids_of(plain.stream(prompt, params)) for prompt in prompts]
    assert engine.stats().drafted_tokens_total > 0
    engine.close()
    assert cache.stats().pages_free == 8


def ids_of(stream: Iterator[TokenChunk]) -> list[int]:
    return [token for chunk in stream for token in chunk.token_ids]


@pytest.fixture
def start() -> Iterator[Callable[..., Engine]]:
    """Start an engine over a runner; closed at the end of the test."""
    engines: list[Engine] = []

    def make(runner: ModelRunner, **options: Any) -> Engine:
        fixed = {"model_version": "v", "eos_ids": frozenset({0}), "max_context": 64, "max_batch": 4}
        engines.append(Engine(runner, make_tokenizer(), **fixed, **options).start())
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()
