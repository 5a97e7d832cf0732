"""Steps of a rollout that two processes take at once: the first holds, whatever the second does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.kit import Kit
from tests.intruder import between
from tests.service.fake_scales import MODEL, register, scales_kit
from tests.service.test_rollouts import STEP, WHO, another_process, ask, products, take
from verticals.contract import Conflict


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    with scales_kit(tmp_path) as kit:
        yield kit


def test_a_step_that_another_process_took_first_is_not_undone(kit: Kit) -> None:
    other, version = another_process(kit), register(kit.registry, 3)
    engine = kit.sessions.kw["bind"]

    def first() -> None:
        other.take(MODEL, "full", version=version, who=WHO, **STEP)

    with between(engine, first, before="INSERT INTO model_rollouts"), pytest.raises(Conflict, match="at the same time"):
        take(kit, "full", version)

    assert kit.registry.in_force(MODEL)[0] == version
    kit.rollouts.refresh()
    assert products(kit) == {3: 200}


def test_a_failing_canary_that_a_person_made_full_meanwhile_stays(kit: Kit) -> None:
    other, version = another_process(kit), register(kit.registry, 13)
    take(kit, "canary", version, share=0.5)
    for subject in range(60):
        with contextlib.suppress(RuntimeError):
            ask(kit, str(subject), amount=2)

    def decide() -> None:
        other.take(MODEL, "full", who=WHO, **STEP)

    with between(kit.sessions.kw["bind"], decide, after="max(model_rollouts"):
        kit.rollouts.refresh()

    assert kit.registry.in_force(MODEL)[0] == version
