"""dciodvfy finds no error in any object of any kind of study; `benchmarks.dicom_conformance` asks it of 50."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.dicom_conformance import EMPTY, OBJECTS, errors, main, objects
from verticals.medical.part10 import prepare_pydicom
from verticals.medical.study_probes import KINDS_OF_STUDY

pytestmark = pytest.mark.skipif(
    shutil.which("dciodvfy") is None, reason="dciodvfy is not installed (Debian package dicom3tools)"
)
# One study of each kind, and so that every state of a report is among them.
SEEDS = [i + len(KINDS_OF_STUDY) * (i % 4) for i in range(len(KINDS_OF_STUDY))]


@pytest.mark.parametrize("seed", SEEDS)
def test_no_object_of_a_study_has_an_error(seed: int, tmp_path: Path) -> None:
    prepare_pydicom()
    written = list(objects(seed))

    assert {name for name, _ in written} == {*OBJECTS.values(), EMPTY}
    for name, content in written:
        assert errors(content, tmp_path) == [], name


def test_an_error_is_seen(tmp_path: Path) -> None:
    content = next(content for name, content in objects(0) if name == "SC")
    wrong = content.replace(b"DERIVED\\SECONDARY", b"DERIVED\\TERTIARYY")

    assert wrong != content
    assert errors(wrong, tmp_path)


def test_the_command_prints_a_row_for_each_object(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--studies", "1"])

    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows[1:]] == [*OBJECTS.values(), EMPTY]
