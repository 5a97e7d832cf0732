"""The medical suites: de-identification, refusals, look-up tables, quality, records. Ignores what films show."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage
from pydicom import dcmread
from pydicom.dataset import Dataset

from verticals.asking import evaluator, is_live
from verticals.bootstrap import bootstrap_interval
from verticals.contract import (
    Conflict,
    Context,
    Handler,
    InvalidInput,
    Metric,
    Progress,
    Resources,
    Suite,
    TooLarge,
    TriviumError,
    Unavailable,
    UnsupportedMedia,
    UploadedFile,
)
from verticals.medical import probes
from verticals.medical.burned_in import declaration
from verticals.medical.deidentify import Pseudonyms, deidentify, to_file
from verticals.medical.evals_record import TENANT, record_suite
from verticals.medical.geometry import render
from verticals.medical.ingest import read
from verticals.medical.part10 import prepare_pydicom
from verticals.medical.planting import plant
from verticals.medical.quality import LIMITS, assess, score
from verticals.medical.schemas import IngestRequest

Array = np.ndarray[Any, np.dtype[Any]]

_REFUSED = (InvalidInput.status, TooLarge.status, UnsupportedMedia.status)
_PSEUDONYMS = b"evaluation key, no patient's data"


def suites(resources: Resources, handlers: Mapping[str, Handler]) -> Sequence[Suite]:
    """What the nightly report runs. In this process none stores more than one public test file."""
    prepare_pydicom()
    accepted = partial(_taken_in, handlers, evaluator(TENANT)) if is_live(resources) else _accepted
    films = partial(_film_quality, resources.data_dir)
    return (
        Suite(
            name="deidentification",
            dataset="pydicom's CT and MR with values planted in every VR, in standard, private and nested attributes",
            split="60 headers, seeds 0-29; synthetic identifiers",
            solver="PS3.15 Annex E keep-list",
            scorer="a planted value anywhere in the stored bytes is a leak; Wilson interval",
            run=_leaks,
            inside="it looks into the stored bytes",
        ),
        Suite(
            name="refusals",
            dataset="pydicom's CT test file with one fault each, and valid files of pydicom",
            split="one file for each fault; synthetic faults",
            solver="ingest and burned-in check",
            scorer="refused with a rule; Wilson interval",
            run=partial(_refusals, accepted),
            operations=("ingest_study",),
        ),
        Suite(
            name="geometry",
            dataset="pydicom's CT and MR and synthetic radiographs, with random slopes, windows and photometry",
            split="80 renderings, seed 0",
            solver="pydicom's look-up tables, as images are rendered",
            scorer="share of pixels within one grey level of PS3.3 C.11 written out in numpy",
            run=_agreement,
            inside="it renders arrays, with windows and photometry that no stored study has",
        ),
        Suite(
            name="quality",
            dataset="synthetic radiographs with graded blur, noise, under-exposure, saturation and collimation",
            split="10 phantoms, seeds 100-109; limits fixed beforehand; faults of the kinds that are checked",
            solver="lowest score of the checks other than size",
            scorer="AUC, good against degraded; bootstrap over images",
            run=lambda progress: _quality(((probes.phantom(seed), seed) for seed in range(100, 110)), 10, progress),
            inside="it scores degraded arrays; a live API would keep each as a study",
        ),
        Suite(
            name="quality-films",
            dataset="NIH chest films (public), 512 px, with the same graded faults",
            split="20 development films; limits fixed beforehand; faults of the kinds that are checked",
            solver="lowest score of the checks other than size",
            scorer="AUC, good against degraded; bootstrap over films",
            run=films,
            inside="it scores degraded arrays; a live API would keep each as a study",
        ),
        record_suite(resources, handlers),
    )


def _rate(name: str, hits: int, n: int, *, higher_is_better: bool) -> Metric:
    """A share with its Wilson (1927) interval: a bootstrap of all-equal outcomes would claim certainty."""
    p, z = hits / n, 1.959964
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = ((centre + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    return Metric(name, p, max(low, 0.0), min(high, 1.0), n, higher_is_better)


def _leaks(progress: Progress) -> Sequence[Metric]:
    leaks, cases = 0, [(name, seed) for seed in range(30) for name in probes.PYDICOM_FILES]
    for i, (name, seed) in enumerate(cases):
        progress("planted identifiers", i / len(cases))
        content, planted = plant(dcmread(io.BytesIO(probes.pydicom_file(name))), seed)
        clean, _account = deidentify(read(content).dataset, Pseudonyms(_PSEUDONYMS))
        stored = to_file(clean)
        leaks += any(value in stored for value in planted)
    return [_rate("headers with a leak", leaks, len(cases), higher_is_better=False)]


def _refusals(accepted: Callable[[bytes], bool], progress: Progress) -> Sequence[Metric]:
    faulty = list(probes.faulty_files())
    refused = 0
    for i, (_kind, content) in enumerate(faulty):
        progress("faulty files", i / len(faulty))
        refused += not accepted(content)
    valid = [probes.pydicom_file(name) for name in probes.VALID_FILES]
    return [
        _rate("faulty files refused", refused, len(faulty), higher_is_better=True),
        _rate("valid files accepted", sum(map(accepted, valid)), len(valid), higher_is_better=True),
    ]


def _accepted(content: bytes) -> bool:
    try:
        received = read(content)
    except TriviumError:
        return False
    return declaration(received.dataset) != "YES"


def _taken_in(handlers: Mapping[str, Handler], context: Context, content: bytes) -> bool:
    """Whether the operation takes a file in; one that only another with its UID keeps out was read without fault."""
    file = UploadedFile(filename="probe.dcm", content=content, media_type="application/dicom")
    try:
        handlers["ingest_study"](IngestRequest(file=file, origin="pydicom-test-data"), context)
    except TriviumError as error:
        if error.status not in _REFUSED and error.status != Conflict.status:
            raise  # not an answer about the file
        return error.status == Conflict.status
    return True


def _agreement(progress: Progress) -> Sequence[Metric]:
    rng = np.random.default_rng(0)
    files = [read(probes.pydicom_file(name)) for name in probes.PYDICOM_FILES]
    inputs = [(f.stored[0], f.dataset) for f in files] + [
        (image, probes.radiograph(image)) for image in (probes.phantom(s, size=128) for s in (0, 1))
    ]
    shares, total = [], 80
    for i in range(total):
        progress("renderings", i / total)
        stored, dataset = inputs[i % len(inputs)]
        header = Dataset()
        header.update(dataset)
        header.RescaleSlope, header.RescaleIntercept = (round(float(v), 3) for v in rng.uniform((0.1, -2000), (4, 500)))
        header.PhotometricInterpretation = ("MONOCHROME1", "MONOCHROME2")[i // len(inputs) % 2]
        values = stored * header.RescaleSlope + header.RescaleIntercept
        window = float(rng.uniform(values.min(), values.max())), float(rng.uniform(1, np.ptp(values)))
        told = render(stored, header, window=window).astype(int)
        shares.append(np.mean(np.abs(told - written_out(stored, header, window)) <= 1))
    low, high = bootstrap_interval(shares)
    return [Metric("pixels that agree", float(np.mean(shares)), low, high, total)]


def written_out(stored: Array, header: Dataset, window: tuple[float, float]) -> Array:
    """PS3.3 C.11.1.1, C.11.2.1.2.1 and C.7.6.3.1.2 pixel by pixel, without pydicom's code; grey levels 0-255."""
    x = stored.astype(np.float64) * float(header.RescaleSlope) + float(header.RescaleIntercept)
    center, width = window
    ramp = ((x - (center - 0.5)) / max(width - 1, 1e-12) + 0.5) * 255
    grey = np.where(x <= center - 0.5 - (width - 1) / 2, 0, np.where(x > center - 0.5 + (width - 1) / 2, 255, ramp))
    shown: Array = np.rint(255 - grey if header.PhotometricInterpretation == "MONOCHROME1" else grey)
    return shown.astype(int)


