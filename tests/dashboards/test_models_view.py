"""The models' page over a made-up model: what serves, what a trial shows, steps with name and reason."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.api import create_app
from service.kit import Kit
from service.registry import FileRegistry
from tests.conftest import served
from tests.dashboards.conftest import Api, field, open_page, press, texts
from tests.fake_kit import make_kit
from tests.service.fake_scales import MODEL, SCALES, Ask, register
from verticals.contract import Context


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    home = tmp_path_factory.mktemp("models")
    register(FileRegistry(home / "registry"), 2, activate=True)
    return make_kit(home, {"scales": SCALES})


@pytest.fixture(scope="module")
def operators(kit: Kit) -> Iterator[Api]:
    with served(create_app(kit)) as url:
        yield Api(url, kit.keys.issue(tenant="ops", label="page", scopes=["*", "models.*"]))


def test_without_another_version_there_is_nothing_to_try(operators: Api) -> None:
    page = open_page("models", operators, language="zh")

    choice = field(page.selectbox, "版本")
    assert (choice.options, choice.proto.placeholder, choice.disabled) == ([], "没有其他版本", True)
    assert [button.disabled for button in page.button if button.label == "执行"] == [True]


def test_a_canary_is_begun_seen_and_taken_back(kit: Kit, operators: Api) -> None:
    version = register(kit.registry, 3)
    page = open_page("models", operators)
    field(page.button_group, "What shall hold").set_value("canary").run()
    field(page.text_input, "Your name").set_value("Ada")
    field(page.text_input, "Reason, kept in the audit trail").set_value("first trial")
    page = press(page, "Do it")
    assert f"Done: canary, 10%, version {version}." in texts(page)

    for number in range(60):
        context = Context("t", "a", "r", lambda *_, **__: None)
        kit.handlers["scales"]["weigh"](Ask(subject=str(number)), context)
    kit.rollouts.refresh()
    page = open_page("models", operators)

    assert "Share seen (asked 10%)" in texts(page)
    field(page.text_input, "Your name").set_value("Ada")
    field(page.text_input, "Reason, kept in the audit trail").set_value("enough seen")
    page = press(page, "Do it")
    assert list(page.dataframe[2].value["State"]) == ["rolled back", "canary, 10%"]
    assert kit.rollouts.find(MODEL)[0].trial is None


def test_a_step_that_makes_no_sense_is_said_calmly_and_in_chinese(operators: Api) -> None:
    page = open_page("models", operators, language="zh")
    field(page.button_group, "目标状态").set_value("roll-back").run()
    field(page.text_input, "您的姓名").set_value("Ada")
    field(page.text_input, "原因，将写入审计链").set_value("by mistake")

    assert "没有可退回的步骤" in texts(press(page, "执行"))
