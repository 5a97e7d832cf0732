"""An image of any kind that is read here, as grey: DICOM, PNG or JPEG. Ignores labels and patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset

from verticals.contract import InvalidInput, UnsupportedMedia
from verticals.medical import geometry, ingest
from verticals.medical.attributes import body_part, name
from verticals.medical.frames import frame_header
from verticals.medical.picture_files import is_picture, opened
from verticals.medical.vision.pictures import Grey

RADIOGRAPHS = ("CR", "DX")  # one kind of image, by two kinds of detector


@dataclass(frozen=True)
class Scope:
    """What a few-shot finding is about, as its user says.

    Attributes:
        modality: CT, MR, CR, DX or OP.
        body_part: As Body Part Examined (0018,0015) has it.
    """

    modality: str
    body_part: str

    def refusal(self, header: Dataset) -> tuple[str, str] | None:
        """Which attribute is of something else, and what it should be; None: the image is in scope."""
        if header.Modality != self.modality and not {header.Modality, self.modality} <= set(RADIOGRAPHS):
            return name("Modality"), f"must be {self.modality}"
        if body_part(header).upper() != self.body_part:
            return name("BodyPartExamined"), f"must be {self.body_part}"
        return None


def read_grey(content: bytes, scope: Scope) -> Grey:
    """One image as it is shown, (rows, columns), white highest; of several frames the middle one.

    Raises:
        UnsupportedMedia: neither DICOM nor PNG nor JPEG. TooLarge: too many bytes or pixels.
        InvalidInput: damaged, or a header of another modality or body part than `scope`.
    """
    if is_picture(content):
        return _grey_picture(content)
    received = ingest.read(content)
    if wrong := scope.refusal(received.dataset):
        field, rule = wrong
        raise InvalidInput(rule, field=field)
    middle = len(received.stored) // 2
    return to_grey(geometry.render(received.stored[middle], frame_header(received.dataset, middle)))


def to_grey(shown: geometry.Array) -> Grey:
    """What is shown, in colour or not, as grey."""
    return np.asarray(Image.fromarray(shown).convert("L"))


def _grey_picture(content: bytes) -> Grey:
    with opened(content, field="image") as picture:
        if picture.mode not in ("L", "RGB"):
            raise UnsupportedMedia("must be grey or RGB with 8 bits, without transparency", field="image")
        return np.asarray(picture.convert("L"))
