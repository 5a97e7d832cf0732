"""The credit models as ONNX graphs, so that a bank can score without Python. Decides nothing and keeps no audit trail.

The graphs take the application's fields as they are: one input per field, (N,) doubles or strings, missing as NaN or
"". Binning, weights of evidence and category ranks happen inside, with standard operators only (ai.onnx 17, ai.onnx.ml
3). Shapes: N applications, F fields, B bins.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from verticals.contract import ModelRegistry, Unavailable
from verticals.finance.data import DATA_NOTE, FEATURES, load_german
from verticals.finance.exports.onnx_trees import Ensemble, read_ensemble
from verticals.finance.scorecard import Columns, Scorecard, ScoredFeature
from verticals.finance.scoring import CHALLENGER, load_models
from verticals.finance.sources.names import TERM_COLUMNS

OPSETS: Mapping[str, int] = {"": 17, "ai.onnx.ml": 3}
IR_VERSION = 8  # ONNX 1.12, of 2022: older runtimes stay able to read the files
Model = Literal["scorecard", "challenger"]
TOLERANCE: Mapping[Model, float] = {"scorecard": 1e-6, "challenger": 1e-5}  # trees add up in single precision
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Export:
    """A model in force as ONNX, and how far its probabilities are from ours on the development sample at most."""

    file_name: str
    version: str
    content: bytes
    max_difference: float


def export_active(registry: ModelRegistry) -> list[Export]:
    """The scorecard and, if there is one, the challenger in force; each compared with ours on 1,000 real rows.

    Raises:
        Unavailable: no scorecard is registered, a package is missing, or a graph computes something else.
    """
    models, sample = load_models(registry), load_german()[0]
    version = models.card.version
    graph = export_scorecard(models.scorecard, version=version)
    ours_N, exported_N = models.scorecard.score(sample).prob_default, score_onnx(graph, sample)["prob_default"]
    exports = [Export("scorecard.onnx", version, graph, require_equal("scorecard", ours_N, exported_N))]
    shadow = registry.load(CHALLENGER)
    if shadow and models.challenger:
        version = shadow[0].version
        graph = export_challenger(shadow[1]["model.txt"].read_bytes(), version=version)
        ours_N, exported_N = models.challenger.predict(sample), score_onnx(graph, sample)["prob_default"]
        exports.append(Export("challenger.onnx", version, graph, require_equal("challenger", ours_N, exported_N)))
    return exports


def export_scorecard(scorecard: Scorecard, *, version: str, sources: bool = False) -> bytes:
    """A graph with outputs `prob_default` (N,), `points` (N,), unrounded, and `contributions` (N, F), in points.

    A missing value gets the scorecard's WoE for it; a category that the development sample did not have has no
    evidence: its row is NaN throughout, where `Scorecard.score` raises.

    Args:
        sources: Whether the graph has the inputs `TERM_COLUMNS` too: the terms of an answer; one that is left out is 0.

    Raises:
        Unavailable: the package onnx is missing.
    """
    graph = _Graph()
    effects = [_effect(graph, f) for f in scorecard.features]
    effect_NF = graph.add("Concat", *effects, axis=1)
    total_N = graph.add("ReduceSum", effect_NF, graph.constant([1], np.int64), keepdims=0)
    logit_N = graph.add("Add", total_N, graph.constant(scorecard.base_logit))
    for column in TERM_COLUMNS if sources else ():
        logit_N = graph.add("Add", logit_N, graph.optional_input(column))
    factor = graph.constant(-scorecard.scaling.factor)
    graph.output("prob_default", graph.add("Sigmoid", logit_N), ["N"])
    points_N = graph.add("Add", graph.add("Mul", logit_N, factor), graph.constant(scorecard.scaling.offset))
    graph.output("points", points_N, ["N"])
    graph.output("contributions", graph.add("Mul", effect_NF, factor), ["N", len(scorecard.features)])
    scaling = scorecard.scaling
    about = {
        "base_points": scaling.base_points,
        "base_odds": scaling.base_odds,
        "pdo": scaling.pdo,
        "factor": scaling.factor,
        "offset": scaling.offset,
        "points_of_average_applicant": scorecard.base_points,
        "features": [{"name": f.name, "kind": f.kind, "categories": _categories(f)} for f in scorecard.features],
    }
    return graph.serialize("trivium_scorecard", version=version, about=about)


def export_challenger(model: bytes, *, version: str) -> bytes:
    """LightGBM's text as a graph with the output `prob_default` (N,).

    Missing and unseen values go where LightGBM sends them.

    Raises:
        Unavailable: the package onnx is missing.
        ValueError: the text holds something else than a binary model of additive trees.
    """
    graph = _Graph()
    ensemble = read_ensemble(model)
    columns = []
    for i, f in enumerate(FEATURES):
        if f.kind == "nominal":
            # One row per category, and one of zeros: who is in no set goes right, as in LightGBM.
            member_BS = ensemble.membership(i, num_categories=len(f.categories))
            rank_N = graph.labels(graph.input(f.name, is_text=True), f.categories, unseen=len(f.categories))
            columns.append(graph.add("Gather", graph.constant(member_BS), rank_N, axis=0))
        else:  # LightGBM takes a missing value for 0 where training saw none
            if f.kind == "ordered":
                rank_N = graph.labels(graph.input(f.name, is_text=True), f.categories, unseen=0)
                value_N = graph.add("Cast", rank_N, to=graph.types.DOUBLE)
            else:
                given_N = graph.input(f.name)
                value_N = graph.add("Where", graph.add("IsNaN", given_N), graph.constant(0.0), given_N)
            columns.append(graph.add("Unsqueeze", value_N, graph.constant([1], np.int64)))
    x_NF = graph.add("Concat", *columns, axis=1)
    logit_N1 = graph.add("TreeEnsembleRegressor", x_NF, domain="ai.onnx.ml", **_tree_attributes(ensemble))
    logit_N = graph.add("Squeeze", graph.add("Cast", logit_N1, to=graph.types.DOUBLE), graph.constant([1], np.int64))
    graph.output("prob_default", graph.add("Sigmoid", logit_N), ["N"])
    about = {
        "features": [{"name": f.name, "kind": f.kind, "categories": f.categories} for f in FEATURES],
        "role": "challenger: scored in shadow, decides nothing",
    }
    return graph.serialize("trivium_challenger", version=version, about=about)


def score_onnx(model: bytes, columns: Columns) -> dict[str, Array]:
    """Run an exported graph over a table with onnxruntime; the outputs by name.

    Raises:
        Unavailable: the package onnxruntime is missing.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise _missing("onnxruntime") from error
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    feed = {}
    optional = [entry for entry in session.get_overridable_initializers() if entry.name in columns]
    for entry in [*session.get_inputs(), *optional]:
        values = list(columns[entry.name])
        if "string" in entry.type:
            feed[entry.name] = np.array(["" if _is_missing(v) else v for v in values], dtype=object)
        else:
            feed[entry.name] = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    names = [entry.name for entry in session.get_outputs()]
    return dict(zip(names, session.run(names, feed), strict=True))


