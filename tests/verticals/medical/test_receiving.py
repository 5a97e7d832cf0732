"""Receiving over DICOM and from a watched folder: who may send, what is acknowledged, and that a queue goes on."""

from __future__ import annotations

import datetime
import io
import os
import ssl
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydicom import dcmread
from pynetdicom import AE, build_context
from pynetdicom.sop_class import Verification
from sqlalchemy import func, select

from tests.databases import needs_sqlite
from tests.verticals.medical.slices import ct_series, ct_slice
from verticals.contract import Context, InvalidInput, Unavailable
from verticals.medical.instance_tables import MedicalInstance
from verticals.medical.probes import pydicom_file, to_bytes
from verticals.medical.receiving import scp
from verticals.medical.receiving.folder import Folder
from verticals.medical.receiving.queue import Queue

TITLES = scp.Titles({"RADIOLOGY": "hospital", "CLINIC": "clinic"}, frozenset({("CT1", "hospital"), ("CT2", "clinic")}))


@pytest.fixture
def port(desk: Any, queue: Queue) -> Iterator[int]:
    receiver = scp.Receiver(queue, lambda tenant: context_of(desk, tenant), TITLES)
    yield receiver.start("127.0.0.1", 0)
    receiver.stop()


def context_of(desk: Any, tenant: str) -> Context:
    return Context(tenant=tenant, actor="receiver", request_id="r", record=desk.recorder)


def associate(port: int, *, calling: str = "CT1", called: str = "RADIOLOGY", **how: Any) -> Any:
    entity = AE(ae_title=calling)
    contexts = [build_context(Verification), build_context("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1")]
    return entity.associate("127.0.0.1", port, contexts, ae_title=called, **how)


def stored(desk: Any, tenant: str = "hospital") -> int:
    with desk.resources.sessions() as session:
        mine = select(func.count()).select_from(MedicalInstance).where(MedicalInstance.tenant == tenant)
        return int(session.scalar(mine))


# --- C-STORE ---------------------------------------------------------------------------------------------------------


def test_a_series_is_received_as_one_study_of_the_called_titles_tenant(desk: Any, port: int) -> None:
    peer = associate(port)

    answers = [peer.send_c_echo().Status, *(peer.send_c_store(each).Status for each in ct_series(3))]
    peer.release()

    assert answers == [0, 0, 0, 0]
    [study] = desk.call("list_studies").studies
    assert (study.num_instances, study.origin) == (3, "network")
    assert desk.as_tenant("clinic").call("list_studies").total == 0


def test_each_called_title_is_another_tenants(desk: Any, port: int) -> None:
    peer = associate(port, calling="CT2", called="CLINIC")
    peer.send_c_store(ct_slice(0))
    peer.release()

    assert (stored(desk, "hospital"), stored(desk, "clinic")) == (0, 1)


@pytest.mark.parametrize(
    ("calling", "called"), [("CT1", "NOBODY"), ("STRANGER", "RADIOLOGY"), ("CT2", "RADIOLOGY"), ("CT1", "CLINIC")]
)
def test_who_is_not_listed_for_the_tenant_is_rejected(port: int, calling: str, called: str) -> None:
    peer = associate(port, calling=calling, called=called)

    assert peer.is_rejected


def test_a_bad_object_fails_with_its_rule_and_the_association_goes_on(desk: Any, port: int) -> None:
    bad, stranger = ct_slice(0), ct_slice(2)
    del bad.PixelSpacing
    stranger.PatientID, stranger.PatientName = "SECRET-4711", "Mustermann^Erika"
    peer = associate(port)

    answers = [peer.send_c_store(each) for each in (bad, ct_slice(1), stranger, ct_slice(3))]
    peer.release()

    assert [answer.Status for answer in answers] == [0xC000, 0, 0x0111, 0]
    assert answers[0].ErrorComment.startswith("PixelSpacing (0028,0030): is required")
    told = str(answers[2]) + desk.call("list_refusals").model_dump_json()
    assert "4711" not in told
    assert "Mustermann" not in told
    assert stored(desk) == 2
    assert [each.source for each in desk.call("list_refusals").refusals] == ["c-store"] * 2


