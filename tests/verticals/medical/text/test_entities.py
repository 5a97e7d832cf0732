"""The tagger learns from tagged sentences, keeps to BIO, and survives its file."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers
from transformers import MPNetConfig, MPNetModel

from verticals.contract import Unavailable
from verticals.medical.text.entities import TAGS, EntityTagger, allowed, open_tagger, spans_of
from verticals.medical.text.network import TagNetwork, WordReader
from verticals.medical.text.training import Recipe, Tagged, read_bc5cdr, train

DRUGS = ("warfarin", "Naproxen", "cisplatin", "Lithium")
ILLS = (["asthma"], ["chronic", "nephritis"], ["acute", "seizures"])


def corpus() -> Tagged:
    """Drugs that cause diseases, in two forms of sentence."""
    words, tags = [], []
    for drug in DRUGS:
        for ill in ILLS:
            inside = ["B-Disease", *["I-Disease"] * (len(ill) - 1)]
            words += [[drug, "caused", *ill, "."], ["We", "saw", *ill, "after", drug]]
            tags += [["B-Chemical", "O", *inside, "O"], ["O", "O", *inside, "O", "B-Chemical"]]
    return Tagged(words, tags)


@pytest.fixture(scope="module")
def tagger() -> EntityTagger:
    return train(corpus(), lambda what, done: None, recipe=Recipe(epochs=7, batch=4, rate=3e-3))


def test_it_learns_what_it_is_shown_and_marks_places_in_the_sentence(tagger: EntityTagger) -> None:
    sentence = "Lithium caused chronic nephritis."

    found = tagger.read(sentence)

    assert [(e.kind, e.text) for e in found] == [("Chemical", "Lithium"), ("Disease", "chronic nephritis")]
    assert all(sentence[e.start : e.end] == e.text for e in found)
    assert tagger.read(" ") == []


def test_it_survives_its_file(tagger: EntityTagger, tmp_path: Path) -> None:
    tagger.save(tmp_path)

    again = EntityTagger.load(tmp_path)

    assert again.tag(corpus().words) == tagger.tag(corpus().words)
    assert again.card["version"].startswith("entities@")
    assert again.card["licence"] == tagger.card["licence"]
    with pytest.raises(ValueError, match="no readable entity model"):
        EntityTagger.load(tmp_path / "elsewhere")


@pytest.fixture(scope="module")
def mpnet_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three layers of width 16 that know the corpus's words."""
    folder = tmp_path_factory.mktemp("mpnet")
    words = sorted({word.lower() for sentence in corpus().words for word in sentence})
    vocabulary = {word: i for i, word in enumerate(["<s>", "<pad>", "</s>", "[UNK]", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.save(str(folder / "tokenizer.json"))
    shape = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    MPNetModel(MPNetConfig(vocab_size=len(vocabulary), **shape)).save_pretrained(folder)
    return folder


def test_another_encoder_reads_with_what_was_trained_over_it(tmp_path: Path, mpnet_dir: Path) -> None:
    recipe = Recipe(epochs=12, batch=4, rate=1e-2)
    made = train(corpus(), lambda what, done: None, recipe=recipe, encoder_dir=mpnet_dir)
    made.save(tmp_path)
    again = EntityTagger.load(tmp_path, mpnet_dir)

    assert again.tag(corpus().words) == made.tag(corpus().words)
    assert [(e.kind, e.text) for e in again.read("We saw asthma after Naproxen")] == [
        ("Disease", "asthma"),
        ("Chemical", "Naproxen"),
    ]
    with pytest.raises(ValueError, match="no readable entity model"):
        EntityTagger.load(tmp_path)  # over MiniLM


def test_an_encoder_without_a_trained_tagger_leaves_minilm_s(mpnet_dir: Path) -> None:
    assert open_tagger(mpnet_dir).card == EntityTagger.load().card
    with pytest.raises(ValueError, match=r"no readable model\.safetensors"):
        open_tagger(mpnet_dir / "none")


def test_a_sentence_reads_alike_alone_and_among_others(tagger: EntityTagger) -> None:
    words = corpus().words

    assert [tagger.tag([sentence])[0] for sentence in words[:6]] == tagger.tag(words)[:6]


def test_the_best_chain_is_the_best_of_all_that_bio_allows() -> None:
    torch.manual_seed(3)
    network = TagNetwork(WordReader(), len(TAGS)).eval()
    network.requires_grad_(False)
    network.after_KK.normal_()
    scores_BWK = torch.randn(1, 3, len(TAGS))

    [best] = network.best(scores_BWK, torch.tensor([3]), allowed())

    def score(chain: tuple[int, ...]) -> float:
        if any(not allowed()[a, b] for a, b in pairwise(chain)):
            return float("-inf")
        steps = sum(float(network.after_KK[a, b]) for a, b in pairwise(chain))
        return steps + sum(float(scores_BWK[0, w, k]) for w, k in enumerate(chain))

    every = [(a, b, c) for a in range(5) for b in range(5) for c in range(5)]
    assert score(tuple(best)) == pytest.approx(max(map(score, every)))
    total = torch.logsumexp(torch.tensor([_free(network, scores_BWK[0], chain) for chain in every]), 0)
    loss = network.loss(scores_BWK, torch.tensor([[0, 1, 2]]), torch.tensor([3]))
    assert float(loss) * 3 == pytest.approx(float(total) - _free(network, scores_BWK[0], (0, 1, 2)), abs=1e-4)


def _free(network: TagNetwork, scores_WK: torch.Tensor, chain: tuple[int, ...]) -> float:
    steps = sum(float(network.after_KK[a, b]) for a, b in pairwise(chain))
    return steps + sum(float(scores_WK[w, k]) for w, k in enumerate(chain))


def test_spans_end_where_another_begins() -> None:
    tags = ["B-Disease", "I-Disease", "B-Disease", "O", "B-Chemical", "I-Disease"]

    assert list(spans_of(tags)) == [("Disease", 0, 2), ("Disease", 2, 3), ("Chemical", 4, 5), ("Disease", 5, 6)]


def test_missing_data_is_said() -> None:
    with pytest.raises(Unavailable, match=r"bc5cdr_ner/train\.tsv is not mounted"):
        read_bc5cdr(None, "train")
