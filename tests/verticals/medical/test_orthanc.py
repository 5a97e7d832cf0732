"""Round trips through a real PACS (Orthanc): what is sent comes back, byte for byte, in every transfer syntax."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom import dcmread
from pydicom.uid import HTJ2K, UID, DeflatedExplicitVRLittleEndian, HTJ2KLossless, HTJ2KLosslessRPCL
from pynetdicom import AE, build_context

from tests.verticals.medical.orthanc import Orthanc
from tests.verticals.medical.slices import ct_series, enhanced_ct
from tests.verticals.medical.syntaxes import ALL, encoded
from verticals.contract import InvalidInput, NotFound
from verticals.medical import tables
from verticals.medical.deidentify import Pseudonyms, without_meta
from verticals.medical.probes import phantom, pydicom_file, radiograph, to_bytes
from verticals.medical.receiving.pacs import Pacs, connect
from verticals.medical.receiving.queue import Queue

pytestmark = pytest.mark.slow
BOUNDARY = "a-line-that-is-in-no-image"


def inflated(content: bytes) -> bytes:
    """The data set; of a deflated one what it inflates to, since how well it is packed is each program's own."""
    packed = dcmread(io.BytesIO(content)).file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(without_meta(content)) if packed else without_meta(content)


def c_store(orthanc: Orthanc, path: Path, uid: str) -> int:
    """Send a file as its bytes are; the status."""
    dataset = dcmread(path, stop_before_pixels=True)
    entity = AE(ae_title="TRIVIUM")
    contexts = [build_context(dataset.SOPClassUID, UID(uid))]
    peer = entity.associate("127.0.0.1", orthanc.dicom_port, contexts, ae_title="ORTHANC")
    status = int(peer.send_c_store(path).Status)
    peer.release()
    return status


def stow(orthanc: Orthanc, *contents: bytes) -> httpx.Response:
    parts = b"".join(
        b"--%s\r\nContent-Type: application/dicom\r\n\r\n%s\r\n" % (BOUNDARY.encode(), each) for each in contents
    )
    kind = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
    return orthanc.request(
        "POST",
        "/dicom-web/studies",
        content=parts + b"--%s--\r\n" % BOUNDARY.encode(),
        headers={"Content-Type": kind, "Accept": "application/dicom+json"},
    )


def wado(orthanc: Orthanc, content: bytes) -> bytes:
    """The object as WADO-RS gives it in the transfer syntax that it was stored in."""
    found = dcmread(io.BytesIO(content), stop_before_pixels=True)
    path = f"/dicom-web/studies/{found.StudyInstanceUID}/series/{found.SeriesInstanceUID}"
    accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
    answer = orthanc.request("GET", f"{path}/instances/{found.SOPInstanceUID}", headers={"Accept": accept})
    boundary = answer.headers["content-type"].split("boundary=")[1].split(";")[0].strip('"').encode()
    part = answer.content.split(b"--" + boundary)[1]
    return part.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n")


# Debian's Orthanc 1.10 does not offer these over C-STORE; it keeps them all the same.
NOT_BY_C_STORE = (HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K)
WAYS = [(uid, way) for uid in ALL for way in ("C-STORE", "STOW") if not (way == "C-STORE" and uid in NOT_BY_C_STORE)]


@pytest.mark.parametrize(("uid", "way"), WAYS, ids=[f"{UID(uid).keyword} by {way}" for uid, way in WAYS])
def test_an_object_comes_back_byte_for_byte_in_every_transfer_syntax(
    orthanc: Orthanc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: str, way: str
) -> None:
    content = encoded(uid, tmp_path)
    (tmp_path / "sent.dcm").write_bytes(content)
    if way == "C-STORE":
        monkeypatch.setattr("pynetdicom._config.STORE_SEND_CHUNKED_DATASET", True)
        assert c_store(orthanc, tmp_path / "sent.dcm", uid) == 0
    else:
        assert "00081199" in stow(orthanc, content).json()

    [stored] = orthanc.instances()
    fetched = wado(orthanc, content)
    search = orthanc.request("GET", "/dicom-web/instances", headers={"Accept": "application/dicom+json"}).json()

    assert inflated(orthanc.file(stored)) == inflated(content)
    assert inflated(fetched) == inflated(content)
    assert dcmread(io.BytesIO(fetched)).file_meta.TransferSyntaxUID == uid
    assert [each["00080018"]["Value"] for each in search] == [[dcmread(io.BytesIO(content)).SOPInstanceUID]]


def test_what_we_store_goes_in_and_comes_out_as_it_is(orthanc: Orthanc, desk: Any) -> None:
    report = desk.sign(desk.complete(desk.ingest(pydicom_file("CT_small.dcm")).report))
    made = desk.call("export_report", report_id=report.report_id).content

    stow(orthanc, made)

    assert without_meta(wado(orthanc, made)) == without_meta(made)


# --- our client ------------------------------------------------------------------------------------------------------


