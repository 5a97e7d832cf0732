"""What nobody should send: every route by schemathesis, and uploads that were damaged at random.

    python -m tests.fire.food [--only schema uploads] [--examples 5] [--uploads 300] [--seed 0]

schema   schemathesis (in a virtual environment of its own: `--schemathesis PROGRAM`) over the whole OpenAPI document:
         no answer may be a 5xx, or other than the document says. Its key may do everything, and the names of things
         that are there (`tests/fire/seeding.py`) stand in the document that it reads.
uploads  DICOM, PNG, JPEG, PDF, DOCX, ZIP, CSV and Arrow files, cut, doubled, with bytes changed, or of another kind
         than they say: no 5xx, no answer later than 60 s, and memory that does not grow with them.
"""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path

import httpx
import pyarrow as pa
from docx import Document
from PIL import Image
from reportlab.pdfgen.canvas import Canvas

from benchmarks.setting import machine
from tests.fire.asking import a_study, applications
from tests.fire.seeding import seeded, with_names
from tests.fire.server import Server, options, running

ROUTES = (  # path, field of the form
    ("/v1/medical/studies", "file"),
    ("/v1/medical/studies/batch", "files"),
    ("/v1/finance/score/batch", "file"),
    ("/v1/finance/documents", "file"),
    ("/v1/finance/texts", "file"),
    ("/v1/support/files", "file"),
)
LONGEST_S = 60
EVERYTHING = ["*", "models.*", "operations.*"]
CHECKS = ("not_a_server_error", "content_type_conformance", "response_schema_conformance")
REPORT_LINES = 400


def good_files() -> dict[str, bytes]:
    """One sound file a kind, by name."""
    found, picture = dict[str, bytes](), Image.new("RGB", (64, 64), "teal")
    for kind in ("png", "jpeg"):
        picture.save(buffer := io.BytesIO(), kind)
        found[f"picture.{kind}"] = buffer.getvalue()
    found["image.dcm"] = a_study()
    canvas = Canvas(buffer := io.BytesIO())
    canvas.drawString(72, 720, "Lamps may be returned within thirty days.")
    canvas.save()
    found["page.pdf"] = buffer.getvalue()
    document = Document()
    document.add_paragraph("Lamps may be returned within thirty days.")
    document.save(buffer := io.BytesIO())
    found["page.docx"] = buffer.getvalue()
    with zipfile.ZipFile(buffer := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("image.dcm", found["image.dcm"])
    found["images.zip"] = buffer.getvalue()
    with zipfile.ZipFile(buffer := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.dcm", bytes(64 * 2**20))
    found["bomb.zip"] = buffer.getvalue()
    rows = applications()[:20]
    found["rows.csv"] = "\n".join(
        [",".join(rows[0]), *(",".join("" if v is None else str(v) for v in row.values()) for row in rows)]
    ).encode()
    table = pa.Table.from_pylist(rows)
    with pa.ipc.new_stream(buffer := io.BytesIO(), table.schema) as writer:
        writer.write_table(table)
    found["rows.arrow"] = buffer.getvalue()
    return found


def damaged(content: bytes, draw: random.Random) -> bytes:
    """Changed, cut, doubled or moved at random places; sometimes left as it is."""
    data = bytearray(content)
    match draw.randrange(6):
        case 0:
            for _ in range(draw.randint(1, 40)):
                data[draw.randrange(len(data))] = draw.randrange(256)
        case 1:
            del data[draw.randrange(len(data)) :]
        case 2:
            start = draw.randrange(len(data))
            data[start:start] = data[start : start + draw.randint(1, 4096)]
        case 3:
            start = draw.randrange(len(data))
            data[start : start + 8] = draw.choice([b"\xff" * 8, b"\x00" * 8, b"\xff\xff\xff\x7f" * 2])
        case 4:
            del data[: draw.randrange(min(len(data), 300))]
    return bytes(data)


def uploads(server: Server, count: int, seed: int) -> int:
    """Send them one by one; the number of faults."""
    draw, files, statuses = random.Random(seed), good_files(), Counter[int]()
    faults, longest_s, names = 0, 0.0, list(files)
    memory = list[float]()
    with server.client(httpx.Client, server.issue_key("demo"), timeout_s=LONGEST_S) as http:
        for number in range(count):
            name, (path, form) = draw.choice(names), draw.choice(ROUTES)
            content = damaged(files[name], draw)
            claimed = name if draw.random() < 0.8 else draw.choice(names)
            started = time.monotonic()
            try:
                answer = http.post(path, files={form: (claimed, content)})
                statuses[answer.status_code] += 1
                is_bad = answer.status_code >= 500
            except httpx.TransportError as error:
                is_bad, answer = True, httpx.Response(599, text=type(error).__name__)
            longest_s = max(longest_s, time.monotonic() - started)
            if is_bad:
                faults += 1
                kept = Path(tempfile.gettempdir()) / f"trivium-fire-upload-{number}"
                kept.write_bytes(content)
                print(f"  {path} {claimed} ({name} of seed {seed}): {answer.status_code} {answer.text[:200]}; {kept}")
            if number % max(count // 10, 1) == 0:
                memory.append(server.resident_mib())
    print(f"  {count} uploads: {dict(sorted(statuses.items()))}; longest {longest_s:.1f} s")
    print(f"  resident: {', '.join(f'{mib:.0f}' for mib in memory)} MiB")
    return faults


def schema(server: Server, program: str, examples: int, seed: int) -> int:
    """schemathesis; 1 if it found an answer that is a 5xx or breaks the schema, its report as it prints it."""
    key = server.issue_key("demo", scopes=EVERYTHING)
    with (
        server.client(httpx.Client, key, timeout_s=LONGEST_S) as http,
        tempfile.NamedTemporaryFile("w", suffix=".json") as file,
    ):
        json.dump(with_names(http.get("/openapi.json").json(), seeded(http)), file)
        file.flush()
        command = [program, "run", file.name, "--url", server.url, "--checks", ",".join(CHECKS)]
        command += ["--header", f"Authorization: Bearer {key}", "--max-examples", str(examples)]
        command += ["--seed", str(seed), "--phases", "examples,fuzzing", "--no-color"]
        command += ["--continue-on-failure", "--request-timeout", str(LONGEST_S)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tempfile.gettempdir())
    print("\n".join(f"  {line}" for line in done.stdout.splitlines()[-REPORT_LINES:]), done.stderr[-500:], flush=True)
    return done.returncode


def main() -> None:
    """Feed it; exit 1 if anything but a refusal came back."""
    parser = options(__doc__)
    parser.add_argument("--only", nargs="+", choices=("schema", "uploads"), default=["schema", "uploads"])
    parser.add_argument("--schemathesis", default="schemathesis", help="the program")
    parser.add_argument("--examples", type=int, default=5, help="of each operation")
    parser.add_argument("--uploads", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print(f"# {machine()}, {asked.database}")
    faults = 0
    with running(asked.prepared, asked.database) as server:
        if "uploads" in asked.only:
            print("uploads", flush=True)
            faults += uploads(server, asked.uploads, asked.seed)
        if "schema" in asked.only:
            print("schema", flush=True)
            faults += schema(server, asked.schemathesis, asked.examples, asked.seed)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
