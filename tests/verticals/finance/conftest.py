"""One trained scorecard and challenger for all tests, in a registry on a temporary folder."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sqlalchemy.orm import Session, sessionmaker

from tests.databases import migrated_engine
from tests.verticals.finance.sources.small_models import CARD, FakeEmbedder, register, small_model
from verticals.contract import Context, Decision, Handler, ModelCard, Resources
from verticals.finance import VERTICAL
from verticals.finance.histories.encoder import EncoderConfig, EventEncoder
from verticals.finance.histories.head import SequenceHead
from verticals.finance.histories.model import ENCODER, SEQUENCE, encoder_id, to_files
from verticals.finance.scoring import CHALLENGER, MOE, SCORECARD, Models, load_models
from verticals.finance.train import train_challenger, train_moe, train_scorecard


class FolderRegistry:
    """`verticals.contract.ModelRegistry`, one version a name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cards: dict[str, ModelCard] = {}
        self.saves: list[str] = []

    def save(
        self, name: str, files: Mapping[str, bytes], card: Mapping[str, Any], *, activate: bool = True
    ) -> ModelCard:
        sha256 = hashlib.sha256(b"".join(files[n] for n in sorted(files))).hexdigest()
        (self.root / name).mkdir(parents=True)
        for file_name, content in files.items():
            (self.root / name / file_name).write_bytes(content)
        self.cards[name] = ModelCard(name=name, version=sha256[:12], sha256=sha256, **card)
        self.saves.append(name)
        return self.cards[name]

    def load(self, name: str, version: str | None = None) -> tuple[ModelCard, Mapping[str, Path]] | None:
        if name not in self.cards or version not in (None, self.cards[name].version):
            return None
        folder = self.root / name
        return self.cards[name], {p.name: p for p in folder.iterdir()} if folder.exists() else {}


class Recorder:
    """Keeps decisions in memory, with the session that each came with."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.decisions: list[Decision] = []
        self.sessions: list[Session | None] = []
        self.calls = 0
        self.failure = failure

    def __call__(self, *decisions: Decision, session: Session | None = None) -> None:
        if self.failure:
            raise self.failure
        self.calls += 1
        self.decisions.extend(decisions)
        self.sessions.append(session)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> FolderRegistry:
    """A registry with all models, validated on two folds to save time."""
    found = FolderRegistry(tmp_path_factory.mktemp("registry"))
    for name, train in ((SCORECARD, train_scorecard), (CHALLENGER, train_challenger), (MOE, train_moe)):
        files, card = train(lambda what, share: None, folds=2)
        found.save(name, files, card)
    return found


@pytest.fixture(scope="session")
def models(registry: FolderRegistry) -> Models:
    """The trained models, as served."""
    return load_models(registry)


@pytest.fixture
def make_resources(tmp_path: Path) -> Callable[[Any], Resources]:
    """Resources with the given registry and a database; what finance does not use is None."""
    engine = migrated_engine(tmp_path)

    def make(registry: Any) -> Resources:
        nothing: Any = None
        return Resources(nothing, nothing, nothing, registry, sessionmaker(engine, expire_on_commit=False), None)

    return make


@pytest.fixture
def handlers(registry: FolderRegistry, make_resources: Callable[[Any], Resources]) -> Mapping[str, Handler]:
    """The handlers over the trained models."""
    return VERTICAL.build(make_resources(registry))


@pytest.fixture
def recorder() -> Recorder:
    """An audit trail in memory."""
    return Recorder()


@pytest.fixture
def context(recorder: Recorder) -> Context:
    """A caller of tenant `bank`."""
    return Context(tenant="bank", actor="key-1", request_id="r-1", record=recorder)


# --- with sources ----------------------------------------------------------------------------------------------------


@pytest.fixture
def full_registry(registry: FolderRegistry, tmp_path: Path) -> FolderRegistry:
    """Another registry, so that the shared one stays without sources."""
    found = FolderRegistry(tmp_path / "registry")
    for name in (SCORECARD, CHALLENGER):
        shutil.copytree(registry.root / name, found.root / name)
        found.cards[name] = registry.cards[name]
    files = to_files(
        EventEncoder(EncoderConfig(dim=8, num_layers=1, num_heads=2), seed=0), SequenceHead(np.ones(8), 0, 2)
    )
    found.save(SEQUENCE, files, CARD)
    register(found, small_model(encoder_id=encoder_id(files[ENCODER])))
    return found


@pytest.fixture
def resources(full_registry: FolderRegistry, make_resources: Callable[[Any], Resources]) -> Resources:
    """With an embedder."""
    retriever: Any = SimpleNamespace(embedder=FakeEmbedder())
    return replace(make_resources(full_registry), retriever=retriever)


@pytest.fixture
def served(resources: Resources) -> Mapping[str, Handler]:
    """The handlers."""
    return VERTICAL.build(resources)
