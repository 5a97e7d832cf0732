"""The audit page: whether the chain is whole, who did what, one entry by its address, replay and files."""

from __future__ import annotations

import ast
import inspect
from types import ModuleType

import pytest

from dashboards.i18n import Labels
from service import audit_replay
from tests.dashboards.conftest import Api, field, open_page, press, run, texts
from verticals.finance import replay as finance_replay
from verticals.medical import replay as medical_replay
from verticals.support import replay as support_replay


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_tells_that_the_chain_is_whole_and_its_head(api: Api, language: str) -> None:
    page = open_page("audit", api, language=language)

    labels = Labels(language)
    assert labels("audit.whole") in texts(page)
    assert any(code.value.split(":")[0].isdecimal() for code in page.code)
    assert labels("audit.choose") in texts(page)


def test_the_filter_finds_by_operation_and_a_file_is_offered_once_it_is_asked_for(api: Api) -> None:
    page = open_page("audit", api)
    assert not page.get("download_button")
    press(page, "Prepare")
    assert [button.proto.label for button in page.get("download_button")] == ["Download audit.csv"]

    field(page.text_input, "Operation").set_value("keys.*")
    shown = run(page).dataframe[0].value
    field(page.text_input, "Operation").set_value("astrology.*")
    run(page)

    assert set(shown["Operation"]) == {"keys.issue"}
    assert "Nothing was recorded that fits" in texts(page)


def test_an_address_opens_an_entry_which_says_what_can_be_made_again_or_that_there_is_none(api: Api) -> None:
    page = open_page("audit", api)
    page.query_params["record"] = "1"
    run(page)
    assert "Entry 1" in texts(page)
    assert "keys.issue" in texts(page)

    field(page.text_area, "Input as JSON, where it is not kept").set_value("[1]")
    assert "must be one JSON object" in press(page, "Make it again").warning[0].value
    field(page.text_area, "Input as JSON, where it is not kept").set_value("")
    assert "nothing in it to make again" in texts(press(page, "Make it again"))

    page.query_params["record"] = "99999"
    assert "no such entry" in run(page).warning[0].value


def told_by(module: ModuleType) -> list[str]:
    """The sentences that a replay may say: every text of its code that ends as one, but for documentation."""
    tree = ast.parse(inspect.getsource(module))
    blocks = ast.Module | ast.ClassDef | ast.FunctionDef
    documented = {ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, blocks)}
    found = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [text for text in found if text not in documented and text.endswith(".") and " " in text]


@pytest.mark.parametrize("module", [audit_replay, finance_replay, medical_replay, support_replay])
def test_what_a_replay_says_has_its_chinese(module: ModuleType) -> None:
    labels = Labels("zh")
    said = [text for text in told_by(module) if not text.startswith(("As ", "Restore", "`trivium audit"))]

    assert said
    assert [text for text in said if labels.said(text) == text] == []
