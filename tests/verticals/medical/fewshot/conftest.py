"""Torch with one thread, as beside other tests; and homes where a few-shot finding has been trained once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import torch

from service.api import create_app
from service.kit import Kit
from tests.conftest import served
from tests.databases import needs_sqlite
from tests.fake_kit import make_kit
from tests.verticals.medical.conftest import Desk, Recorder, SeesTextInStripes
from tests.verticals.medical.fewshot.spots import archive
from verticals.contract import UploadedFile
from verticals.medical import VERTICAL
from verticals.medical.handlers import build

TENANT = "hospital"
ASKED = {"finding": "bright spot", "modality": "MR", "body_part": "BRAIN", "licence": "none: synthetic"}


def upload(content: bytes) -> UploadedFile:
    """As a form brings it."""
    return UploadedFile(filename="x.zip", content=content)


@pytest.fixture(autouse=True, scope="package")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def open_kit(home: Path) -> Kit:
    """A kit of the medical vertical alone on the database and the registry in `home`."""
    made = replace(VERTICAL, build=lambda resources: build(resources, reader=SeesTextInStripes()))
    return make_kit(home, {"medical": made})


@pytest.fixture(scope="session")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home where the finding of `ASKED` has been trained over HTTP."""
    home = tmp_path_factory.mktemp("few-shot")
    kit = open_kit(home)
    headers = {"Authorization": f"Bearer {kit.keys.issue(tenant=TENANT, label='test')}"}
    with served(create_app(kit)) as url:
        answer = httpx.post(
            f"{url}/v1/medical/few-shot",
            data=ASKED,
            files={"file": ("x.zip", archive())},
            headers=headers,
            timeout=120,
            trust_env=False,
        )
    kit.close()
    assert answer.status_code == 200, answer.text
    return home


@pytest.fixture
def home(_trained: Path, tmp_path: Path) -> Path:
    """A home of one's own where the finding has been trained and nothing is in use."""
    needs_sqlite("a home is copied with its database's file")
    return shutil.copytree(_trained, tmp_path / "home")


@pytest.fixture
def studio(home: Path) -> Iterator[Desk]:
    """A desk there."""
    kit = open_kit(home)
    yield Desk(kit.database, Recorder(), kit.handlers["medical"], kit.resources, TENANT)
    kit.close()