def require_equal(kind: Model, ours_N: Array, exported_N: Array) -> float:
    """The largest difference of two columns of probabilities, if it is within the tolerance of `kind`.

    Raises:
        Unavailable: the graph computes something else; it must not be handed out.
    """
    difference = float(np.abs(ours_N - exported_N).max())
    if not difference <= TOLERANCE[kind]:
        raise Unavailable(
            f"the exported graph must give our probabilities within {TOLERANCE[kind]:g}",
            field=f"onnx export of the {kind}",
            value=f"{difference:.2g}",
            remedy="Nothing was written. Please report it with the model's version.",
        )
    return difference


def _effect(graph: _Graph, feature: ScoredFeature) -> str:
    """The field's part of the logit against the average applicant, (N, 1): bin index, then a table of effects."""
    bins, num_bins = feature.bins, len(feature.bins)
    if feature.kind == "numeric":
        value_N = graph.input(feature.name)
        low_B = graph.constant([b.low for b in bins[1:]])
        reached_NB = graph.add("GreaterOrEqual", graph.add("Unsqueeze", value_N, graph.constant([1], np.int64)), low_B)
        count_NB = graph.add("Cast", reached_NB, to=graph.types.INT64)
        index_N = graph.add("ReduceSum", count_NB, graph.constant([1], np.int64), keepdims=0)
        index_N = graph.add("Where", graph.add("IsNaN", value_N), graph.constant(num_bins, np.int64), index_N)
    else:
        text_N = graph.input(feature.name, is_text=True)
        bin_of = {category: i for i, b in enumerate(bins) for category in b.categories} | {"": num_bins}
        index_N = graph.labels(text_N, tuple(bin_of), ranks=tuple(bin_of.values()), unseen=num_bins + 1)
    woe_B = np.array([*(b.woe for b in bins), feature.missing_woe, np.nan])
    effect_B = graph.constant(feature.coefficient * (woe_B - feature.mean_woe))
    return graph.add("Unsqueeze", graph.add("Gather", effect_B, index_N, axis=0), graph.constant([1], np.int64))


