"""What is no image, too large, damaged or of another kind is refused with field, value, rule and remedy."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from verticals.contract import InvalidInput, TooLarge, TriviumError, UnsupportedMedia
from verticals.finance.documents.images import MAX_BYTES, MAX_SIDE, open_image


def picture(width: int = 300, height: int = 200) -> Image.Image:
    """Dark at the top, bright at the bottom."""
    column = np.linspace(0, 255, height).astype(np.uint8)[:, None, None]
    return Image.fromarray(np.broadcast_to(column, (height, width, 3)).copy())


def file_of(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)  # type: ignore[arg-type]
    return out.getvalue()


def png_of_size(width: int, height: int) -> bytes:
    """A few bytes that claim to be a large picture."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_each_kind_is_read_by_its_content(kind: str) -> None:
    found = open_image(file_of(picture(), kind))

    assert (found.mode, found.size) == ("RGB", (300, 200))


def test_the_cameras_orientation_is_undone() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    found = np.asarray(open_image(file_of(picture(), "JPEG", exif=exif)))

    assert found[0].mean() > 200 > found[-1].mean()


def test_transparent_parts_are_white_paper() -> None:
    found = open_image(file_of(Image.new("RGBA", (300, 200), (0, 0, 0, 0))))

    assert found.getpixel((0, 0)) == (255, 255, 255)


def test_large_photographs_are_made_smaller() -> None:
    assert max(open_image(file_of(picture(4000, 3000), "JPEG")).size) == MAX_SIDE


@pytest.mark.parametrize(
    ("content", "kind", "rule"),
    [
        (b"", InvalidInput, r"file: must not be empty \(got '0 bytes'\)\. Send a JPEG, PNG or WebP image\."),
        (b"hello, I am a picture", InvalidInput, r"file: is no image \(got '21 bytes'\)"),
        (b"\xff" * (MAX_BYTES + 1), TooLarge, rf"file: must have at most {MAX_BYTES} bytes"),
        (b"%PDF-1.7 ...", UnsupportedMedia, r"must be JPEG, PNG or WebP \(got 'PDF'\)"),
        (b"GIF89a......", UnsupportedMedia, r"\(got 'GIF'\)"),
        (b"\0\0\0\x18ftypheic....", UnsupportedMedia, r"\(got 'HEIC, AVIF or video'\)"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", UnsupportedMedia, r"\(got 'SVG or XML'\)"),
        (b"PK\x03\x04.......", UnsupportedMedia, r"\(got 'ZIP'\)"),
        (b"\x89PNG\r\n\x1a\n", InvalidInput, r"PNG file that cannot be decoded.*Send the file again, whole"),
        (b"\xff\xd8\xff" + b"\0" * 100, InvalidInput, r"JPEG file that cannot be decoded"),
        (png_of_size(9000, 9000), TooLarge, r"at most 50000000 pixels once decoded \(got '9000 x 9000 pixels'\)"),
        (png_of_size(60_000, 60_000), TooLarge, r"at most 50000000 pixels once decoded"),
        (png_of_size(40_000, 10), InvalidInput, r"shorter side must have at least 120 pixels"),
        (png_of_size(300, 200), InvalidInput, r"PNG file that cannot be decoded"),
    ],
    ids=lambda value: f"{len(value)} bytes" if isinstance(value, bytes) else "",
)
def test_what_cannot_be_read_is_refused(content: bytes, kind: type[TriviumError], rule: str) -> None:
    with pytest.raises(kind, match=rule):
        open_image(content)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_file_that_is_cut_off_is_refused(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3), dtype=np.uint8)
    whole = file_of(Image.fromarray(noise), kind)

    for share in (0.2, 0.5, 0.9):
        with pytest.raises(InvalidInput, match="it is damaged or cut off"):
            open_image(whole[: int(len(whole) * share)])


def test_a_picture_under_another_kinds_name_is_refused() -> None:
    with pytest.raises(InvalidInput, match="JPEG file that cannot be decoded"):
        open_image(b"\xff\xd8\xff\xe0" + file_of(picture()))


def test_an_animation_is_refused() -> None:
    frames = [picture(), Image.new("RGB", (300, 200))]

    with pytest.raises(InvalidInput, match="must be a single picture, not an animation"):
        open_image(file_of(frames[0], "PNG", save_all=True, append_images=frames[1:]))


@settings(max_examples=150, deadline=None)
@given(kind=st.sampled_from(("PNG", "JPEG", "WEBP")), data=st.data())
def test_broken_bytes_give_an_image_or_a_refusal(kind: str, data: st.DataObject) -> None:
    content = bytearray(file_of(picture(), kind))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))

    try:
        found = open_image(bytes(content))
    except TriviumError as error:
        assert error.field == "file"  # noqa: PT017
    else:
        assert found.mode == "RGB"
