"""The core goes by the steps of every model: shadow, canary, everybody, back; no request fails, each is named truly."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from core_model.chat_model import EngineChatModel
from core_model.models import ModelPool
from service.api import create_app
from service.asking import Asking, asked_for
from service.core_versions import register_core
from service.following import open_rollouts
from service.kit import Kit
from service.live_core import LiveCore, load_core
from service.registry import NONE, FileRegistry
from tests.core_model.tiny import wait_until
from tests.fake_kit import make_kit
from tests.service.conftest import PARCELS
from tests.service.letters import Letters, make_folder
from verticals.contract import Conflict, Unavailable

WHO = {"tenant": "ops", "actor": "key", "request_id": "r"}
STEP = {"person": "Ada", "reason": "a test"}


@pytest.fixture
def letters() -> Letters:
    return Letters()


@pytest.fixture
def pool(letters: Letters, tmp_path: Path) -> Iterator[ModelPool]:
    for name in "abc":
        make_folder(tmp_path / "models", name)
    with ModelPool(letters.open, keep_previous=True) as pool:
        pool.load("core", tmp_path / "models" / "a")
        yield pool
        for runner in letters.runners.values():
            runner.gate.set()


@pytest.fixture
def kit(tmp_path: Path, pool: ModelPool) -> Iterator[Kit]:
    chat_model = EngineChatModel(engine=pool.engine("core"))
    kit = make_kit(tmp_path, {"parcels": PARCELS}, chat_model=chat_model, models=pool)
    yield kit
    kit.close()


@pytest.fixture
def b(kit: Kit) -> str:
    return register_core(kit.registry, kit.settings.home / "models", "b").version


def take(kit: Kit, state: Any, version: str | None = None, **more: Any) -> Any:
    return kit.rollouts.take("core", state, version=version, who=WHO, **{**STEP, **more})


def core(kit: Kit) -> Any:
    return kit.rollouts.find("core")[0]


def say(kit: Kit, subject: str = "s", **options: Any) -> str:
    with asked_for(Asking(subject, f"request of {subject}")):
        return str(kit.resources.chat_model.invoke("hello", max_tokens=3, **options).text)


def letters_of(kit: Kit, subjects: int = 100) -> Counter[str]:
    return Counter(say(kit, str(number))[0] for number in range(subjects))


# --- steps -----------------------------------------------------------------------------------------------------------


def test_a_shadow_answers_nobody_and_is_compared_without_words(kit: Kit, b: str) -> None:
    take(kit, "shadow", b)

    assert letters_of(kit, 5) == {"a": 5}
    core(kit).observer.settle()
    counts, differences = core(kit).observer.drain()
    assert (counts["old"], counts["different"], counts["same_start"]) == (5, 5, 0)
    assert (counts["old_tokens"], counts["new_tokens"]) == (15, 15)
    assert {"old_ms", "new_ms"} <= set(counts)
    assert differences[0].request_id == "request of 0"
    assert differences[0].values["characters alike from the start"] == (0, 0)
    assert "aaa" not in repr(differences)


def test_a_shadow_that_is_slow_is_skipped_and_nobody_waits(kit: Kit, letters: Letters, b: str) -> None:
    take(kit, "shadow", b)
    letters.runners["b"].gate.clear()

    assert letters_of(kit, 30) == {"a": 30}
    letters.runners["b"].gate.set()
    core(kit).observer.settle()
    counts = core(kit).observer.drain()[0]
    assert counts["old"] == 30
    assert (counts["skipped"], counts["different"]) == (14, 16)


def test_a_shadow_that_ends_while_answers_are_written_harms_none(kit: Kit, letters: Letters, b: str) -> None:
    take(kit, "shadow", b)
    letters.runners["b"].gate.clear()
    say(kit)  # is being compared
    letters.runners["a"].gate.clear()
    with asked_for(Asking("s", "r")):
        stream = kit.resources.engine.stream([1], _params(3))
    take(kit, "rolled back")
    letters.runners["b"].gate.set()
    wait_until(lambda: kit.models is not None and kit.models.stats()["core"].num_draining == 0)
    letters.runners["a"].gate.set()

    assert "".join(chunk.text for chunk in stream) == "aaa"


def test_what_is_drawn_is_measured_but_not_held_against_the_shadow(kit: Kit, b: str) -> None:
    take(kit, "shadow", b)
    say(kit, temperature=0.7)

    core(kit).observer.settle()
    counts = core(kit).observer.drain()[0]
    assert (counts["sampled"], counts.get("different")) == (1, None)


def test_a_canary_answers_the_same_conversations_and_a_larger_share_keeps_them(kit: Kit, b: str) -> None:
    take(kit, "canary", b, share=0.3)
    first = [say(kit, str(number))[0] for number in range(100)]

    assert 15 <= first.count("b") <= 45
    assert [say(kit, str(number))[0] for number in range(100)] == first
    take(kit, "canary", share=0.6)
    larger = [say(kit, str(number))[0] for number in range(100)]
    assert all(now == "b" for before, now in zip(first, larger, strict=True) if before == "b")
    assert letters_of(kit, 100)["b"] > first.count("b")
    assert kit.resources.chat_model.invoke("hello", max_tokens=1).text == "a"  # what no request waits for


def test_everybody_and_back_load_nothing_anew(kit: Kit, letters: Letters, b: str) -> None:
    take(kit, "canary", b, share=0.5)
    take(kit, "full")
    assert (letters_of(kit, 10), kit.registry.in_force("core")) == ({"b": 10}, (b, NONE))

    take(kit, "rolled back")

    assert (letters_of(kit, 10), core(kit).versions) == ({"a": 10}, {})
    assert letters.num_opened == 2


def test_a_stream_ends_on_the_edition_that_it_began_on(kit: Kit, letters: Letters, b: str) -> None:
    take(kit, "canary", b, share=1.0)
    letters.runners["b"].gate.clear()
    with asked_for(Asking("s", "r")):
        stream = kit.resources.engine.stream([1], _params(5))
    take(kit, "rolled back")
    assert say(kit) == "aaa"
    letters.runners["b"].gate.set()

    assert "".join(chunk.text for chunk in stream) == "bbbbb"
    wait_until(lambda: gc.collect() >= 0 and kit.models is not None and kit.models.stats()["core"].num_draining == 0)


def _params(max_tokens: int) -> Any:
    from core_model.generation import SamplingParams

    return SamplingParams(max_tokens=max_tokens)


def test_a_canary_that_fails_is_taken_back_by_itself(kit: Kit, letters: Letters, b: str) -> None:
    take(kit, "canary", b, share=0.5)
    letters.runners["b"]._next = lambda work: RuntimeError("matcher stopped")  # type: ignore[method-assign]
    failed = 0
    for number in range(40):
        try:
            say(kit, str(number))
        except Exception:  # noqa: BLE001
            failed += 1

    kit.rollouts.refresh()

    assert failed >= 3
    assert letters_of(kit, 20) == {"a": 20}
    assert kit.audit.entries("ops")[0]["outcome"]["person"] == "service"


# --- what is refused -------------------------------------------------------------------------------------------------


def test_too_little_memory_for_two_is_said_in_figures_and_changes_nothing(
    kit: Kit, letters: Letters, tmp_path: Path
) -> None:
    (tmp_path / "models" / "c" / "model.safetensors").write_bytes(bytes(3 << 20))
    c = register_core(kit.registry, tmp_path / "models", "c").version
    with ModelPool(letters.open, keep_free_bytes=8 << 20, free_bytes=lambda: 10 << 20) as small:
        small.load("core", tmp_path / "models" / "a")
        live = LiveCore(small, kit.registry, tmp_path / "models", start=lambda: tmp_path / "models" / "a")
        rollouts, _ = open_rollouts({}, kit.resources, kit.registry, kit.audit, live)

        with pytest.raises(Conflict, match="3 MiB of weights, 10 MiB available, 8 MiB to be kept free"):
            rollouts.take("core", "shadow", version=c, who=WHO, **STEP)

        assert (rollouts.faults, small.folders("core")) == ({}, (tmp_path / "models" / "a",))
    assert kit.audit.entries("ops") == []


def test_a_changed_file_is_refused_with_both_sums(kit: Kit, b: str) -> None:
    (kit.settings.home / "models" / "b" / "model.safetensors").write_text("other")

    with pytest.raises(Unavailable, match=r"model\.safetensors differs from its card: SHA-256 [0-9a-f]{64} expected"):
        take(kit, "full", b)

    assert letters_of(kit, 5) == {"a": 5}


def test_a_folder_that_was_registered_keeps_its_files(kit: Kit, b: str) -> None:
    models = kit.settings.home / "models"
    assert register_core(kit.registry, models, "b").version == b

    (models / "b" / "model.safetensors").write_text("other")

    with pytest.raises(Conflict, match=f"is version {b}, with other files"):
        register_core(kit.registry, models, "b")


def test_a_model_that_cannot_be_opened_leaves_what_serves(kit: Kit) -> None:
    (kit.settings.home / "models" / "c" / "broken").touch()
    version = register_core(kit.registry, kit.settings.home / "models", "c").version

    with pytest.raises(Conflict, match="cannot be loaded as 'core', and nothing was changed"):
        take(kit, "canary", version, share=0.5)

    assert letters_of(kit, 5) == {"a": 5}


# --- processes -------------------------------------------------------------------------------------------------------


def test_another_process_follows_and_so_does_a_restarted_one(kit: Kit, letters: Letters, b: str) -> None:
    models = kit.settings.home / "models"
    take(kit, "canary", b, share=0.5)
    seen = [say(kit, str(number)) for number in range(30)]
    with ModelPool(letters.open, keep_previous=True) as other:
        engine = other.load("core", models / "a")
        registry = FileRegistry(kit.settings.home / "registry")
        live = LiveCore(other, registry, models, start=lambda: models / "a")
        rollouts, _ = open_rollouts({}, kit.resources, registry, kit.audit, live)
        chat = EngineChatModel(engine=engine)

        def answers() -> list[str]:
            found = []
            for number in range(30):
                with asked_for(Asking(str(number), "r")):
                    found.append(str(chat.invoke("hello", max_tokens=3).text))
            return found

        assert answers() == seen
        take(kit, "full")
        rollouts.refresh()
        assert (set(answers()), live.versions) == ({"bbb"}, {"core": b})
        take(kit, "rolled back")
        rollouts.refresh()
        assert set(answers()) == {"aaa"}


def test_a_start_on_a_damaged_version_serves_the_one_before_and_says_so(kit: Kit, letters: Letters, b: str) -> None:
    models = kit.settings.home / "models"
    c = register_core(kit.registry, models, "c").version
    take(kit, "full", b)
    take(kit, "full", c)
    (models / "c" / "model.safetensors").write_text("other")
    with ModelPool(letters.open) as started:
        version = load_core(started, kit.registry, models, start=lambda: models / "a")
        live = LiveCore(started, kit.registry, models, start=lambda: models / "a", version=version)
        rollouts, _ = open_rollouts({}, kit.resources, kit.registry, kit.audit, live)

        assert (version, started.engine("core").model_version) == (b, "b")
        assert "differs from its card" in rollouts.faults["core"]


# --- over HTTP -------------------------------------------------------------------------------------------------------


def test_an_answer_names_its_edition_in_header_body_audit_and_metrics(kit: Kit, b: str) -> None:
    take(kit, "full", b)
    headers = {"Authorization": f"Bearer {kit.keys.issue(tenant='acme', label='chat')}"}
    body = {"model": "trivium-core", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 3}

    client = TestClient(create_app(kit))
    answer = client.post("/v1/chat/completions", json=body, headers=headers)

    assert answer.json()["choices"][0]["message"]["content"] == "bbb"
    assert (answer.headers["trivium-models"], answer.json()["trivium"]["model_version"]) == (f"core@{b}", "b")
    [entry] = kit.audit.of_kind("acme", "core.answer")
    assert (entry["model_version"], entry["models"]) == ("b", {"core": b})


def test_under_load_no_step_fails_a_request_and_no_conversation_is_mixed(kit: Kit, b: str) -> None:
    app = create_app(kit)
    answers = asyncio.run(_load(app, kit, b))

    assert {answer.status_code for _, _, answer in answers} == {200}
    for _, _, answer in answers:
        content, told = answer.json()["choices"][0]["message"]["content"], answer.json()["trivium"]["model_version"]
        assert content == told * 4
        assert answer.headers.get("trivium-models") == (f"core@{b}" if told == "b" else None)
    by_talk: dict[tuple[int, str], set[str]] = {}
    for step, talk, answer in answers:
        by_talk.setdefault((step, talk), set()).add(answer.json()["trivium"]["model_version"])
    held = {talk: seen for talk, seen in by_talk.items() if talk[0] >= 0}
    assert {len(seen) for seen in held.values()} == {1}
    assert {version for seen in held.values() for version in seen} == {"a", "b"}
    entries = [entry for entry in kit.audit.entries("acme", limit=10_000) if entry["kind"] == "core.answer"]
    assert Counter(entry["model_version"] for entry in entries) == Counter(
        answer.json()["trivium"]["model_version"] for _, _, answer in answers
    )


async def _load(app: FastAPI, kit: Kit, version: str) -> list[tuple[int, str, httpx.Response]]:
    """(step that held all the while or -1, conversation, answer)."""
    key = kit.keys.issue(tenant="acme", label="load")
    operator = kit.keys.issue(tenant="ops", label="steps", scopes=["models.*"])
    steps: list[tuple[str, dict[str, Any]]] = [
        ("shadow", {"version": version}),
        ("canary", {"share": 0.4}),
        ("full", {}),
        ("roll-back", {}),
    ]
    answers, held, done = list[tuple[int, str, httpx.Response]](), -1, asyncio.Event()
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:

        async def customer(number: int) -> None:
            turn = 0
            while not done.is_set():
                began, turn, talk = held, turn + 1, f"{number}-{turn % 3}"
                body = {"model": "trivium-core", "messages": [{"role": "user", "content": talk}], "max_tokens": 4}
                headers = {"Authorization": f"Bearer {key}"}
                answer = await client.post("/v1/chat/completions", json=body, headers=headers)
                answers.append((began if began == held else -1, talk, answer))

        async def operate() -> None:
            nonlocal held
            for number, (step, body) in enumerate(steps):
                await asyncio.sleep(0.2)
                held = -1
                headers = {"Authorization": f"Bearer {operator}"}
                answer = await client.post(
                    f"/v1/admin/models/registered/core/{step}", json=STEP | body, headers=headers
                )
                assert answer.status_code == 200, answer.text
                held = number
            await asyncio.sleep(0.2)
            done.set()

        await asyncio.gather(operate(), *(customer(number) for number in range(8)))
    return answers
