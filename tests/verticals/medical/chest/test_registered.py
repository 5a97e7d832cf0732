"""Which model serves: what is registered, else what is packaged, each by name and version."""

from __future__ import annotations

from pathlib import Path

from tests.verticals.finance.conftest import FolderRegistry
from verticals.medical.chest.model import NAME, packaged
from verticals.medical.chest.registered import chest_reader


def test_a_registered_model_takes_the_place_of_the_packaged(tmp_path: Path) -> None:
    registry = FolderRegistry(tmp_path)
    before = chest_reader(registry)
    files = {name: path.read_bytes() for name, path in packaged().items()}
    card = registry.save(NAME, files, {"trained_on": "", "licence": "", "recipe": "", "metrics": {}, "limits": ""})

    after = chest_reader(registry)

    assert before.name_and_version.startswith(f"{NAME} packaged-")
    assert after.name_and_version == f"{NAME} {card.version}"
