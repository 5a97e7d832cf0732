"""Stored values to what a person sees: modality LUT, VOI LUT or window, MONOCHROME1, spacing. Ignores volumes."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi, apply_windowing, pixel_array

from verticals.contract import InvalidInput
from verticals.medical.colour import is_colour
from verticals.medical.frames import frame_header, is_enhanced, num_frames
from verticals.medical.schemas import NOTICE, ImageFacts

Array = np.ndarray[Any, np.dtype[Any]]

_PROJECTION_NOTE = "Imager Pixel Spacing: at the detector, not in the patient; distances are magnified."


@dataclass(frozen=True)
class Window:
    """A linear window, or the file's VOI LUT if `source` says so (center and width then only describe its range)."""

    center: float
    width: float
    source: Literal["header", "voi-lut", "full-range"]


def stored_frames(dataset: Dataset) -> Array:
    """The stored values of every frame, (frames, rows, columns); of a colour image (..., 3)."""
    samples = (3,) if is_colour(dataset) else ()
    shape = (num_frames(dataset), int(dataset.Rows), int(dataset.Columns), *samples)
    return np.asarray(pixel_array(dataset, raw=True)).reshape(shape)


def stored_frame(dataset: Dataset, frame: int) -> tuple[Array, Dataset]:
    """The stored values of one frame, from 1, and the header that is its own.

    Raises:
        InvalidInput: the object has fewer frames.
    """
    if frame > num_frames(dataset):
        raise InvalidInput(f"must be at most {num_frames(dataset)}", field="frame", value=frame)
    return pixel_array(dataset, raw=True, index=frame - 1), frame_header(dataset, frame - 1)


def modality_values(stored: Array, dataset: Dataset) -> Array:
    """Stored values to output units (Hounsfield for CT), float64, same shape (PS3.3 C.11.1).

    Args:
        dataset: The object, of a stack (frames, rows, columns); or one frame's header, of that frame.
    Raises:
        InvalidInput: the modality LUT is malformed.
    """
    if is_enhanced(dataset):
        return np.stack([modality_values(frame, frame_header(dataset, i)) for i, frame in enumerate(stored)])
    try:
        return np.asarray(apply_modality_lut(stored, dataset), dtype=np.float64)
    except Exception:  # noqa: BLE001 - pydicom's LUT code raises many kinds
        raise InvalidInput(
            "must be a valid lookup table (PS3.3 C.11.1)", field="ModalityLUTSequence (0028,3000)"
        ) from None


