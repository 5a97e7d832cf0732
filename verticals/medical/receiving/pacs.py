"""A PACS over DICOMweb: find a study and its prior (QIDO-RS), fetch them (WADO-RS), send results back (STOW-RS).

Fetched objects go through the queue like all others. Results go back under the identity that they came with: it is read
from the PACS again for the purpose and never stored, since our pseudonyms cannot be turned round, only recognised.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dicomweb_client import DICOMwebClient
from dicomweb_client.session_utils import create_session, create_session_from_user_pass
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite

from verticals.contract import Context, InvalidInput, NotFound, TriviumError, Unavailable
from verticals.medical.deidentify import Pseudonyms
from verticals.medical.ingest import SOP_CLASSES
from verticals.medical.intake_schemas import IngestFilesResponse
from verticals.medical.receiving.queue import Queue

_ANY_SYNTAX = (("application/dicom", "*"),)
# What a report of a study takes over from the study's own header (PS3.3 C.7.1.1, C.7.2.1, C.7.2.2).
IDENTITY = (
    *("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
)
_PSEUDONYM_NOTES = (
    *("PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"),
    "LongitudinalTemporalInformationModified",
)


def connect(url: str, *, user: str, password: str) -> Pacs:
    """A client of the DICOMweb root `url`; asks nothing yet, and reads no proxy from the environment."""
    session = create_session_from_user_pass(user, password) if user else create_session()
    session.trust_env = False
    return Pacs(DICOMwebClient(url=url, session=session))


@dataclass(frozen=True)
class Pacs:
    """What is asked of a PACS."""

    client: Any

    def prior_of(self, study_uid: str) -> str | None:
        """The patient's newest earlier study that shares a modality; None where there is none.

        Raises:
            NotFound: the PACS has no such study.
            InvalidInput: the study names no patient or date, so that a prior would be a guess.
        """
        study = self._study(study_uid)
        patient, day = _first(study, "00100020"), _first(study, "00080020")
        if not patient or not day:
            missing = "PatientID (0010,0020)" if not patient else "StudyDate (0008,0020)"
            raise InvalidInput("is required to find a prior (PS3.4 C.6.2.1)", field=missing)
        modalities = set(_values(study, "00080061"))
        found = self._ask("search_for_studies", search_filters={"PatientID": patient}, fields=["ModalitiesInStudy"])
        # A PACS may match identifiers loosely, so that each answer is compared again.
        earlier = [
            (str(_first(other, "00080020")), str(_first(other, "0020000D")))
            for other in found
            if _first(other, "00100020") == patient
            and _first(other, "00080020")
            and str(_first(other, "00080020")) < str(day)
            and modalities & set(_values(other, "00080061"))
        ]
        return max(earlier)[1] if earlier else None

    def fetch(self, study_uid: str, queue: Queue, context: Context) -> IngestFilesResponse:
        """Take in every image of the study that is read here; one that cannot be fetched is refused alone.

        Raises:
            NotFound: the PACS has no such study.
        """
        return queue.take_all(
            self._objects(study_uid), source="pacs", origin="network", context=context, study_uid=study_uid
        )

    def send(self, study_uid: str, result: bytes, pseudonyms: Pseudonyms) -> None:
        """Store a result of ours (SR, SEG, ...) beside the study that it is about.

        Args:
            study_uid: As the PACS knows it.
            result: A DICOM file whose UIDs and patient are pseudonyms.
        Raises:
            InvalidInput: the result is of another study.
            Unavailable: the PACS refuses it.
        """
        instances = self._instances(study_uid)
        _, series_uid, sop_uid = instances[0]
        header = self._header(study_uid, series_uid, sop_uid)
        known = [study_uid, *(uid for _, *uids in instances for uid in uids)]
        if "FrameOfReferenceUID" in header:
            known.append(str(header.FrameOfReferenceUID))
        dataset = dcmread(io.BytesIO(result))
        if dataset.StudyInstanceUID != pseudonyms.uid(study_uid):
            raise InvalidInput("must be a result of this study", field="StudyInstanceUID (0020,000d)")
        reidentify(dataset, header, {pseudonyms.uid(uid): uid for uid in known})
        answer = self._ask("store_instances", datasets=[dataset], study_instance_uid=study_uid)
        if answer.get("FailedSOPSequence"):
            raise Unavailable("the PACS refused the result", field="FailedSOPSequence (0008,1198)")

    def _objects(self, study_uid: str) -> Iterator[bytes | TriviumError]:
        for sop_class, series_uid, sop_uid in self._instances(study_uid):
            if sop_class in SOP_CLASSES:
                yield self._object(study_uid, series_uid, sop_uid)

    def _object(self, study_uid: str, series_uid: str, sop_uid: str) -> bytes | TriviumError:
        try:
            found = self.client.retrieve_instance(study_uid, series_uid, sop_uid, media_types=_ANY_SYNTAX)
            buffer = io.BytesIO()
            dcmwrite(buffer, found, enforce_file_format=True)
        except Exception as error:  # noqa: BLE001 - HTTP and pydicom have many; none may stop the others
            rule = f"must be retrievable from the PACS ({type(error).__name__})"
            return InvalidInput(rule, field="SOPInstanceUID (0008,0018)")
        return buffer.getvalue()

    def _study(self, study_uid: str) -> Any:
        filters = {"StudyInstanceUID": study_uid}
        for study in self._ask("search_for_studies", search_filters=filters, fields=["ModalitiesInStudy"]):
            if _first(study, "0020000D") == study_uid:
                return study
        raise NotFound("the PACS has no such study", field="StudyInstanceUID (0020,000d)")

    def _instances(self, study_uid: str) -> list[tuple[str, str, str]]:
        """(SOP class, series, instance) of each object of the study."""
        self._study(study_uid)
        found = self._ask("search_for_instances", study_instance_uid=study_uid)
        return [(str(_first(i, "00080016")), str(_first(i, "0020000E")), str(_first(i, "00080018"))) for i in found]

    def _header(self, study_uid: str, series_uid: str, sop_uid: str) -> Dataset:
        answer = self._ask(
            "retrieve_instance_metadata",
            study_instance_uid=study_uid,
            series_instance_uid=series_uid,
            sop_instance_uid=sop_uid,
        )
        return Dataset.from_json(answer)

    def _ask(self, method: str, **arguments: Any) -> Any:
        try:
            return getattr(self.client, method)(**arguments)
        except Exception as error:  # noqa: BLE001 - requests and pydicom have many; their messages hold identifiers
            raise Unavailable(f"the PACS does not answer ({type(error).__name__})", field="TRIVIUM_PACS_URL") from None


def reidentify(dataset: Dataset, header: Dataset, originals: Mapping[str, str]) -> None:
    """Give a result the study's own UIDs and patient, in place.

    Args:
        header: Of an object of the study, as the hospital has it.
        originals: Pseudonymous UID -> the hospital's. UIDs that are ours stay.
    """

    def restore(_dataset: Dataset, element: DataElement) -> None:
        if element.VR == "UI" and isinstance(element.value, str):
            element.value = originals.get(element.value, element.value)

    dataset.walk(restore)
    for keyword in IDENTITY:
        if keyword in header:
            dataset[keyword] = header[keyword]
        elif keyword in dataset:
            dataset[keyword].value = ""
    for keyword in _PSEUDONYM_NOTES:
        if keyword in dataset:
            del dataset[keyword]
    dataset.SpecificCharacterSet = "ISO_IR 192"  # as DICOM JSON is (PS3.18 F.2)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID


def _values(found: Mapping[str, Any], tag: str) -> list[Any]:
    return list(found.get(tag, {}).get("Value", []))


def _first(found: Mapping[str, Any], tag: str) -> Any:
    values = _values(found, tag)
    return values[0] if values else None
