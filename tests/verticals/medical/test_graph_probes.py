"""Random graphs are valid, cover the vocabulary, and each change to one is a real one."""

from __future__ import annotations

from verticals.medical.graph_probes import changes, random_graph
from verticals.medical.probes import phantom, radiograph
from verticals.medical.vocabulary import KINDS


def test_random_graphs_use_every_word_of_the_vocabulary() -> None:
    findings = [f for seed in range(300) for f in random_graph(seed).findings]

    assert {f.kind for f in findings} == set(KINDS)
    assert {f.site for f in findings} == {None, *(site for kind in KINDS.values() for site in kind.sites)}
    assert {f.side for f in findings} == {None, "left", "right", "both"}
    assert {f.presence for f in findings} == {"present", "absent", "uncertain"}
    assert any(f.measurements for f in findings)
    assert not any(f.regions for f in findings)
    assert random_graph(7) == random_graph(7) != random_graph(8)


def test_regions_lie_in_the_images_and_kinds_fit_the_modality() -> None:
    film = radiograph(phantom(0, size=64))
    findings = [f for seed in range(60) for f in random_graph(seed, modality="CR", images=[film]).findings]

    regions = [r for f in findings for r in f.regions]
    assert {r.shape for r in regions} == {"point", "polyline"}
    assert all(0 < r.box[0] <= r.box[2] < 64 and 0 < r.box[1] <= r.box[3] < 64 for r in regions)
    assert all("CR" in KINDS[f.kind].modalities for f in findings)


def test_every_change_makes_another_valid_graph() -> None:
    for seed in range(40):
        graph = random_graph(seed)
        changed = list(changes(graph))

        assert all(other != graph for _, other in changed)
        assert len(changed) >= 4 * len(graph.findings)
