"""What we write lives in a real PACS: stored by STOW and C-STORE, found by QIDO, fetched by WADO, byte for byte."""

from __future__ import annotations

import io
from typing import Any

import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread
from pydicom.filereader import read_file_meta_info
from pynetdicom import AE

from tests.verticals.medical.orthanc import Orthanc
from verticals.medical.export.files import FORMATS
from verticals.medical.study_probes import report_on, study

pytestmark = pytest.mark.slow

KINDS = ("CT", "CR", "OP, frames")
DICOM = ("sr", "seg", "gsps", "ko", "sc")


def objects(kind: str) -> dict[str, bytes]:
    """SOP Instance UID -> file, of one signed report's DICOM exports."""
    images = study(kind, 4)
    report = report_on(images, "FINAL", 4)
    made = [content for form in DICOM for content in FORMATS[form].write(report, images)]
    return {str(dcmread(io.BytesIO(content)).SOPInstanceUID): content for content in made}


def dataset_of(content: bytes, tmp: Any) -> bytes:
    """The bytes behind the file meta information, which names the application that wrote the file (PS3.10 7.1)."""
    path = tmp / "object.dcm"
    path.write_bytes(content)
    meta = read_file_meta_info(path)
    return content[132 + 12 + meta.FileMetaInformationGroupLength :]


@pytest.fixture
def web(orthanc: Orthanc) -> DICOMwebClient:
    return DICOMwebClient(orthanc.dicomweb_url)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_sent_by_stow_is_found_and_comes_back_as_it_was(web: DICOMwebClient, kind: str) -> None:
    sent = objects(kind)
    some = dcmread(io.BytesIO(next(iter(sent.values()))))

    web.store_instances([dcmread(io.BytesIO(content)) for content in sent.values()])

    found = web.search_for_instances(some.StudyInstanceUID)
    assert {item["00080018"]["Value"][0] for item in found} == set(sent)
    series = web.search_for_series(some.StudyInstanceUID)
    assert {item["00080060"]["Value"][0] for item in series} == {"SR", "SEG", "PR", "KO", modality_of_captures(sent)}
    for item in found:
        uids = [item[tag]["Value"][0] for tag in ("0020000D", "0020000E", "00080018")]
        back = io.BytesIO()
        web.retrieve_instance(*uids, media_types=(("application/dicom", "*"),)).save_as(back)
        assert back.getvalue() == sent[uids[2]]


def modality_of_captures(sent: dict[str, bytes]) -> str:
    captures = [dcmread(io.BytesIO(c)) for c in sent.values()]
    return str(next(c.Modality for c in captures if "BurnedInAnnotation" in c))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_sent_by_c_store_keeps_its_data_set(orthanc: Orthanc, kind: str, tmp_path: Any) -> None:
    sent = objects(kind)
    entity = AE()
    for content in sent.values():
        document = dcmread(io.BytesIO(content))
        entity.add_requested_context(document.SOPClassUID, document.file_meta.TransferSyntaxUID)
    association = entity.associate("127.0.0.1", orthanc.dicom_port, ae_title="ORTHANC")
    assert association.is_established
    try:
        statuses = [association.send_c_store(dcmread(io.BytesIO(c))).Status for c in sent.values()]
    finally:
        association.release()

    assert set(statuses) == {0}
    stored = [orthanc.file(instance) for instance in orthanc.instances()]
    assert len(stored) == len(sent)
    for content in stored:
        uid = str(dcmread(io.BytesIO(content)).SOPInstanceUID)
        assert dataset_of(content, tmp_path) == dataset_of(sent[uid], tmp_path)
