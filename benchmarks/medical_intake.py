"""What does not come out of the intake: planted values, text in pixels, malformed files. Ignores speed.

Films: NIH chest films of the development data (TRIVIUM_DATA), without burned-in names of patients; the names that are
burnt in are made up. Run: python -m benchmarks.medical_intake [--films N]
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydicom import dcmread

from service.settings import read_settings
from verticals.bootstrap import wilson_interval
from verticals.contract import TriviumError
from verticals.medical import probes
from verticals.medical.burned_in import RapidOcrReader, declaration, search
from verticals.medical.deidentify import Pseudonyms, deidentify, to_file
from verticals.medical.ingest import read
from verticals.medical.part10 import prepare_pydicom
from verticals.medical.planting import plant

Array = np.ndarray[Any, np.dtype[Any]]
NAMES = ("MUSTERMANN ERIKA", "ID 4711-0815", "1970-01-23", "ZHANG WEI", "DOB 12.03.1981", "MRN 0049183")
KEY = b"benchmark key, which is of no patient"
SIZES = (8, 12, 20)  # pixels
VALUES = ("highest", "lowest", "97th percentile")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one row a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=100)
    options = parser.parse_args(arguments)
    prepare_pydicom()
    print("| figure | value | 95 % interval | n |\n|---|---|---|---|")
    _planted(options.seeds)
    _malformed()
    data = read_settings().data
    films = sorted((data / "medical/nih-cxr/images").glob("**/*.[jp][pn]g"))[: options.films] if data else []
    _burned([np.asarray(Image.open(path).convert("L")).astype(np.uint16) * 16 for path in films])


def _row(name: str, hits: int, n: int) -> None:
    low, high = wilson_interval(hits, n)
    print(f"| {name} | {hits / n:.3f} | {low:.3f}-{high:.3f} | {n} |", flush=True)


def _planted(seeds: int) -> None:
    leaked = objects = values = leaked_values = 0
    for seed in range(seeds):
        for name in probes.PYDICOM_FILES:
            content, planted = plant(dcmread(io.BytesIO(probes.pydicom_file(name))), seed)
            stored = to_file(deidentify(read(content).dataset, Pseudonyms(KEY))[0])
            present = [value for value in planted if value in content]
            found = [value for value in present if value in stored]
            objects, leaked = objects + 1, leaked + bool(found)
            values, leaked_values = values + len(present), leaked_values + len(found)
    _row("objects with a planted value in what is stored", leaked, objects)
    _row("planted values in what is stored", leaked_values, values)


def _malformed() -> None:
    kinds = list(probes.faulty_files())
    refused = 0
    for _kind, content in kinds:
        try:
            refused += declaration(read(content).dataset) == "YES"
        except TriviumError:
            refused += 1
    _row("kinds of malformed files refused or held", refused, len(kinds))


def _burned(films: Sequence[Array]) -> None:
    reader, rng = RapidOcrReader(), np.random.default_rng(0)
    plain = [search(film[None], probes.radiograph(film), reader).must_be_held for film in films]
    if plain:
        _row("films as they are that are held (markers and initials are in them)", sum(plain), len(plain))
    clean = [film for film, held in zip(films, plain, strict=True) if not held]
    for size in SIZES:
        for value in VALUES:
            burnt = list(_burn_all(clean, size, value, rng))
            found = sum(search(film[None], probes.radiograph(film), reader).must_be_held for film in burnt)
            if burnt:
                _row(f"names of {size} px in the {value} value that are held; by the header alone 0", found, len(burnt))


def _burn_all(films: Sequence[Array], size: int, value: str, rng: np.random.Generator) -> Iterator[Array]:
    for film in films:
        drawn = Image.new("L", film.shape[::-1])
        at = int(rng.integers(2, 60)), int(rng.integers(2, film.shape[0] - 2 * size))
        font = ImageFont.load_default(size)
        ImageDraw.Draw(drawn).text(at, str(rng.choice(NAMES)), fill=255, font=font)
        levels = {"highest": film.max(), "lowest": film.min(), "97th percentile": np.percentile(film, 97)}
        burnt = film.copy()
        burnt[np.asarray(drawn) > 127] = levels[value]
        yield burnt


if __name__ == "__main__":
    main()
