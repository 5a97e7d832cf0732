"""Text in the pixels is found by the real reader, wherever it stands; markers and plain images are let through."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydicom import dcmread

from verticals.medical.burned_in import RapidOcrReader, identifying_characters, masked, search
from verticals.medical.geometry import Array
from verticals.medical.probes import phantom, pydicom_file, radiograph
from verticals.medical.schemas import TextPlace

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def reader() -> RapidOcrReader:
    return RapidOcrReader()


def burn(image: Array, text: str, *, at: tuple[int, int] = (8, 8), size: int = 14, value: int | None = None) -> Array:
    """The image with the text drawn into its values, by default the highest."""
    drawn = Image.new("L", image.shape[::-1])
    ImageDraw.Draw(drawn).text(at, text, fill=255, font=ImageFont.load_default(size))
    burnt = image.copy()
    burnt[np.asarray(drawn) > 127] = image.max() if value is None else value
    return burnt


@pytest.mark.parametrize("text", ["MUSTERMANN^ERIKA", "ID 4711-0815", "12.03.1981", "ZHANG WEI"])
@pytest.mark.parametrize("value", [None, 0])
def test_a_name_in_a_film_is_found_where_it_stands(reader: RapidOcrReader, text: str, value: int | None) -> None:
    image = burn(phantom(3, size=256), text, at=(60, 200), value=value)

    found = search(image[None], radiograph(image), reader)

    assert found.must_be_held
    assert any(p.left < 100 and 190 < p.top < 225 for p in found.places)
    assert text.split()[0] not in found.account


def test_a_name_in_a_small_ct_whose_header_denies_it_is_found(reader: RapidOcrReader) -> None:
    ct = dcmread(io.BytesIO(pydicom_file("CT_small.dcm")))
    ct.BurnedInAnnotation = "NO"
    image = burn(ct.pixel_array, "MUSTERMANN", size=10)

    assert search(image[None], ct, reader).places


def test_a_name_in_one_of_several_frames_is_found_in_that_frame(reader: RapidOcrReader) -> None:
    frames = np.stack([phantom(0, size=256), burn(phantom(0, size=256), "MUSTERMANN ERIKA")])

    assert {place.frame for place in search(frames, radiograph(frames[0]), reader).places} == {2}


def test_a_name_beyond_the_first_tile_of_a_large_film_is_found(reader: RapidOcrReader) -> None:
    image = burn(np.full((1000, 1700), 900, dtype=np.uint16), "MUSTERMANN ERIKA", at=(1300, 940), size=18, value=3000)

    places = search(image[None], radiograph(image), reader).places

    assert places
    assert all(place.left > 1200 and place.top > 900 for place in places)


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm"])
def test_an_image_without_text_is_let_through(reader: RapidOcrReader, name: str) -> None:
    dataset = dcmread(io.BytesIO(pydicom_file(name)))

    assert not search(dataset.pixel_array[None], dataset, reader).must_be_held


def test_a_marker_of_side_or_position_is_let_through(reader: RapidOcrReader) -> None:
    image = burn(burn(phantom(1, size=256), "L", size=24), "PORTABLE", at=(140, 220))

    assert not search(image[None], radiograph(image), reader).must_be_held


@pytest.mark.parametrize(
    ("text", "count"),
    [("L", 0), ("AP PORTABLE", 0), ("PA ERECT", 0), ("KM", 2), ("LI^WEI", 5), ("R 4711", 4), ("--", 0)],
)
def test_markers_do_not_count_and_everything_else_does(text: str, count: int) -> None:
    assert identifying_characters(text) == count


def test_a_mask_covers_its_place_borders_included_in_its_frame_alone() -> None:
    stored: Any = np.arange(2 * 6 * 7).reshape(2, 6, 7)

    clean = masked(stored, [TextPlace(frame=2, left=1, top=2, right=3, bottom=99)])

    assert np.array_equal(clean[0], stored[0])
    assert (clean[1, 2:, 1:4] == 0).all()
    assert (clean[1] == 0).sum() == 12
