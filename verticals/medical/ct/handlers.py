"""The operations of chest CT: nodule candidates of a stored series, and the guidelines' calculators. Ignores HTTP.

Candidates of an unvalidated model are shown here to who asks, and never enter a report. The calculators store nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session, sessionmaker

from verticals.contract import Context, Decision, Handler, InvalidInput, ModelRegistry, Resources
from verticals.medical import tables
from verticals.medical.ct import schemas
from verticals.medical.ct.fleischner import fleischner
from verticals.medical.ct.guideline_schemas import FleischnerRequest, GuidelineAnswer, LungRadsRequest
from verticals.medical.ct.lung_rads import lung_rads
from verticals.medical.ct.reader import FoundNodule, evidence
from verticals.medical.ct.registered import nodule_reader
from verticals.medical.instance_tables import MedicalInstance, list_instances, read_dataset, series_entries
from verticals.medical.series import assemble

POLICY = "unvalidated candidates never enter a report"


def handlers(resources: Resources) -> Mapping[str, Handler]:
    """Operation name -> handler."""
    desk = CtDesk(resources.sessions, resources.registry)
    return {"ct_nodules": desk.nodules, "fleischner": desk.fleischner, "lung_rads": desk.lung_rads}


@dataclass(frozen=True)
class CtDesk:
    """Reads stored series with the registry's model, or the packaged one."""

    sessions: sessionmaker[Session]
    registry: ModelRegistry

    def nodules(self, request: schemas.NodulesRequest, context: Context) -> schemas.NodulesResponse:
        """Assemble the series, look for nodules, measure them. A series that makes no volume is refused with its rule.

        Raises:
            NotFound: no such study. InvalidInput: no such series, or several; or as `series.assemble` says.
        """
        with self.sessions() as session:
            tables.get_study(session, context.tenant, request.study_id)
            images = list_instances(session, context.tenant, request.study_id)
            series_uid = request.series_uid or _only_ct(session, context.tenant, images)
            chosen = [image for image in images if image.series_uid == series_uid]
            if not chosen:
                raise InvalidInput("must be a series of the study", field="series_uid")
            datasets = [read_dataset(image) for image in chosen]
            source = hashlib.sha256("".join(sorted(image.dicom_sha256 for image in chosen)).encode()).hexdigest()
        volume = assemble(datasets)
        reader = nodule_reader(self.registry)
        status, found = reader.read(volume, unvalidated=request.unvalidated)
        outcome = {"status": status.status, "candidates": len(found), "unvalidated": request.unvalidated}
        context.record(
            Decision("medical.ct_nodules", request.study_id, source, outcome, reader.name_and_version, POLICY)
        )
        return schemas.NodulesResponse(
            study_id=request.study_id,
            series_uid=series_uid,
            validated=reader.is_validated,
            status=status,
            evidence=evidence(found),
            sizes=[_size(each) for each in found],
        )

    def fleischner(self, request: FleischnerRequest, context: Context) -> GuidelineAnswer:
        """Fleischner 2017 from stated inputs."""
        return fleischner(request)

    def lung_rads(self, request: LungRadsRequest, context: Context) -> GuidelineAnswer:
        """Lung-RADS v2022 from stated inputs."""
        return lung_rads(request)


def _only_ct(session: Session, tenant: str, images: Sequence[MedicalInstance]) -> str:
    series = [entry for entry in series_entries(session, tenant, images) if entry.modality == "CT"]
    if len(series) != 1:
        raise InvalidInput(
            "must name the series where a study has not exactly one of CT", field="series_uid", value=len(series)
        )
    return series[0].series_uid


def _size(each: FoundNodule) -> schemas.NoduleSize:
    x, y, z = each.nodule.center_mm
    return schemas.NoduleSize(
        finding_id=each.finding.finding_id,
        center_mm=(round(x, 1), round(y, 1), round(z, 1)),
        long_mm=round(each.nodule.axes.long_mm, 1),
        short_mm=round(each.nodule.axes.short_mm, 1),
        mean_mm=round(each.nodule.axes.mean_mm, 1),
        volume_mm3=round(each.nodule.volume_mm3),
        density=each.nodule.density,
        score=round(each.score, 4),
    )
