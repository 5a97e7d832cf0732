"""Answers of the scorecard in force, prepared: a field's value is looked up, its texts and numbers are ready.

`scoring.assess` and `scoring.respond` say what an answer is; this gives the same answers, as JSON, in a tenth of the
time. Each value of each field is worked out once by their own functions, at its first appearance; what is left for a
request is nine look-ups, sums in the scorecard's order, a sort and one string. F fields of the scorecard.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from verticals.finance import policy, schemas
from verticals.finance.challenger import rank_of
from verticals.finance.data import FEATURES
from verticals.finance.fields import CATEGORIES, LIMITS
from verticals.finance.reasons import PROFILE, bin_text, reason_of_source, reason_text
from verticals.finance.scaling import prob_default
from verticals.finance.scorecard import ScoredFeature
from verticals.finance.scoring import (
    FINGERPRINTED,
    Models,
    assess,
    canonical,
    plain,
    refer_because,
    respond,
    sha256_of,
    shadow_score,
)
from verticals.finance.sources.reading import Reading
from verticals.finance.sources.telling import tell_parts

_NO_SOURCES = '"sources":[],"synthetic":false,"fraud":null'
MAX_CELLS = 10_000  # values of a field that are kept ready
_PER_REQUEST = {
    *("application_id", "points", "points_exact", "prob_default", "logit", "contributions", "reasons"),
    *("other_points", "decision", "refer_because", "declined_because", "challenger", "challengers"),
    *("sources", "synthetic", "fraud"),
}


@dataclass(frozen=True)
class Cell:
    """A value of a field, worked out."""

    effect: float  # on the logit, against the average applicant
    points: float
    moe_effect: float  # the same of the mixture of experts in shadow; 0 without one
    contribution: str  # JSON
    reason: str  # JSON, if it is among the principal ones
    code: str
    doubts: tuple[str, ...]  # JSON
    overrides: tuple[int, ...]  # places in the policy's list
    canonical: str  # its part of the application's canonical JSON
    rank: float  # as the challenger reads it
    place: int  # its bin


class SourceGroup(NamedTuple):
    """A source that counts, beside the fields' cells."""

    points: float
    reason: str  # JSON
    code: str


@dataclass(frozen=True)
class Answer:
    """A scored application: what is recorded, and what is sent."""

    application_id: str
    input_sha256: str
    points: int
    prob_default: float
    decision: schemas.Decision
    reason_codes: tuple[str, ...]
    challenger_prob_default: float | None
    moe_prob_default: float | None
    content: bytes  # JSON
    reading: Reading | None = None  # of the customer's sources


