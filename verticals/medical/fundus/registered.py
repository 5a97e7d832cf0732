"""Which vessel segmenter and grading head are in force: the registry's, else the line filter and none. Ignores reading.

A grading head whose validation missed the bar is kept in the registry, but never grades.
"""

from __future__ import annotations

from verticals.contract import ModelRegistry
from verticals.medical.fundus import grading, vessels
from verticals.medical.fundus.reader import FundusReader
from verticals.medical.fundus.steps import Segmenter


def fundus_reader(registry: ModelRegistry) -> FundusReader:
    """The reader with what is in force.

    Raises:
        ValueError: a damaged file.
        Unavailable: a registered file that is not what was registered.
    """
    return FundusReader(segmenter(registry), grader(registry))


def segmenter(registry: ModelRegistry) -> Segmenter:
    """The trained network, or the line filter where none was trained."""
    if found := registry.load(vessels.NAME):
        card, files = found
        return vessels.VesselNet.load(files, f"{vessels.NAME} {card.version}")
    return vessels.LineFilter()


def grader(registry: ModelRegistry) -> grading.GradingHead | None:
    """The validated grading head; None where there is none."""
    if not (found := registry.load(grading.NAME)):
        return None
    card, files = found
    head = grading.GradingHead.load(files, f"{grading.NAME} {card.version}")
    return head if head.is_enabled else None
