"""Mean field games: exact derivatives, a second opinion, orders, solutions in closed form.

* **derivatives** of the objective by complex step, Taylor slopes, blocks and Hessian-vector
  products; a dot test of the whole state (z, log rho, L, F, R), each row with a cotangent of its
  own; the Laplacian against the trace of the complex-step Hessian.
* **second opinion**: every term and the gradient's slope by code that shares no formula.
* **orders** of state, value and gradient, and of the identity that Phi obeys along a path.
* **solutions**: games that a network solves exactly, and one with entropy after a short training.
* **conservation**: the Hamiltonian, the mass; threads change no bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from refode import fields, verify
from refode._scaling import TINY
from refode.costs.contract import Cotangent
from refode.ode import driver, evaluate
from refode.reports.proofs import games_independent, games_solutions
from refode.reports.proofs.examined import ExaminedRow, Study, derivatives, orders_told, same_bits
from refode.reports.proofs.game_cases import SPAN, GameCase, cases, make, setting
from refode.reports.proofs.games_checks_plot import draw
from refode.reports.section import Section, table, verdict
from refode.verify import DotReport, GradientReport

Array = np.ndarray

EXACT = 1e-12  # two ways to one number of order one
OPINION = 1e-11  # SciPy at a relative tolerance of 1e-13
FINE = ("fehlberg8", 64)  # errors of 1e-13 here
IDENTITY = "Phi along a path"
ORDERS = {"euler": 1, "heun": 2, "rk4": 4}
STATE = ("z", "log rho", "L", "F", "R")


def run(
    out: Path,
    quick: bool,
    chosen: Sequence[GameCase] | None = None,
    schemes: Sequence[str] | None = None,
    train: bool = True,
) -> Section:
    """Check everything, print the tables, draw the orders and the trained game.

    Parameters
    ----------
    out : Path
        Folder for the pictures.
    quick : bool
        Three cases, one second opinion, two schemes.
    chosen : sequence of GameCase, optional
        Cases whose derivatives to check instead.
    schemes : sequence of str, optional
        Schemes whose orders to measure instead.
    train : bool, optional
        Whether to train the game with entropy.
    """
    section = Section("games")
    derivatives(section, cases(quick) if chosen is None else chosen, examine, "games")
    first = len(section.checks)
    _laplacians(section)
    _opinions(section, quick)
    games_solutions.closed_forms(section)
    games_solutions.conservation(section)
    same_bits(section, everything, "a game")
    trained = games_solutions.trained(section) if train else None
    table(
        "Games: second opinion, closed forms, conservation",
        ["what", "measured", "wanted", "verdict"],
        [(c.name, c.measured, c.wanted, verdict(c.passed)) for c in section.checks[first:]],
    )
    studies = _orders(section, schemes or (("heun", "rk4") if quick else tuple(ORDERS)))
    section.files += draw(studies, trained, out)
    return section


# --- derivatives ---------------------------------------------------------------------------


def examine(case: GameCase) -> ExaminedRow:
    """Check the derivatives of one case."""
    return ExaminedRow(case, dot_of_state(case), objective(case))


def dot_of_state(case: GameCase) -> DotReport:
    """Adjoint of (z, log rho, L, F, R) at T in theta and the start, against the complex step."""
    p, theta = case.problem, case.theta
    plan, field, start = p.ode.plan(), p.potential, p._start(case.x)

    def tangent(theta_dot: Array, start_dot: Array) -> Array:
        end = p._forward(theta + 1j * TINY * theta_dot, start + 1j * TINY * start_dot, plan)[0]
        return end.imag / TINY

    def adjoint(bars: Array) -> tuple[Array, Array]:
        weights = p.ode.stage_weights(theta, plan)
        E = field.prepare(weights, True)
        sweep = p._sweep(plan, E.dtype)
        result = driver.gradient(sweep, E, start, Cotangent(bars[None].copy()), want_x=True)
        weights_bar = field.prepare_adjoint(weights, True, result.E_bar)
        start_bar = np.ascontiguousarray(result.x_bar[:, : p.dim + 1])
        return p.ode.stage_weights_adjoint(weights_bar, plan), start_bar

    return verify.dot_test(
        tangent,
        adjoint,
        [theta.shape, start.shape],
        (len(start), p.dim + 4),
        name="adjoint of (z, log rho, L, F, R)",
    )


def objective(case: GameCase) -> GradientReport:
    """Gradient, by block, and Hessian-vector product."""
    p, samples = case.problem, case.samples
    y = case.y

    def value(theta: Array) -> Any:
        if np.iscomplexobj(theta):  # the sweeps that users run, in complex numbers
            return p._value_and_gradient(theta, case.x, y)[0]
        return p.value(theta, *samples)

    return verify.check_gradient(
        value,
        lambda theta: p.value_and_gradient(theta, *samples)[1],
        case.theta,
        hessian_vector=lambda theta, v: p.hessian_vector(theta, v, *samples),
        blocks=p.layout.slices,
        n_directions=2,
        print_table=False,
        name="gradient of the objective",
    )


# --- second opinion ------------------------------------------------------------------------


def _laplacians(section: Section) -> None:
    """Closed form against d complex steps through the gradient, at d below and above 2 m."""
    worst = 0.0
    for quadratic in ("lowrank", "symmetric"):
        for d, m, depth in ((1, 3, 1), (4, 5, 3), (9, 3, 2)):
            field = fields.Potential(d, m, depth, quadratic=quadratic)
            rng = np.random.default_rng((d, m))
            w, x = 0.6 * rng.standard_normal(field.n_weights), rng.standard_normal((7, d))
            trace = np.zeros(7)
            for i, e in enumerate(np.tile(np.eye(d)[:, None], (1, 7, 1))):
                trace += evaluate.potential_tangent(field, w, x, 0.0 * w, e, 0.4)[1][:, i]
            laplacian = evaluate.potential(field, w, x, 0.4)[3]
            worst = max(worst, float(np.abs(laplacian - trace).max() / np.abs(trace).max()))
    section.add(
        "Laplacian against the complex-step Hessian's trace",
        worst < EXACT,
        f"{worst:.1e} off",
        f"< {EXACT:.0e}",
    )


def opinion(case: GameCase) -> dict[str, float]:
    """Relative distance of terms and slope from those of the independent code."""
    p = case.problem
    w, y = p.unpack(case.theta), case.x if case.y is None else case.y
    theirs = games_independent.costs(w, setting(case), case.x, y)
    mine = p.costs(case.theta, case.x, case.y)
    distances = {n: abs(mine[n] - float(theirs[n])) / abs(theirs["total"]) for n in theirs}
    rng, gradient = np.random.default_rng(3), p.value_and_gradient(case.theta, *case.samples)[1]
    direction = rng.standard_normal(case.theta.size)
    other = games_independent.slope(w, p.unpack(direction), setting(case), case.x, y)
    distances["slope"] = abs(gradient @ direction - other) / abs(other)
    return {name: float(off) for name, off in distances.items()}


def _opinions(section: Section, quick: bool) -> None:
    kinds = [("crowd", "lowrank", 3, 3)]
    kinds += [] if quick else [("flow", "symmetric", 2, 2), ("transport", "symmetric", 2, 2)]
    for kind, quadratic, d, depth in kinds:
        off = opinion(make(kind, quadratic, "squared", d, depth, *FINE))
        worst = max(off, key=lambda name: off[name])
        section.add(
            f"{kind}: terms and slope of independent code",
            off[worst] < OPINION,
            f"{off[worst]:.1e} off, {worst}",
            f"< {OPINION:.0e}",
        )
        section.numbers[f"second opinion, {kind}"] = off


# --- threads -------------------------------------------------------------------------------


def everything(n: int) -> dict[str, bytes]:
    """Bytes of all that a game computes for n samples."""
    case = make("flow", "lowrank", "squared")
    p, theta = case.problem, case.theta
    x, y = p.game.initial.sample(n, seed=4), p.game.target.sample(n, seed=5)
    value, gradient = p.value_and_gradient(theta, x, y)
    parts = {
        "value": np.float64(value),
        "gradient": gradient,
        "states": p.states(theta, x),
        "Hessian times vector": p.hessian_vector(theta, np.cos(np.arange(theta.size)), x, y),
        "log-density": p.log_density(theta, y),
        "Laplacian": p.laplacian(theta, 0.1, x),
    }
    return {name: np.asarray(part).tobytes() for name, part in parts.items()}


# --- orders --------------------------------------------------------------------------------


def results(scheme: str, n_steps: int) -> dict[str, Array]:
    """The rows of the state at T, the gradient, and how far Phi is from what the path says.

    Along a path Phi falls by L + F + entropy (T - t0) + int r dt. Its last entry in b raises r
    above 0, so that |r| in the other problem's R is r itself.
    """
    case = make("crowd", "symmetric", "squared", 2, 4, scheme, n_steps)
    p, d = case.problem, 2
    end = p.states(case.theta, case.x)[-1]
    end_values = {"z": end[:, :d]} | {name: end[:, d + i] for i, name in enumerate(STATE[1:])}
    end_values["gradient"] = p.value_and_gradient(case.theta, case.x)[1]
    case = make("crowd", "symmetric", "absolute", 2, 4, scheme, n_steps)
    p, theta = case.problem, case.theta.copy()
    p.unpack(theta)["b"][-1] -= 40.0
    end = p.states(theta, case.x)[-1]
    last = p.value_function(theta, SPAN[1], np.ascontiguousarray(end[:, :d]))[0]
    paid = end[:, d + 1 :].sum(axis=1) + p.game.entropy * (SPAN[1] - SPAN[0])
    end_values[IDENTITY] = last + paid - p.value_function(theta, SPAN[0], case.x)[0]
    return end_values


def study(scheme: str, order: int | None = None) -> Study:
    """Halve the step from 1/4 to 1/512 of the interval, and judge."""
    p = ORDERS[scheme] if order is None else order
    steps, truth = 2 ** np.arange(2, 10), results(*FINE)
    truth[IDENTITY] = np.zeros_like(truth[IDENTITY])
    by_steps = [results(scheme, int(n)) for n in steps]
    reports = {}
    for name, exact in truth.items():
        errors = [float(np.sqrt(np.mean((one[name] - exact) ** 2))) for one in by_steps]
        scale = 50.0 if name == IDENTITY else float(np.abs(exact).max())
        reports[name] = verify.observed_order(errors, 1.0 / steps, expected=p, scale=scale)
    return Study(scheme, p, reports)


def _orders(section: Section, schemes: Sequence[str]) -> list[Study]:
    studies = [study(scheme) for scheme in schemes]
    orders_told(
        section,
        "game",
        studies,
        "Games: orders observed",
        lambda r: f"{r.order:.3f}",
        lambda s: f"{s.order}",
    )
    return studies
