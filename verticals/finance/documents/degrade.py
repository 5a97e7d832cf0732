"""What a phone and a network do to a picture of a card, in four grades from a seed. Ignores what the card says.

Grade 0 is the clean image. From 1 to 3 the camera is more oblique, the focus softer, the light worse and the file
smaller; grade 2 is what the project calls degraded.
"""

from __future__ import annotations

import io
import random
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

GRADES = (0, 1, 2, 3)
DESK = (92, 84, 76)


@dataclass(frozen=True)
class Grade:
    """How bad it can get; lengths in shares of the image's width, so that large cards suffer alike."""

    angle_deg: float  # turned by up to this
    oblique: float  # each corner moved by up to this share
    scale: float  # resolution left
    blur: float  # standard deviation of the blur, in pixels after scaling
    noise: float  # standard deviation of the noise, of 255
    glare: float  # brightness of the spot added, of 255
    shadow: float  # light lost at the darker edge
    jpeg_quality: int


_GRADE = {
    1: Grade(angle_deg=1.5, oblique=0.01, scale=0.9, blur=0.5, noise=3, glare=30, shadow=0.1, jpeg_quality=80),
    2: Grade(angle_deg=4, oblique=0.025, scale=0.75, blur=0.9, noise=7, glare=70, shadow=0.3, jpeg_quality=55),
    3: Grade(angle_deg=8, oblique=0.05, scale=0.55, blur=1.2, noise=12, glare=120, shadow=0.45, jpeg_quality=30),
}


def photograph(card: Image.Image, *, grade: int, seed: int) -> bytes:
    """The card as a file: PNG when clean, else JPEG of the grade.

    Raises:
        ValueError: `grade` is none of `GRADES`.
    """
    if grade not in GRADES:
        raise ValueError(f"grade: must be one of {GRADES} (got {grade}).")
    if grade == 0:
        return _file(card, "PNG")
    bad, rng = _GRADE[grade], random.Random(f"{grade}-{seed}")  # noqa: S311 - for specimens, not for secrets
    image = _oblique(card, bad, rng)
    image = image.resize((round(image.width * bad.scale), round(image.height * bad.scale)), Image.Resampling.BILINEAR)
    image = image.filter(ImageFilter.GaussianBlur(bad.blur))
    return _file(_light(image, bad, rng), "JPEG", quality=bad.jpeg_quality)


def _oblique(card: Image.Image, bad: Grade, rng: random.Random) -> Image.Image:
    """Turned and seen from the side, on a desk with a margin."""
    margin = card.width // 12
    sheet = Image.new("RGB", (card.width + 2 * margin, card.height + 2 * margin), DESK)
    sheet.paste(card, (margin, margin))
    angle = rng.uniform(-bad.angle_deg, bad.angle_deg)
    sheet = sheet.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=DESK)
    reach = bad.oblique * sheet.width
    right, bottom = sheet.width, sheet.height
    corners = np.array([(0, 0), (0, bottom), (right, bottom), (right, 0)], dtype=float)
    source = corners + np.array([[rng.uniform(-reach, reach) for _ in range(2)] for _ in corners])
    data = _homography(corners, source)
    return sheet.transform(sheet.size, Image.Transform.PERSPECTIVE, data, Image.Resampling.BICUBIC, fillcolor=DESK)


def _homography(target: np.ndarray, source: np.ndarray) -> list[float]:
    """The eight coefficients that Pillow wants: where each target point comes from."""
    rows, right = [], []
    for (x, y), (u, v) in zip(target, source, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    return [float(a) for a in np.linalg.solve(np.array(rows), np.array(right))]


def _light(image: Image.Image, bad: Grade, rng: random.Random) -> Image.Image:
    """A shadow from one side, a spot of glare, and the sensor's noise."""
    pixels = np.asarray(image, dtype=np.float32)
    height, width = pixels.shape[:2]
    y_HW, x_HW = np.mgrid[0:height, 0:width].astype(np.float32)
    across = x_HW / width if rng.random() < 0.5 else y_HW / height
    shade = 1 - bad.shadow * across
    middle_x, middle_y = rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.8) * height
    spot = bad.glare * np.exp(-(((x_HW - middle_x) / (0.12 * width)) ** 2 + ((y_HW - middle_y) / (0.12 * height)) ** 2))
    noise = np.random.default_rng(rng.randrange(2**32)).normal(0, bad.noise, pixels.shape)
    lit = pixels * shade[..., None] + spot[..., None] + noise
    return Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))


def _file(image: Image.Image, kind: str, **options: int) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()