class CompiledModels:
    """Answers for one version of the models and the policy."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self._base_logit = models.scorecard.base_logit
        self._fields = [(f.name, _Cells(models, f).get) for f in models.scorecard.features]
        place = {name: i for i, (name, _) in enumerate(self._fields)}
        self._fingerprinted = [(name, place.get(name)) for name in FINGERPRINTED]
        self._challenger_order = [place[f.name] for f in FEATURES]
        self._offset, self._factor = models.scorecard.scaling.offset, models.scorecard.scaling.factor
        self._constants = _constants(models)
        self._overrides = [(o.decision == "refer", _text(o.reason)) for o in models.policy.overrides]
        self._shadow = _shadow("LightGBM", models.challenger_version)
        self._moe_shadow = _shadow(models.moe_name, models.moe_version)
        self._tallies = self._new_tallies()

    def answer(
        self,
        asked: Sequence[tuple[str, schemas.Application]],
        readings: Sequence[Reading | None] | None = None,
    ) -> list[Answer]:
        """Answers to (application id, application) pairs; `readings` as in `scoring.assess`."""
        # A member of an enumeration is its text, also as a key; so none is made plain before it is looked up.
        cells_F = [[get(getattr(application, name)) for _, application in asked] for name, get in self._fields]
        rows = list(zip(*cells_F, strict=True))
        for tally, cells in zip(self._tallies.values(), cells_F, strict=True):
            for cell in cells:
                tally[cell.place] += 1
        logits, read = [self._logit(row) for row in rows], readings or [None] * len(asked)
        if readings:
            logits = [logit if r is None else r.add_to(logit) for logit, r in zip(logits, readings, strict=True)]
        return [
            self._one(application_id, self._fingerprint(application, row), row, logit, prob, shadow, moe, reading)
            for (application_id, application), row, logit, prob, shadow, moe, reading in zip(
                asked,
                rows,
                logits,
                prob_default(logits).tolist(),
                self._challenger_probs(rows),
                self._moe_probs(rows),
                read,
                strict=True,
            )
        ]

    def take_tallies(self) -> dict[str, list[int]]:
        """Field -> how many applications fell into each bin since the last call; two threads may lose one."""
        tallies, self._tallies = self._tallies, self._new_tallies()
        return tallies

    def _new_tallies(self) -> dict[str, list[int]]:
        return {f.name: [0] * (len(f.bins) + 1) for f in self.models.scorecard.features}

    def _challenger_probs(self, rows: Sequence[tuple[Cell, ...]]) -> list[float] | list[None]:
        challenger = self.models.challenger
        if challenger is None:
            return [None] * len(rows)
        probs: list[float] = challenger.predict_ranks(
            np.array([[row[place].rank for place in self._challenger_order] for row in rows])
        ).tolist()
        return probs

    def _moe_probs(self, rows: Sequence[tuple[Cell, ...]]) -> list[float] | list[None]:
        """The mixture of experts is a table of the same fields in the same order."""
        if self.models.moe is None:
            return [None] * len(rows)
        logits = []
        for row in rows:
            logit = self.models.moe.base_logit
            for cell in row:
                logit += cell.moe_effect
            logits.append(logit)
        probs: list[float] = prob_default(logits).tolist()
        return probs

    def _logit(self, row: tuple[Cell, ...]) -> float:
        logit = self._base_logit
        for cell in row:  # one field after the other, as `Scorecard.score_bins` adds
            logit += cell.effect
        return logit

    def _fingerprint(self, application: schemas.Application, row: tuple[Cell, ...]) -> str:
        """As `scoring.input_sha256`."""
        parts = [
            canonical(name, plain(getattr(application, name))) if place is None else row[place].canonical
            for name, place in self._fingerprinted
        ]
        return sha256_of(parts)

    def _one(
        self,
        application_id: str,
        input_sha256: str,
        row: tuple[Cell, ...],
        logit: float,
        prob: float,
        shadow: float | None,
        moe: float | None,
        reading: Reading | None,
    ) -> Answer:
        points_exact = self._offset - self._factor * logit
        points = round(points_exact)
        groups: Sequence[Cell | SourceGroup] = (*row, *_source_groups(reading, self._factor)) if reading else row
        gains = [group.points for group in groups]
        losses = [i for i, gain in enumerate(gains) if gain <= -PROFILE.min_points]
        chosen = sorted(losses, key=gains.__getitem__)[: PROFILE.max_reasons]
        refer = [doubt for cell in row for doubt in cell.doubts]
        declined: list[str] = []
        for place in sorted([i for cell in row for i in cell.overrides]):
            refers, reason = self._overrides[place]
            (refer if refers else declined).append(reason)
        refer += [_text(doubt) for doubt in reading.doubts] if reading else []
        decision = policy.decide(points, self.models.policy, refer, declined)
        other = sum([gain for i, gain in enumerate(gains) if i not in chosen])
        shadow_json = "null" if shadow is None else repr(shadow).join(self._shadow)
        shadows = [
            repr(said).join(around)
            for around, said in ((self._shadow, shadow), (self._moe_shadow, moe))
            if said is not None
        ]
        told = (
            f'{{"application_id":"{application_id}","points":{points},"points_exact":{points_exact!r},'
            f'"prob_default":{prob!r},"logit":{logit!r},"contributions":[{",".join([c.contribution for c in row])}],'
            f'"reasons":[{",".join([groups[i].reason for i in chosen])}],"other_points":{other!r},'
            f'"decision":"{decision}","refer_because":[{",".join(refer)}],"declined_because":[{",".join(declined)}],'
            f'"challenger":{shadow_json},"challengers":[{",".join(shadows)}],'
            f"{_sources(reading, self._factor) if reading else _NO_SOURCES},{self._constants}"
        )
        codes = tuple(groups[i].code for i in chosen)
        return Answer(application_id, input_sha256, points, prob, decision, codes, shadow, moe, told.encode(), reading)


class _Cells:
    """The values of one field."""

    def __init__(self, models: Models, feature: ScoredFeature) -> None:
        self._models, self._feature = models, feature
        self._moe = next((f for f in models.moe.features if f.name == feature.name), None) if models.moe else None
        self._spec = next(known for known in FEATURES if known.name == feature.name)
        self._ready: dict[Any, Cell] = {}

    def get(self, value: str | int | None) -> Cell:
        """The value, worked out at its first appearance.

        Raises:
            InvalidInput: a category without evidence.
        """
        found = self._ready.get(value)
        if found is None:
            if len(self._ready) >= MAX_CELLS:
                self._ready = {}
            found = self._ready[value] = self._work_out(plain(value))
        return found

    def _work_out(self, value: str | int | None) -> Cell:
        card, f = self._models.scorecard, self._feature
        place, woe, effect = _effect(f, value)
        points = -card.scaling.factor * effect
        contribution = schemas.Contribution(
            feature=f.name,
            label=schemas.FEATURE_LABELS[f.name],
            value=value,
            bin=bin_text(f, place),
            woe=woe,
            points=points,
            logit=-points / card.scaling.factor,
        )
        code = PROFILE.texts[f.name][0]
        reason = schemas.Reason(
            code=code, feature=f.name, text=reason_text(f.name, value), points_lost=max(-points, 0.0)
        )
        doubts = tuple(_text(doubt) for doubt in refer_because([f], {f.name: value}))
        overrides = self._models.policy.overrides
        return Cell(
            effect=effect,
            points=points,
            moe_effect=_effect(self._moe, value)[2] if self._moe else 0.0,
            contribution=contribution.model_dump_json(),
            reason=reason.model_dump_json(),
            code=code,
            doubts=doubts,
            overrides=tuple(i for i, o in enumerate(overrides) if o.field == f.name and o.matches(value)),
            canonical=canonical(f.name, value),
            rank=rank_of(self._spec, value),
            place=place,
        )


def _effect(f: ScoredFeature, value: str | int | None) -> tuple[int, float, float]:
    """(bin, WoE, effect on the logit against the average applicant) of a value."""
    place = int(f.bin_index([value])[0])
    woe = f.missing_woe if place == len(f.bins) else f.bins[place].woe
    return place, woe, f.coefficient * (woe - f.mean_woe)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _shadow(name: str, version: str | None) -> tuple[str, str]:
    """What is said of a model in shadow, before and after its probability."""
    before, _, after = shadow_score(name, version or "", 0.5).model_dump_json().rpartition("0.5")
    return before, after


def _source_groups(reading: Reading, factor: float) -> list[SourceGroup]:
    """The sources that count, in order."""
    reasons = [(part, reason_of_source(part, factor)) for part in reading.used]
    return [SourceGroup(-factor * part.term, reason.model_dump_json(), reason.code) for part, reason in reasons]


def _sources(reading: Reading, factor: float) -> str:
    """The answer's members about sources and suspicion."""
    parts = tell_parts(reading, factor=factor)
    synthetic = any(part.synthetic for part in parts if part.state == "used")
    fraud = json.dumps(reading.fraud and asdict(reading.fraud))
    told = ",".join([part.model_dump_json() for part in parts])
    return f'"sources":[{told}],"synthetic":{json.dumps(synthetic)},"fraud":{fraud}'


def _constants(models: Models) -> str:
    """The members of an answer that are the same for every application, and the closing brace."""
    some = schemas.Application(**(dict.fromkeys(CATEGORIES) | {name: low for name, (low, _) in LIMITS.items()}))
    answer = respond(models, assess(models, [("any", some)])[0])
    return answer.model_dump_json(exclude=_PER_REQUEST).removeprefix("{")
