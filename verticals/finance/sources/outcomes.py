"""Trains the terms on a bank's own outcomes: what was on file on each application's day, beside the champion's score.

Nothing later than that day is read, so the terms learn from what a score would have known. Ignores how files are read
into the store.
"""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
from collections.abc import Sequence
from datetime import UTC, datetime, time
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from verticals.contract import InvalidInput, ModelCard, ModelRegistry
from verticals.finance import schemas
from verticals.finance.batch_checks import explain
from verticals.finance.documents.mismatch import RULES
from verticals.finance.histories.encoder import read_histories
from verticals.finance.histories.events import Reference
from verticals.finance.histories.model import SequenceModel, load_sequence
from verticals.finance.histories.store import EventStore
from verticals.finance.scoring import Models, load_models, plain
from verticals.finance.simulator import SYNTHETIC_NOTE, is_synthetic
from verticals.finance.sources.fit import Recipe, SourceInput, fit_sources
from verticals.finance.sources.inputs import DOCUMENT, Array, history_names, text_names, view_at_last_event
from verticals.finance.sources.model import NAME, to_files
from verticals.finance.sources.names import Source
from verticals.finance.sources.store import open_stores, stored_numbers
from verticals.finance.sources.tables import FinanceEvidence
from verticals.finance.sources.training import gain, term_columns

MIN_EACH = 50  # bad and good credits; with fewer a term is noise
FOLDS = 5


class Outcome(schemas.Application):
    """A row of the file: an application, whose it was, when, and what became of it."""

    customer: Reference
    date: dt.date = Field(description="Of the application.")
    default: Literal[0, 1] = Field(description="1 = bad.")


