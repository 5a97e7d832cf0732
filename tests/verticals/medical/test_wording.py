"""Whatever of its sentences is chosen, a draft says the evidence, all of it and nothing else."""

from __future__ import annotations

import random
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel

from verticals.medical import language
from verticals.medical.draft_probes import FAULTS, draw_graph, with_fault
from verticals.medical.evidence import EvidenceGraph, Finding, Measurement
from verticals.medical.schemas import Sections
from verticals.medical.verify import as_edited, draft_faults, faults, remarks
from verticals.medical.wording import number, statements


def graph(*findings: dict[str, Any]) -> EvidenceGraph:
    made = [Finding.model_validate({"finding_id": f"f{i}", "model": "m@1"} | f) for i, f in enumerate(findings, 1)]
    return EvidenceGraph(findings=tuple(made))


def sections(findings: str) -> Sections:
    return Sections(examination="", technique="", comparison="", findings=findings, impression="")


NODULE = {"kind": "nodule", "presence": "present", "site": "upper_lung_zone", "side": "left"}
SIZED = NODULE | {"measurements": [Measurement(name="diameter", value=6.24, unit="mm")]}
EFFUSION = {"kind": "effusion", "presence": "uncertain", "site": "pleura", "side": "right"}


def test_every_choice_of_sentences_says_its_evidence_without_a_fault() -> None:
    draw = random.Random(1)
    for _ in range(60):
        evidence = draw_graph(draw)
        said = statements(evidence)
        for choice in range(3):
            assert draft_faults([s.choices[choice] for s in said], evidence) == []


def test_the_template_reads_as_a_report() -> None:
    evidence = graph(
        SIZED, EFFUSION, *({"kind": k, "presence": "absent"} for k in ("pneumothorax", "opacity", "edema"))
    )

    assert language.write(evidence).sentences == (
        "There is a nodule in the left upper lung zone, measuring 6.2 mm in diameter.",
        "No opacity or pulmonary edema.",
        "Possible pleural effusion on the right.",
        "No pneumothorax.",
    )
    lungs = ("opacity", "consolidation", "atelectasis", "edema", "nodule", "pneumonia", "mass")
    others = ("scar", "effusion", "pneumothorax", "cardiomegaly", "mediastinal_widening", "fracture", "acute")
    nothing = graph(*({"kind": k, "presence": "absent"} for k in (*lungs, *others)))
    assert language.write(nothing).sentences == (
        "The lungs are clear.",
        "No scarring.",
        "No pleural effusion or pneumothorax.",
        "The heart is normal in size.",
        "Mediastinal contours are normal.",
        "No fracture.",
        "No acute cardiopulmonary abnormality.",
    )
    assert language.write(graph()).sentences == ()
    assert [number(v) for v in (0.0421, 4.0, 123.4)] == ["0.042", "4.0", "123"]


def test_a_place_that_the_name_holds_is_not_said_twice() -> None:
    places = {"tortuous_aorta": "aorta", "hernia": "mediastinum", "scoliosis": "spine", "congestion": "lung"}
    found = [{"kind": k, "presence": "present", "site": site} for k, site in places.items()]
    fracture = {"kind": "fracture", "presence": "present", "side": "left"}

    said = statements(
        graph(*found, fracture | {"site": "bone"}, {"kind": "fracture", "presence": "present", "site": "spine"})
    )

    assert [s.choices[0] for s in said] == [
        "There is pulmonary vascular congestion.",
        "There is a hiatal hernia.",
        "There is a tortuous aorta.",
        "There is a fracture on the left.",
        "There is a fracture in the spine.",
        "There is scoliosis.",
    ]
    assert said[-1].short == "Scoliosis."


def test_sizes_that_are_tiny_or_round_alike_are_told() -> None:
    sizes = [Measurement(name="diameter", value=value, unit="mm") for value in (0.000_012, 6.01, 6.02, 123_456.7)]

    [sentence] = language.write(graph(NODULE | {"measurements": sizes})).sentences

    assert [text.split(" mm")[0] for text in sentence.split("measuring ")[1:]] == ["0.000012", "6.0", "6.0", "123457"]


