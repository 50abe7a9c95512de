"""Seconds of a grid search over ``NeuralODEClassifier``, beside scikit-learn's and PyTorch's.

Digits, 12 candidates times 5 folds, ``n_jobs=2``, the cache warm: three widths and four penalties,
for refode two penalties and two ways to standardise columns. MLPClassifier's widths are 50, 100 and
150, refode's and torchdiffeq's those with as many weights or fewer; everything else is at its
default, so that MLPClassifier trains by Adam for at most 200 epochs. The loop in PyTorch has
refode's model (field, scheme, steps, float32) with torchdiffeq's ``odeint`` and trains as
MLPClassifier does: Adam, batches of 200, the same stopping rule; skorch trains the same model by
the same rule. They make one fold in five of each candidate, and their time counts five times.

The codes take turns, after a small search that starts joblib's processes. OPENBLAS_CORETYPE and
OPENBLAS_L2_SIZE, which may be set for the bits' sake, are taken out first, as are limits on
threads: everyone gets the BLAS kernels of the processor.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
import warnings
from functools import partial
from importlib.util import find_spec
from typing import Any

UNSET = (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "REFODE_NUM_THREADS",
)
WIDTHS = (50, 100, 150)  # of MLPClassifier
ALPHAS = (1e-4, 1e-3, 1e-2, 1e-1)
TIKHONOV, SCALES = (1e-3, 1e-2), (True, "common")
SLOWER, LOST, FASTER = 2.0, 0.005, 10.0


def weights_of_mlp(k: int) -> int:
    """Of 64 inputs, k hidden units, 10 outputs."""
    return 64 * k + k + 10 * k + 10


def width_of_ode(p: int) -> int:
    """Hidden units of a shallow field in 64 dimensions that give p weights at most."""
    return (p - 64 - 650) // 129


ODE_WIDTHS = tuple(width_of_ode(weights_of_mlp(k)) for k in WIDTHS)


def search_refode(x: Any, y: Any, folds: Any, quick: bool) -> Any:
    """A grid search over refode's classifier."""
    from sklearn.model_selection import GridSearchCV

    from refode.estimators import NeuralODEClassifier

    grid = {"width": ODE_WIDTHS[: 1 if quick else 3], "tikhonov": TIKHONOV}
    if not quick:
        grid["standardize"] = SCALES
    return GridSearchCV(NeuralODEClassifier(random_state=0), grid, cv=folds, n_jobs=2).fit(x, y)


def search_mlp(x: Any, y: Any, folds: Any, quick: bool) -> Any:
    """A grid search over scikit-learn's network."""
    from sklearn.model_selection import GridSearchCV
    from sklearn.neural_network import MLPClassifier

    sizes = [(k,) for k in WIDTHS[: 1 if quick else 3]]
    grid = {"hidden_layer_sizes": sizes, "alpha": ALPHAS[: 2 if quick else 4]}
    return GridSearchCV(MLPClassifier(random_state=0), grid, cv=folds, n_jobs=2).fit(x, y)


def ode_in_torch(width: int) -> Any:
    """The same model by torchdiffeq: field, steps, readout."""
    import torch
    from torchdiffeq import odeint

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            ends = torch.nn.Linear(64, width), torch.nn.Linear(width, 64)
            self.f = torch.nn.Sequential(ends[0], torch.nn.Tanh(), ends[1])
            self.readout, self.times = torch.nn.Linear(64, 10), torch.linspace(0.0, 1.0, 5)

        def forward(self, z: Any) -> Any:
            return self.readout(
                odeint(lambda t, z: self.f(z), z, self.times, method="midpoint")[-1]
            )

    torch.set_num_threads(1)
    torch.manual_seed(0)
    return Model()


def standardized(x: Any, test: Any) -> tuple[Any, Any]:
    """Columns of mean 0 and deviation 1, in float32."""
    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale[scale == 0.0] = 1.0
    return ((x - mean) / scale).astype("float32"), ((test - mean) / scale).astype("float32")


