"""The doctor tells which kernels run, and why no better ones."""

from __future__ import annotations

from pathlib import Path

from core_model.kernels.library import status
from service.doctor import Finding, examine
from service.settings import Settings


def kernels_of(settings: Settings) -> Finding:
    return next(finding for finding in examine(settings) if finding.part == "kernels")


def test_the_kernels_in_use_are_told_with_what_is_missing_for_better_ones(tmp_path: Path) -> None:
    found, here = kernels_of(Settings(home=tmp_path)), status()

    assert (here.level or "the engine runs on torch") in found.state
    assert here.why in found.state
    assert not found.remedy  # works, if slower


def test_kernels_that_are_switched_off_are_told(tmp_path: Path) -> None:
    assert kernels_of(Settings(home=tmp_path, kernels=False)).state == "switched off (TRIVIUM_KERNELS)"


def test_a_folder_that_is_no_encoder_is_told(tmp_path: Path) -> None:
    found = {finding.part: finding for finding in examine(Settings(home=tmp_path, encoder=tmp_path / "none"))}

    assert found["TRIVIUM_ENCODER"].remedy == "It lacks config.json, model.safetensors, tokenizer.json."