def test_a_model_chooses_among_the_sentences_that_the_evidence_allows() -> None:
    evidence = graph(SIZED)
    allowed = statements(evidence)[0].choices

    def written(answer: str) -> language.Draft:
        return language.write(evidence, FakeListChatModel(responses=[answer]))

    assert language.draft_schema(statements(evidence))["properties"] == {"1": {"enum": list(allowed)}}
    assert written(f'{{"1": "{allowed[2]}"}}').sentences == (allowed[2],)
    for bad in ("no JSON", '{"2": "x"}', '{"1": "Nodule in the right upper lung zone, measuring 6.2 mm in diameter."}'):
        assert (written(bad).written_by, written(bad).sentences) == ("template", (allowed[0],))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Nodule in the right upper lung zone, measuring 6.2 mm in diameter.", "wrong side"),
        ("Nodule in the left lower lung zone, measuring 6.2 mm in diameter.", "wrong site"),
        ("Nodule in the left upper lung zone, measuring 6.3 mm in diameter.", "wrong size"),
        ("Nodule in the left upper lung zone.", "finding left out"),
        ("No nodule in the left upper lung zone.", "flipped negation"),
        ("Possible nodule in the left upper lung zone, measuring 6.2 mm in diameter.", "changed certainty"),
        ("Unchanged nodule in the left upper lung zone, measuring 6.2 mm in diameter.", "prior that does not exist"),
        ("Nodule in the left upper lung zone, measuring 6.2 mm in diameter. Pneumothorax.", "unsupported finding"),
        ("Spiculated nodule in the left upper lung zone, measuring 6.2 mm in diameter.", "unknown words"),
        (
            "Nodule in the left upper lung zone, measuring 6.2 mm in diameter. There is no right side.",
            "unsupported finding",
        ),
    ],
)
def test_a_draft_with_a_fault_is_rejected_with_the_reason(text: str, kind: str) -> None:
    assert kind in {fault.kind for fault in draft_faults([text], graph(SIZED))}


@pytest.mark.parametrize("kind", FAULTS)
def test_injected_faults_are_found(kind: str) -> None:
    draw = random.Random(2)
    broken = 0
    while broken < 12:
        evidence = draw_graph(draw)
        changed = with_fault(kind, [s.choices[draw.randrange(3)] for s in statements(evidence)], evidence, draw)
        if changed is not None:
            broken += 1
            assert draft_faults(changed, evidence), changed


def test_a_persons_text_gets_remarks_and_no_refusal() -> None:
    text = sections("Nodule in the right upper lung zone. Rib fracture, unchanged.")
    evidence = graph(NODULE)

    found = remarks(text, evidence, has_prior=False)

    assert [(f.kind, text.findings[f.start : f.end]) for f in found] == [
        ("wrong side", "Nodule in the right upper lung zone."),
        ("unsupported finding", "Rib fracture, unchanged."),
        ("prior that does not exist", "Rib fracture, unchanged."),
    ]
    assert "prior that does not exist" not in {f.kind for f in remarks(text, evidence, has_prior=True)}
    assert remarks(sections("Rib fracture."), graph(), has_prior=False) == []


def test_what_a_reader_states_becomes_evidence_in_their_name_and_has_no_fault_then() -> None:
    text = sections("Nodule in the right upper lung zone of 7 mm. No pneumothorax. History of pleural effusion.")

    evidence = as_edited(text, graph(NODULE))

    assert [(f.kind, f.presence, f.side, f.model) for f in evidence.findings] == [
        ("nodule", "present", "right", "reader"),
        ("pneumothorax", "absent", None, "reader"),
    ]
    assert evidence.findings[0].measurements[0].value == 7
    assert faults(text, evidence, has_prior=False) == []
    assert as_edited(sections("Left nodule."), graph(NODULE)) == graph(NODULE)
    assert as_edited(sections("Nothing."), graph(NODULE)) == graph()
