"""The operations of chest films beyond their report: the heatmap. Ignores how the tower reads."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session, sessionmaker

from verticals.contract import Artifact, Context, InvalidInput, Unavailable
from verticals.medical import geometry, tables
from verticals.medical.chest.attention import overlay
from verticals.medical.chest.model import LOCALISED
from verticals.medical.chest.reader import ChestReader
from verticals.medical.chest.schemas import AttentionRequest
from verticals.medical.findings import Image
from verticals.medical.frames import num_frames
from verticals.medical.instance_tables import read_dataset

_NO_HEATMAP = "Read the film without a heatmap."


@dataclass(frozen=True)
class FilmDesk:
    """Shows what a reader looked at."""

    sessions: sessionmaker[Session]
    reader: ChestReader

    def attention(self, request: AttentionRequest, context: Context) -> Artifact:
        """The heatmap of opacities over the film.

        Raises:
            InvalidInput: it is no chest film. Unavailable: it was not read, or opacities are not validated.
        """
        with self.sessions() as session:
            row = tables.get_image(session, context.tenant, request.study_id, request.instance_id)
            dataset = read_dataset(row)
        middle = num_frames(dataset) // 2 + 1
        image = Image(geometry.render(*geometry.stored_frame(dataset, middle)), dataset, middle)
        if not self.reader.reads(image.modality, image.body_part):
            raise InvalidInput("must be of a chest film", field="study_id", value=request.study_id, remedy=_NO_HEATMAP)
        seen = self.reader.look(image)
        if not isinstance(seen, str) and LOCALISED not in self.reader.told:
            seen = "opacities have not passed validation."
        if isinstance(seen, str):
            raise Unavailable(
                f"no model available: {seen}",
                field="study_id",
                value=request.study_id,
                remedy=_NO_HEATMAP,
            )
        shown = overlay(image.grey, seen.attention)
        return Artifact(geometry.to_png(shown), "image/png", f"{request.study_id}-attention.png")
