"""The five methods of reject inference beside each other on a file of decided and declined applicants.

Nothing is measured on the declined: what they would have done is not in the file, and no method puts it there. What can
be said is how a method ranks the accepted whom it has not seen, what it expects of the declined, and how far that
depends on the method. Keeps no model. Shapes: A accepted, R rejected, D indicators.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats
from sklearn.model_selection import StratifiedKFold

from verticals.contract import InvalidInput, TooLarge, UploadedFile
from verticals.finance import metrics
from verticals.finance.validation import discrimination, schemas
from verticals.finance.validation.evidence import DATE, GROUP, OUTCOME, PROBABILITY, numbers, read_table, typed
from verticals.finance.validation.indicators import fit_logistic, to_indicators
from verticals.finance.validation.reject_inference import METHODS, Method, Through
from verticals.finance.validation.rules import RULES
from verticals.finance.validation.sample import Array

ACCEPTED = "accepted"
NOT_FIELDS = {ACCEPTED, OUTCOME, PROBABILITY, DATE, "application_id"}
FOLDS, SEED = 3, 20261101
MIN_OF_CLASS = 30  # accepted goods and bads; below, a figure would only look like one
MIN_REJECTED = 30
MAX_INDICATORS = 500
BASELINE = "accepted only"

METHOD_NOTES: Mapping[str, str] = {
    "accepted only": "The baseline: right where the policy decided by what the model sees.",
    "extrapolation": "The baseline's own guess as a hard label: adds no information, and hurt in our benchmark.",
    "reweighting": "One accepted stands for the declined of his score band: needs accepted in every band.",
    "parcelling": "Outcomes drawn at the accepted's rate of the band, times prudence: one draw of many.",
    "fuzzy augmentation": "Both outcomes with weights: with prudence 1 the baseline again; prudence is what it adds.",
}
CAVEATS = (
    "No figure here is measured on declined applicants: their outcomes are not known.",
    "A higher AUC among the accepted does not say that a method is right about the declined.",
    "Prudence, how much worse the declined are than accepted ones with the same score, is an assumption of yours.",
    "Where the policy decided by what is not in the file, no method repairs the sample; only credits granted to some "
    "of the declined would (Hand and Henley 1993; Crook and Banasik 2004).",
    "The model is a plain logistic regression on tenths and categories, the same for all methods; it is not the "
    "scorecard in force.",
)


@dataclass(frozen=True)
class _Fitted:
    """A method's predictions: of accepted it has not seen, (A,), and of all rejected, (R,)."""

    accepted_A: Array
    rejected_R: Array


def compare(request: schemas.RejectInferenceRequest) -> schemas.RejectInferenceReport:
    """Every method on the file.

    Raises:
        InvalidInput: too few of a kind, or a cell that breaks a rule.
        TooLarge: too many rows or categories.
    """
    data, num_unknown = read_decided(request.file, prudence=request.prudence)
    fitted = {name: _fit(data, method) for name, method in METHODS.items()}
    rows = [row for name, found in fitted.items() for row in _rows(name, found, fitted[BASELINE], data)]
    rule = RULES["reject-inference"]
    return schemas.RejectInferenceReport(
        num_accepted=len(data.default_A),
        num_bad=int(data.default_A.sum()),
        num_rejected=len(data.rejected_RD),
        num_unknown=num_unknown,
        prudence=data.prudence,
        rows=rows,
        methods=[schemas.MethodNote(method=name, note=METHOD_NOTES[name]) for name in METHODS],
        caveats=list(CAVEATS),
        rule=schemas.RuleText(
            rule=rule.rule_id, version=rule.version, applies_from=rule.applies_from, text=rule.text, source=rule.source
        ),
    )