def test_an_object_that_comes_again_in_another_way_is_the_same_object(desk: Any, port: int) -> None:
    desk.ingest(to_bytes(ct_slice(0)))
    peer = associate(port)
    answer = peer.send_c_store(ct_slice(0))
    peer.release()

    assert answer.Status == 0
    assert stored(desk) == 1


def test_an_object_over_the_limit_is_cut_off_and_the_next_association_works(
    desk: Any, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scp, "MAX_FILE_BYTES", -(2**20) + 10_000)
    large = ct_slice(0)
    large.PixelData = bytes(100_000)
    peer = associate(port)

    answer = peer.send_c_store(large)
    peer.abort()
    small = associate(port)
    after = small.send_c_store(ct_slice(1))
    small.release()

    assert "Status" not in answer
    assert after.Status == 0
    assert stored(desk) == 1


def test_a_pdu_that_claims_gigabytes_is_not_waited_for(desk: Any, port: int) -> None:
    import socket

    with socket.create_connection(("127.0.0.1", port), timeout=30) as wire:
        wire.sendall(b"\x04\x00\xff\xff\xff\xff" + bytes(1000))

        closed = wire.recv(100)  # an abort, or the end

    assert len(closed) < 100
    peer = associate(port)
    assert peer.is_established
    peer.release()


def test_tls_is_spoken_with_who_shows_a_certificate_of_the_authority(desk: Any, queue: Queue, tmp_path: Path) -> None:
    certificate, key = _certificate(tmp_path)
    receiver = scp.Receiver(queue, lambda tenant: context_of(desk, tenant), TITLES)
    port = receiver.start("127.0.0.1", 0, tls=scp.tls_context(certificate, key, certificate))
    client = ssl.create_default_context(cafile=certificate)
    client.check_hostname = False

    anonymous, plain = associate(port, tls_args=(client, None)), associate(port)
    client.load_cert_chain(certificate, key)
    known = associate(port, tls_args=(client, None))
    answer = known.send_c_store(ct_slice(0))
    known.release()
    receiver.stop()

    assert not plain.is_established
    assert answer.Status == 0
    assert stored(desk) == 1
    anonymous.abort()


def test_a_certificate_that_is_not_there_is_named_by_its_setting(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"TRIVIUM_DICOM_TLS_CERT.*must be readable PEM files"):
        scp.tls_context(str(tmp_path / "no.pem"), str(tmp_path / "no.key"), "")


def _certificate(folder: Path) -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "cert.pem").write_bytes(made.public_bytes(encoding))
    (folder / "key.pem").write_bytes(key.private_bytes(encoding, private, serialization.NoEncryption()))
    return str(folder / "cert.pem"), str(folder / "key.pem")


# --- watched folder --------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(desk: Any, queue: Queue, tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "inbox", queue, desk.context)
    made.open()
    return made


def names(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir() if each.is_file())


def test_files_are_taken_in_and_moved_to_where_they_belong(desk: Any, folder: Folder) -> None:
    bad = ct_slice(1)
    del bad.ImageOrientationPatient
    (folder.path / "a.dcm").write_bytes(to_bytes(ct_slice(0)))
    (folder.path / "b.dcm").write_bytes(to_bytes(bad))
    (folder.path / "c.dcm").write_bytes(pydicom_file("MR_small.dcm"))

    answers = list(folder.scan(settle_s=0))

    assert [each.stored for each in answers] == [1, 0, 1]
    assert names(folder.path) == names(folder.path / "working") == []
    assert names(folder.path / "done") == ["a.dcm", "c.dcm"]
    assert names(folder.path / "rejected") == ["b.dcm", "b.dcm.reason.txt"]
    reason = (folder.path / "rejected" / "b.dcm.reason.txt").read_text()
    assert reason.startswith("object 1: ImageOrientationPatient (0020,0037): is required (PS3.3 C.7.6.2.1.1)")


