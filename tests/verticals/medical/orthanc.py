"""A real PACS for tests: Debian's Orthanc on loopback, with its own storage and its DICOMweb plug-in."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

PLUGINS = (Path("/usr/share/orthanc/plugins"), Path("/usr/lib/orthanc"))
_START_S = 60


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc: DICOM on `dicom_port` as AE title ORTHANC, REST and DICOMweb over HTTP."""

    dicom_port: int
    url: str  # REST API, without a slash at the end

    @property
    def dicomweb_url(self) -> str:
        """Root of QIDO-RS, WADO-RS and STOW-RS."""
        return f"{self.url}/dicom-web"

    def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """A call of the REST API that must succeed."""
        with httpx.Client(base_url=self.url, timeout=60, trust_env=False) as client:
            answer = client.request(method, path, **arguments)
        answer.raise_for_status()
        return answer

    def instances(self) -> list[str]:
        """Orthanc's ids of everything it holds."""
        found: list[str] = self.request("GET", "/instances").json()
        return found

    def upload(self, content: bytes) -> str:
        """Store one Part 10 file; Orthanc's id of it."""
        return str(self.request("POST", "/instances", content=content).json()["ID"])

    def file(self, instance: str) -> bytes:
        """The stored Part 10 file, by Orthanc's id."""
        return self.request("GET", f"/instances/{instance}/file").content

    def clear(self) -> None:
        """Delete everything."""
        for patient in self.request("GET", "/patients").json():
            self.request("DELETE", f"/patients/{patient}")


@contextmanager
def running_orthanc(folder: Path) -> Iterator[Orthanc]:
    """Start Orthanc with its files in `folder`; skip the test, with the reason, where it is not installed."""
    binary, plugin = shutil.which("Orthanc"), _plugin()
    if binary is None or plugin is None:
        pytest.skip("Orthanc is not installed: apt-get install orthanc orthanc-dicomweb")
    dicom_port, http_port = _free_ports(2)
    settings = {
        "Name": "test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "Plugins": [str(plugin)],
        "HttpPort": http_port,
        "DicomPort": dicom_port,
        "DicomAet": "ORTHANC",
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "UnknownSopClassAccepted": True,
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(settings))
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen([binary, str(path)], stdout=log, stderr=subprocess.STDOUT)
        try:
            started = Orthanc(dicom_port, f"http://127.0.0.1:{http_port}")
            _wait(started, process, folder / "orthanc.log")
            yield started
        finally:
            process.terminate()
            process.wait(timeout=30)


def _plugin() -> Path | None:
    found = [path for folder in PLUGINS for path in sorted(folder.glob("libOrthancDicomWeb.so*"))]
    return found[0] if found else None


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _wait(orthanc: Orthanc, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            orthanc.request("GET", "/system")
            return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise RuntimeError(f"Orthanc did not start: {log.read_text(errors='replace')[-2000:]}")
