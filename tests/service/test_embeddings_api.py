"""The unmodified `openai` client asks for embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from core_model.models import ModelPool
from service.api import create_app
from tests.conftest import served
from tests.core_model.tiny import make_engine, make_tokenizer
from tests.fake_kit import make_kit
from tests.service.conftest import PARCELS

TOKENIZER = make_tokenizer()


@pytest.fixture(scope="module")
def pool() -> Iterator[ModelPool]:
    with ModelPool(lambda folder: (make_engine(), TOKENIZER)) as pool:
        pool.load("core", Path("tiny"))
        yield pool


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, pool: ModelPool) -> Iterator[openai.OpenAI]:
    kit = make_kit(tmp_path_factory.mktemp("core"), {"parcels": PARCELS}, models=pool)
    with served(create_app(kit)) as url:
        yield openai.OpenAI(
            base_url=f"{url}/v1",
            api_key=kit.keys.issue(tenant="acme", label="test"),
            http_client=httpx.Client(trust_env=False),
            max_retries=0,
        )


def vectors(client: openai.OpenAI, asked: Any, **options: Any) -> Any:
    answer = client.embeddings.create(model="trivium-core", input=asked, **options)
    assert [item.index for item in answer.data] == list(range(len(answer.data)))
    return np.array([item.embedding for item in answer.data], np.float32)


def test_texts_and_tokens_get_the_engines_vectors(client: openai.OpenAI, pool: ModelPool) -> None:
    texts = ["one text", "another"]
    prompts = [TOKENIZER.encode(text) for text in texts]
    expected = pool.engine("core").embed(prompts, normalize=True)

    for asked in (texts, prompts):
        np.testing.assert_allclose(vectors(client, asked), expected, atol=1e-5)
    for asked in (texts[0], prompts[0]):
        np.testing.assert_allclose(vectors(client, asked), expected[:1], atol=1e-5)


def test_base64_and_floats_say_the_same(client: openai.OpenAI) -> None:
    """The client asks for base64 by itself, and decodes it."""
    plain = vectors(client, ["x y"], encoding_format="float")

    np.testing.assert_array_equal(vectors(client, ["x y"]), plain)
    np.testing.assert_allclose(np.linalg.norm(plain), 1, atol=1e-5)


def test_usage_counts_tokens(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="trivium-core", input=["abc", "de"])

    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (5, 5)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"model": "gpt-99"}, openai.NotFoundError, "must be trivium-core"),
        ({"input": ""}, openai.UnprocessableEntityError, "input: must not be empty"),
        ({"input": []}, openai.UnprocessableEntityError, "input"),
        ({"input": [[9999]]}, openai.UnprocessableEntityError, "input: must be 0 to 299"),
        ({"input": "x" * 3000}, openai.UnprocessableEntityError, "input: the context holds 2048 tokens"),
        ({"dimensions": 3}, openai.UnprocessableEntityError, "dimensions"),
    ],
)
def test_what_is_not_honoured_is_refused_in_openais_form(
    client: openai.OpenAI, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        client.embeddings.create(**{"model": "trivium-core", "input": "x", **options})


def test_a_remote_engine_has_no_vectors(tmp_path: Path) -> None:
    kit = make_kit(tmp_path, {"parcels": PARCELS})
    key = kit.keys.issue(tenant="acme", label="test")
    with served(create_app(kit)) as url:
        headers = {"Authorization": f"Bearer {key}"}
        asked = {"model": "trivium-core", "input": "x"}
        answer = httpx.post(f"{url}/v1/embeddings", json=asked, headers=headers, trust_env=False)

    assert answer.status_code == 503
    assert "a remote engine gives no hidden states" in answer.json()["error"]["message"]
