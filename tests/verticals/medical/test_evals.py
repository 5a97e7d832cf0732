"""The suites: figures with intervals on their data, and an honest skip without it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from verticals.contract import (
    Conflict,
    Context,
    InvalidInput,
    Metric,
    PermissionDenied,
    Suite,
    TriviumError,
    Unavailable,
)
from verticals.medical import VERTICAL
from verticals.medical.evals_record import EVERY
from verticals.medical.probes import VALID_FILES, pydicom_file
from verticals.medical.record_schemas import RecordFact, RecordRequest, RecordResponse
from verticals.medical.schemas import IngestRequest, StudyResponse


@pytest.fixture
def suites(desk: Any) -> dict[str, Suite]:
    return {suite.name: suite for suite in VERTICAL.evals(desk.resources, desk.handlers)}


def run(suite: Suite) -> dict[str, Metric]:
    return {metric.name: metric for metric in suite.run(lambda _what, _share: None)}


def test_every_faulty_file_is_refused_and_every_valid_one_read(suites: dict[str, Suite]) -> None:
    metrics = run(suites["refusals"])

    assert [m.value for m in metrics.values()] == [1.0, 1.0]
    assert all(0.5 < m.low < 1.0 == m.high for m in metrics.values())


def test_rendering_agrees_with_the_standard_written_out(suites: dict[str, Suite]) -> None:
    assert run(suites["geometry"])["pixels that agree"].value == 1.0


@pytest.mark.slow
def test_no_header_leaks(suites: dict[str, Suite]) -> None:
    leaks = run(suites["deidentification"])["headers with a leak"]

    assert (leaks.value, leaks.higher_is_better) == (0.0, False)
    assert 0 < leaks.high < 0.1


@pytest.mark.slow
def test_quality_finds_degraded_phantoms(suites: dict[str, Suite]) -> None:
    auc = run(suites["quality"])["AUC"]

    assert auc.value > 0.95
    assert auc.baseline_value is not None
    assert auc.low <= auc.value <= auc.high


def test_without_films_the_suite_says_why_it_is_skipped(suites: dict[str, Suite], tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="films are not mounted"):
        run(suites["quality-films"])


def test_every_suite_says_what_it_was_measured_on(suites: dict[str, Suite]) -> None:
    for suite in suites.values():
        assert all((suite.dataset, suite.split, suite.solver, suite.scorer))


LIVE: Any = SimpleNamespace(sessions=None, data_dir=None)  # as a live API is judged


def refusals(error: Callable[[bytes], TriviumError | None]) -> list[float]:
    """The figures of an API that answers a file with an error, or takes it in."""

    def ingest_study(request: IngestRequest, context: Context) -> Any:
        if failure := error(request.file.content):
            raise failure

    suites = {suite.name: suite for suite in VERTICAL.evals(LIVE, {"ingest_study": ingest_study})}
    return [metric.value for metric in run(suites["refusals"]).values()]


def test_a_live_api_is_sent_the_files() -> None:
    valid = {pydicom_file(name) for name in VALID_FILES}

    assert refusals(lambda content: None if content in valid else InvalidInput("is missing")) == [1, 1]
    assert refusals(lambda content: Conflict("is another object's UID")) == [0, 1]


def test_a_refused_key_is_no_refused_file() -> None:
    with pytest.raises(PermissionDenied, match="does not cover"):
        refusals(lambda content: PermissionDenied("does not cover the operation"))


def test_a_record_is_read_sentence_by_sentence_beside_a_dictionary(tmp_path: Path) -> None:
    folder = tmp_path / "medical/bc5cdr_ner"
    folder.mkdir(parents=True)
    learned = "Fever\tB-Disease\nafter\tO\naspirin\tB-Chemical\n\n"
    other = "No\tO\nchest\tB-Disease\npain\tI-Disease\non\tO\naspirin\tB-Chemical\n\n"
    (folder / "train.tsv").write_text(learned)
    (folder / "devel.tsv").write_text(other + learned * (EVERY - 1) + learned)
    asked: list[RecordRequest] = []

    def read_record(request: RecordRequest, context: Context) -> RecordResponse:
        asked.append(request)
        pain = RecordFact(kind="problem", text="Chest pain", presence="absent", is_history=False)
        return RecordResponse(problems=[pain], medicines=[], indication="")

    handlers = {
        "ingest_study": lambda request, context: StudyResponse.model_construct(study_id="s1"),
        "read_record": read_record,
    }
    resources: Any = SimpleNamespace(sessions=None, data_dir=tmp_path)
    suites = {suite.name: suite for suite in VERTICAL.evals(resources, handlers)}

    f1 = run(suites["record"])["F1"]

    assert [request.record for request in asked] == ["No chest pain on aspirin", "Fever after aspirin"]
    assert {(request.study_id, request.patient_id) for request in asked} == {("s1", "4MR1")}
    assert f1.value == pytest.approx(2 * 1 / (2 * 1 + 1 + 3))  # found the pain twice, once there was none
    assert f1.baseline_value == pytest.approx(2 * 3 / (2 * 3 + 0 + 1))  # knows all but the pain


def test_without_the_corpus_the_record_is_not_judged(suites: dict[str, Suite]) -> None:
    with pytest.raises(Unavailable, match="not mounted"):
        run(suites["record"])
