"""Bytes of unknown origin to an upright RGB image, or a refusal that says why. Ignores what the image shows.

The kind is told by the first bytes, never by name or media type; limits are checked on the header, before anything is
decoded.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping

from PIL import Image, ImageOps

from verticals.contract import InvalidInput, TooLarge, UnsupportedMedia

MAX_BYTES = 12 * 2**20  # a phone's photograph has 2 to 8 MB
MAX_PIXELS = 50_000_000
MIN_SIDE = 120  # letters of a card would have fewer than four pixels
MAX_SIDE = 2000  # what the reader works on; more only costs time
FIELD = "file"

_READ: Mapping[str, bytes] = {"JPEG": b"\xff\xd8\xff", "PNG": b"\x89PNG\r\n\x1a\n"}
_NOT_READ: Mapping[str, bytes] = {
    **{
        "PDF": b"%PDF",
        "GIF": b"GIF8",
        "TIFF": b"II*\0",
        "TIFF (big-endian)": b"MM\0*",
        "BMP": b"BM",
        "ZIP": b"PK\x03\x04",
    },
    **{"SVG or XML": b"<", "executable": b"MZ"},
}
# What Pillow raises for broken files, found by fuzzing; programming errors would show in the tests with good ones.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError, OverflowError, MemoryError)


def open_image(content: bytes) -> Image.Image:
    """The upright image, RGB, transparent parts white, its longer side at most `MAX_SIDE` pixels.

    Raises:
        InvalidInput: empty, no image, damaged, cut off, or too small to read.
        UnsupportedMedia: a file of another kind.
        TooLarge: over `MAX_BYTES`, or over `MAX_PIXELS` once decoded.
    """
    kind = kind_of(content)
    try:
        with Image.open(io.BytesIO(content), formats=[kind]) as image:
            _check_size(image)
            image.load()
            return _upright(image)
    except Image.DecompressionBombError:
        raise _too_many_pixels(None) from None
    except (InvalidInput, TooLarge):
        raise
    except (*_BROKEN, struct.error, zlib.error) as error:
        raise InvalidInput(
            f"is a {kind} file that cannot be decoded: it is damaged or cut off",
            field=FIELD,
            value=f"{len(content)} bytes",
            remedy="Send the file again, whole.",
        ) from error


def kind_of(content: bytes) -> str:
    """JPEG, PNG or WEBP, by the first bytes.

    Raises:
        InvalidInput: empty or no image. UnsupportedMedia: another kind. TooLarge: over `MAX_BYTES`.
    """
    if not content:
        raise InvalidInput("must not be empty", field=FIELD, value="0 bytes", remedy="Send a JPEG, PNG or WebP image.")
    if len(content) > MAX_BYTES:
        raise TooLarge(f"must have at most {MAX_BYTES} bytes", field=FIELD, value=f"{len(content)} bytes")
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WEBP"
    for kind, magic in _READ.items():
        if content.startswith(magic):
            return kind
    remedy = "Send a JPEG, PNG or WebP image."
    other = next((kind for kind, magic in _NOT_READ.items() if content.startswith(magic)), None)
    if content[4:8] == b"ftyp":
        other = "HEIC, AVIF or video"
    if other:
        raise UnsupportedMedia("must be JPEG, PNG or WebP", field=FIELD, value=other, remedy=remedy)
    raise InvalidInput("is no image", field=FIELD, value=f"{len(content)} bytes", remedy=remedy)


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _too_many_pixels(f"{width} x {height} pixels")
    if getattr(image, "n_frames", 1) > 1:
        raise InvalidInput("must be a single picture, not an animation", field=FIELD, value=f"{width} x {height}")
    scale = min(1.0, MAX_SIDE / max(width, height))
    if min(width, height) * scale < MIN_SIDE:
        rule = f"its shorter side must have at least {MIN_SIDE} pixels where the longer has {MAX_SIDE} or fewer"
        raise InvalidInput(rule, field=FIELD, value=f"{width} x {height} pixels", remedy="Photograph the card closer.")


def _too_many_pixels(value: str | None) -> TooLarge:
    remedy = "Send a smaller photograph of the same card."
    return TooLarge(f"must have at most {MAX_PIXELS} pixels once decoded", field=FIELD, value=value, remedy=remedy)


def _upright(image: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB")
    image.thumbnail((MAX_SIDE, MAX_SIDE))
    return image
