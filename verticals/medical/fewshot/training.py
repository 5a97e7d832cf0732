"""From labelled images to measured models, one a method: learn on one side, fit sets and measure on the other."""

from __future__ import annotations

from typing import get_args

import numpy as np

from verticals.contract import Progress
from verticals.medical.fewshot.encoder import PROBE, Encoder
from verticals.medical.fewshot.examples import Examples
from verticals.medical.fewshot.images import Scope
from verticals.medical.fewshot.learning import learn
from verticals.medical.fewshot.model import FewShotModel, strangeness_features
from verticals.medical.fewshot.schemas import Counts, FewShotVersion, Figures, MethodName
from verticals.medical.fewshot.validation import Truth, measure, refusals
from verticals.medical.schemas import NOTICE
from verticals.medical.uncertainty import Calibration, Gate

PASSING = 0.95  # share of images like its own that a gate shall let in
_BATCH = 128
_LIMITS = (
    "Learned from {train} images and validated on {validation} of the same source; other devices and people were not "
    "seen. The probability is calibrated to a share of {share:.0%} with the finding. Never in a report. {notice}."
)


def train(
    encoder: Encoder, examples: Examples, scope: Scope, *, licence: str, progress: Progress
) -> list[FewShotModel]:
    """A model of each method from the training images, all measured on the same validation images."""
    teaching, checking = examples.only("train"), examples.only("validation")
    stems, truth = encoder.stems(teaching.pictures_BSS), Truth(checking.labels_B, checking.patient_B)
    gate = Gate.fit(strangeness_features(encoder, stems), accepted=PASSING)
    parts = [
        encoder.stems(part) for part in np.array_split(checking.pictures_BSS, len(checking.labels_B) // _BATCH + 1)
    ]
    strange_N = np.concatenate([gate.distance(strangeness_features(encoder, part)) for part in parts])
    probe_N = None
    made: list[FewShotModel] = []
    methods: tuple[MethodName, ...] = get_args(MethodName)
    for at, method in enumerate(methods):
        progress(f"medical: learning by {method}", at / len(methods))
        learned = learn(encoder, stems, teaching.labels_B, teaching.patient_B, method=method)
        scores_N = np.concatenate([learned.scores(encoder, part) for part in parts])
        figures = measure(scores_N, truth, passed_N=strange_N <= gate.limit, probe_N=probe_N)
        probe_N = scores_N if method == PROBE else probe_N
        about = _about(method, examples, scope, figures, licence=licence)
        calibration = Calibration.fit(scores_N, checking.labels_B)
        made.append(FewShotModel(learned, calibration, gate, about, encoder.sha256))
    return made


def _about(method: MethodName, examples: Examples, scope: Scope, figures: Figures, *, licence: str) -> FewShotVersion:
    teaching, checking = examples.only("train"), examples.only("validation")
    return FewShotVersion(
        version="",
        method=method,
        modality=scope.modality,
        body_part=scope.body_part,
        licence=licence,
        data_sha256=examples.sha256,
        train=_counts(teaching),
        validation=_counts(checking),
        figures=figures,
        refusals=refusals(figures),
        limits=_LIMITS.format(
            train=len(teaching.labels_B),
            validation=len(checking.labels_B),
            share=checking.labels_B.mean(),
            notice=NOTICE,
        ),
    )


def _counts(examples: Examples) -> Counts:
    return Counts(
        images=len(examples.labels_B),
        patients=len(set(examples.patient_B)),
        present=examples.num_patients(1),
        absent=examples.num_patients(0),
    )
