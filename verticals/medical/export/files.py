"""From a format's name to a file: which there are, how they are named, several in one archive. Ignores content."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from verticals.contract import Artifact, NotFound, Unavailable
from verticals.medical.export import capture, fhir, key_objects, pdf, presentation, segmentation, sr
from verticals.medical.export.readback import differences
from verticals.medical.report import Report, as_text
from verticals.medical.schemas import NOTICE, ExportFormat


@dataclass(frozen=True)
class _Format:
    """How a report is written in one format: none, one or several files."""

    write: Callable[[Report, Sequence[Dataset]], list[bytes]]
    media_type: str
    suffix: str


_DICOM = "application/dicom"
FORMATS: Mapping[str, _Format] = {
    "sr": _Format(lambda report, images: [sr.to_dicom(report, images)], _DICOM, "dcm"),
    "seg": _Format(segmentation.to_dicom, _DICOM, "dcm"),
    "gsps": _Format(presentation.to_dicom, _DICOM, "dcm"),
    "ko": _Format(key_objects.to_dicom, _DICOM, "dcm"),
    "sc": _Format(capture.to_dicom, _DICOM, "dcm"),
    "fhir": _Format(lambda report, images: [fhir.to_json(report, images)], "application/fhir+json", "json"),
    "pdf": _Format(lambda report, images: [pdf.to_pdf(report, images)], "application/pdf", "pdf"),
    "text": _Format(lambda report, _: [as_text(report).encode()], "text/plain; charset=utf-8", "txt"),
}
_COMPARED = ("sr", "fhir", "pdf")


def export(report: Report, images: Sequence[Dataset], form: ExportFormat) -> Artifact:
    """The version as one file; an archive where a format needs several, or for "all".

    Raises:
        NotFound: the format shows regions, and the report's findings have none.
        Unavailable: the evidence names an image that the study does not hold, or the files of "all" differ in findings.
    """
    name = f"{report.report_id}-v{report.version}"
    if form == "all":
        return Artifact(_archive(_everything(report, images), report), "application/zip", f"{name}.zip")
    kind = FORMATS[form]
    made = kind.write(report, images)
    if not made:
        raise NotFound(
            "no finding of this report has a region to show",
            field="format",
            value=form,
            remedy="Ask for sr, fhir, pdf or text.",
        )
    if len(made) == 1:
        return Artifact(made[0], kind.media_type, f"{name}.{kind.suffix}")
    return Artifact(_archive(_named(form, made), report), "application/zip", f"{name}-{form}.zip")


def _named(form: str, made: Sequence[bytes]) -> dict[str, bytes]:
    number = f"-{{:0{len(str(len(made)))}d}}" if len(made) > 1 else ""
    return {f"{form}{number.format(i + 1)}.{FORMATS[form].suffix}": content for i, content in enumerate(made)}


def _everything(report: Report, images: Sequence[Dataset]) -> dict[str, bytes]:
    made = {form: kind.write(report, images) for form, kind in FORMATS.items()}
    if told := differences({form: made[form][0] for form in _COMPARED if report.evidence.findings}):
        raise Unavailable(
            "the exported files do not state the same findings",
            field="format",
            value="; ".join(told),
            remedy="Report this as a defect; do not use the files.",
        )
    files = {name: content for form, contents in made.items() for name, content in _named(form, contents).items()}
    return files | {"manifest.json": _manifest(report, files)}


def _manifest(report: Report, files: Mapping[str, bytes]) -> bytes:
    told = {
        "notice": NOTICE,
        "report_id": report.report_id,
        "version": report.version,
        "state": report.state,
        "content_sha256": report.content_sha256,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    return json.dumps(told, indent=2).encode()


def _archive(files: Mapping[str, bytes], report: Report) -> bytes:
    """A ZIP whose entries carry the version's moment."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, report.created_at.timetuple()[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return out.getvalue()
