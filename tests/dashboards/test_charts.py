"""The charts carry the numbers that they were given, in order and to scale."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import pytest

from dashboards import charts
from dashboards.charts import DARK, LIGHT, Band, Bin, Step

BANDS = [Band(430, 500, "Decline", "bad"), Band(500, 530, "Refer", "doubt"), Band(530, 610, "Approve", "good")]
STEPS = [
    Step("Average", "sample", 521.0, "base"),
    Step("Account", "overdrawn", -23.6),
    Step("Savings", "none", 9.0),
    Step("Score", "Refer", 506.4, "total"),
]


def _scale(points: float, population: list[Bin]) -> dict[str, Any]:
    chart = charts.score_scale(
        points, bands=BANDS, population=population, palette=LIGHT, title="Points", people="Applicants"
    )
    return dict(chart.to_dict())


def _rows(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for rows in spec["datasets"].values() for row in rows]


def test_the_scale_shows_the_score_the_bands_and_the_population() -> None:
    rows = _rows(_scale(512, [Bin(430, 440, 3), Bin(440, 450, 7)]))

    assert [row["text"] for row in rows if "text" in row] == ["512"]
    assert [(row["low"], row["high"], row["label"]) for row in rows if "label" in row] == [
        (band.low, band.high, band.label) for band in BANDS
    ]
    assert [(row["low"], row["count"]) for row in rows if "count" in row] == [(430, 3), (440, 7)]


def test_every_layer_of_the_scale_has_the_same_axis() -> None:
    spec = _scale(512, [Bin(430, 440, 3)])

    domains = [layer["encoding"]["x"]["scale"]["domain"] for layer in spec["layer"]]
    assert domains == [[430, 610]] * len(spec["layer"])


def test_a_score_beyond_the_bands_widens_the_scale() -> None:
    assert _scale(640, [])["layer"][0]["encoding"]["x"]["scale"]["domain"] == [430, 640]


def test_a_scale_without_a_population_draws_only_the_bands() -> None:
    assert len(_scale(512, [])["layer"]) == len(_scale(512, [Bin(430, 440, 3)])["layer"]) - 1


@pytest.mark.parametrize(("points", "align"), [(431, "left"), (520, "center"), (609, "right")])
def test_the_number_leans_inwards_at_the_ends(points: float, align: str) -> None:
    assert _scale(points, [])["layer"][-1]["mark"]["align"] == align


def test_each_step_of_the_waterfall_starts_where_the_last_one_ended() -> None:
    rows = charts.waterfall_rows(STEPS)

    assert list(rows["start"])[1:3] == list(rows["end"])[0:2]
    assert rows["end"].iloc[2] == pytest.approx(506.4)
    assert rows["end"].iloc[2] == pytest.approx(rows["end"].iloc[3])
    assert list(rows["kind"]) == ["base", "down", "up", "total"]
    assert list(rows["text"]) == ["521", "−24", "+9", "506"]


def test_the_waterfall_keeps_the_order_of_the_steps() -> None:
    spec = charts.waterfall(STEPS, palette=LIGHT, title="Points").to_dict()

    labels = ["Average\nsample", "Account\noverdrawn", "Savings\nnone", "Score\nRefer"]
    assert [layer["encoding"]["y"]["sort"] for layer in spec["layer"]] == [labels] * 3


def test_two_steps_of_one_name_stay_two_bars() -> None:
    twice = [STEPS[0], Step("Plan", "none", 1.0), Step("Debtor", "none", 2.0), STEPS[3]]

    assert charts.waterfall_rows(twice)["label"].is_unique


@pytest.mark.parametrize(("points", "text"), [(0.4, "0"), (-0.4, "0"), (1.6, "+2"), (-23.6, "−24")])
def test_points_are_signed_unless_they_round_to_zero(points: float, text: str) -> None:
    assert charts.signed(points) == text


def _lefts(html: str) -> list[float]:
    return [float(found) for found in re.findall(r"left:(?:calc\()?([\d.]+)%", html)]


def test_an_interval_is_drawn_to_scale() -> None:
    html = charts.interval_html(0.5, low=0.25, high=0.75, domain=(0.0, 1.0), palette=LIGHT, baseline=0.0, last=1.0)

    assert _lefts(html) == [26.0, 2.0, 98.0, 50.0]  # interval, baseline, last, value: 2 % to 98 % of the width
    assert "width:48.00%" in html


def test_an_interval_without_comparisons_has_only_itself() -> None:
    html = charts.interval_html(0.5, low=0.25, high=0.75, domain=(0.0, 1.0), palette=LIGHT)

    assert "dashed" not in html
    assert len(_lefts(html)) == 2


def test_a_mark_beyond_the_domain_stays_inside_the_picture() -> None:
    assert max(_lefts(charts.interval_html(9, low=8, high=10, domain=(0.0, 1.0), palette=LIGHT))) == 98.0


def test_a_domain_without_width_does_not_divide_by_zero() -> None:
    assert _lefts(charts.interval_html(1, low=1, high=1, domain=(1.0, 1.0), palette=LIGHT)) == [2.0, 2.0]


def test_the_history_draws_value_and_interval_of_each_run() -> None:
    times = pd.to_datetime(["2026-11-16", "2026-11-17"], utc=True)
    points = pd.DataFrame({"started": times, "value": [0.8, 0.9], "low": [0.7, 0.8], "high": [0.9, 1.0]})

    spec = charts.history(points, palette=LIGHT, title="AUC").to_dict()

    assert [(row["value"], row["low"], row["high"]) for row in _rows(spec)] == [(0.8, 0.7, 0.9), (0.9, 0.8, 1.0)]


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(("palette", "background"), [(LIGHT, "#FFFFFF"), (DARK, "#12181A")])
def test_colours_are_legible_on_their_background(palette: charts.Palette, background: str) -> None:
    """WCAG 2.2: 4.5 for text (1.4.3), 3 for graphics and large text (1.4.11)."""
    for colour in (palette.text, palette.muted, palette.accent):
        assert _contrast(colour, background) >= 4.5
    for colour in (palette.good, palette.bad):
        assert _contrast(colour, background) >= 3