def test_a_file_is_whole_when_it_stays_as_it_is_whatever_its_time_says(desk: Any, queue: Queue, tmp_path: Path) -> None:
    passed_s = 0.0
    folder = Folder(tmp_path / "inbox", queue, desk.context, clock=lambda: passed_s)
    folder.open()
    content, tomorrow = to_bytes(ct_slice(0)), time.time() + 86_400
    path = folder.path / "a.dcm"

    def answers(at_s: float) -> int:
        nonlocal passed_s
        passed_s = at_s
        return len(list(folder.scan(settle_s=2)))

    path.write_bytes(content[:100])
    os.utime(path, (0, 0))  # as a copy that keeps its original's time
    assert answers(0) == 0
    path.write_bytes(content)
    os.utime(path, (tomorrow, tomorrow))  # as a sender whose clock is ahead
    assert [answers(2), answers(3)] == [0, 0]

    assert answers(4) == 1


def test_an_archive_with_a_bad_object_is_rejected_with_the_objects_number_and_the_rest_is_stored(
    desk: Any, folder: Folder
) -> None:
    with zipfile.ZipFile(folder.path / "study.zip", "w") as made:
        made.writestr("1", to_bytes(ct_slice(0)))
        made.writestr("2", "a letter")
        made.writestr("3", to_bytes(ct_slice(1)))

    [answer] = folder.scan(settle_s=0)

    assert (answer.stored, answer.refused) == (2, 1)
    assert (folder.path / "rejected" / "study.zip.reason.txt").read_text().startswith("object 2: file: must be a DICOM")


def test_what_is_still_being_written_is_left_alone(folder: Folder) -> None:
    for name in ("x.part", ".hidden", "fresh.dcm"):
        (folder.path / name).write_bytes(to_bytes(ct_slice(0)))
    (folder.path / "link").symlink_to("/etc/hostname")

    assert list(folder.scan(settle_s=60)) == []
    assert names(folder.path) == [".hidden", "fresh.dcm", "link", "x.part"]


def test_the_same_name_twice_overwrites_nothing(folder: Folder) -> None:
    for index in range(2):
        (folder.path / "a.dcm").write_bytes(to_bytes(ct_slice(index)))
        list(folder.scan(settle_s=0))

    assert names(folder.path / "done") == ["a-1.dcm", "a.dcm"]


def test_what_a_stopped_process_left_is_taken_up_and_stored_once(desk: Any, folder: Folder) -> None:
    content = to_bytes(ct_slice(0))
    desk.ingest(content)
    (folder.path / "working" / "a.dcm").write_bytes(content)

    folder.open()
    [answer] = folder.scan(settle_s=0)

    assert answer.already_present == 1
    assert stored(desk) == 1


def test_when_the_store_fails_the_file_goes_back(desk: Any, folder: Folder) -> None:
    needs_sqlite("only SQLite says of a missing table what a server says of itself when it is away")
    (folder.path / "a.dcm").write_bytes(to_bytes(ct_slice(0)))
    desk.engine.dispose()
    with desk.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE medical_refusals")
        connection.exec_driver_sql("DROP TABLE medical_instances")

    with pytest.raises(Unavailable, match="the database is not there"):
        list(folder.scan(settle_s=0))

    assert names(folder.path) == ["a.dcm"]


def test_every_transfer_syntax_that_pydicom_reads_is_offered(port: int) -> None:
    entity = AE(ae_title="CT1")
    wanted = [pydicom_file(name) for name in ("MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_implicit.dcm")]
    syntaxes = [dcmread(io.BytesIO(each)).file_meta.TransferSyntaxUID for each in wanted]
    contexts = [build_context("1.2.840.10008.5.1.4.1.1.4", syntax) for syntax in syntaxes]

    peer = entity.associate("127.0.0.1", port, contexts, ae_title="RADIOLOGY")
    answers = [peer.send_c_store(dcmread(io.BytesIO(each))).Status for each in wanted]
    peer.release()

    # All three are one object: the first is stored, the others are recognised.
    assert answers == [0, 0, 0]
