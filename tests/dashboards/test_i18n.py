"""One table holds every label in both languages, and the views use exactly that table."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from string import Formatter
from typing import get_args

import pytest

import dashboards
from dashboards.i18n import LANGUAGES, TABLE, Labels
from verticals.finance import schemas as finance
from verticals.medical import evidence
from verticals.medical import intake_schemas as intake
from verticals.medical import schemas as medical
from verticals.medical.vocabulary import KINDS, SITES
from verticals.support import schemas as support

ROOT = Path(dashboards.__file__).parent


def _asked() -> tuple[set[str], list[str]]:
    """Keys that the sources ask for: literal ones, and patterns for those put together from parts."""
    literal: set[str] = set()
    patterns: list[str] = []
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            owner = getattr(getattr(node.func, "value", None), "id", name)
            if owner != "labels" or not node.args:
                continue
            inside = {
                id(part) for made in ast.walk(node.args[0]) if isinstance(made, ast.JoinedStr) for part in made.values
            }
            for part in ast.walk(node.args[0]):
                if isinstance(part, ast.JoinedStr):
                    pieces = [
                        re.escape(str(one.value)) if isinstance(one, ast.Constant) else ".+" for one in part.values
                    ]
                    patterns.append("".join(pieces))
                elif (
                    isinstance(part, ast.Constant)
                    and id(part) not in inside
                    and re.fullmatch(r"\w+\.\S+", str(part.value))
                ):
                    literal.add(part.value)
    return literal, patterns


def test_every_label_exists_in_every_language() -> None:
    assert all(len(row) == len(LANGUAGES) for row in TABLE.values())
    assert [key for key, row in TABLE.items() if not all(text.strip() for text in row)] == []


def test_translations_have_the_same_places_to_fill() -> None:
    def places(text: str) -> set[str]:
        return {name for _, name, _, _ in Formatter().parse(text) if name}

    assert [key for key, row in TABLE.items() if len({frozenset(places(text)) for text in row}) > 1] == []


def test_every_label_that_a_view_names_is_in_the_table() -> None:
    literal, _ = _asked()

    assert len(literal) > 150
    assert literal - set(TABLE) == set()


def test_no_label_is_left_over() -> None:
    literal, patterns = _asked()
    made = re.compile("|".join(f"(?:{pattern})" for pattern in patterns if pattern != ".+"))

    assert {key for key in TABLE if key not in literal and not made.fullmatch(key)} == {"about"}


@pytest.mark.parametrize(
    ("prefix", "values"),
    [
        *((f"value.{name}", list(values)) for name, values in finance.LABELS.items()),
        ("field", list(finance.ScoreRequest.model_fields)),
        ("decision", list(get_args(finance.Decision))),
        ("urgency", list(get_args(medical.Urgency))),
        ("fault", list(get_args(medical.FaultKind))),
        ("kind", list(KINDS)),
        ("site", list(SITES)),
        ("side", list(get_args(evidence.Side))),
        ("presence", list(get_args(evidence.Presence))),
        ("verdict", list(get_args(medical.QualityVerdict))),
        ("report", list(get_args(medical.ReportState))),
        ("origin", list(get_args(medical.Origin))),
        ("held", list(get_args(intake.HeldState))),
        ("discard", list(get_args(intake.DiscardReason))),
        ("source", list(get_args(intake.Source))),
        ("export", list(get_args(medical.ExportFormat))),
        ("section", list(medical.Sections.model_fields)),
        ("category", list(support.TicketCategory)),
        ("priority", list(support.TicketPriority)),
        ("ticket", list(support.TicketStatus)),
        ("tone", list(support.Tone)),
    ],
)
def test_every_value_of_the_schemas_has_a_label(prefix: str, values: list[str]) -> None:
    assert [value for value in values if f"{prefix}.{value}" not in TABLE] == []


def test_kinds_and_sites_are_called_as_in_the_vocabulary() -> None:
    for group, words in (("kind", KINDS), ("site", SITES)):
        assert {name: TABLE[f"{group}.{name}"] for name in words} == {
            name: (word.english, word.chinese) for name, word in words.items()
        }


def test_chinese_labels_are_chinese() -> None:
    same = {key for key, (english, chinese) in TABLE.items() if english == chinese}

    assert {key for key in same if not key.startswith(("export.", "support.hint", "support.query_example"))} == set()


def test_named_values_fill_a_label() -> None:
    assert Labels("en")("report.version", version=3) == "Version 3"
    assert Labels("zh")("report.version", version=3) == "版本 3"


def test_an_unknown_language_fails() -> None:
    with pytest.raises(ValueError, match="language: must be one of en, zh"):
        Labels("fr")


def test_an_unknown_key_fails_but_a_made_up_name_has_a_default() -> None:
    with pytest.raises(KeyError, match=re.escape("nav.astrology")):
        Labels("en")("nav.astrology")

    assert Labels("en").get("nav.astrology", "Astrology") == "Astrology"
