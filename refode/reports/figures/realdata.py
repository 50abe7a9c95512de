"""Real data: scikit-learn's digits and breast cancer, beside two of its classifiers.

The fields are [HR17]'s. Their penalties were chosen by cross-validation within the
training part; the test part is looked at once, at the end, by all three models.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from refode import datasets, plotting
from refode.fields import Antisymmetric, Field, Parabolic
from refode.ode.neural_ode import NeuralODE
from refode.problems.supervised import Supervised
from refode.reports import outputs, tables
from refode.training import INTERRUPTED, train

SEED = 0


class Task(NamedTuple):
    """A data set, the model for it and the accuracy it has to reach."""

    name: str
    load: Callable[[], datasets.Split]
    field: Callable[[int], Field]
    loss: str
    n_outputs: int
    tikhonov: float
    target: float


TASKS = (
    Task("digits", datasets.digits, Antisymmetric, "softmax", 10, 3e-4, 0.96),
    Task("breast cancer", datasets.breast_cancer, Parabolic, "logistic", 1, 1e-2, 0.95),
)


class Score(NamedTuple):
    """What one model reaches on one data set."""

    model: str
    train: float
    test: float
    seconds: float


class Outcome(NamedTuple):
    """All models on one data set, with refode's own training."""

    task: Task
    scores: list[Score]
    history: Any
    confusion: np.ndarray
    classes: tuple[str, ...]


def problem_for(task: Task, split: datasets.Split, n_steps: int = 4) -> Supervised:
    """The neural ODE of a task: RK4, weights constant in time."""
    ode = NeuralODE(task.field(split.x_train.shape[1]), scheme="rk4", n_steps=n_steps)
    return Supervised(ode, task.loss, n_outputs=task.n_outputs, tikhonov=task.tikhonov)


def evaluate(task: Task, max_iter: int, progress: bool) -> Outcome:
    """Train refode's model and scikit-learn's on the same split, and score them."""
    split = task.load()
    problem = problem_for(task, split)
    started = time.perf_counter()
    result = train(
        problem, split.x_train, split.y_train, seed=SEED, max_iter=max_iter, progress=progress
    )
    if result.status == INTERRUPTED:
        raise KeyboardInterrupt
    seconds = time.perf_counter() - started
    predicted = problem.predict_label(result.x, split.x_test)
    on_train = problem.predict_label(result.x, split.x_train) == split.y_train
    name = f"neural ODE ({type(problem.ode.field).__name__}, {problem.n_parameters} weights)"
    scores = [Score(name, on_train.mean(), (predicted == split.y_test).mean(), seconds)]
    confusion = np.zeros((2, 2) if task.n_outputs == 1 else (task.n_outputs,) * 2, dtype=int)
    np.add.at(confusion, (split.y_test, predicted), 1)
    classes = tuple(str(name) for name in split.class_names)
    return Outcome(task, scores + _peers(split), result.history, confusion, classes)


def _peers(split: datasets.Split) -> list[Score]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    models = [
        LogisticRegression(max_iter=2000),
        MLPClassifier(max_iter=1000, random_state=SEED),
    ]
    scores = []
    for model in models:
        scaled = make_pipeline(StandardScaler(), model)
        started = time.perf_counter()
        scaled.fit(split.x_train, split.y_train)
        seconds = time.perf_counter() - started
        scores.append(
            Score(
                f"scikit-learn {type(model).__name__}",
                scaled.score(split.x_train, split.y_train),
                scaled.score(split.x_test, split.y_test),
                seconds,
            )
        )
    return scores


def run(out: str | Path, progress: bool = True, max_iter: int = 100) -> bool:
    """Train and score all tasks, print the table, save figure and numbers."""
    folder = outputs.folder("realdata", out)
    outcomes = []
    with tables.keeping("realdata", folder) as kept:
        for task in TASKS:
            outcomes.append(evaluate(task, max_iter, progress))
            kept.add(task.name, _numbers(outcomes[-1]))
    rows, checks = [], []
    for outcome in outcomes:
        task, own = outcome.task, outcome.scores[0]
        n_train, n_test = outcome.history["evaluations"][-1], int(outcome.confusion.sum())
        for i, score in enumerate(outcome.scores):
            rows.append(
                [
                    task.name if i == 0 else "",
                    score.model,
                    f"{100 * score.train:.2f} %",
                    f"{100 * score.test:.2f} %",
                    f"{score.seconds:.1f}",
                ]
            )
        checks.append(
            (
                f"{task.name}: test accuracy at least {100 * task.target:.0f} % ({n_test} samples)",
                own.test >= task.target,
            )
        )
        checks.append(
            (f"{task.name}: trained in under a minute ({n_train} gradients)", own.seconds < 60.0)
        )
    tables.show(
        "Real data, one train/test split for all models",
        ["data", "model", "train", "test", "seconds"],
        rows,
    )
    plotting.save(draw(outcomes), folder, "realdata")
    numbers = {o.task.name: _numbers(o) for o in outcomes}
    return tables.finish("realdata", folder, checks, numbers)


def _numbers(outcome: Outcome) -> list[dict[str, Any]]:
    return [
        {
            "model": s.model,
            "train": float(s.train),
            "test": float(s.test),
            "seconds": round(s.seconds, 2),
        }
        for s in outcome.scores
    ]


def draw(outcomes: list[Outcome]) -> Any:
    """Training histories beside the confusion matrices."""
    figure = plotting.figure(7.2, 2.5)
    axes = figure.add_subplot(1, 3, 1)
    for outcome in outcomes:
        history = outcome.history
        axes.semilogy(history["iteration"], history["value"], label=outcome.task.name)
    axes.set(xlabel="L-BFGS iteration", ylabel="objective")
    axes.legend()
    for i, outcome in enumerate(outcomes):
        _draw_confusion(figure.add_subplot(1, 3, 2 + i), outcome)
    figure.tight_layout(w_pad=1.5)
    return figure


def _draw_confusion(axes: Any, outcome: Outcome) -> None:
    table = outcome.confusion
    n = len(table)
    share = table / table.sum(axis=1, keepdims=True)
    axes.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0)
    for i in range(n):
        for j in range(n):
            if table[i, j]:
                colour = "white" if share[i, j] > 0.5 else "black"
                axes.text(j, i, table[i, j], ha="center", va="center", size=6, color=colour)
    axes.set(xlabel="predicted class", ylabel="true class", xticks=range(n), yticks=range(n))
    axes.set_xticklabels(outcome.classes)
    axes.set_yticklabels(outcome.classes)
    test = outcome.scores[0].test
    axes.set_title(f"{outcome.task.name}: {100 * test:.1f} % right")
