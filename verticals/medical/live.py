"""The models that read images, as they are exchanged while studies arrive. Ignores who decides.

Each is tried on a made-up picture or candidate before it serves, so that a model of another shape is found out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO

from verticals.contract import ModelRegistry
from verticals.live import LiveModel, Said
from verticals.medical.schemas import IngestRequest

SIDE = 64  # pixels of the made-up picture


def _no_examples() -> Sequence[IngestRequest]:
    """A file is no example that a schema can hold: `open` tries the model by itself."""
    return ()


def _open_chest(registry: ModelRegistry) -> Callable[[IngestRequest], Said]:
    """Probability of each kind on a film; None for a file that is no film, or one that the gate refuses."""
    import numpy as np
    from pydicom import dcmread

    from verticals.medical import geometry
    from verticals.medical.attributes import body_part
    from verticals.medical.chest.registered import chest_reader
    from verticals.medical.findings import Image

    reader = chest_reader(registry)
    reader.model.read(np.tile(np.arange(SIDE, dtype=np.uint8), (SIDE, 1)))

    def say(request: IngestRequest) -> Said:
        dataset = dcmread(BytesIO(request.file.content))
        if not reader.reads(str(dataset.Modality), body_part(dataset)):
            return dict.fromkeys(reader.model.kinds)
        seen = reader.look(Image(geometry.render(*geometry.stored_frame(dataset, 1)), dataset))
        if isinstance(seen, str):
            return dict.fromkeys(reader.model.kinds)
        return {kind: reading.prob for kind, reading in seen.kinds.items()}

    return say


def _open_nodules(registry: ModelRegistry) -> None:
    """Ranks candidates of a stored volume: tried on an empty list of them."""
    import numpy as np

    from verticals.medical.ct.features import NAMES
    from verticals.medical.ct.registered import nodule_reader

    nodule_reader(registry).model.scores(np.zeros((1, len(NAMES))))


def _open_fundus(registry: ModelRegistry) -> None:
    """Segmenter and grading head are read."""
    from verticals.medical.fundus.registered import fundus_reader

    fundus_reader(registry)


LIVE_MODELS = (
    LiveModel("medical.chest_film", "ingest_study", _open_chest, _no_examples),
    LiveModel("medical.ct_nodules", "ct_nodules", _open_nodules, _no_examples),
    LiveModel("medical.fundus_vessels", "ingest_study", _open_fundus, _no_examples),
    LiveModel("medical.fundus_grade", "ingest_study", _open_fundus, _no_examples),
)
