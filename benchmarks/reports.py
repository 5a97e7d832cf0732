"""Reports: finding labels, drafts held against their evidence, and the text of findings beside simple baselines.

    TRIVIUM_DATA=... python -m benchmarks.reports [--graphs 1000] [--drafts 40] [--models DIR] [--threads N]

1. Labels of Indiana University reports (Demner-Fushman 2016; CC BY-NC-ND: evaluated where they lie, nothing is trained
   on them). The rules were made on the odd uids of the dev pack; figures are of the even ones.
2. Drafts of synthetic evidence graphs: a fault planted in each, and drafts that the embedded model writes with and
   without the grammar (--drafts 0 leaves the model out). Unsupported entities are counted by another reader: names of
   the vocabulary as plain substrings.
3. Text from findings, on abnormal reports of the even uids: the indexers' MeSH headings become an evidence graph, what
   reports usually deny absent where it has no heading, and the template words it. So this measures words, not eyes.
   Baselines: the constant normal report (of the odd half, the best one there), and the report of the odd half whose
   headings are most like; that report's sentences too as far as the graph supports them, with the template for the
   rest. BLEU-4 (Papineni 2002) over the corpus, ROUGE-L (Lin 2004, beta 1.2) and micro-F1 of the labels that both texts
   state. Intervals: bootstrap over reports, 95 %.
"""

from __future__ import annotations

import argparse
import csv
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.setting import MODELS, THREADS, data_folder
from verticals.bootstrap import bootstrap_interval, wilson_interval
from verticals.medical import language
from verticals.medical.draft_probes import FAULTS, draw_graph, with_fault
from verticals.medical.evidence import EvidenceGraph, Finding, Side
from verticals.medical.linking import matched
from verticals.medical.schemas import Sections
from verticals.medical.text.labels import LABELS, indexed, labels
from verticals.medical.text.sentences import split
from verticals.medical.verify import draft_faults, faults
from verticals.medical.vocabulary import KINDS, SITES
from verticals.medical.wording import impression, is_of_the_whole, statements

Row = dict[str, str]
_NEGATION = re.compile(r"\b(?:no|not|without|negative|free of|clear of|absen\w*|resolved|never|denies|nor)\b")
_NAMES = {  # of the baseline: a bare name for each label
    **{
        "atelectasis": r"atelecta|collapse",
        "cardiomegaly": r"cardiomegaly|(?:heart|cardiac)[^.]{0,30}enlarg|enlarged ",
    },
    **{"consolidation": r"consolidat", "edema": r"edema", "effusion": r"effusion", "emphysema": r"emphysem"},
    **{"fracture": r"fractur", "hernia": r"hernia", "nodule": r"nodul", "pneumonia": r"pneumonia"},
    **{"pneumothorax": r"pneumothora"},
}
# MeSH headings and qualifiers that the vocabulary can say; other headings of a report are not in its graph.
_HEADINGS = {
    **{"Opacity": "opacity", "Density": "opacity", "Infiltrate": "opacity", "Airspace Disease": "opacity"},
    **{"Consolidation": "consolidation", "Pulmonary Atelectasis": "atelectasis", "Pulmonary Edema": "edema"},
    **{"Nodule": "nodule", "Mass": "mass", "Pneumonia": "pneumonia", "Cicatrix": "scar", "Pulmonary Fibrosis": "scar"},
    **dict.fromkeys(("Calcified Granuloma", "Granuloma", "Granulomatous Disease"), "granuloma"),
    **dict.fromkeys(("Emphysema", "Pulmonary Emphysema", "Bullous Emphysema"), "emphysema"),
    **{"Lung Diseases, Interstitial": "interstitial", "Pulmonary Congestion": "congestion"},
    **{"Pulmonary Disease, Chronic Obstructive": "hyperinflation", "Lung, Hyperlucent": "hyperinflation"},
    **{"Pleural Effusion": "effusion", "Pneumothorax": "pneumothorax", "Cardiomegaly": "cardiomegaly"},
    **{"Hernia, Hiatal": "hernia", "Atherosclerosis": "aortic_atherosclerosis", "Fractures, Bone": "fracture"},
    **{"Spondylosis": "spondylosis", "Osteophyte": "spondylosis", "Scoliosis": "scoliosis"},
}
# Headings that say where, with the qualifier that says what.
_QUALIFIED = {
    **{("Lung", "hyperdistention"): "hyperinflation", ("Lung", "hypoinflation"): "hypoinflation"},
    **{("Markings", "interstitial"): "interstitial", ("Aorta", "tortuous"): "tortuous_aorta"},
    **{("Aorta, Thoracic", "tortuous"): "tortuous_aorta", ("Mediastinum", "enlarged"): "mediastinal_widening"},
    **{("Thoracic Vertebrae", "degenerative"): "spondylosis", ("Spine", "degenerative"): "spondylosis"},
}
# What a report denies where nothing of it is there; nobody writes down that there is no scar.
_DENIED = (
    *("opacity", "consolidation", "atelectasis", "edema", "nodule", "pneumonia", "mass", "effusion", "pneumothorax"),
    *("cardiomegaly", "mediastinal_widening", "fracture", "acute"),
)
_ACUTE = {"opacity", "consolidation", "edema", "pneumonia", "effusion", "pneumothorax", "nodule", "mass", "congestion"}
_SIDES: dict[str, Side] = {"left": "left", "right": "right", "bilateral": "both"}
_ZONES = {
    **{"upper lobe": "upper_lung_zone", "apex": "upper_lung_zone", "middle lobe": "middle_lung_zone"},
    **{"lower lobe": "lower_lung_zone", "base": "lower_lung_zone", "lingula": "middle_lung_zone"},
}


