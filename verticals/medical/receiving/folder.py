"""A watched folder: files that appear in it are taken in and moved to done/, or to rejected/ with the reason beside.

A file is picked up by renaming it into working/, which is atomic: of two processes one gets it. What a stopped process
left in working/ is taken up at the next start; an object that was stored already is then only recognised.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from verticals.contract import Context, InvalidInput, OpenFile, TriviumError
from verticals.medical import archives
from verticals.medical.intake_schemas import IngestFilesResponse
from verticals.medical.receiving.queue import Queue

POLL_S = 2.0
SETTLE_S = 2.0  # a file is whole when it has not changed for so long
_UNFINISHED = (".part", ".tmp", ".crdownload", ".filepart")


@dataclass(frozen=True)
class Folder:
    """A watched folder of one tenant."""

    path: Path
    queue: Queue
    context: Context
    clock: Callable[[], float] = time.monotonic
    # Its size and time, and since when.
    _seen: dict[Path, tuple[tuple[int, int], float]] = field(default_factory=dict, init=False)

    def open(self) -> None:
        """Make the folders, and take up what a stopped process left.

        Raises:
            InvalidInput: the path is no folder that can be written.
        """
        try:
            for name in ("working", "done", "rejected"):
                (self.path / name).mkdir(parents=True, exist_ok=True)
        except OSError:
            rule, remedy = "must be a folder that can be written", "Let this user write there, or name another."
            raise InvalidInput(rule, field="TRIVIUM_DICOM_FOLDERS", value=str(self.path), remedy=remedy) from None
        for left in sorted((self.path / "working").iterdir()):
            left.rename(_free(self.path / left.name))

    def watch(self, stop: Event, on_file: Callable[[IngestFilesResponse], None] = lambda _answer: None) -> None:
        """Scan until `stop` is set; a fault of the database is waited out."""
        while not stop.is_set():
            with contextlib.suppress(TriviumError):  # unavailable: the file went back, and is tried again
                for answer in self.scan():
                    on_file(answer)
            stop.wait(POLL_S)

    def scan(self, *, settle_s: float = SETTLE_S) -> Iterator[IngestFilesResponse]:
        """Take in every whole file once."""
        paths = sorted(self.path.iterdir())
        for gone in self._seen.keys() - set(paths):
            del self._seen[gone]
        for path in paths:
            if self._is_whole(path, settle_s):
                mine = self.path / "working" / path.name
                try:
                    path.rename(mine)
                except FileNotFoundError:  # another process was faster
                    continue
                yield self._take(mine)

    def _is_whole(self, path: Path, settle_s: float) -> bool:
        if path.name.startswith(".") or path.suffix in _UNFINISHED or path.is_symlink() or not path.is_file():
            return False
        found, now_s = path.stat(), self.clock()
        state = found.st_size, found.st_mtime_ns  # only compared: a sender's clock, and ours, may be wrong
        before, since_s = self._seen.get(path, (state, now_s))
        self._seen[path] = state, (since_s if state == before else now_s)
        return now_s - self._seen[path][1] >= settle_s

    def _take(self, path: Path) -> IngestFilesResponse:
        try:
            with path.open("rb") as file:
                objects = archives.objects_of([OpenFile.over(file, filename="file")])
                answer = self.queue.take_all(objects, source="folder", origin="network", context=self.context)
        except BaseException:
            path.rename(_free(self.path / path.name))
            raise
        reasons = [f"object {each.number}: {each.reason}\n" for each in answer.objects if each.status == "refused"]
        target = _free(self.path / ("rejected" if reasons else "done") / path.name)
        if reasons:
            target.with_name(target.name + ".reason.txt").write_text("".join(reasons), encoding="utf-8")
        path.rename(target)
        return answer


def _free(path: Path) -> Path:
    """The path, or with a number where there is one already."""
    found, number = path, 1
    while found.exists():
        found, number = path.with_name(f"{path.stem}-{number}{path.suffix}"), number + 1
    return found