@pytest.fixture
def pacs(orthanc: Orthanc) -> Pacs:
    return connect(orthanc.dicomweb_url, user="", password="")


def film(uid: str, day: str, *, patient: str = "P-4711", modality: str = "CR") -> bytes:
    dataset = radiograph(phantom(0, size=64), uid=uid)
    dataset.PatientID, dataset.PatientName, dataset.StudyDate, dataset.Modality = patient, "王^小明", day, modality
    dataset.SpecificCharacterSet, dataset.AccessionNumber = "GB18030", "A-1"
    return to_bytes(dataset)


def test_a_study_is_fetched_and_a_bad_object_of_it_is_refused_alone(
    orthanc: Orthanc, pacs: Pacs, queue: Queue, desk: Any
) -> None:
    images = [*ct_series(3), enhanced_ct(2)]
    images[3].SeriesInstanceUID = "1.2.3.77"
    del images[1].PixelSpacing
    for image in images:
        orthanc.upload(to_bytes(image))

    answer = pacs.fetch("1.2.3.1", queue, desk.context)

    assert (answer.stored, answer.refused, len(answer.studies)) == (3, 1, 1)
    assert [each.source for each in desk.call("list_refusals").refusals] == ["pacs"]
    assert pacs.fetch("1.2.3.1", queue, desk.context).already_present == 3


def test_the_same_object_uploaded_and_fetched_is_one_object(
    orthanc: Orthanc, pacs: Pacs, queue: Queue, desk: Any
) -> None:
    content = pydicom_file("MR_small_RLE.dcm")
    orthanc.upload(content)
    desk.ingest(content)

    answer = pacs.fetch(dcmread(io.BytesIO(content)).StudyInstanceUID, queue, desk.context)

    assert (answer.already_present, answer.refused) == (1, 0)


def test_the_prior_is_the_patients_newest_earlier_study_of_the_modality(orthanc: Orthanc, pacs: Pacs) -> None:
    for uid, day, how in (
        ("1.5.1", "20240101", {}),
        ("1.5.2", "20250101", {}),
        ("1.5.3", "20260101", {}),
        ("1.5.4", "20251231", {"patient": "P-4711-B"}),
        ("1.5.5", "20250606", {"modality": "DX"}),
        ("1.5.6", "20270101", {}),
    ):
        orthanc.upload(film(uid, day, **how))

    assert pacs.prior_of("1.5.3.2") == "1.5.2.2"
    assert pacs.prior_of("1.5.1.2") is None
    with pytest.raises(NotFound, match="the PACS has no such study"):
        pacs.prior_of("1.9.9")


def test_a_prior_is_never_guessed_without_a_patient_or_a_date(orthanc: Orthanc, pacs: Pacs) -> None:
    orthanc.upload(film("1.5.7", "20240101", patient=""))

    with pytest.raises(InvalidInput, match=r"PatientID \(0010,0020\): is required to find a prior"):
        pacs.prior_of("1.5.7.2")


def test_a_result_goes_back_under_the_identity_that_the_study_has_there(
    orthanc: Orthanc, pacs: Pacs, queue: Queue, desk: Any
) -> None:
    original = film("1.5.8", "20260202")
    orthanc.upload(original)
    study_id = pacs.fetch("1.5.8.2", queue, desk.context).studies[0]
    report = desk.sign(desk.complete(desk.call("get_study", study_id=study_id).report))
    made = desk.call("export_report", report_id=report.report_id).content
    pseudonyms = Pseudonyms(tables.tenant_key(desk.resources.sessions, desk.tenant))

    pacs.send("1.5.8.2", made, pseudonyms)

    files = [dcmread(io.BytesIO(orthanc.file(each))) for each in orthanc.instances()]
    [sent] = [each for each in files if each.Modality == "SR"]
    named = sent.CurrentRequestedProcedureEvidenceSequence[0]
    assert len(files) == 2
    assert (sent.PatientID, str(sent.PatientName), sent.StudyDate) == ("P-4711", "王^小明", "20260202")
    assert (sent.StudyInstanceUID, named.StudyInstanceUID, sent.AccessionNumber) == ("1.5.8.2", "1.5.8.2", "A-1")
    assert named.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.5.8"
    assert "PatientIdentityRemoved" not in sent
    assert "P-4711" not in str(dcmread(io.BytesIO(made)))


def test_a_result_of_another_study_is_not_sent(orthanc: Orthanc, pacs: Pacs, desk: Any) -> None:
    orthanc.upload(film("1.5.9", "20260202"))
    report = desk.sign(desk.complete(desk.ingest(pydicom_file("CT_small.dcm")).report))
    made = desk.call("export_report", report_id=report.report_id).content

    with pytest.raises(InvalidInput, match="must be a result of this study"):
        pacs.send("1.5.9.2", made, Pseudonyms(tables.tenant_key(desk.resources.sessions, desk.tenant)))

    assert len(orthanc.instances()) == 1
