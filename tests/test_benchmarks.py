"""The studies still run: a smoke run of each that needs no embedded model. Their figures are not tested."""

from __future__ import annotations

import pytest

from benchmarks import routing
from benchmarks.shipped_text import read_corpus


def test_the_router_study_prints_a_row_for_every_strategy(capsys: pytest.CaptureFixture[str]) -> None:
    routing.main(["--quick"])

    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("| ")][1:] == [
        *routing.STRATEGIES
    ]


def test_no_document_is_both_trained_on_and_tested_on() -> None:
    corpus = read_corpus()

    assert len(corpus.train) > 3 * len(corpus.held_out) > 0
    assert not set(corpus.train) & set(corpus.held_out)
