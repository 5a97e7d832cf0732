"""JPEG and PNG files that come in beside DICOM: opened within limits. Ignores what they show."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from verticals.contract import InvalidInput, TooLarge

MAX_PIXELS = 20 * 2**20  # three bytes each, within what an object may hold
JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"


def is_picture(content: bytes) -> bool:
    """Whether a file begins as JPEG or PNG does."""
    return content.startswith((JPEG, PNG))


@contextmanager
def opened(content: bytes, *, field: str) -> Iterator[Image.Image]:
    """The picture, to be decoded within the block.

    Args:
        field: What errors call it.
    Raises:
        TooLarge: over `MAX_PIXELS`.
        InvalidInput: it is damaged.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise TooLarge(f"must have at most {MAX_PIXELS} pixels", field=field)
            yield picture
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise InvalidInput("must be a whole JPEG or PNG picture", field=field) from None
