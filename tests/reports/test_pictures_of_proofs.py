"""Pictures of ``refode validate``, of made-up numbers: no text on another, nothing unexplained."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pictures
import pytest

from refode import plotting
from refode.reports.proofs import flows_plot, games_checks_plot, gradients_plot, orders_plot
from refode.reports.proofs.convergence import QUANTITIES

STEPS = 2.0 ** -np.arange(10)
SCHEMES = {"euler": 1, "midpoint": 2, "heun": 2, "ralston": 2, "ssprk3": 3, "kutta3": 3} | {
    "bogacki_shampine": 3,
    "rk4": 4,
    "rk4_38": 4,
    "dopri5": 5,
    "tsit5": 5,
    "butcher6": 6,
    "fehlberg8": 8,
}


def study(scheme, order, quantities, name=None):
    """Errors of an order with some scatter, down to rounding."""
    floor = 1e-15
    reports = {}
    for i, quantity in enumerate(quantities):
        errors = np.maximum(10.0 ** (-i % 3) * STEPS**order / (1 + 3 * order), floor)
        used = max(2, min(4, int((errors > floor).sum())))
        reports[quantity] = SimpleNamespace(
            steps=STEPS, errors=errors, floor=floor, n_used=used, expected=order
        )
    return SimpleNamespace(name=name or scheme, scheme=scheme, order=order, reports=reports)


def row(i, name, kind, ends):
    def report(scale):
        return SimpleNamespace(relative_error=1e-16 * scale, smallest_detectable=1e-13 * scale)

    h = 2.0 ** -np.arange(24.0)
    taylor = [SimpleNamespace(h=h, e0=h, e1=h**2, e2=np.maximum(h**3, 1e-15))]
    gradient = SimpleNamespace(
        relative_error=0.0 if i == 3 else 3e-15,
        smallest_detectable=2e-13,
        hessian=report(10.0),
        taylor=taylor,
    )
    case = SimpleNamespace(name=name, kind=kind)
    dots = [SimpleNamespace(smallest_detectable=1e-12)]
    return SimpleNamespace(
        case=case,
        dots=dots,
        dot_error=1e-15,
        gradient=gradient,
        ends=report(100.0) if ends else None,
    )


LONG = "MLP(3 sine tanh softplus), bogacki_shampine, Legendre(3), regression"
KINDS = ("Affine", "Shallow", "MLP", "Antisymmetric", "Parabolic", "Hamiltonian", "Leapfrog")


@pytest.mark.parametrize("n", [12, 40])
@pytest.mark.parametrize("bends", [False, True])
def test_errors_of_gradients(n, bends):
    rows = [
        row(i, f"{LONG} {i}", KINDS[i % len(KINDS)], ends=not (bends and i % 3 == 0))
        for i in range(n)
    ]
    drawn = gradients_plot._errors(rows)
    assert pictures.overlaps(drawn) == []
    words = " ".join(pictures.legends(drawn))
    assert "relative error found" in words
    assert "would have been seen" in words
    assert ("empty:" in words) == bends
    assert pictures.overlaps(gradients_plot._taylor(rows)) == []


@pytest.mark.parametrize("group", ["schemes", "weights"])
def test_errors_against_the_step(group):
    if group == "schemes":
        studies = [study(s, p, QUANTITIES) for s, p in SCHEMES.items()]
    else:
        names = [f"rk4, {basis}(3)" for basis in ("Legendre", "PiecewiseLinear", "BSpline")]
        studies = [study("rk4", 4, QUANTITIES[:1] + QUANTITIES[2:], name) for name in names]
    drawn = orders_plot._picture("explicit schemes", studies)
    assert pictures.overlaps(drawn) == []
    legend = drawn.axes[5].get_legend()
    assert len(legend.get_texts()) == len(studies)
    assert ("in brackets: the order" in legend.get_title().get_text()) == (group == "schemes")
    assert "filled: judged" in legend.get_title().get_text()


def kept(monkeypatch, module):
    found = []
    monkeypatch.setattr(plotting, "save", lambda made, out, name: [found.append(made)])
    return found


def test_orders_of_flows_and_of_games(monkeypatch, tmp_path):
    drawn = kept(monkeypatch, plotting)
    some = ("euler", "heun", "kutta3", "rk4", "rk4_38", "dopri5", "tsit5")
    flows_plot.draw([study(s, SCHEMES[s], "abc") for s in some], tmp_path)
    games = [study(s, SCHEMES[s], games_checks_plot.TITLES) for s in ("heun", "kutta3", "rk4")]
    games_checks_plot.draw(games, None, tmp_path)
    assert len(drawn) == 2
    for one in drawn:
        assert pictures.overlaps(one) == []
        legends = [*one.legends, *(a.get_legend() for a in one.axes if a.get_legend())]
        titles = [legend.get_title().get_text() for legend in legends]
        for word in ("filled: judged", "hollow: larger steps, or rounding", "dotted: slope wanted"):
            assert word in " ".join(titles)
