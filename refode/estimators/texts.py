"""What the estimators' docstrings share: each parameter and attribute is described once."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import TypeVar

Class = TypeVar("Class", bound=type)

ODE = """\
field : str or refode.fields.Field, optional
    Right-hand side f: "shallow", "mlp" (two hidden layers), "antisymmetric", "parabolic",
    "affine", "hamiltonian", "leapfrog"; or a field of one's own.
width : int, optional
    Hidden units of the named fields that have any.
time : bool, optional
    Whether t is an input of the named fields.
scheme : str or Tableau, optional
    Runge-Kutta scheme, of ``refode.tableaus.names()``.
n_steps : int or refode.steps.Steps, optional
    Steps from t0 to T.
t_span : (float, float), optional
    t0 and T.
basis : str or refode.bases.Basis, optional
    Weights in time: "constant", "piecewise_constant", "piecewise_linear", "legendre", "bspline".
n_coefficients : int, optional
    Of a named basis other than "constant"."""

SERIES = """\
field : str or refode.fields.Field, optional
    Right-hand side f: "shallow", "mlp" (two hidden layers), "antisymmetric", "parabolic",
    "affine", "hamiltonian", "leapfrog"; or a field of one's own.
width : int, optional
    Hidden units of the named fields that have any.
time : bool, optional
    Whether t is an input of the named fields.
scheme : str or Tableau, optional
    Runge-Kutta scheme with an interpolant: "bogacki_shampine", "dopri5", "tsit5".
n_steps : int, optional
    Equal steps from the earliest time to the last one.
basis : str or refode.bases.Basis, optional
    Weights in time: "constant", "piecewise_constant", "piecewise_linear", "legendre", "bspline".
n_coefficients : int, optional
    Of a named basis other than "constant".
augment : int, optional
    Components of the state that are not observed, beside those of y."""

AUGMENT = """\
augment : int, optional
    Zeros appended to each sample, (7). A field of one's own says by its dim how many; named
    fields of two halves get one more where the number of columns is odd."""

PENALTIES = """\
tikhonov : float, optional
    Charges tikhonov/2 |theta|^2.
smoothness : float, optional
    Charges smoothness/2 int |theta'(t)|^2 dt."""

STANDARDIZE = """\
standardize : bool or "common", optional
    Whether columns of X are shifted by their mean and divided by their deviation; by a quarter
    of the largest distance where entries lie further away than 4 deviations. (A column that is
    constant but for a few samples would else have numbers that drown all others.) "common"
    divides all by one number, the root of their mean variance: for data of one unit, as pixels."""

STANDARDIZE_FLOW = """\
standardize : bool, optional
    Whether the standard normal is first shifted and scaled to the means and deviations of
    X's columns."""

TRAINING = """\
method : {"lbfgs", "newton-cg", "trust-krylov", "gn-cg"}, optional
    The optimiser, as of ``refode.train``; the last is none of densities'.
max_iter : int, optional
    The largest number of iterations.
tolerance : float, optional
    Converged where no entry of the gradient is larger in magnitude.
memory : int, optional
    Pairs of vectors that L-BFGS keeps.
batch_size : int, optional
    Train on batches of so many samples, by L-BFGS whose curvature goes along; on all by default.
iterations_per_batch : int, optional
    Iterations until the next batch.
early_stopping : bool, optional
    Whether a part of the samples is held out, and the weights are taken that are best on it.
validation_fraction : float, optional
    How large a part: of a classifier, of each class.
n_iter_no_change : int, optional
    With early stopping, enough after so many iterations without a better value.
warm_start : bool, optional
    Whether ``fit`` goes on from the weights, and with the standardisation, of the last one.
random_state : int, RandomState or None, optional
    For the first weights, batches and the held-out part.
n_threads : int, optional
    Threads of a fit or prediction. By default all that are left to it: one in each of joblib's
    processes where these are as many as processors.
verbose : bool, optional
    Whether training shows its progress on standard error."""

TRAINING_WHOLE = """\
method : {"lbfgs", "newton-cg", "trust-krylov"}, optional
    SciPy's optimiser, as of ``refode.train``.
max_iter : int, optional
    The largest number of iterations.
tolerance : float, optional
    Converged where no entry of the gradient is larger in magnitude.
memory : int, optional
    Pairs of vectors that L-BFGS keeps.
warm_start : bool, optional
    Whether ``fit`` goes on from the weights, and with the standardisation, of the last one.
random_state : int, RandomState or None, optional
    For the first weights.
n_threads : int, optional
    Threads of a fit or prediction. By default all that are left to it: one in each of joblib's
    processes where these are as many as processors.
verbose : bool, optional
    Whether training shows its progress on standard error."""

ATTRIBUTES = """\
problem_ : {problem}
    What was trained, with its own methods.
theta_ : (p,)
    Its weights.
n_iter_ : int
    Iterations.
loss_ : float
    The objective at the end.
loss_curve_ : list of float
    The objective after each iteration, from the start on.
validation_curve_ : list of float
    With early stopping: the loss on the held-out samples.
n_features_in_ : int
feature_names_in_ : (n_features,)
    Where X had names of columns."""


def documented(*parameters: str, problem: str) -> Callable[[Class], Class]:
    """Decorate a class: fill ``{parameters}`` and ``{attributes}`` of its docstring."""

    def fill(kind: Class) -> Class:
        if kind.__doc__:  # python -OO has none
            texts = {
                "    {parameters}\n": "\n".join(parameters),
                "    {attributes}\n": ATTRIBUTES.format(problem=problem),
            }
            for place, text in texts.items():
                filled = textwrap.indent(text, "    ") + "\n"
                kind.__doc__ = kind.__doc__.replace(place, filled)
        return kind

    return fill
