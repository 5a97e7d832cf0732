"""Demonstration data: two studies, once, marked as pydicom's test data, for the tenant "demo" only."""

from __future__ import annotations

from typing import Any

from verticals.medical import VERTICAL


def test_demo_data_is_prepared_once_and_marked(desk: Any) -> None:
    told: list[tuple[str, float]] = []
    for _ in range(2):
        VERTICAL.demo(desk.resources, lambda what, share: told.append((what, share)))

    studies = desk.as_tenant("demo").call("list_studies").studies
    assert sorted(s.modality for s in studies) == ["CT", "MR"]
    assert {s.origin for s in studies} == {"pydicom-test-data"}
    assert told[-1][1] == 1.0
    assert desk.call("list_studies").total == 0