def main() -> None:
    """Measure and print."""
    args = _arguments()
    path = data_folder("medical/openi-reports") / "medical/openi-reports/indiana_reports_dev.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["findings"] or row["impression"]]
    odd, even = ([row for row in rows if int(row["uid"]) % 2 == rest] for rest in (1, 0))
    report_labels(even)
    plant_faults(args.graphs)
    if args.drafts:
        write_drafts(args.drafts, args.models, args.threads)
    report_text(odd, even)


# --- 1. labels --------------------------------------------------------------------------------------------------------


def report_labels(rows: Sequence[Row]) -> None:
    """Micro-F1 of the eleven labels, ours and the baselines'."""
    gold = [indexed(row["MeSH"]) for row in rows]
    print(f"\n# 1. labels: {len(rows)} reports (even uids), {sum(map(len, gold))} labels: {', '.join(LABELS)}")
    ours = [labels((row["findings"], row["impression"])) for row in rows]
    for name, said in (
        ("names", [_named(row, negation=False) for row in rows]),
        ("names and negation", [_named(row, negation=True) for row in rows]),
        ("ours", ours),
    ):
        print(f"{name:20} micro-F1 {_interval(_counts(gold, said), _f1)}")
    for label in LABELS:
        counts = _counts([g & {label} for g in gold], [o & {label} for o in ours])
        print(f"  {label:14} n {sum(label in g for g in gold):4} F1 {_f1(counts):.3f}")


def _named(row: Row, *, negation: bool) -> set[str]:
    found = set()
    for sentence in re.split(r"[.;\n]", f"{row['findings']} {row['impression']}".lower()):
        for label, name in _NAMES.items():
            for match in re.finditer(name, sentence):
                if not (negation and _NEGATION.search(sentence[: match.start()])):
                    found.add(label)
    return found


def _counts(gold: Sequence[set[str]], said: Sequence[set[str]]) -> NDArray[np.float64]:
    """(reports, 3): right, said wrongly, left out."""
    return np.array([(len(g & s), len(s - g), len(g - s)) for g, s in zip(gold, said, strict=True)], float)


