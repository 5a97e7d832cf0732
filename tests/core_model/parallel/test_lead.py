"""Two processes that share a model give the tokens of one, whatever comes and goes."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from core_model.checkpoint import Checkpoint
from core_model.generation import SamplingParams
from core_model.parallel.launch import Room, new_engine, open_part
from core_model.parallel.lead import follow
from core_model.parallel.share import Share
from tests.core_model.tiny import LLAMA, make_tokenizer
from tests.core_model.tiny_experts import DEEPSEEK, seeded_tensors

# Heads in pairs and a tied head of an odd vocabulary; latents and experts.
MODELS: list[dict[str, Any]] = [{**LLAMA, "vocab_size": 301}, DEEPSEEK]
PREFIX = [*range(40)]
PROMPTS = [[*PREFIX, 7], [3, 1, 4], [*PREFIX, 9, 8]]


def _answers(config: dict[str, Any], share: Share) -> list[list[int]] | None:
    """What each prompt is answered, two at once; None in a process that follows."""
    checkpoint, room = Checkpoint(config, seeded_tensors(config)), Room(max_batch=2, max_context=64)
    decoder, cache, line = open_part(checkpoint, share, torch.device("cpu"), "fp32", room)
    if share.rank:
        return follow(decoder, cache, line)
    with new_engine(decoder, cache, make_tokenizer(), version="tiny", room=room) as engine:
        streams = [engine.stream(prompt, SamplingParams(max_tokens=6, ignore_eos=True)) for prompt in PROMPTS]
        found = [[token for chunk in stream for token in chunk.token_ids] for stream in streams]
    line.tell("stop")
    return found


def _run(folder: Path, rank: int, size: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet-{size}", rank=rank, world_size=size)
    found = [_answers(config, Share(rank, size)) for config in MODELS]
    if rank == 0:
        (folder / f"{size}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Any]:
    """By number of processes: the answers of each model."""
    folder, fork = tmp_path_factory.mktemp("shared"), multiprocessing.get_context("fork")
    processes = [fork.Process(target=_run, args=(folder, rank, size)) for size in (1, 2) for rank in range(size)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    return {size: json.loads((folder / f"{size}.json").read_text()) for size in (1, 2)}


@pytest.mark.parametrize("model", range(len(MODELS)))
def test_two_processes_answer_as_one(answers: dict[int, Any], model: int) -> None:
    assert answers[2][model] == answers[1][model]
    assert [len(answer) for answer in answers[2][model]] == [6, 6, 6]
