"""The studies still run: a smoke run of each that needs no embedded model. Their figures are not tested."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import drift, fairness, fraud, gpu, gpu_model, histories, reject_inference, routing
from benchmarks.credit_data import SAMPLES
from benchmarks.shipped_text import read_corpus
from verticals.finance.metrics import auc


def test_the_router_study_prints_a_row_for_every_strategy(capsys: pytest.CaptureFixture[str]) -> None:
    routing.main(["--quick"])

    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("| ")][1:] == [
        *routing.STRATEGIES
    ]


def rows_of(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_the_drift_study_shows_the_test_beside_the_convention(capsys: pytest.CaptureFixture[str]) -> None:
    drift.main(["--draws", "5"])

    header, _, *rows = rows_of(capsys.readouterr().out)
    assert header[3:] == [*drift.RULES]
    assert len(rows) == 2 * len(drift.CASES)


def test_the_reject_inference_study_compares_every_method_with_the_truth(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRIVIUM_DATA", raising=False)  # only what a package holds
    reject_inference.main(["--repeats", "2"])

    _, _, *rows = rows_of(capsys.readouterr().out)
    assert [row[2] for row in rows[: len(rows) // 2]] == ["all labels", *reject_inference.METHODS, "fuzzy, prudence 2"]


def test_the_scorer_is_told_the_same_of_a_served_field_in_words_and_in_codes() -> None:
    served, whole = SAMPLES["german"], SAMPLES["german-all"]
    in_words, in_codes = served.load()[0], whole.load()[0]

    assert served.told["monotone"] == whole.told["monotone"]
    assert [*served.told["orders"]] == [*whole.told["orders"]] != []
    for name, categories in served.told["orders"].items():
        places = in_codes[name].map(whole.told["orders"][name].index)
        assert places.equals(in_words[name].map(categories.index))


def test_the_fairness_study_prints_each_group_of_both_deciders(capsys: pytest.CaptureFixture[str]) -> None:
    fairness.main()

    _, _, *rows = rows_of(capsys.readouterr().out)
    assert {(row[0], row[2]) for row in rows} == {
        (decider, f"{group} against white") for decider in ("lenders", "model") for group in ("Black", "Hispanic")
    }


def test_the_histories_study_puts_the_baseline_first_and_its_differences_beside_the_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    histories.main(["--quick"])

    text = capsys.readouterr().out
    assert text.startswith("SYNTHETIC.")
    _, _, baseline, *others = rows_of(text)
    assert baseline[0].endswith("(baseline)")
    assert len(others) == 5
    assert all(other[2].startswith(("+", "-")) for other in others)


def test_the_fraud_studys_weighted_figures_are_those_of_the_rows_repeated() -> None:
    rng = np.random.default_rng(2)
    bad, score = (rng.random(400) < 0.2).astype(float), rng.integers(0, 50, 400).astype(float)
    times = rng.integers(0, 4, 400)
    bad_again, score_again = np.repeat(bad, times), np.repeat(score, times)

    assert fraud.weighted_auc(bad, score, times.astype(float)) == pytest.approx(auc(bad_again, score_again))
    distinct = score + rng.random(400)
    allowed = np.sort(np.repeat(distinct, times)[bad_again == 0])[::-1][int(0.01 * (bad_again == 0).sum())]
    expected = (np.repeat(distinct, times)[bad_again == 1] > allowed).mean()
    assert fraud.weighted_recall(bad, distinct, times.astype(float)) == pytest.approx(expected, abs=0.03)


def test_no_document_is_both_trained_on_and_tested_on() -> None:
    corpus = read_corpus()

    assert len(corpus.train) > 3 * len(corpus.held_out) > 0
    assert not set(corpus.train) & set(corpus.held_out)


def test_the_gpu_study_says_what_it_needs_and_counts_what_a_token_reads() -> None:
    if not torch.cuda.is_available():
        with pytest.raises(SystemExit, match="needs an NVIDIA GPU"):
            gpu.main([])

    plain, coarse = (gpu_model.bytes_per_token(gpu_model.V2_LITE, precision) for precision in ("bf16", "int4"))
    assert plain == pytest.approx(2 * 2.4e9, rel=0.05)  # 2.4 billion active parameters, as its authors say
    assert plain / coarse == pytest.approx(2.9, abs=0.1)
