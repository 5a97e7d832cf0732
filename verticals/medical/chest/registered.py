"""Which version of the chest-film model is served: the registry's active one, else the packaged. Ignores reading."""

from __future__ import annotations

import hashlib

from verticals.contract import ModelRegistry
from verticals.medical.chest.model import NAME, ChestModel, packaged
from verticals.medical.chest.reader import ChestReader


def chest_reader(registry: ModelRegistry) -> ChestReader:
    """The reader, named by the model's name and version.

    Raises:
        ValueError: a damaged file.
        Unavailable: a registered file that is not what was registered.
    """
    if found := registry.load(NAME):
        card, files = found
        return ChestReader(ChestModel.load(files), f"{NAME} {card.version}")
    files = packaged()
    sha256 = hashlib.sha256(b"".join(files[name].read_bytes() for name in sorted(files))).hexdigest()
    return ChestReader(ChestModel.load(files), f"{NAME} packaged-{sha256[:12]}")
