"""Figures of a report, against their definitions."""

from __future__ import annotations

import json

import pytest
import torch

from core_model.compress.report import Judge, Report, Row, measure_speed, stored_bytes
from core_model.compress.rounding import Scheme, round_to_nearest
from core_model.evaluate import logits_kl, perplexity
from core_model.model import Decoder
from tests.core_model.tiny import make_decoder

WINDOWS = [list(range(5, 45)), list(range(60, 110)), list(range(150, 180))]


def judged(decoder: Decoder, name: str) -> tuple[Row, Row]:
    """The reference's row and that of another precision."""
    judge = Judge(decoder, WINDOWS, scores={"layers": lambda found: float(len(found.layers))})
    other = make_decoder("int4")
    return judge.judge("fp32", decoder, num_bytes=100), judge.judge(name, other, num_bytes=20, speed=(10.0, 2.5))


def test_a_model_does_not_drift_from_itself(decoder: Decoder) -> None:
    row, _ = judged(decoder, "int4")

    assert (row.change, row.low, row.high, row.mean_kl, row.top1_agreement) == (0, 0, 0, 0, 1)
    assert row.scores == {"layers": 2.0}


def test_figures_follow_their_definitions(decoder: Decoder) -> None:
    reference, row = judged(decoder, "int4")
    one_window = Judge(decoder, WINDOWS[:1]).judge("int4", make_decoder("int4"), num_bytes=1)

    drift = logits_kl(decoder, make_decoder("int4"), WINDOWS[0])
    assert one_window.perplexity == pytest.approx(perplexity(make_decoder("int4"), WINDOWS[0]), rel=1e-5)
    assert one_window.mean_kl == pytest.approx(drift.mean_kl, rel=1e-4)
    assert one_window.top1_agreement == pytest.approx(drift.top1_agreement)
    assert row.change == pytest.approx(row.perplexity / reference.perplexity - 1, abs=1e-6)
    assert row.low <= row.change <= row.high
    assert 0 < row.mean_kl < row.p99_kl


def test_a_report_reads_as_json_and_as_a_table(decoder: Decoder) -> None:
    report = Report("tiny", "numbers", 120, "this machine", judged(decoder, "int4"))

    assert json.loads(report.to_json())["rows"][1]["name"] == "int4"
    lines = report.to_markdown().splitlines()
    assert lines[0].startswith("| precision | MB | perplexity |")
    assert len({line.count("|") for line in lines[:4]}) == 1
    assert "| 10.0 | 2.5 |" in lines[3]
    assert lines[-1] == "tiny; numbers, 120 tokens; this machine"


def test_bytes_at_rest_count_codes_scales_and_offsets() -> None:
    weight = torch.randn(16, 64)
    symmetric, free = (round_to_nearest(weight, Scheme(4, 32, offset)) for offset in ("symmetric", "free"))

    assert stored_bytes({"a": weight.bfloat16()}) == 2048
    assert stored_bytes({"a": symmetric}) == 512 + 32 * 2
    assert stored_bytes({"a": free}) == 512 + 32 * 4


def test_speed_is_measured_with_a_cache(decoder: Decoder) -> None:
    prefill, decode = measure_speed(decoder, WINDOWS[0], num_new=3, runs=1)

    assert prefill > 0
    assert decode > 0


def test_a_judge_needs_text(decoder: Decoder) -> None:
    with pytest.raises(ValueError, match=r"windows: at least one of two tokens"):
        Judge(decoder, [[1]])
