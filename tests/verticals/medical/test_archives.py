"""Archives: their files one by one; what could fill disk or memory is refused by rule before it is unpacked."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import Any

import pytest

from verticals.contract import InvalidInput, TooLarge, TriviumError, UnsupportedMedia, UploadedFile
from verticals.medical import archives
from verticals.medical.part10 import MAX_FILE_BYTES


def made(*contents: bytes, names: tuple[str, ...] = (), how: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as archive:
        for number, content in enumerate(contents):
            archive.writestr(names[number] if names else f"{number}.dcm", content)
    return buffer.getvalue()


def objects(content: bytes) -> list[bytes | TriviumError]:
    return list(archives.objects(UploadedFile(filename="x", content=content)))


def test_a_file_that_is_no_archive_is_itself() -> None:
    assert objects(b"anything") == [b"anything"]


def test_an_archives_files_come_in_order_without_folders_and_directories_of_media() -> None:
    content = made(b"a", b"-", b"-", b"b", names=("s/1", "DICOMDIR", "__MACOSX/s/1", "s/deep/2"))

    assert objects(content) == [b"a", b"b"]


@pytest.mark.parametrize(
    ("content", "error", "rule"),
    [
        (made(bytes(10**7)), TooLarge, "must unpack to at most 200 times its size"),
        (made(*[b""] * (archives.MAX_ENTRIES + 1), how=zipfile.ZIP_STORED), TooLarge, "must hold at most 10000 files"),
        (made(b"abc")[:-30], InvalidInput, "must be a complete ZIP archive"),
        (b"PK\3\4" + bytes(400), InvalidInput, "must be a complete ZIP archive"),
    ],
    ids=["bomb", "too many files", "cut off", "no directory"],  # an archive holds the time, so it is no name
)
def test_an_archive_that_breaks_a_rule_is_refused_whole(content: bytes, error: Any, rule: str) -> None:
    with pytest.raises(error, match=rf"archive: {rule}"):
        objects(content)


def test_an_archive_that_would_unpack_to_more_than_4_gib_is_refused_by_its_directory() -> None:
    content = bytearray(made(*[bytes(range(256)) * 500] * 40, how=zipfile.ZIP_STORED))
    at = 0
    while (at := content.find(b"PK\1\2", at)) >= 0:  # central directory: uncompressed size at 24
        struct.pack_into("<I", content, at + 24, 2**27)
        at += 4

    with pytest.raises(TooLarge, match="must unpack to at most 4294967296 bytes"):
        objects(bytes(content))


def test_a_directory_that_understates_a_size_does_not_unpack_more_than_a_file_may_have() -> None:
    content = bytearray(made(bytes(MAX_FILE_BYTES + 10)))
    at = content.find(b"PK\1\2")
    struct.pack_into("<I", content, at + 24, 1000)

    [found] = objects(bytes(content))

    assert isinstance(found, TriviumError) or len(found) <= 1000


def test_files_that_overlap_are_refused() -> None:
    content = bytearray(made(b"x" * 5000, b"y" * 5000, how=zipfile.ZIP_STORED))
    for at in (content.find(b"PK\1\2"), content.rfind(b"PK\1\2")):
        struct.pack_into("<II", content, at + 20, 9000, 9000)

    with pytest.raises(InvalidInput, match="its files must not overlap"):
        objects(bytes(content))


def test_an_archive_in_an_archive_is_refused_alone() -> None:
    first, inner = objects(made(b"a", made(b"b")))

    assert first == b"a"
    assert isinstance(inner, UnsupportedMedia)
    assert "must not hold another archive" in str(inner)


def test_an_encrypted_archive_is_refused() -> None:
    content = bytearray(made(b"abc"))
    at = content.find(b"PK\1\2")
    struct.pack_into("<H", content, at + 8, 1)

    with pytest.raises(InvalidInput, match="must not be encrypted"):
        objects(bytes(content))


def test_a_damaged_entry_is_refused_alone() -> None:
    content = bytearray(made(b"a" * 1000, b"b" * 1000, how=zipfile.ZIP_STORED))
    content[100] ^= 0xFF

    damaged, whole = objects(bytes(content))

    assert isinstance(damaged, InvalidInput)
    assert whole == b"b" * 1000
