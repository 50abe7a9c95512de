"""Games that end in an energy, and exact flows: right implementations pass, mistakes turn red."""

from __future__ import annotations

import numpy as np
import pytest

from refode.check import check, plain
from refode.check.plain.mistakes import Mistakes
from refode.closed_forms import ParabolicFlow, ShallowFlow

GAMES = ["game-energy", "game-energy-crowd"]
FLOWS = ["ode-exact-shallow", "ode-exact-parabolic"]


class Plain:
    """A game in plain NumPy, with a mistake or none; its derivatives with ``apart`` or none."""

    precision = "float64"

    def __init__(self, mistake=None, apart=None):
        self.mistake, self.apart = mistake or Mistakes(), apart

    def results(self, case):
        found = plain.evaluate(case.document, self.mistake, hessian=False)
        if self.apart:
            other = plain.evaluate(case.document, self.apart, hessian=False)
            found |= {k: v for k, v in other.items() if k.startswith("gradient")}
        return found


class Exact:
    """The flow in closed form, without a scheme; log-determinants of a sign, or a bit too late."""

    precision = "float64"

    def __init__(self, sign=1.0, later=0.0):
        self.sign, self.later = sign, later

    def results(self, case):
        theta = {k: v[0] for k, v in case.theta.items()}
        flow = (ShallowFlow if case.field["type"] == "Shallow" else ParabolicFlow)(**theta)
        times = case.times - case.along[0] + self.later
        T = float(times[-1])
        theta_bar, x_bar, _ = flow.adjoint(case.x, case.z_bar, T, self.sign * case.l_bar)
        parts = np.split(theta_bar, np.cumsum([v.size for v in theta.values()])[:-1])
        return {
            "trajectory": np.concatenate([case.x[None], flow.trajectory(case.x, times[1:])]),
            "log_det": self.sign * flow.log_det(case.x, T)[1],
            "x_bar": x_bar,
            "theta_bar": {
                k: a.reshape(case.theta[k].shape) for k, a in zip(theta, parts, strict=True)
            },
        }


def failing(adapter, cases):
    """Quantities that are wrong in each case, and the keys of what is said of them."""
    outcome = check(adapter, cases=cases)
    rows = outcome.failing()
    return {c: {r.quantity for r in rows if r.case == c} for c in cases}, {
        f.key for f in outcome.findings
    }


def test_right_implementations_pass():
    for adapter, cases in ((Plain(), GAMES), (Exact(), FLOWS)):
        outcome = check(adapter, cases=cases)
        assert outcome.passed, outcome.failing()
        assert {r.case for r in outcome.rows if r.verdict == "right"} == set(cases)


@pytest.mark.parametrize(
    ("adapter", "wrong", "key"),
    [
        (Plain(Mistakes(bowl_half=1.0)), "terms/G", "bowl-half"),
        (Plain(Mistakes(terminal_in_G=0.0)), "terms/hjb_terminal", "terminal-in-penalty"),
        (Plain(Mistakes(G_sign=-1.0)), "terms/hjb_terminal", "penalty-sign"),
        (Plain(apart=Mistakes(target_detached=True)), "gradient/w", "penalty-target-detached"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_mistakes_at_the_end_of_a_game_turn_red_and_are_named(adapter, wrong, key):
    found, keys = failing(adapter, GAMES)
    assert all(wrong in quantities for quantities in found.values())
    assert key in keys


@pytest.mark.parametrize(
    ("adapter", "wrong", "right"),
    [
        (Exact(sign=-1.0), {"log_det", "x_bar"}, {"trajectory"}),
        (Exact(later=1e-12), {"trajectory", "log_det"}, set()),
    ],
    ids=["sign", "times"],
)
def test_mistakes_in_an_exact_flow_turn_red(adapter, wrong, right):
    found, _ = failing(adapter, FLOWS)
    for quantities in found.values():
        assert wrong <= quantities
        assert not right & quantities
