"""Sweeps against shallow networks whose flow is known exactly, (D157) and (D158).

The fields are the library's own with weights like any other, so that values, log-determinants and
all derivatives are held against numbers that no sweep has a part in; a stiff neuron besides.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from refode import fields, verify
from refode.closed_forms import ParabolicFlow, ShallowFlow
from refode.ode.neural_ode import NeuralODE
from refode.reports.section import Section

Array = np.ndarray

ROUNDING = 1e-12  # of numbers of order one to ten, 40 steps of order 8
STIFF = 1e-10  # e^(-30) remains of the start: a hundred steps of order 8
SPAN = (0.2, -0.9)  # backwards, and not of length 1


def run(section: Section) -> None:
    """Add all checks."""
    for name, exact in (
        ("one neuron", ShallowFlow.drawn(2, [-1.6])),
        ("two neurons", ShallowFlow.drawn(3, [1.4, -2.1])),
        ("parabolic", ParabolicFlow.drawn(3, [-0.5, -2.0])),
    ):
        found = differences(exact, "fehlberg8", 40)
        worst = max(found, key=lambda key: found[key])
        section.add(
            f"exact flow, {name}: values and derivatives",
            found[worst] < ROUNDING,
            f"{found[worst]:.1e} off, {worst}",
            f"< {ROUNDING:.0e}",
        )
        section.numbers[f"exact flow, {name}"] = found
    stiff = ShallowFlow([[1.0]], [0.0], [[-30.0]])
    off = abs(
        ode_of(stiff, "fehlberg8", 100, (0.0, 1.0)).solve(stiff.theta, np.array([[1.2]])).item()
    )
    section.add("exact flow, stiff neuron", off < STIFF, f"{off:.1e} left", f"< {STIFF:.0e}")
    _order(section, ShallowFlow.drawn(3, [1.4, -2.1]))


def _order(section: Section, exact: ShallowFlow) -> None:
    steps = 2 ** np.arange(4, 8)
    errors = [differences(exact, "rk4", int(n)) for n in steps]
    for name in errors[0]:
        report = verify.observed_order([e[name] for e in errors], 1.0 / steps, expected=4.0)
        section.add(
            f"exact flow: {name} of RK4 tends to it",
            report,
            f"order {report.order:.3f}",
            "4 ± 0.1, 3 halvings",
        )


def ode_of(exact: ShallowFlow, scheme: str, n_steps: int, t_span: Any = SPAN) -> NeuralODE:
    """The library's ODE of the same field."""
    kind: Any = fields.Parabolic if isinstance(exact, ParabolicFlow) else fields.Shallow
    return NeuralODE(kind(exact.dim, exact.width), scheme, n_steps, t_span)


def differences(exact: ShallowFlow, scheme: str, n_steps: int) -> dict[str, float]:
    """Largest distances of what sweeps compute from the truth."""
    rng = np.random.default_rng(5)
    x, z_bar = rng.standard_normal((2, 6, exact.dim))
    l_bar, t = rng.standard_normal(6), SPAN[1] - SPAN[0]
    ode = ode_of(exact, scheme, n_steps)
    mine = *ode.log_det(exact.theta, x), *ode.log_det_adjoint(exact.theta, x, z_bar, l_bar)[:2]
    right = *exact.log_det(x, t), *exact.adjoint(x, z_bar, t, l_bar)[:2]
    names = ("state", "log-determinant", "derivative by theta", "derivative by x")
    return {name: float(np.abs(a - b).max()) for name, a, b in zip(names, mine, right, strict=True)}
