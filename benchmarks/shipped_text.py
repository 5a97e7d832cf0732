"""The text that ships with the project, split by document: for studies that run anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HELD_OUT_EVERY = 5  # every fifth document, by path
FOLDERS = ("docs", "verticals", "service/evals", "retrieval")
NOT_TEXT = "docs/studies"  # tables of figures that come from this very text


@dataclass(frozen=True)
class Corpus:
    """Documents to train on, and documents to test on; no document is in both."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]

    def describe(self) -> str:
        """Sizes, for the head of a table."""
        sizes = [sum(len(text.encode()) for text in part) / 1e3 for part in (self.train, self.held_out)]
        return (
            f"{len(self.train)} documents ({sizes[0]:.0f} kB) to train on, "
            f"{len(self.held_out)} ({sizes[1]:.0f} kB) held out"
        )


def read_corpus(extra: Path | None = None) -> Corpus:
    """Markdown of the repository, and with `extra` every .md and .txt file of that folder."""
    root = Path(__file__).parent.parent
    paths = [*root.glob("*.md"), *(path for folder in FOLDERS for path in (root / folder).rglob("*.md"))]
    named = {path.relative_to(root).as_posix(): path for path in paths}
    named = {name: path for name, path in named.items() if not name.startswith(NOT_TEXT)}
    if extra is not None:
        named |= {f"extra/{path.name}": path for pattern in ("*.md", "*.txt") for path in extra.rglob(pattern)}
    texts = [named[name].read_text(encoding="utf-8") for name in sorted(named)]
    return Corpus(
        train=tuple(text for i, text in enumerate(texts) if i % HELD_OUT_EVERY),
        held_out=tuple(text for i, text in enumerate(texts) if not i % HELD_OUT_EVERY),
    )


def to_bytes(texts: Sequence[str]) -> list[int]:
    """Documents as byte ids, 0-255, a zero byte between them."""
    return list("\0".join(texts).encode())
