"""Injected texts and honest ones to tell apart, written for this project: goals, templates, disguises, and their split.

Ignores the detector. A goal or template of the "test" half is never trained on.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parent / "injections.json"
_HOMOGLYPHS = str.maketrans("aeocpxi", "аеосрхі")


@dataclass(frozen=True)
class Attack:
    """An injected text; `goal` is what it wants done, word for word but for the disguise."""

    template: str
    disguise: str
    goal: str
    text: str


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(_FILE.read_text("utf-8"))
    return table


def goals(split: str, *, chinese: bool = False) -> list[str]:
    """What attackers want of a shop's assistant."""
    return [row["text"] for row in _table()["goals_zh" if chinese else "goals"] if row["split"] == split]


def templates(split: str | None = None) -> dict[str, str]:
    """Wordings around a goal, by name; those that begin with "zh" are Chinese. All if `split` is None."""
    return {row["name"]: row["text"] for row in _table()["templates"] if split in (None, row["split"])}


def honest_sentences(split: str) -> list[str]:
    """Sentences of articles that sound like instructions to an assistant and are meant for customers."""
    return [row["text"] for row in _table()["benign"] if row["split"] == split]


def make_attacks(goals_en: list[str], goals_zh: list[str], *, seed: int = 0) -> list[Attack]:
    """Each goal in each template of its language, and once more in a drawn disguise."""
    rng, attacks = random.Random(seed), []  # noqa: S311  no secret
    for name, template in templates().items():
        for goal in goals_zh if name.startswith("zh") else goals_en:
            text = template.format(goal=goal)
            disguise = rng.choice(sorted(DISGUISES))
            attacks += [Attack(name, "plain", goal, text), Attack(name, disguise, goal, DISGUISES[disguise](text))]
    return attacks


def _in_comment(text: str) -> str:
    return f"<!-- {text} -->"


def _in_link_title(text: str) -> str:
    flat = " ".join(text.split()).replace('"', "'")
    return f'[More](https://mapleandpine.example/help "{flat}")'


def _zero_width(text: str) -> str:
    return "\u200b".join(text)


def _homoglyphs(text: str) -> str:
    return text.translate(_HOMOGLYPHS)


def _tag_characters(text: str) -> str:
    return "".join(chr(0xE0000 + ord(c)) if " " <= c <= "~" else c for c in text)


def _full_width(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def _emphasis(text: str) -> str:
    return " ".join(f"**{word}**" for word in text.split(" "))


DISGUISES = {
    "comment": _in_comment,
    "link title": _in_link_title,
    "zero width": _zero_width,
    "homoglyphs": _homoglyphs,
    "tag characters": _tag_characters,
    "full width": _full_width,
    "emphasis": _emphasis,
}
