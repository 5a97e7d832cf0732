"""LightGBM's trees as plain nodes for an ONNX tree ensemble. Ignores ONNX itself, and how the trees were fitted.

ONNX trees of the wide-spread opset compare one number with one threshold. A LightGBM split on a set of categories
becomes a comparison on an added column, which is 1 where the category belongs to the set. Shapes: S sets of a field.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verticals.finance.data import FEATURES


@dataclass(frozen=True)
class Node:
    """A comparison `column <= threshold`, or a leaf that adds `value` to the logit."""

    tree: int
    node: int
    column: int = 0
    threshold: float = 0.0
    if_true: int = 0
    if_false: int = 0
    value: float = 0.0
    is_leaf: bool = False


@dataclass(frozen=True)
class Ensemble:
    """All trees. Columns: each field's own in order, but a nominal field has one per set of `sets[field]`."""

    nodes: tuple[Node, ...]
    sets: dict[int, tuple[frozenset[int], ...]]

    @property
    def leaves(self) -> list[Node]:
        """The nodes that carry a value."""
        return [node for node in self.nodes if node.is_leaf]

    def membership(self, field: int, *, num_categories: int) -> NDArray[np.float64]:
        """(num_categories + 1, S): 1 where the set of a column holds the category; the last row is in none."""
        ranks = range(num_categories + 1)
        rows = [[float(rank in members) for members in self.sets[field]] for rank in ranks]
        return np.array(rows).reshape(num_categories + 1, -1)


def read_ensemble(model: bytes) -> Ensemble:
    """Read LightGBM's text.

    Raises:
        ValueError: not a binary classifier that adds its trees, or a field that treats missing values specially.
    """
    import lightgbm

    dump = lightgbm.Booster(model_str=model.decode()).dump_model()
    if dump["objective"] != "binary sigmoid:1" or dump["average_output"]:
        raise ValueError(f"model: must be a binary LightGBM model of additive trees (got {dump['objective']!r}).")
    roots = [tree["tree_structure"] for tree in dump["tree_info"]]
    sets: dict[int, dict[frozenset[int], int]] = {i: {} for i, f in enumerate(FEATURES) if f.kind == "nominal"}
    for split in (split for root in roots for split in _splits(root)):
        if split["decision_type"] == "==":
            seen = sets[split["split_feature"]]
            seen.setdefault(_members(split), len(seen))
        elif split["missing_type"] != "None":
            raise ValueError(
                f"model: missing values must count as 0 in field {split['split_feature']} "
                f"(got missing_type {split['missing_type']!r}). Train the challenger without missing values."
            )
    widths = [len(sets[i]) if i in sets else 1 for i in range(len(FEATURES))]
    first = [sum(widths[:i]) for i in range(len(widths))]
    nodes = [node for tree, root in enumerate(roots) for node in _flatten(root, tree, first, sets)]
    return Ensemble(tuple(nodes), {field: tuple(seen) for field, seen in sets.items()})


def _splits(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "split_index" in node:
        yield node
        yield from _splits(node["left_child"])
        yield from _splits(node["right_child"])


def _members(split: dict[str, Any]) -> frozenset[int]:
    return frozenset(int(rank) for rank in str(split["threshold"]).split("||"))


def _flatten(
    root: dict[str, Any], tree: int, first: list[int], sets: dict[int, dict[frozenset[int], int]]
) -> list[Node]:
    numbers, nodes = count(), []

    def visit(source: dict[str, Any]) -> int:
        number = next(numbers)
        if "split_index" not in source:
            nodes.append(Node(tree, number, value=source["leaf_value"], is_leaf=True))
            return number
        left, right = visit(source["left_child"]), visit(source["right_child"])
        field = source["split_feature"]
        if source["decision_type"] == "==":  # in the set is left: column 1, above the threshold
            column = first[field] + sets[field][_members(source)]
            nodes.append(Node(tree, number, column, 0.5, if_true=right, if_false=left))
        else:
            nodes.append(Node(tree, number, first[field], source["threshold"], if_true=left, if_false=right))
        return number

    visit(root)
    return sorted(nodes, key=lambda node: node.node)
