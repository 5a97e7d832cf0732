"""Versions of a model are exchanged while requests come: none fails, and each says which version answered it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import weakref
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from service.api import create_app
from service.following import open_rollouts
from service.kit import Kit
from service.monitoring import configure_logging
from service.registry import FileRegistry
from service.rollouts import Rollouts
from tests.service.fake_scales import MODEL, SCALES, Ask, register, scales_kit
from verticals.contract import (
    Conflict,
    Context,
    InvalidInput,
    NotFound,
    Unavailable,
)

WHO = {"tenant": "ops", "actor": "key", "request_id": "r"}
STEP = {"person": "Ada", "reason": "a test"}


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    with scales_kit(tmp_path) as kit:
        yield kit


def take(kit: Kit, state: Any, version: str | None = None, **more: Any) -> Any:
    return kit.rollouts.take(MODEL, state, version=version, who=WHO, **{**STEP, **more})


def ask(kit: Kit, subject: str | None = "a", *, amount: int = 1, name: str = "weigh") -> Any:
    context = Context("t", "a", "r", lambda *_, **__: None)
    return kit.handlers["scales"][name](Ask(subject=subject, amount=amount), context)


def products(kit: Kit, subjects: range = range(200)) -> Counter[int]:
    return Counter(ask(kit, str(subject)).product for subject in subjects)


def observer(kit: Kit) -> Any:
    [(live, _)] = kit.rollouts.models()
    return live.observer


def another_process(kit: Kit) -> Rollouts:
    """Over the same folder and database."""
    registry = FileRegistry(kit.settings.home / "registry")
    rollouts, handlers = open_rollouts({"scales": SCALES}, kit.resources, registry, kit.audit)
    rollouts.handlers = handlers  # type: ignore[attr-defined]
    return rollouts


# --- steps -----------------------------------------------------------------------------------------------------------


def test_a_shadow_answers_nobody_and_its_differences_are_kept(kit: Kit) -> None:
    take(kit, "shadow", register(kit.registry, 3))

    assert products(kit) == {2: 200}
    observer(kit).settle()
    counts, differences = observer(kit).drain()
    assert (counts["different"], counts["old"]) == (200, 200)
    assert differences[0].values == {"product": (2.0, 3.0)}


def test_a_shadow_that_fails_harms_nobody(kit: Kit) -> None:
    take(kit, "shadow", register(kit.registry, 13))

    assert ask(kit, amount=5).product == 10
    observer(kit).settle()
    assert observer(kit).drain()[0] == {"old": 1, "failed": 1}


def test_a_canary_answers_its_share_and_always_the_same_subjects(kit: Kit) -> None:
    take(kit, "canary", register(kit.registry, 3), share=0.25)
    first = [ask(kit, str(subject)).product for subject in range(400)]

    assert 0.17 < first.count(3) / 400 < 0.34
    assert [ask(kit, str(subject)).product for subject in range(400)] == first
    take(kit, "canary", share=0.6)
    larger = [ask(kit, str(subject)).product for subject in range(400)]
    assert all(after == 3 for before, after in zip(first, larger, strict=True) if before == 3)
    assert 0.5 < larger.count(3) / 400 < 0.7


def test_full_answers_everybody_and_a_roll_back_returns_without_loading(kit: Kit) -> None:
    version = register(kit.registry, 3)
    take(kit, "full", version)
    assert products(kit) == {3: 200}
    assert kit.registry.in_force(MODEL)[0] == version

    folder = kit.settings.home / "registry" / MODEL / version
    (folder / "factor.json").write_text("gone")  # what was in force may be damaged by then
    take(kit, "rolled back")

    assert products(kit) == {2: 200}
    with pytest.raises(Conflict, match="no step to take back"):
        take(kit, "rolled back")


def test_every_step_is_audited_with_person_and_reason(kit: Kit) -> None:
    version = register(kit.registry, 3)
    take(kit, "shadow", version)
    take(kit, "rolled back", person="Grace", reason="too slow")

    last, first = kit.audit.entries("ops")
    assert (first["kind"], first["subject"], first["outcome"]["version"]) == ("models.rollout", MODEL, version)
    assert (last["outcome"]["state"], last["outcome"]["person"], last["outcome"]["reason"]) == (
        "rolled back",
        "Grace",
        "too slow",
    )


def test_a_canary_that_surely_fails_more_often_is_rolled_back_by_itself(kit: Kit) -> None:
    take(kit, "canary", register(kit.registry, 13), share=0.5)
    for subject in range(60):
        with contextlib.suppress(RuntimeError):
            ask(kit, str(subject), amount=2)

    kit.rollouts.refresh()

    assert products(kit) == {2: 200}
    newest = kit.audit.entries("ops")[0]["outcome"]
    assert (newest["state"], newest["person"]) == ("rolled back", "service")
    assert "answers failed" in newest["reason"]


@pytest.mark.parametrize(
    ("state", "version", "more", "error", "match"),
    [
        ("full", "0" * 12, {}, NotFound, "no such version"),
        ("shadow", None, {}, InvalidInput, "must be given"),
        ("rolled back", None, {}, Conflict, "no step to take back"),
    ],
)
def test_steps_that_make_no_sense_are_refused(
    kit: Kit, state: str, version: str | None, more: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        take(kit, state, version, **more)

    assert kit.audit.entries("ops") == []


def test_a_second_version_waits_for_the_first_trial_to_end(kit: Kit) -> None:
    take(kit, "shadow", register(kit.registry, 3))

    with pytest.raises(Conflict, match="another version is on trial"):
        take(kit, "full", register(kit.registry, 4))


def test_an_operator_sees_what_serves_what_is_on_trial_and_what_was_seen(kit: Kit) -> None:
    old, new = kit.registry.in_force(MODEL)[0], register(kit.registry, 3)
    take(kit, "shadow", new)
    ask(kit)
    observer(kit).settle()
    kit.rollouts.refresh()
    headers = {"Authorization": f"Bearer {kit.keys.issue(tenant='ops', label='look', scopes=['models.*'])}"}

    client = TestClient(create_app(kit))
    [listed] = client.get("/v1/admin/models/registered", headers=headers).json()
    found = client.get(f"/v1/admin/models/registered/{MODEL}", headers=headers).json()

    assert (listed["name"], listed["serving"], listed["step"]["version"]) == (MODEL, old, new)
    assert listed["counts"] == {"old": 1, "different": 1}
    assert {name: found[name] for name in listed} == listed
    assert [card["version"] for card in found["versions"]] == [new, old]
    assert [step["state"] for step in found["steps"]] == ["shadow"]
    assert found["differences"][0]["values"] == {"product": [2.0, 3.0]}


def test_only_a_change_or_a_trial_is_logged(kit: Kit, capsys: pytest.CaptureFixture[str]) -> None:
    version = register(kit.registry, 3)
    configure_logging("info", json=True)

    another_process(kit)
    take(kit, "canary", version, share=0.5)
    another_process(kit)
    take(kit, "full")

    logged = map(json.loads, filter(lambda line: "models follow" in line, capsys.readouterr().err.splitlines()))
    told = [entry.get("serves") or entry["trial"] for entry in logged]
    assert told == [f"{MODEL}@{version} (canary)", f"{MODEL}@{version} (canary)", f"{MODEL}@{version}"]


# --- damage ----------------------------------------------------------------------------------------------------------


def damage(kit: Kit, version: str, kind: str) -> None:
    file = kit.settings.home / "registry" / MODEL / version / "factor.json"
    if kind == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-2] if kind == "truncated" else b'{"factor": 7}')


@pytest.mark.parametrize(
    ("kind", "match"),
    [
        ("truncated", "factor.json differs from its card: SHA-256 [0-9a-f]{64} expected, [0-9a-f]{64} seen"),
        ("missing", "factor.json cannot be read: FileNotFoundError"),
    ],
)
def test_a_damaged_version_is_refused_and_the_old_one_goes_on(kit: Kit, kind: str, match: str) -> None:
    version = register(kit.registry, 3)
    damage(kit, version, kind)

    with pytest.raises(Unavailable, match=match):
        take(kit, "full", version)

    assert products(kit) == {2: 200}


@pytest.mark.parametrize("factor", [[1, 2], "many", None])
def test_a_version_of_another_shape_is_refused(kit: Kit, factor: Any) -> None:
    with pytest.raises(Conflict, match="does not answer the model's examples"):
        take(kit, "canary", register(kit.registry, factor), share=0.5)

    assert products(kit) == {2: 200}


def test_a_start_with_a_damaged_version_serves_the_last_good_one_and_says_so(kit: Kit) -> None:
    version = register(kit.registry, 3)
    take(kit, "full", version)
    damage(kit, version, "changed")

    started = another_process(kit)

    assert started.handlers["scales"]["weigh"](Ask(), Context("t", "a", "r", lambda *_, **__: None)).product == 2  # type: ignore[attr-defined]
    assert "differs from its card" in started.faults[MODEL]
    assert kit.rollouts.faults == {}
    with TestClient(create_app(replace(kit, rollouts=started))) as client:
        assert client.get("/healthz").json()["degraded"] == [MODEL]
        assert "trivium_models_degraded 1.0" in client.get("/metrics").text


def test_a_version_that_is_whole_again_serves_again(kit: Kit) -> None:
    version = register(kit.registry, 3, activate=True)
    file = kit.settings.home / "registry" / MODEL / version / "factor.json"
    whole = file.read_bytes()
    file.write_bytes(b"0")
    kit.rollouts.refresh()
    assert (ask(kit).product, list(kit.rollouts.faults)) == (2, [MODEL])

    file.write_bytes(whole)
    kit.rollouts.refresh()

    assert (ask(kit).product, list(kit.rollouts.faults)) == (3, [])


# --- processes -------------------------------------------------------------------------------------------------------


def test_another_process_follows_and_so_does_a_restarted_one(kit: Kit) -> None:
    other = another_process(kit)
    take(kit, "canary", register(kit.registry, 3), share=0.5)

    other.refresh()

    seen = [ask(kit, str(n)).product for n in range(50)]
    context = Context("t", "a", "r", lambda *_, **__: None)
    for process in (other, another_process(kit)):
        answer = process.handlers["scales"]["weigh"]  # type: ignore[attr-defined]
        assert [answer(Ask(subject=str(n)), context).product for n in range(50)] == seen


def test_a_version_that_was_registered_elsewhere_is_followed_unless_it_does_not_answer(kit: Kit) -> None:
    register(kit.registry, 5, activate=True)
    kit.rollouts.refresh()
    assert ask(kit).product == 5

    register(kit.registry, "many", activate=True)
    kit.rollouts.refresh()

    assert ask(kit).product == 5
    assert "does not answer" in kit.rollouts.faults[MODEL]


def test_a_stream_ends_on_the_version_that_it_began_on_and_releases_it(kit: Kit) -> None:
    [(live, _)] = kit.rollouts.models()
    stream = ask(kit, name="count")
    begun = [next(stream).product]
    serving = weakref.ref(live._lineup.serving)
    for factor in (3, 4, 5):  # more than stay loaded
        take(kit, "full", register(kit.registry, factor))
    gc.collect()

    assert begun + [event.product for event in stream] == [2, 2]
    assert ask(kit).product == 5
    del stream
    gc.collect()
    assert serving() is None


# --- under load ------------------------------------------------------------------------------------------------------


def test_under_load_no_step_fails_a_request_and_each_answer_is_of_one_version(kit: Kit) -> None:
    app = create_app(kit)
    key = kit.keys.issue(tenant="acme", label="load")
    operator = kit.keys.issue(tenant="ops", label="steps", scopes=["models.*"])
    versions = {factor: register(kit.registry, factor) for factor in (3, 4)}
    factor_of = {kit.registry.in_force(MODEL)[0]: 2} | {version: factor for factor, version in versions.items()}

    answers = asyncio.run(_load(app, kit, key=key, operator=operator, versions=versions))

    assert {answer.status_code for _, answer in answers} == {200}
    for _, answer in answers:
        name, _, version = answer.headers["trivium-models"].partition("@")
        assert (name, answer.json()["product"]) == (MODEL, factor_of[version])
    entries = [e for e in kit.audit.entries("acme", limit=10_000) if e["kind"] == "scales.weigh"]
    told = Counter(version for entry in entries for version in entry["models"].values())
    assert told == Counter(a.headers["trivium-models"].partition("@")[2] for _, a in answers)
    assert kit.audit.verify("acme").broken_at is None


async def _load(app: FastAPI, kit: Kit, *, key: str, operator: str, versions: dict[int, str]) -> list[Any]:
    transport = httpx.ASGITransport(app=app)
    answers: list[tuple[str, httpx.Response]] = []
    steps = [
        ("shadow", {"version": versions[3]}, 200),
        ("canary", {"share": 0.3}, 200),
        ("full", {}, 200),
        ("roll-back", {}, 200),
        ("full", {"version": versions[4]}, 503),  # damaged
    ]
    damage(kit, versions[4], "truncated")
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://api") as client,
    ):
        done = asyncio.Event()

        async def customer(number: int) -> None:
            for turn in range(10_000):
                if done.is_set():
                    return
                path = "weigh-fast" if turn % 2 else "weigh"
                body = {"subject": f"{number}-{turn % 7}"}
                headers = {"Authorization": f"Bearer {key}"}
                answer = await client.post(f"/v1/scales/{path}", json=body, headers=headers)
                answers.append((body["subject"], answer))

        async def operate() -> None:
            for step, body, status in steps:
                await asyncio.sleep(0.1)
                headers = {"Authorization": f"Bearer {operator}"}
                url = f"/v1/admin/models/registered/{MODEL}/{step}"
                answer = await client.post(url, json=STEP | body, headers=headers)
                assert answer.status_code == status, answer.text
            await asyncio.sleep(0.1)
            done.set()

        await asyncio.gather(operate(), *(customer(number) for number in range(16)))
    return answers
