"""``adapt``: the public door to a grid of an ode's own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from refode import _validate
from refode._quiet import quietly
from refode.adaptation.course import Course, rows_of_ode
from refode.adaptation.plan import planned
from refode.adaptation.report import Adaptation
from refode.adaptation.settings import MAX_STEPS, Settings
from refode.costs.contract import Cotangent
from refode.ode.neural_ode import NeuralODE
from refode.ode.placement import hosted
from refode.sweeps.dynamics import Flow, LogDet, Plain

Array = np.ndarray


@quietly()
def adapt(
    ode: NeuralODE,
    theta: Array,
    x: Array,
    *,
    rtol: float,
    atol: float,
    z_bar: Array | None = None,
    error_in: Any = ("z",),
    norm: str = "max",
    stops: ArrayLike | None = None,
    first_step: float | None = None,
    controller: str = "pi",
    max_steps: int = MAX_STEPS,
) -> tuple[NeuralODE, Adaptation]:
    """Plan a grid on which an ode is as exact as asked for, and freeze it, (D128)-(D132).

    The steps are as long as the scheme's embedded pair allows. What comes back is the ode on
    that grid: for other theta and other samples it steps at the same times, so that its
    derivatives are exact ones of what it computes.

    Parameters
    ----------
    ode : NeuralODE
        With a scheme that has embedded weights: "dopri5", "tsit5", "bogacki_shampine",
        "fehlberg8", or a ``Tableau``. Its own steps do not matter; its ``t_span`` does.
    theta : (p,)
    x : (N, d)
        Samples for which the grid is planned.
    rtol, atol : float
        Tolerances: a step's error is measured against atol + rtol max(|y|, |y+|).
    z_bar : (N, d), optional
        Cotangent of z(T): the adjoint and theta_bar are held to the tolerances too, in units of
        z_bar's size. Without it the state alone is, and that says nothing of the gradient.
    error_in : sequence of {"z", "log_det", "cost"}, optional
        What counts in a step's error: the state, the log-determinant, the kinetic energy
        int |f|^2/2 dt. z always does.
    norm : {"max", "rms"}, optional
        Over samples: the largest of their errors, each the root mean square over rows, so that
        everyone is as exact as asked for; or the root mean square over all of them.
    stops : (n,), optional
        Times within t_span that the grid is to have.
    first_step : float, optional
        Length of the first step to try; guessed by default.
    controller : {"pi", "i"}, optional
        How the next step's length follows from errors: from the last two, or the last one alone.
    max_steps : int, optional
        The most steps to try.

    Returns
    -------
    ode : NeuralODE
        The same with ``grid=``.
    report : Adaptation

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what was wanted; a scheme without an embedded pair;
        steps that become too many or too short, with the time and the sample that forced them.

    Notes
    -----
    Planning is the CPU's, wherever the ode's sweeps run. With explicit times of one's own
    (``t_span`` of the methods) the grid is walked backwards or stretched, as every ``grid`` is.

    Examples
    --------
    >>> import numpy as np, refode
    >>> ode = refode.NeuralODE(refode.fields.Shallow(dim=2, width=8), scheme="dopri5")
    >>> theta, x = ode.initial(), np.random.default_rng(0).normal(size=(20, 2))
    >>> planned, report = refode.adapt(ode, theta, x, rtol=1e-6, atol=1e-9, z_bar=np.ones((20, 2)))
    >>> planned.n_steps == report.n_steps, float(report.errors.max()) <= 1.0
    (True, True)
    """
    ode = _validate.instance("ode", ode, NeuralODE)
    ode._check_fixed_steps("fixed ones, which are then planned", "ode")
    settings = Settings.of(rtol, atol, error_in, norm, stops, first_step, controller, max_steps)
    theta, x = ode._parameters(theta), hosted(ode._states(x))
    if z_bar is not None:
        z_bar = _validate.real_array("z_bar", z_bar, x.shape)
    return planned_ode(ode, theta, x, settings, z_bar)


def planned_ode(
    ode: NeuralODE, theta: Array, x: Array, settings: Settings, z_bar: Array | None
) -> tuple[NeuralODE, Adaptation]:
    """The ode on its grid, of checked arguments."""
    dynamics: Any = Plain
    if settings.error_in != ("z",):
        dynamics = Flow if "cost" in settings.error_in else LogDet
    rows = rows_of_ode(ode.dim, settings.error_in)
    cost = None
    if z_bar is not None:
        still = np.zeros((len(x), len(rows) - ode.dim))
        bar = Cotangent(np.concatenate([z_bar, still], axis=1)[None])
        cost = lambda E, reached: (bar, 0, 0)  # noqa: E731
    sweep = ode.sweep(ode.plan(), dynamics, np.dtype(float))
    course = Course(ode, theta, ode.t_span, sweep, dynamics is not Plain, x, rows, cost)
    steps, report = planned([course], settings)
    return ode.with_steps(steps), report
