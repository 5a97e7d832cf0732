"""The registry serves exactly what was saved, or says why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.registry import FileRegistry
from verticals.contract import InvalidInput, Unavailable

CARD = {
    "trained_on": "German credit",
    "licence": "CC BY 4.0",
    "recipe": "make run",
    "metrics": {"auc": 0.79},
    "limits": "demo",
}


@pytest.fixture
def registry(tmp_path: Path) -> FileRegistry:
    return FileRegistry(tmp_path)


def test_what_was_saved_is_loaded(registry: FileRegistry) -> None:
    saved = registry.save("finance.scorecard", {"model.json": b"{}"}, CARD)

    loaded = registry.load("finance.scorecard")
    assert loaded is not None
    card, files = loaded
    assert card == saved
    assert files["model.json"].read_bytes() == b"{}"


def test_nothing_saved_is_none(registry: FileRegistry) -> None:
    assert registry.load("finance.scorecard") is None


def test_a_new_version_becomes_the_active_one_and_the_old_stays(registry: FileRegistry, tmp_path: Path) -> None:
    old = registry.save("a.b", {"m": b"1"}, CARD)
    new = registry.save("a.b", {"m": b"2"}, CARD)

    assert registry.cards() == [new]
    assert (tmp_path / "a.b" / old.version / "m").read_bytes() == b"1"


def test_a_version_that_is_only_kept_is_loaded_by_name_alone(registry: FileRegistry) -> None:
    kept = registry.save("a.b", {"m": b"1"}, CARD, activate=False)

    found = registry.load("a.b", kept.version)
    assert found is not None
    assert found[0] == kept
    assert registry.load("a.b") is None
    assert registry.cards() == []


def test_equal_bytes_are_the_same_version(registry: FileRegistry) -> None:
    assert registry.save("a.b", {"m": b"1"}, CARD).version == registry.save("a.b", {"m": b"1"}, CARD).version


def test_a_version_that_comes_again_is_never_away(registry: FileRegistry, tmp_path: Path) -> None:
    version = registry.save("a.b", {"m": b"1"}, CARD).version
    folder = (tmp_path / "a.b" / version).stat().st_ino
    registry.save("a.b", {"m": b"1"}, {**CARD, "limits": "none"})

    assert (tmp_path / "a.b" / version).stat().st_ino == folder
    assert registry.cards()[0].limits == "none"
    assert sorted(path.name for path in (tmp_path / "a.b").iterdir()) == [version, "active"]


def test_a_pointer_that_another_process_is_half_done_with_does_not_come_into_force(
    registry: FileRegistry, tmp_path: Path
) -> None:
    version = registry.save("a.b", {"m": b"1"}, CARD).version
    with (tmp_path / "a.b" / ".active-new").open("w") as other:
        registry.activate("a.b", version)
        other.write("half")

    assert registry.in_force("a.b") == (version,)


def test_a_changed_file_is_refused(registry: FileRegistry, tmp_path: Path) -> None:
    card = registry.save("a.b", {"m": b"1"}, CARD)
    (tmp_path / "a.b" / card.version / "m").write_bytes(b"x")

    with pytest.raises(Unavailable, match=r"m differs from its card: SHA-256 [0-9a-f]{64} expected, [0-9a-f]{64} seen"):
        registry.load("a.b")


def test_a_missing_file_is_refused(registry: FileRegistry, tmp_path: Path) -> None:
    card = registry.save("a.b", {"m": b"1"}, CARD)
    (tmp_path / "a.b" / card.version / "m").unlink()

    with pytest.raises(Unavailable, match="FileNotFoundError"):
        registry.load("a.b")


@pytest.mark.parametrize("name", ["", "../x", "A", "a/b", "a..b"])
def test_a_bad_name_is_refused(registry: FileRegistry, name: str) -> None:
    with pytest.raises(InvalidInput, match="dotted lower-case words"):
        registry.save(name, {"m": b"1"}, CARD)


def test_a_damaged_active_version_is_left_for_the_one_before_and_told(registry: FileRegistry, tmp_path: Path) -> None:
    old = registry.save("a.b", {"m": b"1"}, CARD)
    new = registry.save("a.b", {"m": b"2"}, CARD)
    (tmp_path / "a.b" / new.version / "m").write_bytes(b"x")

    assert registry.cards() == [old]
    assert "m differs from its card" in registry.faults["a.b"]
    registry.save("a.b", {"m": b"2"}, CARD)
    assert [card.version for card in registry.cards()] == [new.version]
    assert registry.faults == {}


def test_a_version_only_kept_never_stands_in_for_a_damaged_one(registry: FileRegistry, tmp_path: Path) -> None:
    registry.save("a.b", {"m": b"1"}, CARD, activate=False)
    new = registry.save("a.b", {"m": b"2"}, CARD)
    (tmp_path / "a.b" / new.version / "m").write_bytes(b"x")

    with pytest.raises(Unavailable, match="m differs"):
        registry.load("a.b")


def test_a_card_knows_its_parent_its_time_and_its_program(registry: FileRegistry) -> None:
    old = registry.save("a.b", {"m": b"1"}, CARD)
    new = registry.save("a.b", {"m": b"2"}, CARD | {"data": {"rows.csv": "0" * 64}, "command": "make b"})
    again = registry.save("a.b", {"m": b"1"}, CARD)

    assert (old.parent, new.parent, again.parent) == (None, old.version, None)
    assert (new.data, new.command) == ({"rows.csv": "0" * 64}, "make b")
    assert new.code.startswith("trivium ")
    assert new.registered_at


def test_going_back_forgets_what_came_after(registry: FileRegistry) -> None:
    one, two, three = (registry.save("a.b", {"m": text}, CARD).version for text in (b"1", b"2", b"3"))
    assert registry.in_force("a.b") == (three, two, one)

    registry.activate("a.b", two)

    assert registry.in_force("a.b") == (two, one)


def test_a_models_own_card_is_kept_beside_the_registrys(registry: FileRegistry) -> None:
    registry.save("a.b", {"card.json": b"{}"}, CARD)

    found = registry.load("a.b")
    assert found is not None
    assert found[1]["card.json"].read_bytes() == b"{}"


def test_a_damaged_first_version_is_left_for_what_the_package_brings(registry: FileRegistry, tmp_path: Path) -> None:
    first = registry.save("a.b", {"m": b"1"}, CARD, activate=False)
    registry.activate("a.b", first.version)
    (tmp_path / "a.b" / first.version / "m").unlink()

    assert registry.load("a.b") is None
    assert "m cannot be read" in registry.faults["a.b"]
