"""The MoE scorer behind scikit-learn's interface: a table in, a calibrated and additive score out.

pandas, polars and Arrow tables keep their column names; arrays get `x0`, `x1`, .... Ignores storage and serving.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import StratifiedKFold
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from verticals.finance.moe.bins import Field, infer_fields
from verticals.finance.moe.fit import Members, Recipe, fit_members
from verticals.finance.moe.table import calibration, compile_table
from verticals.finance.moe.teacher import teach
from verticals.finance.scaling import prob_default


class MoEScorer(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Additive score of a default, from effects that a mixture of experts gives to the bins of each field.

    Args:
        recipe: How members are trained; None: `Recipe()`.
        num_members: Tables that are averaged, each trained without another part of the rows; at least 2.
        teacher_share: Weight of a gradient-boosting teacher's out-of-fold probabilities in the target, 0-1.
        monotone: Column to 1 (risk rises along it) or -1 (it falls).
        orders: Column to its categories in natural order; other text columns are nominal.
        random_state: Seed of folds and networks.

    Attributes:
        classes_: The two labels; the second is the event, such as default.
        fields_: What the columns were taken for.
        members_: The trained network.
        calibration_: (slope, shift) between the members' mean logit and the score.
        scorecard_: The compiled table; all predictions come from it.
    """

    def __init__(
        self,
        *,
        recipe: Recipe | None = None,
        num_members: int = 5,
        teacher_share: float = 0.0,
        monotone: Mapping[str, int] | None = None,
        orders: Mapping[str, Sequence[str]] | None = None,
        random_state: int = 0,
    ) -> None:
        self.recipe = recipe
        self.num_members = num_members
        self.teacher_share = teacher_share
        self.monotone = monotone
        self.orders = orders
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Train on a table (N, F) and N labels of two classes.

        Raises:
            ValueError: what scikit-learn refuses, more than two classes, or parameters outside their range.
        """
        if self.num_members < 2 or not 0 <= self.teacher_share <= 1:
            raise ValueError(
                f"num_members must be 2 or more, teacher_share 0 to 1 (got {self.num_members}, {self.teacher_share})."
            )
        frame = self._table(X, y, reset=True)
        default = self._outcomes(y)
        self.fields_: tuple[Field, ...] = infer_fields(frame, monotone=self.monotone, orders=self.orders)
        splitter = StratifiedKFold(self.num_members, shuffle=True, random_state=self.random_state)
        folds = [fold for _, fold in splitter.split(frame, default)]
        target = default.astype(np.float64)
        if self.teacher_share:
            taught = teach(frame, default, fields=self.fields_, folds=folds, seed=self.random_state)
            target = (1 - self.teacher_share) * target + self.teacher_share * taught
        self.members_: Members = fit_members(
            frame,
            target,
            default=default,
            folds=folds,
            fields=self.fields_,
            recipe=self.recipe or Recipe(),
            seed=self.random_state,
        )
        shift, slope = calibration(default, self.members_.held_out_logit)
        self.calibration_ = slope, shift
        self.scorecard_ = compile_table(self.members_, frame, default, shift=shift, slope=slope)
        return self

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """ln(odds) of the second class, (N,), from the table."""
        check_is_fitted(self)
        return self.scorecard_.score(self._known(self._table(X, reset=False))).logit

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities of both classes, (N, 2)."""
        prob = prob_default(self.decision_function(X))
        return np.stack([1 - prob, prob], axis=1)

    def predict(self, X: Any) -> NDArray[Any]:
        """The likelier class, (N,). A lender decides by a policy on the probability instead."""
        likelier = (self.decision_function(X) > 0).astype(int)
        chosen: NDArray[Any] = self.classes_[likelier]
        return chosen

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.allow_nan = True
        return tags

    def _table(self, X: Any, y: Any = "no_validation", *, reset: bool) -> pd.DataFrame:
        """The input as a pandas table; its names and width are remembered, or compared with those of training."""
        if hasattr(X, "to_pandas"):  # polars, Arrow
            X = X.to_pandas()
        if isinstance(X, pd.DataFrame):
            validate_data(self, X, y, reset=reset, skip_check_array=True)
            return X
        options: dict[str, Any] = {"dtype": np.float64, "ensure_all_finite": "allow-nan", "reset": reset}
        X = validate_data(self, X, **options) if isinstance(y, str) else validate_data(self, X, y, **options)[0]
        return pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])

    def _outcomes(self, y: Any) -> NDArray[np.int_]:
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        self.classes_, default = np.unique(y, return_inverse=True)
        if len(self.classes_) != 2:
            kind = type_of_target(y)
            raise ValueError(
                f"Only binary classification is supported; y must have 2 classes (got {len(self.classes_)} class(es), "
                f"{kind}). Give good and bad."
            )
        fewest = int(np.bincount(default).min())
        if fewest < self.num_members:
            raise ValueError(
                f"num_members: must be at most the rows of the rarer class (got {self.num_members}, of which {fewest} "
                "are there). Give more rows or fewer members."
            )
        return default

    def _known(self, frame: pd.DataFrame) -> dict[str, Any]:
        """The scorecard's columns; a category that it does not know is missing."""
        known = {f.name: {c for b in f.bins for c in b.categories} for f in self.scorecard_.features}
        return {
            name: frame[name].astype(object).where(frame[name].isin(list(found)), None) if found else frame[name]
            for name, found in known.items()
        }
