"""The operations of few-shot findings: train, list, enable, disable, roll back, read a study. Ignores HTTP.

A finding is of the site's own name and known to no vocabulary: what a model of it says is shown beside the study, and
nothing here can reach a report.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from pydicom.dataset import Dataset
from sqlalchemy.orm import Session, sessionmaker

from verticals.contract import (
    Conflict,
    Context,
    Decision,
    Handler,
    ModelRegistry,
    NotFound,
    Progress,
    Resources,
    Unavailable,
)
from verticals.medical import geometry, tables
from verticals.medical.chest.reader import LEAST_AUC
from verticals.medical.fewshot import ledger, schemas
from verticals.medical.fewshot.encoder import Encoder
from verticals.medical.fewshot.examples import read_examples
from verticals.medical.fewshot.images import Scope, to_grey
from verticals.medical.fewshot.model import FewShotModel
from verticals.medical.fewshot.training import train
from verticals.medical.fewshot.validation import refusals
from verticals.medical.frames import num_frames
from verticals.medical.instance_tables import read_dataset
from verticals.medical.vision.pictures import Grey


def handlers(resources: Resources) -> Mapping[str, Handler]:
    """Operation name -> handler."""
    desk = FewShotDesk(resources.sessions, resources.registry)
    return {
        "train_few_shot": desk.train,
        "list_few_shot": desk.list,
        "enable_few_shot": desk.enable,
        "disable_few_shot": desk.disable,
        "roll_back_few_shot": desk.roll_back,
        "read_few_shot": desk.read,
    }


def _silently(what: str, share: float) -> None:
    """No progress is told."""


@dataclass
class FewShotDesk:
    """Keeps models in the registry, and in the ledger which of them are in use."""

    sessions: sessionmaker[Session]
    registry: ModelRegistry

    @cached_property
    def encoder(self) -> Encoder:
        """Read with the first image."""
        return Encoder.load()

    def train(
        self, request: schemas.TrainFewShotRequest, context: Context, *, progress: Progress = _silently
    ) -> schemas.FindingResponse:
        """Learn by each method, measure, keep the versions; none is in use before somebody enables it.

        Raises:
            TriviumError: as `read_examples` says; then nothing is kept.
        """
        scope = Scope(request.modality, request.body_part)
        examples = read_examples(request.file, scope, side=self.encoder.tower.size.side, progress=progress)
        models = train(self.encoder, examples, scope, licence=request.licence, progress=progress)
        name = _registered(context.tenant, request.finding)
        versions = []
        for model in models:
            card = self.registry.save(name, model.to_files(), _card(model), activate=False)
            versions.append(model.about.model_copy(update={"version": card.version}))
        with self.sessions() as session:
            ledger.add_versions(session, context.tenant, request.finding, versions, actor=context.actor)
            for one in versions:
                outcome = {"step": "train", "method": one.method, "auc": one.figures.auc.model_dump()}
                _record(session, context, request.finding, one.version, examples.sha256, outcome)
            session.commit()
            found = ledger.get_finding(session, context.tenant, request.finding)
        return schemas.FindingResponse(finding=found)

    def list(self, request: schemas.FewShotRequest, context: Context) -> schemas.FewShotResponse:
        """All of the tenant's findings."""
        with self.sessions() as session:
            found = ledger.findings(session, context.tenant)
        return schemas.FewShotResponse(least_auc=LEAST_AUC, findings=found)

    def enable(self, request: schemas.EnableFewShotRequest, context: Context) -> schemas.FindingResponse:
        """Bring a version into use.

        Raises:
            NotFound: no such version. Conflict: its figures forbid it, or it is in use.
        """
        with self.sessions() as session:
            found = ledger.get_finding(session, context.tenant, request.finding)
            model = self._model(context.tenant, found, request.version)
            if why := refusals(model.about.figures):
                raise Conflict(
                    "; ".join(why),
                    field="version",
                    value=request.version,
                    remedy="Train with more images of more patients, and validate on others.",
                )
            if found.enabled == request.version:
                raise Conflict("is in use already", field="version", value=request.version)
            return self._switch(session, context, request, found, "enable", request.version)

    def disable(self, request: schemas.DisableFewShotRequest, context: Context) -> schemas.FindingResponse:
        """Take the finding out of use.

        Raises:
            NotFound: no such finding. Conflict: none of its versions is in use.
        """
        with self.sessions() as session:
            found = ledger.get_finding(session, context.tenant, request.finding)
            if found.enabled is None:
                raise Conflict("no version of it is in use", field="finding")
            return self._switch(session, context, request, found, "disable", None)

    def roll_back(self, request: schemas.RollBackFewShotRequest, context: Context) -> schemas.FindingResponse:
        """Take the last switch back.

        Raises:
            NotFound: no such finding. Conflict: there is no switch, or it was a rolling back.
        """
        with self.sessions() as session:
            found = ledger.get_finding(session, context.tenant, request.finding)
            return self._switch(session, context, request, found, "roll back", ledger.before_last_switch(found))

    def read(self, request: schemas.ReadFewShotRequest, context: Context) -> schemas.ReadFewShotResponse:
        """What every finding in use says of one image; without one named, the middle frame that the draft is from.

        Raises:
            NotFound: no such study or image. InvalidInput: no such frame.
        """
        with self.sessions() as session:
            image = tables.get_image(session, context.tenant, request.study_id, request.instance_id)
            dataset = read_dataset(image)
            instance_id, source = image.instance_id, image.dicom_sha256
            enabled = [one for one in ledger.findings(session, context.tenant) if one.enabled is not None]
        frame = request.frame or num_frames(dataset) // 2 + 1
        grey = to_grey(geometry.render(*geometry.stored_frame(dataset, frame)))
        readings = [self._reading(context.tenant, one, dataset, grey) for one in enabled]
        outcome = {"readings": len(readings), "refused": sum(bool(each.refusal) for each in readings)}
        versions = ", ".join(each.version for each in readings) or "no model"
        context.record(Decision("medical.few_shot_read", request.study_id, source, outcome, versions, schemas.POLICY))
        return schemas.ReadFewShotResponse(
            study_id=request.study_id, instance_id=instance_id, frame=frame, readings=readings
        )

    def _reading(
        self, tenant: str, found: schemas.FewShotFinding, header: Dataset, grey: Grey
    ) -> schemas.FewShotReading:
        assert found.enabled is not None
        model = self._model(tenant, found, found.enabled)
        about = model.about
        said = schemas.FewShotReading(
            finding=found.finding,
            version=about.version,
            method=about.method,
            share_present=round(sum(about.figures.present) / about.validation.images, 4),
            auc=about.figures.auc,
        )
        if wrong := Scope(about.modality, about.body_part).refusal(header):
            return said.model_copy(update={"refusal": f"{wrong[0]} {wrong[1]}."})
        seen = model.read(self.encoder, grey)
        if seen.strangeness > 1:
            why = f"out of distribution: {seen.strangeness:.2f} times as far from its training images as its limit."
            return said.model_copy(update={"refusal": why})
        return said.model_copy(update={"prob": round(seen.prob, 4), "confidence_set": list(seen.confidence_set)})

    def _model(self, tenant: str, found: schemas.FewShotFinding, version: str) -> FewShotModel:
        """A version of the tenant's finding, verified.

        Raises:
            NotFound: none of that version. Unavailable: it cannot be read, or learned on another encoder.
        """
        kept = self.registry.load(_registered(tenant, found.finding), version)
        if kept is None or version not in {one.version for one in found.versions}:
            raise NotFound("no such version of the finding", field="version", value=version)
        try:
            model = FewShotModel.load(kept[1], version)
        except ValueError as error:
            raise Unavailable(str(error), field="version", value=version) from error
        if model.encoder_sha256 != self.encoder.sha256:
            raise Unavailable(
                "it learned on another encoder than the installed one",
                field="version",
                value=version,
                remedy="Train the finding again.",
            )
        return model

    def _switch(
        self, session: Session, context: Context, request: schemas.DisableFewShotRequest,
        found: schemas.FewShotFinding, step: schemas.Step, version: str | None,
    ) -> schemas.FindingResponse:  # fmt: skip
        name, reason = request.name, request.reason
        ledger.switch(session, context.tenant, found, step, version, name=name, reason=reason)
        sha256 = _sha256(request.model_dump_json())
        _record(session, context, request.finding, version, sha256, {"step": step, "name": name, "reason": reason})
        session.commit()
        return schemas.FindingResponse(finding=ledger.get_finding(session, context.tenant, request.finding))


def _record(
    session: Session, context: Context, finding: str, version: str | None, sha256: str, outcome: Mapping[str, object]
) -> None:
    name = _registered(context.tenant, finding)
    context.record(
        Decision("medical.few_shot", name, sha256, outcome, f"{name}@{version}", schemas.POLICY), session=session
    )


def _registered(tenant: str, finding: str) -> str:
    """The registry's name: it belongs to one tenant, and says neither who nor what."""
    return f"medical.few_shot.{_sha256(repr((tenant, finding)))[:16]}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _card(model: FewShotModel) -> dict[str, object]:
    about = model.about
    return {
        "trained_on": f"{about.train.images} images of {about.train.patients} patients, {about.modality} of "
        f"{about.body_part}, data {about.data_sha256[:12]}.",
        "data": {"examples": about.data_sha256},
        "command": "medical.train_few_shot",
        "licence": about.licence,
        "recipe": f"few-shot, {about.method}; encoder {model.encoder_sha256[:12]}",
        "metrics": {"AUC": [about.figures.auc.value, about.figures.auc.low, about.figures.auc.high]},
        "limits": about.limits,
    }
