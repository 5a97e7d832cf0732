"""The objects in an upload: a file itself, or the files of a ZIP archive, one at a time. Ignores DICOM.

An archive that could unpack to more than is allowed is refused whole, by its directory, before anything is unpacked;
and since a directory may lie, no entry is unpacked beyond the size that a file may have.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from verticals.contract import InvalidInput, TooLarge, TriviumError, UnsupportedMedia, UploadedFile
from verticals.medical.part10 import MAX_FILE_BYTES

MAX_ENTRIES = 10_000
MAX_TOTAL_BYTES = 4 * 2**30
MAX_RATIO = 200  # an image of zeros packs a thousand times, a radiograph three
_ZIP = b"PK\x03\x04"
_FIELD = "archive"
_SKIPPED = ("DICOMDIR", "__MACOSX", ".DS_Store", "Thumbs.db")  # directories of media and file managers


def objects_of(uploads: Iterable[UploadedFile]) -> Iterator[bytes | TriviumError]:
    """The objects of every upload; an archive that is refused is one bad object among the others."""
    for upload in uploads:
        try:
            yield from objects(upload)
        except TriviumError as error:
            yield error


def objects(upload: UploadedFile) -> Iterator[bytes | TriviumError]:
    """Each file's content, or why it is refused; one in memory at a time.

    Raises:
        TooLarge: the archive holds too many files, or would unpack to too much.
        InvalidInput: it is damaged, encrypted, or its files overlap.
    """
    with upload.open() as file:
        head = file.read(4)
        file.seek(0)
        if head != _ZIP:
            content = file.read(MAX_FILE_BYTES + 1)
            yield content if len(content) <= MAX_FILE_BYTES else _file_too_large()
            return
        with _unpacking(file) as members:
            for entry in members.entries:
                yield members.read(entry)


@dataclass(frozen=True)
class Members:
    """The files of an archive that keeps the rules, which are read when asked for."""

    archive: zipfile.ZipFile
    entries: list[zipfile.ZipInfo]

    @property
    def by_name(self) -> Mapping[str, zipfile.ZipInfo]:
        """Each file by its path in the archive."""
        return {entry.filename: entry for entry in self.entries}

    def read(self, entry: zipfile.ZipInfo) -> bytes | TriviumError:
        """A file's content, or why it is refused."""
        return _content(self.archive, entry)


@contextmanager
def unpacking(upload: UploadedFile) -> Iterator[Members]:
    """The files of an archive.

    Raises:
        UnsupportedMedia: it is no ZIP archive. TooLarge, InvalidInput: as `objects` says.
    """
    with upload.open() as file:
        if file.read(4) != _ZIP:
            raise UnsupportedMedia("must be a ZIP archive", field=_FIELD)
        with _unpacking(file) as members:
            yield members


@contextmanager
def _unpacking(file: BinaryIO) -> Iterator[Members]:
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError, EOFError):
        raise InvalidInput("must be a complete ZIP archive", field=_FIELD) from None
    with archive:
        yield Members(archive, _entries(archive, file.seek(0, 2)))


def _entries(archive: zipfile.ZipFile, size: int) -> list[zipfile.ZipInfo]:
    entries = [each for each in archive.infolist() if not each.is_dir() and not _is_skipped(each.filename)]
    if len(entries) > MAX_ENTRIES:
        raise TooLarge(f"must hold at most {MAX_ENTRIES} files", field=_FIELD, value=len(entries))
    packed, total = sum(each.compress_size for each in entries), sum(each.file_size for each in entries)
    if packed > size:
        raise InvalidInput("its files must not overlap", field=_FIELD, value=len(entries))
    if total > MAX_TOTAL_BYTES:
        raise TooLarge(f"must unpack to at most {MAX_TOTAL_BYTES} bytes", field=_FIELD, value=total)
    if total > MAX_RATIO * max(packed, 1):
        raise TooLarge(f"must unpack to at most {MAX_RATIO} times its size", field=_FIELD, value=total)
    if any(each.flag_bits & 1 for each in entries):
        raise InvalidInput("must not be encrypted", field=_FIELD)
    return entries


def _is_skipped(filename: str) -> bool:
    return any(part in _SKIPPED for part in PurePosixPath(filename).parts)


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes | TriviumError:
    """One file; the directory's word about its size is not taken."""
    try:
        with archive.open(entry) as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except Exception:  # noqa: BLE001 - zlib, lzma and bz2 have their own errors, and zipfile many
        return InvalidInput("must be readable: the entry is damaged", field=_FIELD)
    if len(content) > MAX_FILE_BYTES:
        return _file_too_large()
    if content[:4] == _ZIP:
        return UnsupportedMedia("must not hold another archive", field=_FIELD, remedy="Unpack the inner one.")
    return content


def _file_too_large() -> TooLarge:
    return TooLarge(f"must be at most {MAX_FILE_BYTES} bytes", field="file")
