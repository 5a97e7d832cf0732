"""Which eye a photograph shows: stated in the header or by the user, held against the disc's side. Ignores grading."""

from __future__ import annotations

from typing import Literal

from pydicom.dataset import Dataset

from verticals.contract import InvalidInput
from verticals.medical.colour import MODALITY
from verticals.medical.fundus.landmarks import Eye, Landmarks

Laterality = Literal["L", "R"]
_WORDS: dict[str, Eye] = {"L": "left", "R": "right"}


def stated_eye(header: Dataset) -> Eye | None:
    """Image Laterality (0020,0062), or else Laterality (0020,0060) (PS3.3 C.8.17.2, C.7.3.1); None: not stated.

    What contradicts itself states nothing.
    """
    said = {str(header.get(keyword) or "") for keyword in ("ImageLaterality", "Laterality")} - {""}
    return _WORDS.get(said.pop()) if len(said) == 1 else None


def tell_eye(dataset: Dataset, laterality: Laterality | None) -> None:
    """Write the side that a user told into a photograph whose header states none.

    Raises:
        InvalidInput: not a photograph, or the header states another side.
    """
    if laterality is None:
        return
    if dataset.Modality != MODALITY:
        raise InvalidInput(f"is for photographs of an eye ({MODALITY}), not {dataset.Modality}", field="laterality")
    stated = stated_eye(dataset)
    if stated not in (None, _WORDS[laterality]):
        raise InvalidInput(
            f"must not contradict Image Laterality (0020,0062), which says {stated}",
            field="laterality",
            value=laterality,
        )
    dataset.ImageLaterality = laterality


def refusal(stated: Eye | None, landmarks: Landmarks | None) -> str:
    """Why the side is not certain enough to go on; "" if it is."""
    if stated is None:
        return (
            "Image Laterality (0020,0062) must be L or R, and only one (PS3.3 C.8.17.2): which eye it is, is not "
            "known; state it where the photograph is sent from."
        )
    if landmarks is None:
        return "field: no optic disc was found, so the stated side cannot be checked."
    if landmarks.eye is None:
        return "field: the optic disc lies in the middle, not at one side; the stated side cannot be checked."
    if landmarks.eye != stated:
        return (
            f"Image Laterality (0020,0062) says {stated}, but the optic disc lies where a {landmarks.eye} eye has it: "
            "the side is wrong, or the photograph is turned or mirrored."
        )
    return ""
