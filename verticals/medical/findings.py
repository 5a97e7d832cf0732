"""Which findings model reads an image, and what it found; or the reason why none did. Ignores how a model works."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from pydicom.dataset import Dataset

from verticals.medical.attributes import body_part
from verticals.medical.evidence import NO_EVIDENCE, EvidenceGraph
from verticals.medical.schemas import FindingsStatus

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Image:
    """One frame, ready to be read.

    Attributes:
        grey: (rows, columns), uint8, white highest, as `geometry.render` gives it.
        header: De-identified.
        frame: Counts from 1.
        colour: (rows, columns, 3), uint8, RGB; None: the image has none.
    """

    grey: Array
    header: Dataset
    frame: int = 1
    colour: Array | None = None

    @property
    def modality(self) -> str:
        """CT, MR, CR, DX or OP."""
        return str(self.header.Modality)

    @property
    def body_part(self) -> str:
        """As the header says, or UNKNOWN."""
        return body_part(self.header)


@dataclass(frozen=True)
class Found:
    """What a model says of one image.

    Attributes:
        graph: Empty where it refused.
        refusal: Why it does not read this very image; "" where it does.
        scope: Which kinds it says something of and which not, in a sentence.
    """

    graph: EvidenceGraph = NO_EVIDENCE
    refusal: str = ""
    scope: str = ""


class FindingsModel(Protocol):
    """A validated model. It may be registered only with a model card that states its data, metrics and limits."""

    @property
    def name_and_version(self) -> str: ...

    def reads(self, modality: str, body_part: str) -> bool:
        """Whether the model was validated for such a study."""

    def find(self, image: Image) -> Found:
        """Findings, each with its probability, confidence set and region."""


def apply(image: Image, models: Sequence[FindingsModel]) -> tuple[FindingsStatus, EvidenceGraph | None]:
    """The first model that reads such a study, and what it found; or the reason why there is nothing.

    Returns:
        status: Names the model, or says "no model available" and why.
        graph: Empty where the model refused this image; None: no model is for such a study.
    """
    for model in models:
        if model.reads(image.modality, image.body_part):
            found = model.find(image)
            if found.refusal:
                why = f"{model.name_and_version} does not read this image: {found.refusal}"
                return FindingsStatus(status="no model available", reason=why), NO_EVIDENCE
            return (
                FindingsStatus(status="applied", reason=found.scope, model=model.name_and_version),
                found.graph,
            )
    region = "an unstated body part" if image.body_part == "UNKNOWN" else image.body_part
    why = f"No validated findings model is installed for {image.modality} of {region}; the image was not interpreted."
    return FindingsStatus(status="no model available", reason=why), None
