"""Setups whose errors fall at the schemes' orders, and the errors of everything they yield.

A setup is solved by one scheme with n, 2n, 4n, ... steps; what comes out (state,
log-determinant, and the gradients of a functional of both in theta, x and the ends of the
interval) is compared with a fine solution. All quantities are dimensionless.

Float64 holds no more than about seven decades between a clean power of h and rounding, and
three halvings at order 8 take them all. So ``fading`` lets the Legendre coefficients of
theta(t) fade geometrically up to degree p, where p is the scheme's order: then the term h^p
rules from the first steps on. ``random_weights`` is an ordinary net and does for orders up to 4.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from refode import bases
from refode.fields import Field, Shallow
from refode.ode.neural_ode import NeuralODE
from refode.verify import OrderReport, observed_order

Array = np.ndarray

STATE, LOG_DET, THETA, X, ENDS = "state", "log-det", "theta", "x", "t0, T"
QUANTITIES = (STATE, LOG_DET, THETA, X, ENDS)
FLOOR = 10.0  # times rounding, as measured: what is below is left out
SMOOTH = (bases.Constant, bases.Legendre, bases.BSpline)
REFERENCE, MOST_STEPS = 64, 512


@dataclass(frozen=True)
class Setup:
    """An ODE with weights, starts and cotangents of z(T) and l(T).

    Attributes
    ----------
    field, basis
        The ODE's, on t_span (0, 1).
    theta, scale : (p,)
        Weights, and the size by which each entry of their gradient is weighed.
    x, z_bar : (N, d)
    l_bar : (N,)
        The functional is <z_bar, z(T)> + <l_bar, l(T)>.
    first : int
        The smallest number of steps; the others are its doubles.
    """

    field: Field
    basis: bases.Basis
    theta: Array
    scale: Array
    x: Array
    z_bar: Array
    l_bar: Array
    first: int = 1

    def ode(self, scheme: Any, n_steps: int) -> NeuralODE:
        """The ODE under a scheme."""
        return NeuralODE(self.field, scheme=scheme, n_steps=n_steps, basis=self.basis)


@dataclass(frozen=True)
class Study:
    """Errors of one scheme on one setup: by quantity (K,), with the orders observed."""

    name: str
    order: int
    steps: Array
    errors: dict[str, Array]
    reports: dict[str, OrderReport]
    remark: str = ""
    checks: dict[str, bool] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every quantity converges at the order."""
        return all(self.reports.values()) and all(self.checks.values()) and bool(self.reports)

    @property
    def worst(self) -> float:
        """Largest distance of one of the judged slopes from the order; NaN if none was judged."""
        judged = [abs(s - self.order) for r in self.reports.values() for s in judged_slopes(r)]
        return max(judged, default=np.nan)


def judged_slopes(report: OrderReport) -> Array:
    """The slopes of the last refinements above rounding, the ones that were judged."""
    finite = report.slopes[np.isfinite(report.slopes)]
    return finite[len(finite) - report.n_used :]


def fading(order: int, n_samples: int = 16, seed: int = 21) -> Setup:
    """Shallow net in the plane with Legendre coefficients that fade with their degree.

    Coefficient j is drawn from a normal distribution of standard deviation size * rate^j,
    j = 0, ..., order, and each entry of the gradient in theta is multiplied by rate^j: an
    error is measured against the coefficients that an analytic theta(t) has.
    """
    rates = {"W0": (0.3, 0.03), "b0": (0.3, 0.03), "W1": (0.1, 0.3), "b1": (0.1, 0.3)}
    net, basis = Shallow(2, 4), bases.Legendre(order + 1)
    ode = NeuralODE(net, basis=basis)
    rng = np.random.default_rng(seed)
    theta, scale = {}, {}
    for name, shape in ode.layout.shapes.items():
        size, rate = rates[name]
        scale[name] = np.empty(shape)
        for j in range(order + 1):
            scale[name][j] = rate**j
        theta[name] = size * scale[name] * rng.standard_normal(shape)
    return _with_samples(net, basis, ode.pack(theta), ode.pack(scale), n_samples, seed, 1)


