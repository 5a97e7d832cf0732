"""What a sentence claims is read with its assertion, place, side and size."""

from __future__ import annotations

import pytest

from verticals.medical.text.labels import indexed, labels
from verticals.medical.text.reader import read
from verticals.medical.text.sentences import split


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("No left pleural effusion or pneumothorax.", [("effusion", "absent"), ("pneumothorax", "absent")]),
        ("No effusion, but there is cardiomegaly.", [("effusion", "absent"), ("cardiomegaly", "present")]),
        ("The heart is not enlarged.", [("cardiomegaly", "absent")]),
        ("Heart size is mildly enlarged.", [("cardiomegaly", "present")]),
        ("Heart size is normal.", [("cardiomegaly", "absent")]),
        ("Pneumothorax cannot be excluded.", [("pneumothorax", "uncertain")]),
        ("Pneumothorax is not seen.", [("pneumothorax", "absent")]),
        ("No findings to suggest pulmonary edema.", [("edema", "absent")]),
        ("Opacity which may be due to atelectasis.", [("opacity", "present"), ("atelectasis", "uncertain")]),
        ("No change in the nodule.", [("nodule", "present")]),
        ("Calcified nodule.", [("granuloma", "present")]),
        ("Evidence of prior granulomatous disease.", [("granuloma", "present")]),
        ("There are atherosclerotic changes of the aorta.", [("aortic_atherosclerosis", "present")]),
        ("The aorta is mildly tortuous.", [("tortuous_aorta", "present")]),
        ("Mild degenerative changes of the thoracic spine.", [("spondylosis", "present")]),
        ("Degenerative changes of the left shoulder.", [("degeneration", "present")]),
        ("The heart is normal in size.", [("cardiomegaly", "absent")]),
        ("The mediastinum is unremarkable.", [("mediastinal_widening", "absent")]),
        ("Widened mediastinum.", [("mediastinal_widening", "present")]),
        ("No acute cardiopulmonary abnormality.", [("acute", "absent")]),
        ("Umbilical hernia.", [("other_hernia", "present")]),
        ("Lung volumes are low.", [("hypoinflation", "present")]),
        ("Pericardial effusion.", [("pericardial", "present")]),
        ("Soft tissue swelling.", []),
    ],
)
def test_assertions_are_read_in_their_scope(sentence: str, expected: list[tuple[str, str]]) -> None:
    assert [(m.concept, m.presence) for m in read(sentence)] == expected


def test_history_is_marked() -> None:
    assert [m.is_history for m in read("History of pneumonia.")] == [True]


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Left pleural effusion with right lower zone opacity.", [("left", None), ("right", "lower_lung_zone")]),
        ("Effusion on the left and atelectasis on the right.", [("left", None), ("right", None)]),
        ("Opacities in the left and right lower lobes.", [("both", "lower_lung_zone")]),
        ("Bibasilar atelectasis.", [("both", "lower_lung_zone")]),
        ("Nodule.", [(None, None)]),
    ],
)
def test_side_and_place_go_to_the_finding_they_describe(sentence: str, expected: list[tuple[str, str]]) -> None:
    assert [(m.side, m.site) for m in read(sentence)] == expected


def test_sizes_are_in_millimetres_with_their_precision() -> None:
    [nodule] = read("Nodule of 1.2 x 0.8 cm with a volume of 400 mm³.")

    assert [(s.name, s.value, s.half_digit) for s in nodule.sizes] == [
        ("diameter", 12.0, pytest.approx(0.5)),
        ("diameter", 8.0, pytest.approx(0.5)),
        ("volume", 400.0, 0.5),
    ]


def test_sentences_keep_numbers_titles_and_their_place() -> None:
    text = "1. Nodule of 1.5 cm. Seen by Dr. Smith.\nPleura: clear"

    assert [s.text for s in split(text)] == ["1. Nodule of 1.5 cm.", "Seen by Dr. Smith.", "Pleura: clear"]
    assert all(text[s.start : s.end] == s.text for s in split(text))


def test_a_reports_labels_are_what_it_states() -> None:
    texts = ("Mild cardiomegaly. No pleural effusion. History of pneumonia.", "Possible nodule. Rib fracture.")

    assert labels(texts) == {"cardiomegaly", "fracture"}
    assert indexed("Cardiomegaly/mild;Nodule/lung;Spine") == {"cardiomegaly", "nodule"}
