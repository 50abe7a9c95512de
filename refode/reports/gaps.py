"""`verify.adjoint_gap` for the library's own fields, with weights in time, (D159)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from refode import _validate
from refode._quiet import quietly
from refode.ode import evaluate
from refode.ode.neural_ode import NeuralODE
from refode.sweeps.runge_kutta import RungeKutta
from refode.verify.gap import KINDS, GapReport, Given, Tableau, gaps_of

Array = np.ndarray


@quietly()
def adjoint_gap(
    ode: NeuralODE,
    theta: Array,
    x: Array,
    z_bar: Array,
    kinds: Iterable[str] = KINDS,
    n_steps: Iterable[int] = (8, 16, 32),
    t_span: tuple[float, float] | None = None,
) -> GapReport:
    """Say what another adjoint than the discrete one would cost for this model, (D159).

    The table has the gradient of sum z_bar z(T) by adjoint equations that are discretised for
    themselves, beside the discrete one's, which `NeuralODE.adjoint` computes. Weights are read as
    the sweeps read them: with `PiecewiseConstant` in the cell of each step.

    Parameters
    ----------
    ode : NeuralODE
        With a Runge-Kutta scheme; its own number of steps does not matter.
    theta : (p,)
    x, z_bar : (N, d)
    kinds, n_steps
        As in `refode.verify.adjoint_gap`; the steps are equal.
    t_span : (float, float), optional
        As in ``NeuralODE.solve``: n_steps steps cover it.

    Returns
    -------
    refode.verify.GapReport

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what was wanted.
    """
    ode = _validate.instance("ode", ode, NeuralODE)
    ode._check_fixed_steps("fixed ones", "ode")
    if not isinstance(ode._scheme, RungeKutta):
        raise ValueError(f"ode: got scheme={ode.scheme!r}, wanted an explicit Runge-Kutta scheme")
    theta = _validate.real_vector("theta", theta, ode.n_parameters)
    x = _validate.samples("x", x, ode.dim)
    z_bar = _validate.real_array("z_bar", z_bar, x.shape)
    span = ode.t_span if t_span is None else _validate.interval("t_span", t_span)
    start, end = ode.t_span
    ode.basis._inside(np.array([(t - start) / (end - start) for t in span]), "t_span")
    scheme = Tableau(*ode._scheme)
    return gaps_of(Given(_at(ode, theta, span), scheme, x, z_bar, span), kinds, n_steps)


def _at(ode: NeuralODE, theta: Array, span: tuple[float, float]) -> Callable[[int, int], Any]:
    """The field and its adjoint within a step, by the weights that its stages read there."""
    coefficients, start = ode._coefficients(theta), ode.t_span[0]
    length, h_all = ode.t_span[1] - start, span[1] - span[0]

    def at(step: int, of: int) -> Any:
        h = h_all / of
        ends = span[0] + step * h_all / of, span[0] + (step + 1) * h_all / of
        low, high = (np.array([(t - start) / length]) for t in ends)

        def row(t: float) -> Array:
            c = min(max((t - ends[0]) / h, 0.0), 1.0)
            table = ode.basis.stage_table(low, high, np.array([c]))
            return table.P.toarray()[int(table.slots[0, 0])]

        def f(t: float, z: Array) -> Array:
            return evaluate.value(ode.field, row(t) @ coefficients, z, t)

        def vjp(t: float, z: Array, w: Array) -> tuple[Array, Array]:
            p = row(t)
            weights_bar, z_bar, _ = evaluate.adjoint(ode.field, p @ coefficients, z, w, t=t)
            return z_bar, np.outer(p, weights_bar).reshape(-1)[ode._order]

        return f, vjp

    return at
