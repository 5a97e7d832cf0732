"""Fields of generated identity documents read exactly right, clean and degraded, beside tesseract.

    python -m benchmarks.identity                      # 40 passports, 40 identity cards, 40 resident cards; grades 0, 2
    python -m benchmarks.identity --cards 10 --grades 3
    python -m benchmarks.identity --cards 2 --save specimens   # writes the images, reads none

The documents are specimens of invented people (`verticals.finance.documents.cards`); no real document was read. Real
ones have other faces, grounds and wear, so the figures say how the pipeline copes with the stated degradation, not how
it fares in a branch. Seeds below 5000 were used for development, those from 5000 on for the report alone.
A field counts when it equals what is printed, letter for letter; dates in ISO form. Intervals: fields by bootstrap over
cards (errors of one card come together), never narrower than Wilson's over fields; whole cards by Wilson. Tesseract
gets the same images, the same reader of fields, both languages and the page mode that was best on development seeds (3,
of 3, 6 and 11; enlarging did not help); its rows are left out where it is not installed. Processor seconds of one
thread.
"""

from __future__ import annotations

import argparse
import csv
import io
import resource
import shutil
import subprocess
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from verticals.bootstrap import bootstrap_interval, wilson_interval
from verticals.finance.documents import cards
from verticals.finance.documents.degrade import GRADES, photograph
from verticals.finance.documents.holders import Facts, Kind, invent
from verticals.finance.documents.ocr import Line, Ocr, open_ocr
from verticals.finance.documents.reading import FIELDS, Reading, read_document

KINDS: tuple[Kind, ...] = ("passport", "identity_card", "resident_card")
TODAY = date(2026, 11, 30)  # of the documents: expiry is drawn around it
FIRST_SEED = 5000


class Tesseract:
    """The command line of tesseract: words with places, joined to lines where they stand close."""

    version = "tesseract"

    def read(self, image: Image.Image) -> list[Line]:
        """Lines in any order."""
        out = io.BytesIO()
        image.save(out, "PNG")
        command = ["tesseract", "stdin", "stdout", "-l", "eng+chi_sim", "--psm", "3", "tsv"]
        done = subprocess.run(command, input=out.getvalue(), capture_output=True, check=True)
        words = csv.DictReader(io.StringIO(done.stdout.decode()), delimiter="\t", quoting=csv.QUOTE_NONE)
        return list(join_words(row for row in words if row["level"] == "5" and row["text"].strip()))


def join_words(words: Iterator[dict[str, str]]) -> Iterator[Line]:
    """Words of one line, apart by less than one and a half times their height."""
    line: Line | None = None
    place: tuple[str, ...] = ()
    for word in words:
        left, top, width, height = (float(word[name]) for name in ("left", "top", "width", "height"))
        here = tuple(word[name] for name in ("block_num", "par_num", "line_num"))
        next_one = Line(word["text"], max(0.0, float(word["conf"])) / 100, left, top, left + width, top + height)
        if line and here == place and left - line.right < 1.5 * height:
            gap = " " if word["text"].isascii() else ""
            score = min(line.score, next_one.score)
            bottom = max(line.bottom, next_one.bottom)
            line = Line(line.text + gap + next_one.text, score, line.left, line.top, next_one.right, bottom)
        else:
            if line:
                yield line
            line, place = next_one, here
    if line:
        yield line


def right_fields(facts: Facts, reading: Reading) -> dict[str, bool]:
    """Each field that the document shows, and whether it was read exactly."""
    found = {}
    for name in FIELDS[facts.kind]:
        shown = getattr(facts, name)
        wanted = shown.isoformat() if isinstance(shown, date) else shown
        found[name] = name in reading.fields and reading.fields[name].value == wanted
    return found


def measure(ocr: Ocr, kind: Kind, *, grade: int, seeds: range) -> tuple[list[dict[str, bool]], float]:
    """One row a card, and processor seconds a card (of this process and its children)."""
    rows, seconds = [], 0.0
    for seed in seeds:
        facts = invent(kind, seed=seed, today=TODAY)
        content = photograph(cards.draw(facts), grade=grade, seed=seed)
        start = _processor_s()
        rows.append(right_fields(facts, read_document(content, ocr, today=TODAY)))
        seconds += _processor_s() - start
    return rows, seconds / len(seeds)


def save(folder: Path, grades: list[int], seeds: range) -> None:
    """Write the specimens as files."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        for grade in grades:
            for seed in seeds:
                content = photograph(cards.draw(invent(kind, seed=seed, today=TODAY)), grade=grade, seed=seed)
                (folder / f"specimen-{kind}-{seed}-{grade}.{'jpg' if grade else 'png'}").write_bytes(content)


def _processor_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def report(name: str, kind: str, grade: int, rows: list[dict[str, bool]], seconds: float) -> None:
    """One line of the table, and the fields that were missed."""
    pairs = np.array([(sum(row.values()), len(row)) for row in rows], dtype=np.float64)
    right, total = int(pairs[:, 0].sum()), int(pairs[:, 1].sum())
    drawn, wilson = bootstrap_interval(pairs, _share), wilson_interval(right, total)
    low, high = min(drawn[0], wilson[0]), max(drawn[1], wilson[1])
    whole = sum(all(row.values()) for row in rows)
    whole_low, whole_high = wilson_interval(whole, len(rows))
    missed = {field: sum(not row.get(field, True) for row in rows) for row in rows for field in row}
    said = ", ".join(f"{field} {count}" for field, count in missed.items() if count) or "none"
    print(
        f"| {name} | {kind} | {grade} | {right}/{total} | {right / total:.3f} ({low:.3f} to {high:.3f}) "
        f"| {whole}/{len(rows)} ({whole_low:.3f} to {whole_high:.3f}) | {seconds:.1f} | {said} |",
        flush=True,
    )


def _share(pairs: NDArray[np.float64]) -> float:
    return float(pairs[:, 0].sum() / pairs[:, 1].sum())


def main() -> None:
    """A row for each reader, kind and grade."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cards", type=int, default=40, help="of each kind")
    parser.add_argument("--grades", type=int, nargs="+", default=[0, 2], choices=GRADES)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="write the specimens and read none")
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.cards)
    if options.save:
        save(options.save, options.grades, seeds)
        return
    readers: dict[str, Ocr] = {"PP-OCR": open_ocr(threads=1)}
    if shutil.which("tesseract"):
        readers["tesseract"] = Tesseract()
    else:
        print("tesseract is not installed: its rows are left out (Debian: tesseract-ocr tesseract-ocr-chi-sim)")
    print("| reader | kind | grade | right | share (95 %) | whole cards | processor s | missed |")
    print("|---|---|---|---|---|---|---|---|")
    for name, ocr in readers.items():
        for grade in options.grades:
            every: list[dict[str, bool]] = []
            spent = 0.0
            for kind in KINDS:
                rows, seconds = measure(ocr, kind, grade=grade, seeds=seeds)
                report(name, kind, grade, rows, seconds)
                every, spent = every + rows, spent + seconds / len(KINDS)
            report(name, "all", grade, every, spent)


if __name__ == "__main__":
    main()