def fit_torch(width: int, decay: float, x: Any, y: Any, test: Any, epochs: int) -> float:
    """Train the same model by torchdiffeq and Adam; accuracy on the rest."""
    import torch

    model, (x, rest) = ode_in_torch(width), standardized(x, test[0])
    inputs, labels = torch.tensor(x), torch.tensor(y)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=decay)
    best, since = float("inf"), 0
    for _ in range(epochs):
        total = 0.0
        for rows in torch.randperm(len(inputs)).split(200):
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(inputs[rows]), labels[rows])
            loss.backward()
            optimiser.step()
            total += loss.item() * len(rows) / len(inputs)
        since = 0 if total < best - 1e-4 else since + 1
        best = min(best, total)
        if since > 10:
            break
    with torch.no_grad():
        found = model(torch.tensor(rest)).argmax(dim=1).numpy()
    return float((found == test[1]).mean())


def fit_skorch(width: int, decay: float, x: Any, y: Any, test: Any, epochs: int) -> float:
    """The same by skorch."""
    import skorch
    import torch

    model, (x, rest) = ode_in_torch(width), standardized(x, test[0])
    stop = skorch.callbacks.EarlyStopping("train_loss", 10, 1e-4, "abs")
    net = skorch.NeuralNetClassifier(
        model,
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        optimizer__weight_decay=decay,
        lr=1e-3,
        batch_size=200,
        max_epochs=epochs,
        iterator_train__shuffle=True,
        train_split=None,
        callbacks=[stop],
        verbose=0,
    )
    return float((net.fit(x, y).predict(rest) == test[1]).mean())


def search_in_torch(fit: Any, x: Any, y: Any, folds: Any, quick: bool) -> list[float]:
    """One fold of each candidate, on two processes."""
    from joblib import Parallel, delayed

    train, test = folds[0]
    rest = (x[test], y[test])
    grid = [(k, a) for k in ODE_WIDTHS[: 1 if quick else 3] for a in ALPHAS[: 2 if quick else 4]]
    epochs = 20 if quick else 200
    return Parallel(n_jobs=2)(delayed(fit)(k, a, x[train], y[train], rest, epochs) for k, a in grid)


IN_TORCH = {"torchdiffeq": fit_torch, "skorch": fit_skorch}


def turns(searches: dict[str, Any], x: Any, y: Any, folds: Any, args: Any) -> dict[str, Any]:
    """Seconds of each search, round by round, and what the last one found."""
    found: dict[str, Any] = {name: {"seconds": []} for name in searches}
    names = list(searches)
    for r in range(args.rounds):
        for name in names[r % len(names) :] + names[: r % len(names)]:
            if name in IN_TORCH and r > 0:
                continue  # which takes minutes: one turn says enough
            start = time.perf_counter()
            result = searches[name](x, y, folds, args.quick)
            seconds = time.perf_counter() - start
            found[name]["seconds"].append(seconds * (len(folds) if name in IN_TORCH else 1))
            if name in IN_TORCH:
                found[name]["score"] = max(result)
            else:
                found[name]["score"] = float(result.best_score_)
                found[name]["best"] = {k: str(v) for k, v in result.best_params_.items()}
            print(f"  round {r + 1}, {name}: {seconds:.1f} s", flush=True)
    return found


def default_scores(x: Any, y: Any, folds: Any) -> dict[str, float]:
    """Accuracy at all defaults but refode's width, of as many weights."""
    from sklearn.model_selection import cross_val_score
    from sklearn.neural_network import MLPClassifier

    from refode.estimators import NeuralODEClassifier

    models = {
        "refode": NeuralODEClassifier(width=ODE_WIDTHS[1], random_state=0),
        "MLPClassifier": MLPClassifier(random_state=0),
    }
    return {k: float(cross_val_score(m, x, y, cv=folds).mean()) for k, m in models.items()}


