"""How much main memory a program may still take. Ignores who would use it, and swap space."""

from __future__ import annotations

from pathlib import Path


def available_bytes(root: Path = Path("/")) -> int | None:
    """What the kernel says is available, or less where a control group (a container) has a limit; None if unknown."""
    found = [_of_machine(root / "proc/meminfo"), _of_group(root / "sys/fs/cgroup")]
    return min((size for size in found if size is not None), default=None)


def _of_machine(meminfo: Path) -> int | None:
    for line in _read(meminfo).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _of_group(group: Path) -> int | None:
    """Control groups, version 2. The page cache counts as used there, though it would be given back."""
    limit, used = _read(group / "memory.max").strip(), _read(group / "memory.current").strip()
    if not limit.isdigit() or not used.isdigit():
        return None
    stat = dict(line.split() for line in _read(group / "memory.stat").splitlines() if len(line.split()) == 2)
    return max(0, int(limit) - int(used) + int(stat.get("inactive_file", 0)))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""
