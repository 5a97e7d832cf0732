"""Runs a reader of binary files in a process of its own, with limits on time and memory. Ignores what it reads.

Parsers of such formats are large, and a crafted file can make them loop or fill the memory; here that ends a child and
not the service, and no other request waits for the interpreter.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import threading
from pathlib import Path

from retrieval.readers.reading import FileTooLarge, Reading, UnreadableFile

CPU_LIMIT_S = 60
TIME_LIMIT_S = 120  # with waiting for a processor
MEMORY_LIMIT_BYTES = 2 * 2**30
_SLOTS = threading.BoundedSemaphore(2)  # children at a time; other callers wait
_ROOT = Path(__file__).parents[2]


def read_apart(reader: str, content: bytes) -> Reading:
    """`retrieval.readers.<reader>.read(content)` in a child.

    Raises:
        FileTooLarge: it took more than 120 s.
        UnreadableFile: as the reader says, or the child died: of 60 s of processor time, or 2 GiB.
    """
    command = [sys.executable, "-m", "retrieval.readers.sandbox", reader]
    try:
        with _SLOTS:
            done = subprocess.run(  # noqa: S603
                command, input=content, capture_output=True, timeout=TIME_LIMIT_S, cwd=_ROOT
            )
        answer = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise FileTooLarge(f"takes more than {TIME_LIMIT_S} seconds to read", "Split it.") from None
    except ValueError:  # the child was ended before it could answer
        raise UnreadableFile(
            "cannot be read within the limits of time and memory", "Save it again, or split it."
        ) from None
    if "rule" in answer:
        kind = FileTooLarge if answer["kind"] == FileTooLarge.__name__ else UnreadableFile
        raise kind(answer["rule"], answer["remedy"])
    return Reading(answer["text"], answer["title"])


def _main() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT_S, CPU_LIMIT_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    answer: dict[str, str]
    try:
        found = importlib.import_module(f"retrieval.readers.{sys.argv[1]}").read(sys.stdin.buffer.read())
        answer = {"text": found.text, "title": found.title}
    except UnreadableFile as error:
        answer = {"kind": type(error).__name__, "rule": error.rule, "remedy": error.remedy}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    _main()