def _f1(counts: NDArray[Any]) -> float:
    right, wrong, missing = counts.sum(0)
    return float(2 * right / max(1, 2 * right + wrong + missing))


def _interval(values: NDArray[Any], statistic: Callable[[NDArray[Any]], float]) -> str:
    low, high = bootstrap_interval(values, statistic, draws=500)
    return f"{statistic(values):.3f} [{low:.3f}, {high:.3f}]"


# --- 2. drafts --------------------------------------------------------------------------------------------------------


def plant_faults(num: int) -> None:
    """How many planted faults `verify` finds in drafts, and in a person's text of the same words."""
    print(f"\n# 2. {num} synthetic graphs: a draft without a fault, then one fault of each kind planted where it fits")
    draw, clean = random.Random(6), 0
    found: Counter[str] = Counter()
    remarked: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    for _ in range(num):
        evidence = draw_graph(draw)
        draft = [draw.choice(s.choices) for s in statements(evidence)]
        clean += not draft_faults(draft, evidence)
        for kind in FAULTS:
            if (changed := with_fault(kind, draft, evidence, draw)) is not None:
                tried[kind] += 1
                found[kind] += bool(draft_faults(changed, evidence))
                remarked[kind] += bool(faults(_sections(changed), evidence, has_prior=False))
    print(f"accepted without a fault: {clean}/{num}")
    for kind in FAULTS:
        low, high = wilson_interval(found[kind], tried[kind])
        print(f"{kind:26} {found[kind]}/{tried[kind]} [{low:.4f}, {high:.4f}]; as a remark {remarked[kind]}")
    low, high = wilson_interval(found.total(), tried.total())
    print(f"{'all':26} {found.total()}/{tried.total()} [{low:.4f}, {high:.4f}]")


def write_drafts(num: int, models: Path, threads: int) -> None:
    """Unsupported entities in drafts by the embedded model: free, under the grammar, and after `verify`."""
    from core_model.chat_model import EngineChatModel
    from core_model.embedded import prepare_default_model
    from core_model.loading import load_engine

    draw = random.Random(7)
    graphs = [draw_graph(draw) for _ in range(num)]
    engine, tokenizer = load_engine(prepare_default_model(models, lambda what, done: None), num_threads=threads)
    with engine:
        model = EngineChatModel(engine=engine, tokenizer=tokenizer)
        free = [_free(evidence, model) for evidence in graphs]
        drafts = [language.write(evidence, model) for evidence in graphs]
    constrained = sum(draft.written_by == "model" for draft in drafts)
    checked = [text if not draft_faults(text, g) else _template(g) for text, g in zip(free, graphs, strict=True)]
    print(f"{num} graphs; drafts under the grammar that verify accepts: {constrained}/{num}")
    for name, texts in (
        ("free, without verify", free),
        ("free, after verify (the template stands in)", checked),
        ("under the grammar, after verify", [list(draft.sentences) for draft in drafts]),
        ("template", [_template(g) for g in graphs]),
    ):
        unsupported = [_unsupported(text, g) for text, g in zip(texts, graphs, strict=True)]
        low, high = wilson_interval(sum(map(bool, unsupported)), num)
        claims = sum(len(faults(_sections(text), g, has_prior=False)) for text, g in zip(texts, graphs, strict=True))
        print(
            f"{name:44} {sum(unsupported)} unsupported entities; drafts with one [{low:.3f}, {high:.3f}]; "
            f"claims that differ from the graph, by verify's own reader: {claims}"
        )
    rejected = sum(bool(draft_faults(text, g)) for text, g in zip(free, graphs, strict=True))
    print(f"free drafts that verify rejects: {rejected}/{num}")


def _free(evidence: EvidenceGraph, model: Any) -> list[str]:
    facts = "\n".join(s.choices[0] for s in statements(evidence))
    ask = f"Write the findings section of a radiology report from these findings, in a few sentences.\n{facts}"
    return [s.text for s in split(str(model.bind(max_tokens=120, temperature=0.0).invoke(ask).text))]


