"""Random evidence graphs and single changes to them, to test what is written from a graph. Ignores what is true.

Everything here is synthetic: a graph is valid by the vocabulary, and says nothing about its images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from verticals.medical.evidence import READER, UNITS, EvidenceGraph, Finding
from verticals.medical.frames import num_frames
from verticals.medical.vocabulary import KINDS, SITES

PRESENCES = ("present", "absent", "uncertain")
SIDES = ("left", "right", "both")
SETS = ((), ("present",), ("absent",), ("present", "absent"))
MODELS = ("phantom-detector@1.2", "phantom-classifier@0.3.1", READER)


def random_graph(
    seed: int, *, modality: str | None = None, images: Sequence[Dataset] = (), most: int = 6
) -> EvidenceGraph:
    """A valid graph of one to `most` findings.

    Args:
        modality: Only kinds that are looked for in it; None: all kinds.
        images: Where regions may lie; without images no finding has a region.
    """
    rng = np.random.default_rng(seed)
    kinds = [name for name, kind in KINDS.items() if modality is None or modality in kind.modalities] or list(KINDS)
    count = int(rng.integers(1, most + 1))
    return EvidenceGraph(findings=tuple(_finding(f"f{i + 1}", kinds, images, rng) for i in range(count)))


def _finding(finding_id: str, kinds: Sequence[str], images: Sequence[Dataset], rng: np.random.Generator) -> Finding:
    kind = _one(kinds, rng)
    site = _one((None, *KINDS[kind].sites), rng)
    paired = site is not None and SITES[site].is_paired
    presence = _one(PRESENCES, rng)
    is_there = presence != "absent"
    return Finding.model_validate(
        {
            "finding_id": finding_id,
            "kind": kind,
            "presence": presence,
            "site": site,
            "side": _one((None, *SIDES), rng) if paired else None,
            "prob": _one((None, round(float(rng.uniform()), 3), float(rng.uniform())), rng),
            "confidence_set": _one(SETS, rng),
            "measurements": _measurements(rng) if is_there and rng.uniform() < 0.6 else (),
            "regions": _regions(images, rng) if is_there and images else (),
            "model": _one(MODELS, rng),
        }
    )


def _one(options: Sequence[Any], rng: np.random.Generator) -> Any:
    return options[int(rng.integers(len(options)))]


def _measurements(rng: np.random.Generator) -> list[dict[str, Any]]:
    names = rng.permutation(list(UNITS))[: rng.integers(1, len(UNITS) + 1)]
    digits = int(rng.integers(0, 8))
    return [
        {"name": str(name), "value": round(float(rng.uniform(1, 300)), digits), "unit": UNITS[str(name)]}
        for name in names
    ]


def _regions(images: Sequence[Dataset], rng: np.random.Generator) -> list[dict[str, Any]]:
    """None, one, or two on neighbouring images or frames."""
    places = [(image, frame + 1) for image in images for frame in range(num_frames(image))]
    start, count = int(rng.integers(len(places))), int(rng.integers(3))
    return [_region(image, frame, rng) for image, frame in places[start : start + count]]


def _region(image: Dataset, frame: int, rng: np.random.Generator) -> dict[str, Any]:
    """A point, or a closed polygon around a centre, inside the image."""
    size = np.array([image.Columns, image.Rows])
    centre, radius = rng.uniform(0.3, 0.7, 2) * size, rng.uniform(0.06, 0.25) * size.min()
    if rng.uniform() < 0.15:
        points = [tuple(centre)]
    else:
        angles = np.linspace(0, 2 * np.pi, int(rng.integers(4, 12)), endpoint=False)
        outline = [tuple(centre + radius * np.array((np.cos(a), np.sin(a)))) for a in angles]
        points = [*outline, outline[0]]
    return {
        "sop_instance_uid": image.SOPInstanceUID,
        "frame": frame,
        "shape": "point" if len(points) == 1 else "polyline",
        "points": [(round(float(x), 1), round(float(y), 1)) for x, y in points],
    }


def changes(graph: EvidenceGraph) -> Iterator[tuple[str, EvidenceGraph]]:
    """(what was changed, a valid graph that differs from `graph` in this alone), for each finding and fact."""
    findings = graph.findings
    for i, finding in enumerate(findings):
        yield f"{finding.finding_id} left out", EvidenceGraph(findings=findings[:i] + findings[i + 1 :])
        for what, altered in _altered(finding):
            yield (
                f"{finding.finding_id} {what}",
                EvidenceGraph(findings=(*findings[:i], Finding.model_validate(altered), *findings[i + 1 :])),
            )
    more = findings[0].model_copy(update={"finding_id": f"f{len(findings) + 100}"})
    yield "one more", EvidenceGraph(findings=(*findings, more))
    if len(findings) > 1:
        yield "another order", EvidenceGraph(findings=findings[::-1])


def _altered(finding: Finding) -> Iterator[tuple[str, dict[str, Any]]]:
    fields = finding.model_dump()
    twin = next((k for k, v in KINDS.items() if k != finding.kind and finding.site in (None, *v.sites)), None)
    if twin is not None:
        yield "kind", fields | {"kind": twin}
    bare = {"measurements": (), "regions": ()}
    for presence in PRESENCES:
        if presence != finding.presence:
            yield f"presence {presence}", fields | {"presence": presence} | (bare if presence == "absent" else {})
    for site in (None, *KINDS[finding.kind].sites):
        if site != finding.site:
            paired = site is not None and SITES[site].is_paired
            yield f"site {site}", fields | {"site": site, "side": finding.side if paired else None}
    if finding.site is not None and SITES[finding.site].is_paired:
        for side in (None, *SIDES):
            if side != finding.side:
                yield f"side {side}", fields | {"side": side}
    yield "prob", fields | {"prob": 0.5 if finding.prob is None else None}
    for i, measurement in enumerate(fields["measurements"]):
        others = fields["measurements"][:i], fields["measurements"][i + 1 :]
        yield f"without {measurement['name']}", fields | {"measurements": (*others[0], *others[1])}
        bigger = measurement | {"value": measurement["value"] * 10}
        yield f"{measurement['name']} tenfold", fields | {"measurements": (*others[0], bigger, *others[1])}
