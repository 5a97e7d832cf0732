"""Torch with one thread, as beside other tests; and a desk where a few-shot finding has been trained once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from service.registry import FileRegistry
from tests.verticals.medical.conftest import Desk, Recorder, SeesTextInStripes
from tests.verticals.medical.fewshot.spots import archive
from verticals.contract import Base, UploadedFile
from verticals.medical.handlers import build

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


def open_desk(folder: Path) -> Desk:
    """A desk on the database and the registry in `folder`."""
    engine = create_engine(f"sqlite:///{folder / 'medical.db'}")
    Base.metadata.create_all(engine)
    resources: Any = SimpleNamespace(
        sessions=sessionmaker(engine),
        data_dir=None,
        chat_model=None,
        max_study_bytes=2**30,
        registry=FileRegistry(folder / "registry"),
    )
    return Desk(engine, Recorder(), build(resources, reader=SeesTextInStripes()), resources)


@pytest.fixture(scope="session")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("few-shot")
    desk = open_desk(folder)
    desk.call("train_few_shot", file=upload(archive()), **ASKED)
    desk.engine.dispose()
    return folder


@pytest.fixture
def studio(_trained: Path, tmp_path: Path) -> Iterator[Desk]:
    """A desk where the finding of `ASKED` has been trained and nothing is in use."""
    shutil.copytree(_trained, tmp_path / "studio")
    desk = open_desk(tmp_path / "studio")
    yield desk
    desk.engine.dispose()
