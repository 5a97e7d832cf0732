"""Which version of the nodule model is served: the registry's active one, else the packaged. Ignores reading."""

from __future__ import annotations

import hashlib
import json

from verticals.contract import ModelRegistry
from verticals.medical.ct.model import CARD, FOLDER, NAME, NoduleModel, packaged
from verticals.medical.ct.reader import NoduleReader


def nodule_reader(registry: ModelRegistry) -> NoduleReader:
    """The reader, named by the model's name and version. A model that was trained here has no figures from patients.

    Raises:
        ValueError: a damaged file.
        Unavailable: a registered file that is not what was registered.
    """
    if found := registry.load(NAME):
        card, files = found
        return NoduleReader(NoduleModel.load(files), f"{NAME}@{card.version}", {"limits": card.limits})
    files = packaged()
    sha256 = hashlib.sha256(b"".join(files[name].read_bytes() for name in sorted(files))).hexdigest()
    card_json = json.loads((FOLDER / CARD).read_text("utf-8"))
    return NoduleReader(NoduleModel.load(files), f"{NAME}@packaged-{sha256[:12]}", card_json)