def _template(evidence: EvidenceGraph) -> list[str]:
    return list(language.write(evidence).sentences)


def _unsupported(sentences: Sequence[str], evidence: EvidenceGraph) -> int:
    """Kinds of the vocabulary named in the text that the graph does not have, whatever is said of them."""
    text = " ".join(sentences).lower()
    known = {f.kind for f in evidence.findings}
    return sum(kind.english in text for name, kind in KINDS.items() if name not in known and name != "opacity")


def _sections(sentences: Sequence[str]) -> Sections:
    return Sections(examination="", technique="", comparison="", findings="\n".join(sentences), impression="")


# --- 3. text ----------------------------------------------------------------------------------------------------------


def report_text(odd: Sequence[Row], even: Sequence[Row]) -> None:
    """BLEU-4, ROUGE-L and label F1 of template, constant and nearest neighbour on abnormal reports."""
    rows = [row for row in even if row["MeSH"].strip() not in ("normal", "No Indexing")]
    normal = _constant(odd)
    print(f"\n# 3. text: {len(rows)} abnormal reports (even uids). Constant: {normal}")
    references = [_whole(row) for row in rows]
    nearest, graphs = [_nearest(row, odd) for row in rows], [graph_of(row["MeSH"]) for row in rows]
    said = {
        "constant normal report": [normal] * len(rows),
        "nearest neighbour": nearest,
        "its sentences, verified": [_held(text, graph) for text, graph in zip(nearest, graphs, strict=True)],
        "draft by the template": [_drafted(graph) for graph in graphs],
    }
    gold = [labels((text,)) for text in references]
    bleu = {name: np.array([*map(_ngrams, texts, references)], float) for name, texts in said.items()}
    rouge = {name: np.array([*map(_rouge_l, texts, references)]) for name, texts in said.items()}
    for name, texts in said.items():
        found = _counts(gold, [labels((text,)) for text in texts])
        print(
            f"{name:24} BLEU-4 {_interval(bleu[name], _bleu)}  ROUGE-L {_interval(rouge[name], _mean)}  "
            f"label F1 {_interval(found, _f1)}"
        )
    ours, constant = "draft by the template", "constant normal report"
    both = np.stack((bleu[ours], bleu[constant]), 1)
    print(f"{ours} less constant: BLEU-4 {_interval(both, lambda v: _bleu(v[:, 0]) - _bleu(v[:, 1]))}", end="  ")
    print(f"ROUGE-L {_interval(rouge[ours] - rouge[constant], _mean)}")


def graph_of(mesh: str) -> EvidenceGraph:
    """MeSH headings of one report as an evidence graph; of what reports deny, kinds without a heading are absent."""
    found: list[dict[str, Any]] = []
    for entry in mesh.split(";"):
        heading, *qualifiers = (part.strip() for part in entry.split("/"))
        known = (_QUALIFIED.get((heading, qualifier)) for qualifier in qualifiers)
        if (kind := _HEADINGS.get(heading) or next(filter(None, known), None)) is None:
            continue
        sides: list[Side] = [_SIDES[q] for q in qualifiers if q in _SIDES]
        zones = [_ZONES[q] for q in qualifiers if q in _ZONES]
        usual = KINDS[kind].sites[0]
        site = zones[0] if zones and zones[0] in KINDS[kind].sites else usual
        side = sides[0] if sides and SITES[site].is_paired else None
        found.append({"kind": kind, "presence": "present", "site": site, "side": side})
    present = {f["kind"] for f in found}
    denied = [kind for kind in _DENIED if kind not in present and not (kind == "acute" and present & _ACUTE)]
    found += [{"kind": kind, "presence": "absent"} for kind in denied]
    unique = {tuple(sorted(f.items(), key=lambda item: item[0])): f for f in found}.values()
    made = [Finding.model_validate({"finding_id": f"f{i}", "model": "MeSH"} | f) for i, f in enumerate(unique, 1)]
    return EvidenceGraph(findings=tuple(made))


