"""PneumoniaMNIST: the tower beside a ResNet-18 of about its size, trained the same way. Only train and val are here.

Validation films are children of the same hospital, and an epoch is not chosen on them; the official test split, which
is harder than val for every published model, was not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from benchmarks.films_data import load_children
from benchmarks.films_models import CHILD_SIZE, PRETRAINING, child_pictures
from core_model.weights import Weights
from verticals.bootstrap import bootstrap_interval
from verticals.medical.ranking import auc
from verticals.medical.vision.tower import Tower
from verticals.medical.vision.train import Pictures, Recipe, first_parameters, train, varied

SEEDS = (0, 1, 2)
WIDTH = 12  # of ResNet-18's first stage, 64 in the paper: as many parameters as the tower


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut (He 2016, arXiv:1512.03385)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(after), nn.BatchNorm2d(after)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or before != after:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, S, S) to (B, after, S / stride, S / stride)."""
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


def resnet18() -> nn.Sequential:
    """For pictures of 32 px: its first convolution is 3x3 of stride 2, and no pooling follows."""
    blocks: list[nn.Module] = [nn.Conv2d(1, WIDTH, 3, 2, 1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU()]
    before = WIDTH
    for stage in range(4):
        for i in range(2):
            after = WIDTH << stage
            blocks.append(Block(before, after, 2 if stage and not i else 1))
            before = after
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 1))


def _rows(num: int, recipe: Recipe, draw: torch.Generator) -> Iterator[Tensor]:
    for _ in range(recipe.epochs):
        yield from torch.split(torch.randperm(num, generator=draw), recipe.batch_size)


def train_resnet(pictures: Pictures, recipe: Recipe) -> nn.Sequential:
    """Same pictures, variations, optimizer, schedule, batches and epochs as the tower."""
    torch.manual_seed(recipe.seed)
    network, draw = resnet18(), torch.Generator().manual_seed(recipe.seed)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, betas=(0.9, 0.99)
    )
    steps = recipe.epochs * -(-len(pictures) // recipe.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, steps, pct_start=0.15)
    for rows in _rows(len(pictures), recipe, draw):
        batch = pictures[rows]
        logits_BK = network(varied(batch.pixels_BSS, draw).unsqueeze(1))
        loss = F.binary_cross_entropy_with_logits(logits_BK, batch.labels_BK)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return network.eval()


def main() -> None:
    """Print AUC and accuracy on val of each seed."""
    images, labels_N, val_images, val_N = load_children()
    pictures, val = child_pictures(images, labels_N), child_pictures(val_images, val_N)
    num_tower = sum(p.numel() for p in first_parameters(CHILD_SIZE, 0).values())
    print(f"PneumoniaMNIST: train {len(images)}, val {len(val_images)}; {PRETRAINING}")
    print(f"tower {num_tower:,} parameters, ResNet-18 {sum(p.numel() for p in resnet18().parameters()):,}")
    for seed in SEEDS:
        recipe = replace(PRETRAINING, seed=seed)
        made, network = train(pictures, CHILD_SIZE, recipe), train_resnet(pictures, recipe)
        with torch.inference_mode():
            tower = Tower(CHILD_SIZE, Weights(made, precision="int8"))
            scores = {
                "tower": tower(val.pixels_BSS).logits_BK[:, 0].numpy(),
                "ResNet-18": network(val.pixels_BSS.unsqueeze(1))[:, 0].numpy(),
            }
        for name, logits_N in scores.items():
            rows = np.stack((val_N, logits_N), 1)
            low, high = bootstrap_interval(rows, lambda drawn: auc(drawn[:, 0], drawn[:, 1]), draws=400)
            right = ((logits_N > 0) == (val_N > 0)).mean()
            print(f"seed {seed} {name:9s} AUC {auc(val_N, logits_N):.4f} [{low:.4f}, {high:.4f}], accuracy {right:.3f}")


if __name__ == "__main__":
    main()
