"""Every scheme at its order: by conditions in exact fractions, and by errors that fall.

The second is judged on each of the last three halvings above rounding, to 0.1, for state,
log-determinant and the gradients in theta, x and the ends of the interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from refode import bases, fields, tableaus
from refode.reports.proofs import independent
from refode.reports.proofs.convergence import (
    QUANTITIES,
    Setup,
    Study,
    fading,
    random_weights,
    study,
)
from refode.reports.proofs.orders_plot import draw
from refode.reports.section import Section, table, verdict
from refode.verify.order_conditions import MAX_ORDER, order_of, residuals

Array = np.ndarray
# tsit5 is published in decimals: the residuals of its conditions are those of the last digit
PRINTED_DIGITS = Fraction(5, 10**15)
# two solvers at a relative tolerance of 1e-13, some ten times that reaches the end
SECOND_OPINION = 1e-11

KnownScheme = tuple[str, Any, int]  # name, scheme, order


class Conditions(NamedTuple):
    """Rooted-tree conditions of one tableau."""

    name: str
    order: int
    n_stages: int
    n_conditions: int
    worst: Fraction  # largest residual up to the order
    found: int  # order that the conditions give
    exact: bool

    @property
    def passed(self) -> bool:
        """All hold up to the order, exactly where the source is exact, and not beyond."""
        return self.found == self.order and (not self.exact or self.worst == 0)


def conditions(tableau: tableaus.Tableau) -> Conditions:
    """Check a tableau's order conditions in fractions."""
    t, tolerance = tableau, Fraction(0) if tableau.exact else PRINTED_DIGITS
    G = t.G if isinstance(t, tableaus.RosenbrockTableau) else None
    left = residuals(t.A, t.b, t.order, G)
    order = order_of(t.A, t.b, t.c, min(t.order + 1, MAX_ORDER), tolerance, G)
    worst = max(abs(Fraction(r)) for r in left.values())
    return Conditions(t.name, t.order, t.n_stages, len(left), worst, order, t.exact)


def known_schemes(kind: str = "explicit") -> list[KnownScheme]:
    """Every tableau of a kind with its order."""
    return [(name, name, tableaus.get(name).order) for name in tableaus.names(kind)]


def explicit(cases: Sequence[KnownScheme]) -> list[Study]:
    """Explicit schemes on theta(t) that fades with its degree."""
    return [study(name, scheme, p, fading(p)) for name, scheme, p in cases]


def implicit() -> list[Study]:
    """Implicit schemes on an ordinary net that reads t, with random weights."""
    setup = random_weights(fields.Shallow(2, 4, time=True), bases.Legendre(3))
    return [study(name, scheme, p, setup) for name, scheme, p in known_schemes("implicit")]


def symplectic() -> list[Study]:
    """[HR17]'s Verlet and Stoermer-Verlet on the fields that split into halves."""
    studies = []
    for net in (fields.Hamiltonian(4), fields.Leapfrog(4)):
        setup = random_weights(net, bases.Legendre(3))
        for scheme, p in (("verlet", 1), ("stormer_verlet", 2)):
            studies.append(study(f"{scheme}, {type(net).__name__}", scheme, p, setup))
    return studies


def ordinary_net() -> list[Study]:
    """Schemes up to order 4 on a net with random weights that reads t."""
    setup = random_weights(fields.Shallow(2, 4, time=True), bases.Legendre(3))
    return [study(name, s, p, setup) for name, s, p in known_schemes() if p <= 4]


def every_basis() -> list[Study]:
    """RK4 with each kind of theta(t), whose kinks lie on the grid."""
    net = fields.Shallow(2, 4, time=True)
    kinds = (
        bases.Constant(),
        bases.PiecewiseConstant(4),
        bases.PiecewiseLinear(3),
        bases.Legendre(3),
        bases.BSpline(5),
    )
    return [study(f"rk4, {kind!r}", "rk4", 4, random_weights(net, kind)) for kind in kinds]


def every_field() -> list[Study]:
    """RK4 on each kind of field."""
    kinds = (
        fields.Affine(3, time=True),
        fields.Shallow(6, 5),
        fields.MLP(3, (4, 5), "softplus"),
        fields.Antisymmetric(3, gamma=0.3),
        fields.Parabolic(3, 4),
        fields.Hamiltonian(4),
        fields.Leapfrog(4, 3),
        fields.Potential(3, 4, 3),
    )
    studies = []
    for kind in kinds:
        # RK4's quadrature of tr A(t) is exact up to degree 3
        basis = bases.Legendre(5 if isinstance(kind, fields.Affine) else 2)
        setup = random_weights(kind, basis)
        studies.append(study(f"rk4, {type(kind).__name__}", "rk4", 4, setup))
    return studies