def _constant(rows: Sequence[Row], *, num: int = 200) -> str:
    """Of the odd half's normal reports, the one with the best BLEU-4 against abnormal ones of that half."""
    normal = {_whole(row) for row in rows if row["MeSH"].strip() == "normal"}
    abnormal = [_whole(row) for row in rows if row["MeSH"].strip() != "normal"][:num]
    candidates = sorted(text for text in normal if "XXXX" not in text)[:num]
    return max(candidates, key=lambda text: _bleu(np.array([_ngrams(text, r) for r in abnormal], float)))


def _whole(row: Row) -> str:
    return f"{row['findings']} {row['impression']}"


def _drafted(evidence: EvidenceGraph) -> str:
    """Findings and impression as a draft has them: what is there is said twice."""
    said = language.write(evidence)
    pairs = zip(said.sentences, said.statements, strict=True)
    return " ".join([*(text for text, s in pairs if not is_of_the_whole(s)), *impression(said.statements)])


def _held(text: str, evidence: EvidenceGraph) -> str:
    """The sentences of another report that the evidence supports, and the template's for what they leave out."""
    kept: list[str] = []
    told: set[str] = set()
    for _, sentence, claims in matched(_sections([s.text for s in split(text)]), evidence):
        is_supported = claims and all(findings for _, findings in claims)
        if is_supported and not faults(_sections([sentence.text]), evidence, has_prior=False):
            kept.append(sentence.text)
            told |= {f.finding_id for _, findings in claims for f in findings}
    rest = EvidenceGraph(findings=tuple(f for f in evidence.findings if f.finding_id not in told))
    return f"{' '.join(kept)} {_drafted(rest)}"


def _nearest(row: Row, rows: Sequence[Row]) -> str:
    wanted = set(row["MeSH"].split(";"))

    def likeness(other: Row) -> float:
        entries = set(other["MeSH"].split(";"))
        heads = {e.split("/")[0] for e in wanted}, {e.split("/")[0] for e in entries}
        return len(heads[0] & heads[1]) / len(heads[0] | heads[1]) + len(wanted & entries) / len(wanted | entries)

    best = max(rows, key=likeness)
    return _whole(best)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def _ngrams(text: str, reference: str) -> list[int]:
    """Words of both, then for n of 1 to 4 the n-grams that agree (clipped) and all of the text's."""
    a, b = _words(text), _words(reference)
    row = [len(a), len(b)]
    for n in range(1, 5):
        mine, theirs = (Counter(zip(*(words[i:] for i in range(n)), strict=False)) for words in (a, b))
        row += [(mine & theirs).total(), mine.total()]
    return row


def _bleu(rows: NDArray[Any]) -> float:
    length, reference, *counts = rows.sum(0)
    pairs = list(zip(counts[::2], counts[1::2], strict=True))
    if any(right == 0 for right, _ in pairs):
        return 0.0
    return float(min(1.0, np.exp(1 - reference / length)) * np.exp(np.mean([np.log(r / t) for r, t in pairs])))


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean())


def _rouge_l(text: str, reference: str) -> float:
    a, b = _words(text), _words(reference)
    if not a or not b:
        return 0.0
    row = [0] * (len(b) + 1)
    for word in a:
        before = row[:]
        for j, other in enumerate(b, 1):
            row[j] = before[j - 1] + 1 if word == other else max(before[j], row[j - 1])
    precision, recall = row[-1] / len(a), row[-1] / len(b)
    beta = 1.2**2
    return (1 + beta) * precision * recall / (recall + beta * precision) if row[-1] else 0.0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", type=int, default=1_000)
    parser.add_argument("--drafts", type=int, default=40, help="Drafts that the embedded model writes.")
    parser.add_argument("--models", type=Path, default=MODELS)
    parser.add_argument("--threads", type=int, default=THREADS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