def _film_quality(data_dir: Path | None, progress: Progress) -> Sequence[Metric]:
    films = sorted((data_dir / "medical/nih-cxr/images").glob("**/*.[jp][pn]g"))[:20] if data_dir else []
    if not films:
        raise Unavailable("the NIH films are not mounted", field="data_dir", remedy="Set TRIVIUM_DATA to their folder.")
    frames = ((np.asarray(PillowImage.open(path).convert("L")), i) for i, path in enumerate(films))
    return _quality(frames, len(films), progress)


def _quality(frames: Iterator[tuple[Array, int]], n: int, progress: Progress) -> Sequence[Metric]:
    """AUC per image, all its degraded versions against all good images."""
    good: list[tuple[float, float]] = []
    bad: list[list[tuple[float, float]]] = []
    for i, (frame, seed) in enumerate(frames):
        progress("degraded images", i / n)
        good.append(_scores(frame))
        bad.append([_scores(degraded) for _kind, _severity, degraded in probes.degradations(frame, seed)])
    ours, baseline = (_auc(good, bad, column) for column in (0, 1))
    low, high = bootstrap_interval(
        np.arange(n), lambda rows: _auc([good[int(r)] for r in rows], [bad[int(r)] for r in rows], 0), draws=300
    )
    warned = [score for group in bad for score, _ in group]
    caught = _rate("degraded images flagged", sum(s <= 0.5 for s in warned), len(warned), higher_is_better=True)
    false = _rate("good images flagged", sum(s <= 0.5 for s, _ in good), n, higher_is_better=False)
    auc = Metric("AUC", ours, low, high, n, baseline="variance of the Laplacian", baseline_value=baseline)
    return [auc, caught, false]


def _scores(frame: Array) -> tuple[float, float]:
    """(lowest score of the checks other than size, variance of the Laplacian)."""
    checks = assess(frame, "CR").checks
    ours = min(score(c.value, LIMITS["CR"][c.name]) for c in checks if c.name != "size")
    x = frame.astype(np.float64)
    laplacian = x[:-2, 1:-1] + x[2:, 1:-1] + x[1:-1, :-2] + x[1:-1, 2:] - 4 * x[1:-1, 1:-1]
    return ours, float(laplacian.var() / max(x.var(), 1e-12))


def _auc(good: Sequence[tuple[float, float]], bad: Sequence[Sequence[tuple[float, float]]], column: int) -> float:
    """P(good scores higher) + half of the ties (Mann and Whitney 1947)."""
    a = np.array([g[column] for g in good])[:, None]
    b = np.array([s[column] for group in bad for s in group])[None]
    return float(np.mean((a > b) + 0.5 * (a == b)))
