"""Operators register and rebalance language models over HTTP, audited; nobody else does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from core_model.chat_model import EngineChatModel
from core_model.config import parse_config
from core_model.engine import Engine
from core_model.kv_cache import PagedCache
from core_model.model import Decoder
from core_model.models import ModelPool
from core_model.runner import ModelRunner
from core_model.tokenizer import Tokenizer
from core_model.train.language_model import LanguageModel
from core_model.weights import Weights
from service.api import create_app
from service.kit import Kit
from tests.core_model.tiny import make_tokenizer
from tests.core_model.train.tiny_training import MOE
from tests.fake_kit import make_kit
from tests.service.conftest import PARCELS

Ask = Callable[..., httpx.Response]


def open_tiny(folder: Path) -> tuple[Engine, Tokenizer]:
    """A random mixture of experts, called as its folder."""
    if folder.name == "broken":
        raise ValueError("config.json: cannot be read.")
    config, tokenizer = parse_config({**MOE, "vocab_size": 300}), make_tokenizer()
    weights = Weights(LanguageModel({**MOE, "vocab_size": 300}).state_dict(), precision="fp32")
    decoder = Decoder(config, weights)
    cache = PagedCache(config, num_pages=32, dtype=decoder.dtype, device=decoder.device)
    engine = Engine(
        ModelRunner(decoder, cache), tokenizer, model_version=folder.name, eos_ids=frozenset(), max_context=128
    )
    return engine.start(), tokenizer


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    for name in ("a", "b", "broken"):
        (tmp_path / "models" / name).mkdir(parents=True)
    with ModelPool(open_tiny) as pool:
        core = pool.load("core", tmp_path / "models" / "a")
        yield make_kit(tmp_path, {"parcels": PARCELS}, chat_model=EngineChatModel(engine=core), models=pool)


@pytest.fixture
def ask(kit: Kit, serve: Callable[[Kit], str]) -> Ask:
    """POST to the admin routes; `scope` is the key's."""
    url = serve(kit)

    def send(path: str, body: dict[str, Any], *, scope: str = "models.*", method: str = "POST") -> httpx.Response:
        key = kit.keys.issue(tenant="ops", label="test", scopes=[scope])
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=url, trust_env=False, headers=headers, timeout=30) as client:
            return client.request(method, path, json=body if method == "POST" else None)

    return send


def test_a_registered_folder_answers_nobody_until_a_step_brings_it_everywhere(kit: Kit, ask: Ask) -> None:
    card = ask("/v1/admin/models/core/versions", {"folder": "b"}).json()

    assert (card["name"], kit.resources.model_version) == ("core", "a")
    [entry] = kit.audit.of_kind("ops", "models.register")
    assert entry["model_version"] == f"core@{card['version']}"
    step = {"version": card["version"], "person": "Ada", "reason": "newer"}
    assert ask("/v1/admin/models/registered/core/full", step).status_code == 200
    assert ask("/healthz", {}, method="GET").json()["model"] == "b"
    assert kit.resources.model_version == "b"
    assert kit.resources.chat_model.invoke("hi", max_tokens=2).response_metadata["model_name"] == "b"
    listed = ask("/v1/admin/models", {}, method="GET").json()["core"]
    assert (listed["model_version"], listed["previous"], listed["num_swaps"]) == ("b", "a", 1)


def test_two_tenants_share_no_cached_beginning(kit: Kit, serve: Callable[[Kit], str]) -> None:
    url, message = serve(kit), {"role": "user", "content": "hello " * 10}
    body = {"model": "trivium-core", "messages": [message], "max_tokens": 1}

    def cached_tokens(tenant: str) -> int:
        before = kit.resources.engine.stats().cached_prompt_tokens_total  # type: ignore[attr-defined]
        headers = {"Authorization": f"Bearer {kit.keys.issue(tenant=tenant, label='chat')}"}
        answer = httpx.post(
            f"{url}/v1/chat/completions", json={**body, "max_tokens": 1}, headers=headers, trust_env=False
        )
        assert answer.status_code == 200
        return int(kit.resources.engine.stats().cached_prompt_tokens_total - before)  # type: ignore[attr-defined]

    assert cached_tokens("acme") == 0
    assert cached_tokens("other") == 0
    assert cached_tokens("acme") > 0


def test_an_answer_of_the_bare_model_is_told_with_why_it_ended(kit: Kit) -> None:
    body = {"model": "trivium-core", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}
    headers = {"Authorization": f"Bearer {kit.keys.issue(tenant='ops', label='chat')}"}
    answer = TestClient(create_app(kit)).post("/v1/chat/completions", json=body, headers=headers).json()

    [told] = kit.audit.of_kind("ops", "core.answer")
    assert told["outcome"]["finish_reason"] == answer["choices"][0]["finish_reason"]
    assert (told["subject"], told["model_version"]) == ("trivium-core", "a")


def test_a_rebalance_changes_the_version_and_metrics_show_the_experts(kit: Kit, ask: Ask) -> None:
    kit.resources.chat_model.invoke("some words to count experts by", max_tokens=2)

    answer = ask("/v1/admin/models/core/rebalance", {"strength": 0.1})

    assert answer.json()["after"].startswith("a+bias-")
    assert 'trivium_expert_max_over_mean{layer="1"}' in ask("/metrics", {}, method="GET").text


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("core/versions", {"folder": "missing"}, 404, "must be one of a, b, broken"),
        ("core/versions", {"folder": "../models/b"}, 404, "must be one of"),
        ("core/versions", {"folder": ".."}, 404, "must be one of"),
        ("core/versions", {"folder": "b", "force": True}, 422, "force"),
        ("other/rebalance", {}, 404, "no model is loaded under this name"),
        ("core/rebalance", {"strength": 0}, 422, "strength"),
    ],
)
def test_what_cannot_be_done_changes_nothing(
    kit: Kit, ask: Ask, path: str, body: dict[str, Any], status: int, message: str
) -> None:
    answer = ask(f"/v1/admin/models/{path}", body)

    assert (answer.status_code, kit.resources.model_version) == (status, "a")
    assert message in answer.text
    assert {entry["kind"] for entry in kit.audit.entries("ops")} == {"keys.issue"}


@pytest.mark.parametrize("scope", ["*", "core.*", "models.read"])
def test_only_a_key_that_names_the_scope_may_register(kit: Kit, ask: Ask, scope: str) -> None:
    answer = ask("/v1/admin/models/core/versions", {"folder": "b"}, scope=scope)

    assert answer.status_code == 403
    assert kit.registry.versions("core") == []
