"""Which findings model reads a study: at present none, and it says so. Ignores how a model works."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from verticals.medical.evidence import NO_EVIDENCE, EvidenceGraph
from verticals.medical.schemas import FindingsStatus

Array = np.ndarray[Any, np.dtype[Any]]


class FindingsModel(Protocol):
    """A validated model. It may be registered only with a model card that states its data, metrics and limits."""

    @property
    def name_and_version(self) -> str: ...

    def reads(self, modality: str, body_part: str) -> bool:
        """Whether the model was validated for such a study."""

    def find(self, values: Array) -> EvidenceGraph:
        """What is, is not or may be in `values`, (frames, rows, columns), in output units."""


MODELS: tuple[FindingsModel, ...] = ()  # no validated model exists yet


def apply(
    values: Array, modality: str, body_part: str, models: Sequence[FindingsModel] = MODELS
) -> tuple[FindingsStatus, EvidenceGraph]:
    """The first model that reads such a study, and its evidence; or the reason why there is none.

    Returns:
        status: Names the model, or says "no model available" and why.
        evidence: Empty when no model was applied, and also when a model says nothing.
    """
    for model in models:
        if model.reads(modality, body_part):
            return (
                FindingsStatus(
                    status="applied", reason="Validated for this kind of study.", model=model.name_and_version
                ),
                model.find(values),
            )
    region = "an unstated body part" if body_part == "UNKNOWN" else body_part
    why = f"No validated findings model is installed for {modality} of {region}; the image was not interpreted."
    return FindingsStatus(status="no model available", reason=why), NO_EVIDENCE
