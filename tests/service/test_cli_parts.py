"""What commands write appears whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.cli_parts import write_whole


def _torn() -> Iterator[bytes]:
    yield b"half"
    raise OSError("gone")


def test_a_file_that_breaks_off_leaves_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_bytes(b"before")

    with pytest.raises(OSError, match="gone"):
        write_whole(out, _torn())

    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"before"]


def test_what_a_killed_command_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "out.csv.part").write_bytes(b"half of an older one")

    write_whole(tmp_path / "out.csv", [b"a", b"b"])

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"out.csv": b"ab"}