def second_opinion(setup: Setup) -> dict[str, float]:
    """Relative distance of the fine solution from SciPy's, by quantity, both directions."""
    ode = setup.ode("fehlberg8", 64)
    w = ode.unpack(setup.theta)
    rng = np.random.default_rng(3)
    theta_dot = setup.scale * rng.standard_normal(setup.theta.shape)
    x_dot = rng.standard_normal(setup.x.shape)
    worst = {"state": 0.0, "log-det": 0.0, "slope": 0.0}
    for span in ((0.0, 1.0), (1.0, 0.0)):
        z, log_det = ode.log_det(setup.theta, setup.x, t_span=span)
        bars = ode.log_det_adjoint(setup.theta, setup.x, setup.z_bar, setup.l_bar, t_span=span)
        mine = float(bars[0] @ theta_dot + np.sum(bars[1] * x_dot))
        z_other, log_det_other = independent.shallow_legendre(w, setup.x, span)
        other = independent.slope(
            w, setup.x, span, ode.unpack(theta_dot), x_dot, setup.z_bar, setup.l_bar
        )
        for name, a, b in (
            ("state", z, z_other),
            ("log-det", log_det, log_det_other),
            ("slope", mine, other),
        ):
            off = float(np.max(np.abs(a - b)) / np.max(np.abs(b)))
            worst[name] = max(worst[name], off)
    return worst


def run(out: Path, quick: bool, cases: Sequence[KnownScheme] | None = None) -> Section:
    """Check conditions and orders, print the tables, draw the errors.

    Parameters
    ----------
    out : Path
        Folder for the pictures.
    quick : bool
        Leave out the ordinary net, the bases and the fields.
    cases : sequence of (name, scheme, order), optional
        Explicit schemes to measure; all known ones by default.
    """
    section = Section("orders")
    _conditions(section)
    _second_opinion(section)
    groups = {"explicit schemes": explicit(cases or known_schemes())}
    groups["implicit schemes"] = implicit()
    groups["symplectic schemes"] = symplectic()
    if not quick:
        groups["ordinary net, schemes up to order 4"] = ordinary_net()
        groups["bases"] = every_basis()
        groups["fields"] = every_field()
    for title, studies in groups.items():
        _studies(section, title, studies)
    section.files += draw(groups, out)
    return section


def _conditions(section: Section) -> None:
    rows = [conditions(tableaus.get(name)) for name in tableaus.names()]
    table(
        "Order conditions by rooted trees, in fractions",
        ["scheme", "stages", "order", "conditions", "largest residual", "order found", "verdict"],
        [
            (
                r.name,
                r.n_stages,
                r.order,
                r.n_conditions,
                "0 exactly" if r.worst == 0 else f"{float(r.worst):.1e}",
                r.found,
                verdict(r.passed),
            )
            for r in rows
        ],
    )
    for r in rows:
        wanted = "0 exactly" if r.exact else f"the printed digits, {float(PRINTED_DIGITS):.0e}"
        measured = f"order {r.found}, largest residual {float(r.worst):.1e}"
        section.add(f"conditions of {r.name}", r.passed, measured, f"order {r.order}: {wanted}")
    section.numbers["conditions"] = [r._asdict() | {"worst": float(r.worst)} for r in rows]


def _second_opinion(section: Section) -> None:
    found = second_opinion(fading(8))
    table(
        "Fine solution against SciPy's DOP853 on plain NumPy formulas",
        ["quantity", "relative difference", "wanted", "verdict"],
        [
            (name, f"{off:.1e}", f"< {SECOND_OPINION:.0e}", verdict(off < SECOND_OPINION))
            for name, off in found.items()
        ],
    )
    for name, off in found.items():
        section.add(
            f"second opinion on {name}",
            off < SECOND_OPINION,
            f"{off:.1e}",
            f"< {SECOND_OPINION:.0e}",
        )
    section.numbers["second opinion"] = found


def _studies(section: Section, title: str, studies: list[Study]) -> None:
    table(
        f"Observed orders: {title}",
        ["scheme", "order", *QUANTITIES, "slope off by", "verdict"],
        [
            (
                s.name,
                s.order,
                *(f"{s.reports[q].order:.3f}" if q in s.reports else "-" for q in QUANTITIES),
                f"{s.worst:.3f}",
                verdict(s.passed),
            )
            for s in studies
        ],
    )
    for remark in sorted({s.remark for s in studies if s.remark}):
        names = "; ".join(s.name for s in studies if s.remark == remark)
        print(f"{remark}: {names}")
    for s in studies:
        bad = [f"{q}: {r.verdict}" for q, r in s.reports.items() if not r]
        bad += [name for name, good in s.checks.items() if not good]
        measured = "; ".join(bad) or f"worst slope off by {s.worst:.3f}"
        section.add(f"order of {s.name}", s.passed, measured, f"{s.order} ± 0.1, last 3 halvings")
    section.numbers[title] = [_numbers(s) for s in studies]


def _numbers(s: Study) -> dict[str, Any]:
    return {
        "name": s.name,
        "order": s.order,
        "passed": s.passed,
        "steps": s.steps,
        "errors": s.errors,
        "remark": s.remark,
        "observed": {q: r.order for q, r in s.reports.items()},
        "slopes": {q: r.slopes for q, r in s.reports.items()},
        "floor": {q: r.floor for q, r in s.reports.items()},
    }
