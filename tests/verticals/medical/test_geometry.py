"""Look-up tables against PS3.3 C.11 written out in numpy; windows, inversion and spacing as the standard says."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from verticals.contract import InvalidInput
from verticals.medical.evals import written_out
from verticals.medical.geometry import measure, modality_values, render, to_png
from verticals.medical.ingest import read
from verticals.medical.probes import phantom, pydicom_file, radiograph
from verticals.medical.schemas import NOTICE


def table(descriptor: list[int], values: list[int], keyword: str) -> Sequence:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", descriptor)
    item.add_new("LUTData", "US", values)
    item.add_new(keyword, "LO", "US") if keyword else None
    return Sequence([item])


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("window", [(40.0, 400.0), (-600.0, 1500.0), (0.5, 1.0), (300.0, 2.0)])
def test_a_window_shows_what_the_standard_writes(photometric: str, window: tuple[float, float]) -> None:
    received = read(pydicom_file("CT_small.dcm"))
    header = received.dataset
    header.PhotometricInterpretation = photometric

    grey = render(received.stored[0], header, window=window).astype(int)

    assert np.abs(grey - written_out(received.stored[0], header, window)).max() <= 1


def test_ct_values_are_hounsfield_units() -> None:
    received = read(pydicom_file("CT_small.dcm"))

    facts = measure(received.stored, received.dataset)

    assert facts.units == "HU"
    assert (facts.value_min, facts.value_max) == (received.stored.min() - 1024, received.stored.max() - 1024)
    assert facts.spacing_mm == (0.661468, 0.661468)
    assert facts.window_source == "full-range"


def test_the_header_window_comes_first_and_monochrome1_is_inverted() -> None:
    image = np.array([[0, 100, 200, 4095]], dtype=np.uint16)
    header = radiograph(image)
    header.WindowCenter, header.WindowWidth = [100.5, 9], [201, 9]

    plain = render(image, header)
    header.PhotometricInterpretation = "MONOCHROME1"
    inverted = render(image, header)

    assert plain.tolist() == [[0, 128, 255, 255]]
    assert inverted.tolist() == [[255, 127, 0, 0]]
    assert measure(image[None], header).window_source == "header"


def test_a_header_window_that_breaks_the_standard_is_not_used() -> None:
    image = phantom(0, size=64)
    header = radiograph(image)
    header.WindowCenter, header.WindowWidth = 100, 0

    assert measure(image[None], header).window_source == "full-range"


def test_a_voi_lookup_table_is_applied() -> None:
    image = np.array([[0, 1, 2, 3]], dtype=np.uint16)
    header = radiograph(image)
    header.VOILUTSequence = table([4, 0, 8], [0, 10, 255, 30], "")

    assert render(image, header).tolist() == [[0, 10, 255, 30]]
    assert measure(image[None], header).window_source == "voi-lut"


def test_a_modality_lookup_table_is_applied() -> None:
    image = np.array([[0, 1, 2, 3]], dtype=np.uint16)
    header = radiograph(image)
    header.ModalityLUTSequence = table([4, 0, 16], [5, 50, 500, 5000], "ModalityLUTType")

    assert modality_values(image, header).tolist() == [[5, 50, 500, 5000]]


@pytest.mark.parametrize("keyword", ["ModalityLUTSequence", "VOILUTSequence"])
def test_a_malformed_lookup_table_is_refused_with_its_tag(keyword: str) -> None:
    image = phantom(0, size=64)
    header = radiograph(image)
    setattr(header, keyword, Sequence([Dataset()]))

    with pytest.raises(InvalidInput, match=rf"{keyword} \(0028,30[01]0\): must be a valid lookup table"):
        measure(image[None], header)


@pytest.mark.parametrize(
    ("attributes", "spacing", "note"),
    [
        ({}, None, "cannot be measured"),
        ({"ImagerPixelSpacing": [0.2, 0.1]}, (0.2, 0.1), "at the detector"),
        ({"PixelSpacing": [0.2, 0.1], "ImagerPixelSpacing": [0.3, 0.3]}, (0.2, 0.1), "calibrated"),
    ],
)
def test_spacing_is_never_guessed(attributes: dict[str, Any], spacing: object, note: str) -> None:
    image = phantom(0, size=64)
    header = radiograph(image)
    for keyword, value in attributes.items():
        setattr(header, keyword, value)

    facts = measure(image[None], header)

    assert facts.spacing_mm == spacing
    assert note in facts.spacing_note


def test_padding_does_not_widen_the_window() -> None:
    image = phantom(0, size=64)
    header = radiograph(image)
    before = measure(image[None], header)
    padded = image.copy()
    padded[:30] = 0
    header.PixelPaddingValue = 0

    after = measure(padded[None], header)

    assert after.window_center - after.window_width / 2 > 0.5 * (before.window_center - before.window_width / 2)


def test_the_png_is_the_picture_and_carries_the_notice() -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)

    picture = Image.open(io.BytesIO(to_png(grey)))

    assert np.array_equal(np.asarray(picture), grey)
    assert picture.text["Disclaimer"] == NOTICE  # type: ignore[attr-defined]
