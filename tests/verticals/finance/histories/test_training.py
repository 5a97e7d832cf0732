"""Contrast pulls slices of one history together; the sequence term is bounded and learns what the offset lacks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from verticals.contract import Unavailable
from verticals.finance.histories.encoder import EncoderConfig, EventEncoder, Histories, read_histories
from verticals.finance.histories.events import event_table
from verticals.finance.histories.head import SequenceHead, Tuning, fit_head, tune
from verticals.finance.histories.model import CONFIG, from_files, to_files
from verticals.finance.histories.pretrain import Contrast, contrastive_loss, pretrain, slices
from verticals.finance.histories.training import train_sequence
from verticals.finance.metrics import auc
from verticals.finance.simulator.bank import simulate

SMALL = EncoderConfig(dim=16, num_layers=1, num_heads=2)
QUICK = Contrast(steps=40, customers=16, slices=3, longest=24)


@pytest.fixture(scope="module")
def histories() -> Histories:
    bank = simulate(60, seed=2)
    return read_histories(bank.events, list(bank.customers.index))


def test_pre_training_brings_slices_of_one_history_nearer_than_those_of_others(histories: Histories) -> None:
    encoder = EventEncoder(SMALL, seed=0)
    first = pretrain(EventEncoder(SMALL, seed=0), histories, Contrast(steps=2, customers=16, slices=3, longest=24))

    assert pretrain(encoder, histories, QUICK) < 0.8 * first


def test_pre_training_is_the_same_again(histories: Histories) -> None:
    encoders = [EventEncoder(SMALL, seed=0) for _ in range(2)]
    for encoder in encoders:
        pretrain(encoder, histories, Contrast(steps=3, customers=8, slices=2, longest=24))

    assert torch.equal(encoders[0].out.weight, encoders[1].out.weight)


def test_slices_are_runs_of_their_own_history(histories: Histories) -> None:
    rows = np.arange(60).repeat(5)

    start, stop = slices(histories, rows, QUICK, np.random.default_rng(0))

    assert (start >= histories.first[rows]).all()
    assert (stop <= histories.first[rows + 1]).all()
    assert ((stop - start >= QUICK.shortest) & (stop - start <= QUICK.longest)).all()


def test_the_loss_is_nothing_when_owners_are_far_apart_and_each_is_one_point() -> None:
    one, other = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    owner = torch.tensor([0, 0, 1, 1])

    apart = contrastive_loss(torch.stack([one, one, other, other]), owner, margin=0.5, negatives=2)
    mixed = contrastive_loss(torch.stack([one, other, one, other]), owner, margin=0.5, negatives=2)

    assert apart.item() == pytest.approx(0, abs=1e-6)
    assert mixed.item() == pytest.approx(2 + 0.25 / 2, abs=1e-3)  # squared distance 2; one other at 0, one beyond


def test_histories_that_are_too_short_are_refused() -> None:
    with pytest.raises(ValueError, match="two with 12 events are needed"):
        pretrain(EventEncoder(SMALL, seed=0), read_histories(event_table([]), ["a", "b"]), QUICK)


def test_the_term_is_bounded_and_nothing_without_a_history() -> None:
    head = SequenceHead(np.array([1.0, -2.0], np.float32), 0.1, 1.5)
    vectors = np.array([[1000, 0], [0, 1000], [np.nan, np.nan], [0.01, 0]], np.float32)

    found = head.logits(vectors)

    assert found[:3].tolist() == [1.5, -1.5, 0]
    assert found[3] == pytest.approx(0.11, abs=1e-3)
    assert SequenceHead.from_json(head.to_json()).logits(vectors).tolist() == found.tolist()


def test_the_head_learns_what_the_offset_does_not_say() -> None:
    rng = np.random.default_rng(0)
    vectors = (5 + 3 * rng.normal(size=(4000, 4))).astype(np.float32)
    offset = rng.normal(size=4000) - 1
    default = (rng.random(4000) < 1 / (1 + np.exp(-offset - 0.3 * (vectors[:, 2] - 5)))).astype(int)
    vectors[:50] = np.nan

    head = fit_head(vectors, default, offset, tuning=Tuning(bound=3.0, l2=1e-4))

    assert head.weight_D == pytest.approx([0, 0, 0.3, 0], abs=0.06)
    assert auc(default.astype(float), offset + head.logits(vectors)) > auc(default.astype(float), offset) + 0.02


def test_tuning_lowers_the_loss_on_what_it_sees(histories: Histories) -> None:
    outcome = (np.diff(histories.first) % 2).astype(int)
    encoder, offset = EventEncoder(SMALL, seed=0), np.zeros(60)

    head = tune(encoder, histories, outcome, offset, tuning=Tuning(epochs=30, batch_size=16, learning_rate=5e-3))

    assert auc(outcome.astype(float), head.logits(encoder.embed(histories))) > 0.8


def _written(folder: Path, files: dict[str, bytes]) -> dict[str, Path]:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in files}


def test_files_bring_back_the_same_model(tmp_path: Path, histories: Histories) -> None:
    encoder, head = EventEncoder(SMALL, seed=4), SequenceHead(np.ones(16, np.float32), 0.25, 2.0)

    model = from_files("v1", _written(tmp_path, to_files(encoder, head)))

    assert model.encoder.embed(histories).tobytes() == encoder.embed(histories).tobytes()
    assert model.head.bias == 0.25


def test_a_model_of_another_vocabulary_is_refused(tmp_path: Path) -> None:
    files = to_files(EventEncoder(SMALL, seed=4), SequenceHead(np.ones(16, np.float32), 0.25, 2.0))
    content = json.loads(files[CONFIG])
    content["words"]["kind"].append("theft")

    with pytest.raises(Unavailable, match="knows other kinds of events than this version"):
        from_files("v1", _written(tmp_path, files | {CONFIG: json.dumps(content).encode()}))


def test_training_gives_a_model_whose_card_says_that_it_is_synthetic(tmp_path: Path) -> None:
    shares: list[float] = []
    quick = Contrast(steps=2, customers=8, slices=2, longest=24)

    files, card = train_sequence(lambda what, share: shares.append(share), num_customers=150, contrast=quick)

    assert "Synthetic" in card["trained_on"]
    assert "Synthetic" in card["limits"]
    assert shares == sorted(shares)
    assert from_files("v1", _written(tmp_path, files)).head.bound == 2.0