def read_decided(file: UploadedFile, *, prudence: float) -> tuple[Through, int]:
    """Who came through the door, and how many accepted were left out because their outcome is not known yet."""
    table = read_table(file)
    if len(table) > schemas.MAX_DECIDED_ROWS:
        raise TooLarge(
            f"at most {schemas.MAX_DECIDED_ROWS:,} rows", field="file", value=len(table), remedy="Draw a sample."
        )
    if ACCEPTED not in table:
        raise InvalidInput(f"needs the column {ACCEPTED}", field="file", remedy="1 is accepted, 0 declined.")
    accepted = numbers(table, ACCEPTED, "must be 0 or 1", lambda x: np.isin(x, (0, 1))) == 1
    default = numbers(table, OUTCOME, "must be 0, 1 or empty", lambda x: np.isin(x, (0, 1)), empty=True)
    names = [str(c) for c in table if str(c) not in NOT_FIELDS and not str(c).startswith(GROUP)]
    if not names:
        raise InvalidInput("needs at least one column with a field", field="file")
    for name in names:
        if len(set(table[name])) > MAX_INDICATORS and table[name].str.fullmatch(r"[+-]?\d*\.?\d*").mean() < 1:
            raise TooLarge(
                f"at most {MAX_INDICATORS} categories", field=name, remedy="Leave the column out, or group its values."
            )
    indicators = to_indicators(table[names].assign(**{name: typed(table, name) for name in names}))
    if indicators.shape[1] > MAX_INDICATORS:
        raise TooLarge(
            f"at most {MAX_INDICATORS} categories and tenths in all", field="file", value=indicators.shape[1],
            remedy="Leave columns out, or group their values.",
        )  # fmt: skip
    known = accepted & ~np.isnan(default)
    through = Through(indicators[known], default[known], indicators[~accepted], prudence=prudence, seed=SEED)
    _refuse_few(through)
    return through, int((accepted & np.isnan(default)).sum())


def _refuse_few(data: Through) -> None:
    bads = int(data.default_A.sum())
    for what, count, least in (
        ("accepted bads", bads, MIN_OF_CLASS),
        ("accepted goods", len(data.default_A) - bads, MIN_OF_CLASS),
        ("declined applicants", len(data.rejected_RD), MIN_REJECTED),
    ):
        if count < least:
            raise InvalidInput(f"needs {least} {what}", field="file", value=count, remedy="Give a larger sample.")


def _fit(data: Through, method: Method) -> _Fitted:
    """Each accepted is predicted by a model that was made without him, each rejected by one of all."""
    held_out = np.empty(len(data.default_A))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=SEED)
    for train, test in folds.split(data.accepted_AD, data.default_A):
        part = replace(data, accepted_AD=data.accepted_AD[train], default_A=data.default_A[train])
        held_out[test] = method(part, fit_logistic)(data.accepted_AD[test])
    return _Fitted(held_out, method(data, fit_logistic)(data.rejected_RD))


def _rows(name: str, found: _Fitted, baseline: _Fitted, data: Through) -> Iterator[schemas.EvidenceRow]:
    auc = discrimination.auc(data.default_A, found.accepted_A)
    num_A, num_R = len(data.default_A), len(data.rejected_RD)
    yield _row(name, "AUC, accepted held out", auc.value, auc.low, auc.high, n=num_A)
    if name != BASELINE:
        gap = auc.value - discrimination.auc(data.default_A, baseline.accepted_A).value
        half = discrimination.Z * metrics.auc_difference_se(data.default_A, found.accepted_A, baseline.accepted_A)
        yield _row(name, "AUC less accepted only", gap, gap - half, gap + half, n=num_A)
    observed = f"observed {data.default_A.mean():.4f}"
    yield _row(name, "mean prediction, accepted held out", *_mean(found.accepted_A), n=num_A, note=observed)
    yield _row(name, "mean prediction, declined", *_mean(found.rejected_R), n=num_R, note="never observed")
    if name != BASELINE:
        rank = float(stats.spearmanr(found.rejected_R, baseline.rejected_R).statistic)
        yield _row(name, "rank correlation with accepted only, declined", rank, None, None, n=num_R)


def _mean(prob: Array) -> tuple[float, float, float]:
    """With the interval over applicants; the model's own error is not in it."""
    mean, half = float(prob.mean()), discrimination.Z * float(prob.std(ddof=1)) / len(prob) ** 0.5
    return mean, mean - half, mean + half


def _row(
    name: str, statistic: str, value: float, low: float | None, high: float | None, *, n: int, note: str = ""
) -> schemas.EvidenceRow:
    rule = RULES["reject-inference"]
    return schemas.EvidenceRow(
        section="reject inference",
        statistic=statistic,
        of=name,
        value=value,
        low=low,
        high=high,
        n=n,
        rule=rule.rule_id,
        rule_version=rule.version,
        source=rule.source,
        grade="information",
        note=note,
    )