def read_outcomes(content: bytes) -> list[Outcome]:
    """Rows of a CSV file in UTF-8 with the fields of `Outcome` as columns.

    Raises:
        InvalidInput: a row breaks a rule, or there are too few of one outcome.
    """
    found = []
    for number, row in enumerate(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")), start=1):
        numbers = {"default": int(row["default"]) if row.get("default") in ("0", "1") else row.get("default")}
        try:
            found.append(Outcome.model_validate({name: value or None for name, value in row.items()} | numbers))
        except ValidationError as error:
            raise InvalidInput(explain(error), field=f"row {number}", remedy="Correct the row.") from None
    counts = [sum(one.default == outcome for one in found) for outcome in (0, 1)]
    if min(counts) < MIN_EACH:
        raise InvalidInput(
            f"must hold at least {MIN_EACH} of each outcome",
            field="default",
            value=f"{counts[1]} bad, {counts[0]} good",
        )
    return found


class Files:
    """What was on file of a tenant's customers on a day."""

    def __init__(
        self, sessions: sessionmaker[Session], tenant: str, *, sequence: SequenceModel | None, embedder_name: str
    ) -> None:
        self._sessions, self._tenant = sessions, tenant
        self._sequence, self._embedder_name = sequence, embedder_name
        self._events = EventStore(sessions)

    def inputs(self, rows: Sequence[Outcome]) -> dict[Source, SourceInput]:
        """Each source's input, a row an application; a source that nobody has is left out."""
        found = {
            "history": self._histories(rows),
            "text": self._filed(rows, "text", self._embedder_name, ()),
            "document": self._filed(rows, "document", RULES, DOCUMENT),
        }
        return {source: one for source, one in found.items() if one is not None and one.present.any()}  # type: ignore[misc]

    def _histories(self, rows: Sequence[Outcome]) -> SourceInput | None:
        if self._sequence is None:
            return None
        ids = [str(i) for i in range(len(rows))]
        tables = [
            self._events.table(self._tenant, [row.customer], as_of=_end_of(row.date)).assign(customer=place)
            for place, row in zip(ids, rows, strict=True)
        ]
        known = [table for table in tables if len(table)]
        if not known:
            return None
        events = pd.concat(known, ignore_index=True)
        vector_ND = self._sequence.encoder.embed(read_histories(events, ids)).astype(np.float64)
        x_ND = np.concatenate([view_at_last_event(events, ids).to_numpy(float), vector_ND], axis=1)
        x_ND[np.isnan(vector_ND).all(1)] = np.nan
        return SourceInput(self._sequence.encoder_id, history_names(vector_ND.shape[1]), x_ND)

    def _filed(self, rows: Sequence[Outcome], source: Source, reads: str, names: tuple[str, ...]) -> SourceInput | None:
        e = FinanceEvidence
        mine = (e.tenant == self._tenant, e.source == source, e.reads == reads)
        kept: list[Array | None] = []
        with self._sessions() as session:
            for row in rows:
                its = (e.customer == row.customer, e.filed_at <= _end_of(row.date))
                query = select(e.numbers).where(*mine, *its).order_by(e.filed_at.desc()).limit(1)
                numbers = session.scalar(query)
                kept.append(None if numbers is None else stored_numbers(numbers))
        num = next((len(x_D) for x_D in kept if x_D is not None), 0)
        if not num:
            return None
        nothing = np.full(num, np.nan)
        x_ND = np.stack([nothing if x_D is None else x_D for x_D in kept])
        return SourceInput(reads, names or text_names(num), x_ND)


def register_outcomes(
    registry: ModelRegistry, sessions: sessionmaker[Session], tenant: str, content: bytes, *, embedder_name: str
) -> ModelCard:
    """Train on a file of a tenant's outcomes, make it the active version, and make every customer's terms by it."""
    rows = read_outcomes(content)
    files = Files(sessions, tenant, sequence=load_sequence(registry), embedder_name=embedder_name)
    made, about = train_outcomes(load_models(registry), rows, files)
    origin = {
        "data": {"outcomes": hashlib.sha256(content).hexdigest()},
        "command": "trivium finance train-sources FILE",
    }
    card = registry.save(NAME, made, about | origin)
    open_stores(sessions, registry).sources.make_missing()
    return card


def train_outcomes(models: Models, rows: Sequence[Outcome], files: Files) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Fit the terms beside the champion's log odds; their gain is measured out of fold.

    Returns:
        (files, card): see `model.to_files`; the card's fields for the registry.
    Raises:
        InvalidInput: nothing was on file of any customer on the day of an application.
    """
    inputs = files.inputs(rows)
    if not inputs:
        raise InvalidInput(
            "nothing is on file of any customer on the day of an application",
            field="customer",
            remedy="Send events, texts or documents first.",
        )
    default = np.array([row.default for row in rows])
    columns = {f.name: [plain(getattr(row, f.name)) for row in rows] for f in models.scorecard.features}
    offset = models.scorecard.score(columns).logit
    synthetic = any(is_synthetic(row.customer) for row in rows)
    model = fit_sources(inputs, default, offset, recipe=Recipe(), synthetic=synthetic)
    card = {
        "trained_on": f"{len(rows):,} outcomes of own customers, {int(default.sum()):,} bad; sources: "
        f"{', '.join(inputs)}. {SYNTHETIC_NOTE if synthetic else ''}".strip(),
        "licence": "the owner's",
        "recipe": "Bounded heads and a gate, champion's logit as offset; verticals/finance/sources/outcomes.py",
        "metrics": {"AUC over the champion, out of fold": _out_of_fold_gain(inputs, default, offset)},
        "limits": "Trained on customers whose credit was granted, as the file says.",
    }
    return to_files(model), card


def _out_of_fold_gain(inputs: dict[Source, SourceInput], default: NDArray[np.int_], offset: Array) -> list[float]:
    order = np.argsort(default, kind="stable")
    fold_N = np.empty(len(default), dtype=int)
    fold_N[order] = np.arange(len(default)) % FOLDS  # as many bad ones in each
    term_N = np.zeros(len(default))
    for fold in range(FOLDS):
        out = fold_N == fold
        train, test = ({s: _rows(one, mask) for s, one in inputs.items()} for mask in (~out, out))
        model = fit_sources(train, default[~out], offset[~out], recipe=Recipe(), synthetic=False)
        term_N[out] = term_columns(model, test).sum(1)
    return gain(default, offset + term_N, offset)


def _rows(source: SourceInput, mask: NDArray[np.bool_]) -> SourceInput:
    return SourceInput(source.reads, source.names, source.x_ND[mask])


def _end_of(day: dt.date) -> datetime:
    return datetime.combine(day, time.max, UTC)
