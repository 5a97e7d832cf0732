"""Tables of pandas, polars and Arrow as the columns that a scorecard reads. Ignores what the columns mean."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from verticals.contract import InvalidInput


def columns_of(frame: Any) -> dict[str, list[Any]]:
    """Each column as plain Python values, None where a value is missing.

    Args:
        frame: Whatever speaks Arrow's stream interface: a pandas or polars DataFrame, an Arrow table or record batch.

    Raises:
        InvalidInput: something else.
    """
    if not hasattr(frame, "__arrow_c_stream__") and not isinstance(frame, pa.RecordBatch):
        raise InvalidInput(
            "must be a pandas or polars DataFrame, or an Arrow table", field="frame", value=type(frame).__name__
        )
    table = pa.Table.from_batches([frame]) if isinstance(frame, pa.RecordBatch) else pa.table(frame)
    return {name: table[name].to_pylist() for name in table.column_names}
