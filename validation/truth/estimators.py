"""Accuracy of the estimators in 5-fold cross-validation, beside scikit-learn's.

Iris, wine, digits and breast cancer (accuracy), diabetes (R^2): five folds, shuffled once with
seed 0, all models on the same ones and with their defaults, those that want it on standardised
columns. Besides the mean over the folds the table has the deviation between them: differences well
below it say nothing. Densities of iris and wine, in nats a sample, beside Gaussian mixtures.
"""

from __future__ import annotations

import sys
import time
import warnings
from typing import Any

from sklearn import datasets
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from refode.estimators import FlowDensity, NeuralODEClassifier, NeuralODERegressor
from validation import common

CLASSES = ("iris", "wine", "digits", "breast_cancer")
FOLDS = KFold(5, shuffle=True, random_state=0)
#: How far below the best of the others a mean may lie.
MARGIN = 0.02


def standardised(model: Any) -> Any:
    """The model on columns of mean 0 and deviation 1."""
    return make_pipeline(StandardScaler(), model)


def classifiers() -> dict[str, Any]:
    """By the names in the table."""
    return {
        "NeuralODE": NeuralODEClassifier(random_state=0),
        "linear": standardised(LogisticRegression(max_iter=1000)),
        "MLP": standardised(MLPClassifier(random_state=0)),
        "SVM": standardised(SVC()),
        "boosting": HistGradientBoostingClassifier(random_state=0),
    }


def regressors() -> dict[str, Any]:
    """By the names in the table."""
    return {
        "NeuralODE": NeuralODERegressor(random_state=0),
        "linear": standardised(Ridge()),
        "MLP": standardised(MLPRegressor(random_state=0)),
        "SVM": standardised(SVR()),
        "boosting": HistGradientBoostingRegressor(random_state=0),
    }


def densities() -> dict[str, Any]:
    """By the names in the table."""
    return {
        "flow": FlowDensity(random_state=0),
        "Gaussian": GaussianMixture(1),
        "mixture of 3": GaussianMixture(3, random_state=0),
    }


def scores(models: dict[str, Any], name: str, folds: Any) -> dict[str, Any]:
    """Scores of the folds and seconds, by model."""
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    found = {}
    for label, model in models.items():
        start = time.perf_counter()
        values = cross_val_score(model, x, y, cv=folds)
        found[label] = {
            "mean": float(values.mean()),
            "deviation": float(values.std()),
            "seconds": time.perf_counter() - start,
        }
        print(f"  {name}, {label}: {values.mean():.4f}", flush=True)
    return found


def main() -> int:
    """Measure, print, check."""
    parser = common.arguments(__doc__, "estimators")
    args = parser.parse_args()
    report = common.Report(args.out)
    warnings.simplefilter("ignore", ConvergenceWarning)
    names = ("iris", "wine") if args.quick else CLASSES
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    found = {name: scores(classifiers(), name, folds) for name in names}
    found["diabetes"] = scores(regressors(), "diabetes", FOLDS)
    rows = [
        (name, *(f"{100 * v['mean']:.1f} ± {100 * v['deviation']:.1f}" for v in of.values()))
        for name, of in found.items()
    ]
    columns = ("data", *next(iter(found.values())))
    common.print_table("accuracy, and R^2 for diabetes, in % over five folds", columns, rows)
    for name, of in found.items():
        best = max(v["mean"] for label, v in of.items() if label != "NeuralODE")
        lost = best - of["NeuralODE"]["mean"]
        report.at_most(f"{name}: below the best of the others", lost, MARGIN)
    sets = ("iris",) if args.quick else ("iris", "wine")
    likelihoods = {name: scores(densities(), name, FOLDS) for name in sets}
    rows = [
        (name, *(f"{v['mean']:.2f} ± {v['deviation']:.2f}" for v in of.values()))
        for name, of in likelihoods.items()
    ]
    columns = ("data", *next(iter(likelihoods.values())))
    common.print_table("log-density, nats a sample over five folds", columns, rows)
    results = {"machine": common.machine(), "scores": found, "likelihoods": likelihoods}
    report.json("estimators.json", results)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