def _tree_attributes(ensemble: Ensemble) -> dict[str, Any]:
    onnx = _onnx()
    nodes, leaves = ensemble.nodes, ensemble.leaves
    return {
        "n_targets": 1,
        "aggregate_function": "SUM",
        "post_transform": "NONE",
        "nodes_treeids": [n.tree for n in nodes],
        "nodes_nodeids": [n.node for n in nodes],
        "nodes_featureids": [n.column for n in nodes],
        "nodes_modes": ["LEAF" if n.is_leaf else "BRANCH_LEQ" for n in nodes],
        "nodes_values_as_tensor": onnx.numpy_helper.from_array(np.array([n.threshold for n in nodes]), "values"),
        "nodes_truenodeids": [n.if_true for n in nodes],
        "nodes_falsenodeids": [n.if_false for n in nodes],
        "target_treeids": [n.tree for n in leaves],
        "target_nodeids": [n.node for n in leaves],
        "target_ids": [0] * len(leaves),
        "target_weights_as_tensor": onnx.numpy_helper.from_array(np.array([n.value for n in leaves]), "weights"),
    }


class _Graph:
    """An ONNX graph under construction; values are their names."""

    def __init__(self) -> None:
        self._onnx = _onnx()
        self.types = self._onnx.TensorProto
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def input(self, name: str, *, is_text: bool = False) -> str:
        """A field of the application, (N,)."""
        kind = self.types.STRING if is_text else self.types.DOUBLE
        self._inputs.append(self._onnx.helper.make_tensor_value_info(name, kind, ["N"]))
        return name

    def optional_input(self, name: str) -> str:
        """A number of each application, (N,), missing as NaN; or left out. A missing one is 0."""
        self._inputs.append(self._onnx.helper.make_tensor_value_info(name, self.types.DOUBLE, [f"N_{name}"]))
        self._constants.append(self._onnx.numpy_helper.from_array(np.zeros(1), name))
        return self.add("Where", self.add("IsNaN", name), self.constant(0.0), name)

    def constant(self, value: Any, dtype: type[np.generic] = np.float64) -> str:
        """Numbers that belong to the model."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(self._onnx.numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """One operator with one result."""
        name = f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(
            self._onnx.helper.make_node(operator, list(inputs), [name], name=name, domain=domain, **attributes)
        )
        return name

    def labels(self, text_N: str, keys: Sequence[str], *, unseen: int, ranks: Sequence[int] | None = None) -> str:
        """The rank of each text among `keys`, (N,) int64; `unseen` for any other."""
        return self.add(
            "LabelEncoder",
            text_N,
            domain="ai.onnx.ml",
            keys_strings=list(keys),
            values_int64s=list(ranks if ranks is not None else range(len(keys))),
            default_int64=unseen,
        )

    def output(self, name: str, value: str, shape: list[str | int]) -> None:
        """Call `value` by a name of the interface."""
        self._nodes.append(self._onnx.helper.make_node("Identity", [value], [name], name=f"output_{name}"))
        self._outputs.append(self._onnx.helper.make_tensor_value_info(name, self.types.DOUBLE, shape))

    def serialize(self, name: str, *, version: str, about: Mapping[str, Any]) -> bytes:
        """The checked model; equal models give equal bytes."""
        helper = self._onnx.helper
        graph = helper.make_graph(self._nodes, name, self._inputs, self._outputs, self._constants)
        opsets = [helper.make_opsetid(domain, number) for domain, number in OPSETS.items()]
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="trivium", doc_string=DATA_NOTE
        )
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in about.items()}
        helper.set_model_props(model, {"model_version": version, **texts})
        self._onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))


def _onnx() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise _missing("onnx") from error
    return onnx


def _missing(package: str) -> Unavailable:
    return Unavailable(
        "must be installed for the export to ONNX",
        field="package",
        value=package,
        remedy="Run `pip install 'trivium[onnx]'`.",
    )


def _categories(feature: ScoredFeature) -> list[str]:
    return [category for b in feature.bins for category in b.categories]


def _is_missing(value: Any) -> bool:
    return value is None or value != value
