"""The scorecard as one SQL query with a CASE a field: ANSI SQL, tried on SQLite and PostgreSQL. Decides nothing.

Every number is written so that it reads back as the same double, and parts are added in the scorecard's order: the
database gives our points to the bit. NULL is a missing value; so is an empty text, as in a CSV file. A category that
the development sample did not have makes the row's score NULL, where `Scorecard.score` raises.
"""

from __future__ import annotations

from verticals.contract import InvalidInput
from verticals.finance.data import DATA_NOTE
from verticals.finance.scorecard import Scorecard, ScoredFeature
from verticals.finance.sources.names import TERM_COLUMNS

TABLE = "applications"


def export_sql(scorecard: Scorecard, *, version: str, table: str = TABLE, sources: bool = False) -> bytes:
    """A query over `table`, which has the scorecard's fields as columns; it may be made a view.

    Its columns are the table's, then `logit`, `prob_default`, `points_exact` and `points` (half to even).

    Args:
        sources: Whether the table has the columns `TERM_COLUMNS` too: the terms of an answer; NULL is missing.

    Raises:
        InvalidInput: the table's name is empty.
    """
    if not table:
        raise InvalidInput("must name a table", field="table")
    parts = [_case(f) for f in scorecard.features]
    if sources:
        parts += [f"COALESCE(source_.{_name(column)}, {_double(0.0)})" for column in TERM_COLUMNS]
    total = "\n      + ".join([_double(scorecard.base_logit), *parts])
    scale = scorecard.scaling
    points = f"{_double(scale.offset)} - {_double(scale.factor)} * logit"
    query = f"""-- Trivium scorecard {version}: points of each row of {table}.
-- {DATA_NOTE}
SELECT scored_.*, {round_half_even("points_exact")} AS points
FROM (
  SELECT summed_.*, 1.0 / (1.0 + EXP(-logit)) AS prob_default, {points} AS points_exact
  FROM (
    SELECT source_.*,
      {total} AS logit
    FROM {_name(table)} AS source_
  ) AS summed_
) AS scored_
"""  # noqa: S608  (names are quoted, texts too)
    return query.encode()


def round_half_even(column: str) -> str:
    """Whole points as Python's `round` gives them. PostgreSQL rounds a tie to even by itself, SQLite does not."""
    nearest = f"ROUND({column})"
    is_odd = f"ROUND({nearest} / 2.0) <> {nearest} / 2.0"
    return (
        f"CASE WHEN {nearest} - {column} = 0.5 AND {is_odd} THEN {nearest} - 1 "
        f"WHEN {column} - {nearest} = 0.5 AND {is_odd} THEN {nearest} + 1 ELSE {nearest} END"
    )


def _case(feature: ScoredFeature) -> str:
    """The field's part of the logit."""
    column = f"source_.{_name(feature.name)}"

    def part(woe: float) -> str:
        return _double(feature.coefficient * (woe - feature.mean_woe))

    if feature.kind == "numeric":
        lines = [f"WHEN {column} IS NULL THEN {part(feature.missing_woe)}"]
        lines += [f"WHEN {column} < {_number(b.high)} THEN {part(b.woe)}" for b in feature.bins if b.high is not None]
        lines += [f"ELSE {part(b.woe)}" for b in feature.bins if b.high is None]
    else:
        lines = [f"WHEN {column} IS NULL OR {column} = '' THEN {part(feature.missing_woe)}"]
        for b in feature.bins:
            listed = ", ".join(_text(category) for category in b.categories)
            lines += [f"WHEN {column} IN ({listed}) THEN {part(b.woe)}"] if listed else []
        lines += ["ELSE NULL"]
    return "CASE " + "\n             ".join(lines) + " END"


def _double(value: float) -> str:
    # A bare literal is an exact decimal in PostgreSQL, whose sums round otherwise.
    return f"CAST({value!r} AS DOUBLE PRECISION)"


def _number(bound: float) -> str:
    return str(int(bound)) if bound == int(bound) else repr(bound)


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(category: str) -> str:
    return "'" + category.replace("'", "''") + "'"