def measure(stored: Array, dataset: Dataset) -> ImageFacts:
    """What the header and the values say about the image, (frames, rows, columns).

    Raises:
        InvalidInput: a lookup table is malformed.
    """
    values = modality_values(stored, dataset)
    header = frame_header(dataset, stored.shape[0] // 2)
    window = default_window(values, stored, header)
    spacing, note = _spacing(header)
    return ImageFacts(
        rows=stored.shape[1],
        columns=stored.shape[2],
        frames=stored.shape[0],
        spacing_mm=spacing,
        spacing_note=note,
        photometric=dataset.PhotometricInterpretation,
        bits_stored=dataset.BitsStored,
        units="HU" if header.Modality == "CT" and header.get("RescaleType", "HU") == "HU" else "unspecified",
        value_min=float(values.min()),
        value_max=float(values.max()),
        window_center=window.center,
        window_width=window.width,
        window_source=window.source,
    )


def default_window(values: Array, stored: Array, dataset: Dataset) -> Window:
    """The file's first VOI LUT, else its first window, else the range of its values without padding.

    Raises:
        InvalidInput: the VOI LUT is malformed.
    """
    if dataset.get("VOILUTSequence"):
        first, length = _voi_lut_domain(dataset)
        return Window(first + length / 2, max(float(length), 1.0), "voi-lut")
    header = _header_window(dataset)
    if header is not None:
        return Window(*header, "header")
    seen = values[_not_padding(stored, dataset)]
    low, high = np.percentile(seen, (0.5, 99.5)) if seen.size else (values.min(), values.max())
    # PS3.3 C.11.2.1.2.1: a linear window of width w at c spans c - 0.5 - (w - 1) / 2 to c - 0.5 + (w - 1) / 2.
    return Window(float((low + high + 1) / 2), float(max(high - low + 1, 1)), "full-range")


def _voi_lut_domain(dataset: Dataset) -> tuple[int, int]:
    try:
        length, first, bits = (int(v) for v in dataset.VOILUTSequence[0].LUTDescriptor)
        apply_voi(np.zeros((1, 1), dtype=np.int64), dataset)
        if not 8 <= bits <= 16:
            raise ValueError
    except Exception:  # noqa: BLE001
        raise InvalidInput("must be a valid lookup table (PS3.3 C.11.2)", field="VOILUTSequence (0028,3010)") from None
    return first, length or 2**16


def _header_window(dataset: Dataset) -> tuple[float, float] | None:
    """The first window, or None where there is none or its width breaks PS3.3 C.11.2.1.2.1."""
    try:
        center, width = (float(np.atleast_1d(dataset[k].value)[0]) for k in ("WindowCenter", "WindowWidth"))
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    least = 1.0 if dataset.get("VOILUTFunction", "LINEAR") == "LINEAR" else 1e-6
    return (center, width) if np.isfinite(center) and np.isfinite(width) and width >= least else None


def _not_padding(stored: Array, dataset: Dataset) -> Array:
    """True where a pixel is not padding (PS3.3 C.7.5.1.1.2)."""
    padding = dataset.get("PixelPaddingValue")
    if not isinstance(padding, int):
        return np.ones(stored.shape, dtype=bool)
    limit = dataset.get("PixelPaddingRangeLimit", padding)
    low, high = sorted((padding, limit if isinstance(limit, int) else padding))
    return (stored < low) | (stored > high)


def _spacing(dataset: Dataset) -> tuple[tuple[float, float] | None, str]:
    if "PixelSpacing" in dataset:
        row, column = (float(v) for v in dataset.PixelSpacing)
        if dataset.Modality in ("CT", "MR"):
            return (row, column), "Pixel Spacing: in the patient."
        return (
            row,
            column,
        ), "Pixel Spacing as the file gives it; on a projection it holds only in the plane it was calibrated for."
    if "ImagerPixelSpacing" in dataset:
        row, column = (float(v) for v in dataset.ImagerPixelSpacing)
        return (row, column), _PROJECTION_NOTE
    return None, "The file gives no spacing: distances cannot be measured on this image."


def render(stored: Array, dataset: Dataset, *, window: tuple[float, float] | None = None) -> Array:
    """One frame (rows, columns) as 8-bit grey, white highest: modality LUT, then VOI, then MONOCHROME1 inverted.

    Args:
        dataset: The frame's header: of an enhanced object, `frames.frame_header`.
        window: Center and width in output units, applied linearly; None for the file's own VOI.
    Returns:
        A colour image as it is, (rows, columns, 3): windows are for grey (PS3.3 C.11.2).
    """
    if is_colour(dataset):
        return stored
    values = modality_values(stored, dataset)
    if window is None and dataset.get("VOILUTSequence"):
        shades = apply_voi(np.rint(values).astype(np.int64), dataset) / (
            2.0 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1
        )
    else:
        shades = _windowed(values, stored, dataset, window)
    grey: Array = np.rint(np.clip(shades, 0, 1) * 255).astype(np.uint8)
    return 255 - grey if dataset.PhotometricInterpretation == "MONOCHROME1" else grey


def _windowed(values: Array, stored: Array, dataset: Dataset, window: tuple[float, float] | None) -> Array:
    """Window values to 0-1 with pydicom's `apply_windowing` on a plain header of range 0-65535."""
    plain = Dataset()
    plain.PhotometricInterpretation = "MONOCHROME2"
    plain.BitsStored, plain.PixelRepresentation = 16, 0
    own = default_window(values, stored, dataset)
    center, width = window or (own.center, own.width)
    plain.WindowCenter, plain.WindowWidth = f"{center:.10g}", f"{width:.10g}"
    if window is None and own.source == "header":
        plain.VOILUTFunction = dataset.get("VOILUTFunction", "LINEAR")
    return np.asarray(apply_windowing(values, plain)) / 65535.0


def own_curve(dataset: Dataset, *, low: float, high: float, steps: int = 512) -> list[int] | None:
    """Shades 0-255 of the file's VOI LUT at `steps` equal steps of output units, before any inversion; None: no LUT.

    Raises:
        InvalidInput: the VOI LUT is malformed.
    """
    if not dataset.get("VOILUTSequence"):
        return None
    _voi_lut_domain(dataset)
    values = np.rint(np.linspace(low, high, steps)).astype(np.int64).reshape(1, -1)
    top = 2.0 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1
    shades = np.clip(apply_voi(values, dataset) / top, 0, 1)[0]
    return [int(shade) for shade in np.rint(shades * 255)]


def to_png(shades: Array) -> bytes:
    """8-bit grey, (rows, columns), or colour, (rows, columns, 3), as PNG; the notice travels in its text chunk."""
    told = PngInfo()
    told.add_text("Disclaimer", NOTICE)
    buffer = io.BytesIO()
    PillowImage.fromarray(shades, mode=None).save(buffer, format="PNG", pnginfo=told)
    return buffer.getvalue()
