"""What the kernel and the container leave."""

from __future__ import annotations

from pathlib import Path

from core_model.host_memory import available_bytes


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / ("proc/meminfo" if name == "meminfo" else f"sys/fs/cgroup/memory.{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_the_machines_available_memory_counts(tmp_path: Path) -> None:
    write(tmp_path, meminfo="MemTotal: 10 kB\nMemAvailable:       7 kB\n")

    assert available_bytes(tmp_path) == 7 * 1024


def test_a_containers_limit_counts_if_it_is_less(tmp_path: Path) -> None:
    write(tmp_path, meminfo="MemAvailable: 7 kB\n", max="5000\n", current="2000\n", stat="anon 1\ninactive_file 500\n")

    assert available_bytes(tmp_path) == 3500


def test_no_limit_is_none(tmp_path: Path) -> None:
    write(tmp_path, meminfo="MemAvailable: 7 kB\n", max="max\n", current="2000\n")

    assert available_bytes(tmp_path) == 7 * 1024


def test_another_system_tells_nothing(tmp_path: Path) -> None:
    assert available_bytes(tmp_path) is None