def blas() -> list[str]:
    """What NumPy and SciPy multiply by."""
    from threadpoolctl import threadpool_info

    infos = [i for i in threadpool_info() if i["user_api"] == "blas"]
    return [f"{i['internal_api']} {i['version']}, {i.get('architecture')}" for i in infos]


def main() -> int:
    """Measure, print, check."""
    from sklearn.datasets import load_digits
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import StratifiedKFold

    from validation import common

    parser = common.arguments(__doc__, "benchmark_estimators")
    parser.add_argument("--rounds", type=int, help="turns of each code (default: 3; quick: 1)")
    parser.add_argument("--no-assert", action="store_true", help="look only: exit status 0")
    args = parser.parse_args()
    args.rounds = args.rounds or (1 if args.quick else 3)
    warnings.simplefilter("ignore", ConvergenceWarning)
    os.environ["PYTHONWARNINGS"] = "ignore"  # of the processes of joblib, too
    report, (x, y) = common.Report(args.out), load_digits(return_X_y=True)
    if args.quick:
        x, y = x[:600], y[:600]
    folds = list(StratifiedKFold(2 if args.quick else 5).split(x, y))
    searches = {"refode": search_refode, "MLPClassifier": search_mlp}
    for name, fit in IN_TORCH.items():
        if find_spec("torchdiffeq") and find_spec(name):
            searches[name] = partial(search_in_torch, fit)
        else:
            print(f"  {name} is not installed: left out")
    defaults = default_scores(x, y, folds)  # and the cache is warm
    for name in ("refode", "MLPClassifier"):  # joblib's processes have imported what they need
        searches[name](x[:200], y[:200], [(range(100), range(100, 200))], True)
    found = turns(searches, x, y, folds, args)
    about = {**common.machine(), "blas": blas(), "load": os.getloadavg()}
    print(f"{about['processor']}, {about['cores']} cores; {'; '.join(about['blas'])}")
    rows = [
        (
            name,
            f"{statistics.median(of['seconds']):.1f}",
            f"{of['score']:.4f}",
            score(name, defaults),
        )
        for name, of in found.items()
    ]
    common.print_table("grid search", ("code", "median s", "best accuracy", "at defaults"), rows)
    compare(report, found, defaults)
    report.json("benchmark_estimators.json", {"machine": about, "found": found, "at": defaults})
    return report.finish(check=not args.no_assert)


def score(name: str, defaults: dict[str, float]) -> str:
    """A cell of the table."""
    return f"{defaults[name]:.4f}" if name in defaults else ""


def compare(report: Any, found: dict[str, Any], defaults: dict[str, float]) -> None:
    """Hold refode to its targets."""
    seconds = {name: statistics.median(of["seconds"]) for name, of in found.items()}
    mine, mlp = seconds["refode"], seconds["MLPClassifier"]
    report.at_most("times MLPClassifier's seconds", mine / mlp, SLOWER)
    lost = found["MLPClassifier"]["score"] - found["refode"]["score"]
    report.at_most("accuracy of the search below MLPClassifier's", lost, LOST)
    lost = defaults["MLPClassifier"] - defaults["refode"]
    report.at_most("accuracy at the defaults below MLPClassifier's", lost, LOST)
    ratios = {name: seconds[name] / mine for name in IN_TORCH if name in seconds}
    if ratios:  # skorch, or a loop: both are printed
        for name, ratio in ratios.items():
            print(f"{name}: {ratio:.1f} times refode's seconds")
        report.at_least("times as fast as skorch or a loop", max(ratios.values()), FASTER)


def as_the_processor_is() -> None:
    """Begin anew without settings of BLAS and of threads, which are read once."""
    if any(name in os.environ for name in UNSET):
        kept = {k: v for k, v in os.environ.items() if k not in UNSET}
        command = [sys.executable, "-m", "validation.benchmarks.estimators", *sys.argv[1:]]
        os.execve(sys.executable, command, kept)


if __name__ == "__main__":
    as_the_processor_is()
    sys.exit(main())