def random_weights(
    net: Field,
    basis: bases.Basis,
    size: float = 0.5,
    n_samples: int = 16,
    seed: int = 0,
    first: int = 4,
) -> Setup:
    """Any field and basis with theta ~ N(0, size^2)."""
    p = NeuralODE(net, basis=basis).n_parameters
    theta = size * np.random.default_rng(seed).standard_normal(p)
    return _with_samples(net, basis, theta, np.ones(p), n_samples, seed, first)


def _with_samples(
    net: Field, basis: bases.Basis, theta: Array, scale: Array, n: int, seed: int, first: int
) -> Setup:
    rng = np.random.default_rng((seed, 1))
    x, z_bar = rng.standard_normal((2, n, net.dim))
    return Setup(net, basis, theta, scale, x, z_bar, rng.standard_normal(n), first)


def results(ode: NeuralODE, setup: Setup, ends: Array) -> dict[str, Array]:
    """What converges: forward in time from x, and backward from the other end of the same paths.

    Both directions, since refode integrates both ways, and since the next power of h then
    enters with both signs and all but averages out.
    """
    parts: dict[str, list[Array]] = {name: [] for name in QUANTITIES}
    for x, span in ((setup.x, (0.0, 1.0)), (ends, (1.0, 0.0))):
        z, log_det = ode.log_det(setup.theta, x, t_span=span)
        theta_bar, x_bar, times_bar = ode.log_det_adjoint(
            setup.theta, x, setup.z_bar, setup.l_bar, t_span=span, times=True
        )
        found = (z, log_det, theta_bar * setup.scale, x_bar, times_bar)
        for name, value in zip(QUANTITIES, found, strict=True):
            parts[name].append(value.ravel())
    return {name: np.concatenate(values) for name, values in parts.items()}


def rms(values: Array) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(values**2)))


def study(name: str, scheme: Any, order: int, setup: Setup, most: int = MOST_STEPS) -> Study:
    """Halve the step until every error is rounding, and judge the orders.

    Rounding is measured as the difference of two fine solutions with different steps.
    """
    fine = setup.ode("fehlberg8", REFERENCE)
    ends = fine.solve(setup.theta, setup.x)
    truth = results(fine, setup, ends)
    other = results(setup.ode("fehlberg8", REFERENCE * 5 // 4), setup, ends)
    floor = {
        q: FLOOR * max(rms(truth[q] - other[q]), np.finfo(float).eps * rms(truth[q]))
        for q in QUANTITIES
    }
    counts, errors = [], {q: [] for q in QUANTITIES}  # type: ignore[var-annotated]
    n = setup.first
    while n <= most:
        found = results(setup.ode(scheme, n), setup, ends)
        counts.append(n)
        for q in QUANTITIES:
            errors[q].append(rms(found[q] - truth[q]))
        if all(errors[q][-1] <= floor[q] for q in QUANTITIES):
            break
        n *= 2
    return _judge(name, order, setup, 1.0 / np.array(counts), errors, floor)


def _judge(
    name: str, order: int, setup: Setup, steps: Array, errors: dict, floor: dict[str, float]
) -> Study:
    judged, checks, remarks = list(QUANTITIES), {}, []
    if setup.field.divergence_free:  # nothing to converge: it must be zero throughout
        judged.remove(LOG_DET)
        checks["log-det is zero"] = not np.any(errors[LOG_DET])
        remarks.append("log-det is 0 exactly")
    if not isinstance(setup.basis, SMOOTH):  # as t0 moves, the grid leaves the kinks of theta(t)
        judged.remove(ENDS)
        remarks.append("theta(t) bends: no slope in t0, T")
    reports = {q: observed_order(errors[q], steps, expected=order, floor=floor[q]) for q in judged}
    arrays = {q: np.array(errors[q]) for q in QUANTITIES}
    return Study(name, order, steps, arrays, reports, "; ".join(remarks), checks)
