"""The scorecard for systems that do not run Python: readable JSON, SQL, ONNX. Each reads the artefact only.

The same applicant gets the same points from each of them as from the API: `python -m benchmarks.parity` counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from verticals.finance.exports.card_json import export_json
from verticals.finance.exports.onnx_graph import export_scorecard
from verticals.finance.exports.sql import export_sql
from verticals.finance.scorecard import Scorecard


class Export(Protocol):
    """Writes a scorecard in another form; with inputs for the terms of sources, if they are asked for."""

    def __call__(self, scorecard: Scorecard, *, version: str, sources: bool = False) -> bytes: ...


EXPORTS: Mapping[str, tuple[Export, str]] = {
    "json": (export_json, "application/json"),
    "sql": (export_sql, "application/sql"),
    "onnx": (export_scorecard, "application/octet-stream"),
}
"""Format -> how to write it, its media type."""
