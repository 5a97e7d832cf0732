"""The commands of fundus photographs: train the grading head and the vessel model from folders. No language model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.cli_parts import print_card, put_in_force
from service.progress import show_progress
from service.settings import read_settings
from verticals.contract import ModelCard

fundus_app = typer.Typer()


@fundus_app.command("train-dr")
def train_grading_head(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Folder with one .csv (id_code,diagnosis or image,level; grades 0-4) and the photographs.",
        ),
    ],
) -> None:
    """Train the retinopathy grading head, validate it on held-out patients, and enable it if it passes the bar."""
    from service.registry import FileRegistry
    from verticals.medical.fundus.grading import NAME
    from verticals.medical.fundus.registered import segmenter
    from verticals.medical.fundus.training import read_folder, train_dr

    registry = FileRegistry(read_settings().home / "registry")
    with show_progress() as on_progress:
        graded = read_folder(folder, segmenter(registry), on_progress)
        told = f"{len(graded.grade_N)} graded photographs, {graded.skipped} more without a field left out."
        files, card = train_dr(graded, trained_on=told)
    _tell(put_in_force(NAME, files, card))


@fundus_app.command("train-vessels")
def train_vessel_model(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="DRIVE-shaped folder: images/ and 1st_manual/, names begin alike.")
    ],
) -> None:
    """Train the vessel model on photographs with vessel masks; without it a plain line filter is used."""
    from verticals.medical.fundus.vessel_training import read_masks, train_vessels
    from verticals.medical.fundus.vessels import NAME

    with show_progress() as on_progress:
        files, card = train_vessels(read_masks(folder, on_progress), on_progress)
    _tell(put_in_force(NAME, files, card))


def _tell(card: ModelCard) -> None:
    print_card(card, digits=3)
    print("A server that runs takes it within a second.")
