"""STOW-RS and several files at once, over HTTP: each object's outcome as the standard says, and in the audit trail."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from dicomweb_client import DICOMwebClient
from dicomweb_client.session_utils import create_session
from pydicom import dcmread

from service.kit import Kit
from tests.fake_kit import make_kit
from tests.verticals.medical.conftest import SeesTextInStripes
from tests.verticals.medical.slices import ct_series, ct_slice
from verticals.medical import VERTICAL
from verticals.medical.handlers import build
from verticals.medical.probes import pydicom_file, to_bytes

BOUNDARY = "cut-here"
STOW = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
PATH = "/v1/medical/dicomweb/studies"


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    made = replace(VERTICAL, build=lambda resources: build(resources, reader=SeesTextInStripes()))
    return make_kit(tmp_path, {"medical": made})


@pytest.fixture
def client(kit: Kit, serve: Callable[[Kit], str]) -> httpx.Client:
    headers = {"Authorization": f"Bearer {kit.keys.issue(tenant='hospital', label='test')}"}
    return httpx.Client(base_url=serve(kit), headers=headers, trust_env=False, timeout=60)


def multipart(*contents: bytes, end: bytes = b"--cut-here--\r\n") -> bytes:
    parts = (b"--cut-here\r\nContent-Type: application/dicom\r\n\r\n" + each + b"\r\n" for each in contents)
    return b"".join(parts) + end


def post(client: httpx.Client, content: bytes, path: str = PATH, kind: str = STOW) -> httpx.Response:
    return client.post(path, content=content, headers={"Content-Type": kind})


def test_a_standard_client_stores_a_study(client: httpx.Client) -> None:
    session = create_session()
    session.trust_env = False
    session.headers.update({"Authorization": client.headers["Authorization"]})
    stow = DICOMwebClient(url=f"{client.base_url}/v1/medical/dicomweb", session=session)

    answer = stow.store_instances([dcmread(io.BytesIO(to_bytes(each))) for each in ct_series(3)])

    stored = answer.ReferencedSOPSequence
    assert [each.ReferencedSOPInstanceUID for each in stored] == [each.SOPInstanceUID for each in ct_series(3)]
    assert "FailedSOPSequence" not in answer
    [line] = client.get("/v1/medical/studies").json()["studies"]
    assert line["num_instances"] == 3


def test_each_bad_object_is_listed_with_its_reason_and_the_others_are_stored(client: httpx.Client, kit: Kit) -> None:
    bad = ct_slice(0)
    del bad.PixelSpacing
    stranger = ct_slice(2)
    stranger.PatientID = "SOMEONE ELSE"

    answer = post(client, multipart(to_bytes(bad), to_bytes(ct_slice(1)), to_bytes(stranger), b"no DICOM file"))

    failed, stored = (answer.json()[tag]["Value"] for tag in ("00081198", "00081199"))
    assert (answer.status_code, answer.headers["content-type"]) == (202, "application/dicom+json")
    assert [each["00081197"]["Value"] for each in failed] == [[0xC000], [0x0111], [0x0122]]
    assert failed[0]["00081155"]["Value"] == [bad.SOPInstanceUID]
    assert "Value" not in failed[2]["00081155"]
    assert [each["00081155"]["Value"] for each in stored] == [[ct_slice(1).SOPInstanceUID]]
    assert len(list(kit.audit.of_kind("hospital", "medical.ingest"))) == 1
    assert client.get("/v1/medical/refusals").json()["total"] == 3


def test_when_all_fail_the_answer_is_a_conflict(client: httpx.Client) -> None:
    assert post(client, multipart(b"no DICOM file")).status_code == 409


def test_an_object_of_another_study_than_the_path_names_fails(client: httpx.Client) -> None:
    right, wrong = (
        post(client, multipart(to_bytes(ct_slice(0))), path=f"{PATH}/{uid}") for uid in ("1.2.3.1", "1.2.3.99")
    )

    assert (right.status_code, wrong.status_code) == (200, 409)


def test_what_arrived_before_the_body_was_cut_short_is_stored_whole(client: httpx.Client) -> None:
    content = multipart(*(to_bytes(each) for each in ct_series(2)))

    answer = post(client, content[: -len(to_bytes(ct_slice(1))) // 2])

    assert answer.status_code == 422
    assert "was cut short" in answer.json()["detail"]
    assert client.get("/v1/medical/studies").json()["studies"][0]["num_instances"] == 1


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"x", "application/dicom", 415),
        (b"x", "multipart/related; type=application/dicom", 415),
        (b"x", f"multipart/form-data; boundary={BOUNDARY}", 415),
        (b"no boundary at all", STOW, 422),
        (multipart(), STOW, 422),
    ],
)
def test_a_body_that_is_none_is_refused(client: httpx.Client, content: bytes, kind: str, status: int) -> None:
    assert post(client, content, kind=kind).status_code == status


def test_a_key_without_the_scope_stores_nothing(kit: Kit, client: httpx.Client) -> None:
    client.headers["Authorization"] = "Bearer none"

    assert post(client, multipart(to_bytes(ct_slice(0)))).status_code == 401


def test_several_files_and_an_archive_in_one_form(client: httpx.Client) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, each in enumerate(ct_series(3)):
            archive.writestr(f"{number}.dcm", to_bytes(each))
    files: list[Any] = [
        ("files", ("a.dcm", pydicom_file("MR_small.dcm"))),
        ("files", ("b.zip", buffer.getvalue())),
        ("files", ("c.txt", b"a letter")),
    ]

    answer = client.post("/v1/medical/studies/batch", files=files, data={"origin": "synthetic"}).json()

    assert (answer["stored"], answer["refused"], len(answer["studies"])) == (4, 1, 2)
    assert [each["origin"] for each in client.get("/v1/medical/studies").json()["studies"]] == ["synthetic"] * 2


def test_a_held_object_is_shown_masked_and_released_over_http(client: httpx.Client) -> None:
    dataset = dcmread(io.BytesIO(pydicom_file("CT_small.dcm")))
    dataset.BurnedInAnnotation = "YES"
    refused = client.post("/v1/medical/studies", files={"file": ("x.dcm", to_bytes(dataset))})
    held_id = refused.json()["value"]

    image = client.get(f"/v1/medical/held/{held_id}/image")
    mask = {"left": 0, "top": 0, "right": 20, "bottom": 20}
    body = {"name": "Dr. A. Reader", "attest": True, "masks": [mask]}
    done = client.post(f"/v1/medical/held/{held_id}/release", json=body)

    assert refused.status_code == 422
    assert image.headers["content-type"] == "image/png"
    assert done.json()["status"] == "stored"
    assert client.get("/v1/medical/held").json()["objects"][0]["state"] == "masked"
