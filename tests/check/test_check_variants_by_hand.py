"""Known mistakes against numbers computed from their formulas here."""

from __future__ import annotations

import numpy as np
import pytest
import tolerances as tol

from refode import reference
from refode.check import plain
from refode.check.plain import adjoint as plain_adjoint
from refode.check.plain.adjoint import Walk
from refode.check.variants import VARIANTS
from refode.check.variants.make import right

BY_KEY = {v.key: v for v in VARIANTS}
CASES = {name: reference.case(name) for name in reference.names()}


def results(name, part="results"):
    return reference.arrays(CASES[name], part)


def wrong(key, name):
    found = BY_KEY[key].evaluate(CASES[name])
    assert found is not None
    return found


def meets(a, b):
    np.testing.assert_allclose(a, b, rtol=tol.VARIANT_BY_HAND, atol=tol.VARIANT_BY_HAND)


def relative(a, b):
    """The largest error relative to the largest entry."""
    return np.abs(a - b).max(initial=0.0) / (np.abs(b).max(initial=0.0) or 1.0)


def test_the_three_eighths_rule_is_the_other_golden_case():
    for here, there, key in (
        ("ode-shallow-rk4", "ode-shallow-rk4-38", "three-eighths-rule"),
        ("ode-shallow-rk4-38", "ode-shallow-rk4", "classical-rule"),
    ):
        found, proven = wrong(key, here), results(there)
        for quantity, digits in proven.items():
            assert relative(found[quantity], digits) <= tol.PLAIN, quantity


def linear():
    """A, c, x of the case whose step is z + h (A z + c)."""
    given = results("ode-euler-affine", "inputs")
    return given["theta/A"][0], given["theta/c"][0], given["x"]


@pytest.mark.parametrize(
    ("key", "h", "n", "B"),
    [
        ("whole-steps", 1.5, 4, lambda A: A),
        ("unit-steps", 0.25, 4, lambda A: A),
        ("one-step-more", 0.3, 5, lambda A: A),
        ("one-step-less", 0.5, 3, lambda A: A),
        ("one-step-beyond", 0.375, 5, lambda A: A),
        ("one-step-short", 0.375, 3, lambda A: A),
        ("backward-time", -0.375, 4, lambda A: A),
        ("transposed-A", 0.375, 4, lambda A: A.T),
    ],
)
def test_steps_of_a_linear_field(key, h, n, B):
    A, c, x = linear()
    z = [x]
    for _ in range(n):
        z.append(z[-1] + h * (z[-1] @ B(A).T + c))
    found = wrong(key, "ode-euler-affine")
    meets(found["trajectory"], np.array(z))
    meets(found["log_det"], np.full(2, n * h * np.trace(A)))


def test_a_bias_and_a_sign_of_a_linear_field():
    A, c, x = linear()
    for key, f in (("biases-missing", lambda z: z @ A.T), ("field-sign", lambda z: -z @ A.T - c)):
        z = x
        for _ in range(4):
            z = z + 0.375 * f(z)
        meets(wrong(key, "ode-euler-affine")["trajectory"][-1], z)


def test_the_adjoint_equation_of_a_linear_field():
    """Backward Euler steps of lambda' = -A^T lambda, gradients from the states at their ends."""
    A, c, x = linear()
    given, h = results("ode-euler-affine", "inputs"), 0.375
    z = [x]
    for _ in range(4):
        z.append(z[-1] + h * (z[-1] @ A.T + c))
    kept = wrong("adjoint-equation-kept", "ode-euler-affine")
    solved = wrong("adjoint-equation", "ode-euler-affine")
    for found, back in ((kept, False), (solved, True)):
        bar, state = given["z_bar"], z[-1]
        A_bar, c_bar = np.zeros((2, 2)), np.zeros(2)
        for n in range(4, 0, -1):
            state = state if back else z[n]
            A_bar += h * (bar.T @ state + given["l_bar"].sum() * np.eye(2))
            c_bar += h * bar.sum(0)
            bar = bar + h * bar @ A
            state = state - h * (state @ A.T + c)
        meets(found["theta_bar/A"][0], A_bar)
        meets(found["theta_bar/c"][0], c_bar)
        meets(found["x_bar"], bar)


@pytest.mark.parametrize(
    ("name", "order"), [("ode-euler-affine", 1), ("ode-longer", 2), ("ode-shallow-rk4", 4)]
)
def test_the_adjoint_equation_converges_at_the_schemes_order(name, order):
    def error(n):
        case = {**CASES[name], "n_steps": n}
        exact = plain_adjoint.gradient(case)
        found = plain_adjoint.gradient(case, Walk(continuous=True, linearised="solved back"))
        return max(relative(found[k], exact[k]) for k in exact)

    assert abs(np.log2(error(16) / error(32)) - order) < tol.ADJOINT_ORDER


def test_adjoints_of_a_midpoint_step_at_the_wrong_state():
    """One step z + h f(z + h f(z)/2) of a network f = W1 sin(W0 z + b0) + b1 on one sample."""
    case = {**CASES["ode-mlp-sine"], "n_steps": 1, "scheme": CASES["ode-longer"]["scheme"]}
    given = reference.arrays(case, "inputs")
    W0, b0, W1, b1 = (given[f"theta/{k}"][0] for k in ("W0", "b0", "W1", "b1"))
    h, x, bar = 1.5, given["x"], given["z_bar"]

    def f(z):
        return np.sin(z @ W0.T + b0) @ W1.T + b1

    def back(z, mu):  # J^T mu
        return (np.cos(z @ W0.T + b0) * (mu @ W1)) @ W0

    middle = x + 0.5 * h * f(x)
    case["inputs"] = {**case["inputs"], "l_bar": {"shape": [2], "data": ["0", "0"]}}
    for key, first, second, coupled in (
        ("adjoint-step-start", x, x, 1.0),
        ("adjoint-last-stage", middle, middle, 1.0),
        ("adjoint-uncoupled", x, middle, 0.0),
    ):
        two = back(second, h * bar)
        one = back(first, 0.5 * h * coupled * two)
        meets(BY_KEY[key].evaluate(case)["x_bar"], bar + one + two)


def test_theta_at_the_start_and_the_cell_of_the_stage():
    """Heun's second stage at the step's end, where weights are read on a border or beyond it."""
    case = {**CASES["ode-cells-backward"], "n_steps": 2}
    given = reference.arrays(case, "inputs")
    blocks = {k.split("/")[1]: v for k, v in given.items() if k.startswith("theta")}

    def f(z, j):
        a = np.tanh(z @ blocks["W0"][j].T + blocks["b0"][j])
        return a @ blocks["W1"][j].T + blocks["b1"][j]

    def step(z, j, k):
        one = f(z, j)
        return z - 0.375 * (one + f(z - 0.75 * one, k))

    # backwards from cell 1 to cell 0, the border at the first step's end and the second's start
    for key, cells in (
        ("cell-by-stage-earlier", ((1, 0), (0, 0))),
        ("cell-by-stage-later", ((1, 1), (1, 0))),
        ("coefficients-reversed", ((0, 0), (1, 1))),
    ):
        z = given["x"]
        for j, k in cells:
            z = step(z, j, k)
        meets(BY_KEY[key].evaluate(case)["trajectory"][-1], z)


def test_times_that_a_field_gets():
    """One Euler step of f = A (z, t) + c, backwards from 1.25."""
    case = {
        **CASES["ode-affine-time"],
        "scheme": CASES["ode-euler-affine"]["scheme"],
        "n_steps": 1,
        "along": ["1.25", "-0.25"],
    }
    given = reference.arrays(case, "inputs")
    A, c, x = given["theta/A"][-1], given["theta/c"][-1], given["x"]
    for key, t in (
        ("time-from-zero", 0.0),
        ("time-from-span", 1.5),
        ("time-normalised", 1.0),
        ("time-mirrored", -0.25),
        ("time-missing", 0.0),
    ):
        k = x @ A[:, :2].T + t * A[:, 2] + c
        meets(BY_KEY[key].evaluate(case)["trajectory"][-1], x - 1.5 * k)
    rolled = np.roll(A, -1, axis=1)
    k = x @ rolled[:, :2].T + 1.25 * rolled[:, 2] + c
    meets(BY_KEY["time-first"].evaluate(case)["trajectory"][-1], x - 1.5 * k)


def test_losses_by_their_formulas():
    v = results("supervised-logistic")["outputs"][:, 0]
    y = results("supervised-logistic", "inputs")["y"]
    losses = {
        "labels-product": np.log1p(np.exp(-y * v)),
        "labels-signed": np.log1p(np.exp(v)) - (2 * y - 1) * v,
        "labels-turned": np.log1p(np.exp(v)) - (1 - y) * v,
    }
    for key, loss in losses.items():
        meets(wrong(key, "supervised-logistic")["terms/loss"], loss.mean())
    v = results("supervised-softmax")["outputs"]
    y = results("supervised-softmax", "inputs")["y"].astype(int)
    for key, labels in (("labels-later", (y + 1) % 3), ("labels-earlier", (y - 1) % 3)):
        loss = np.log(np.exp(v).sum(1)) - v[np.arange(4), labels]
        meets(wrong(key, "supervised-softmax")["terms/loss"], loss.mean())
    states = results("supervised-regression")["trajectory"][-1]
    given = results("supervised-regression", "inputs")
    residual = states @ given["theta/W"].T - given["y"]
    loss = wrong("readout-bias", "supervised-regression")["terms/loss"]
    meets(loss, 0.5 * (residual**2).sum(1).mean())
    residual = states - given["y"]
    loss = wrong("readout-missing", "supervised-regression")["terms/loss"]
    meets(loss, 0.5 * (residual**2).sum(1).mean())


def test_regularisers_by_their_formulas():
    given = results("supervised-logistic", "inputs")
    theta = {k.split("/")[1]: v for k, v in given.items() if k.startswith("theta")}

    def squares(names):
        return sum((theta[k] ** 2).sum() for k in names)

    inner = ("W0", "b0", "W1", "b1")
    for key, size in (
        ("tikhonov-readout", squares(inner)),
        ("tikhonov-biases", squares(("W0", "W1", "W"))),
        ("tikhonov-readout-alone", squares("Wb")),
        ("tikhonov-norm", squares(theta) ** 0.5),
    ):
        meets(wrong(key, "supervised-logistic")["terms/tikhonov"], 0.0625 * size)
    # hats at 0, 1/2, 1: int |theta'|^2 ds is twice the squared differences
    moved = sum((np.diff(theta[k], axis=0) ** 2).sum() for k in inner)
    for key, size in (
        ("smoothness-length", 2.0 * moved),
        ("smoothness-differences", moved / 1.5),
        ("smoothness-times", 3.0 * moved),
        ("smoothness-squared", 2.0 * moved / 2.25),
    ):
        meets(wrong(key, "supervised-logistic")["terms/smoothness"], 0.25 * size)


def test_densities_of_flows_by_their_formulas():
    found = results("flow-wide")
    w, ell, constant = found["inverse"], found["log_det"], 0.5 * np.log(2.0 * np.pi)
    gauss = -0.5 * (w**2).sum(1)
    for key, density in (
        ("log-det-sign", gauss - 4 * constant - ell),
        ("log-det-missing", gauss - 4 * constant),
        ("density-constant", gauss + ell),
        ("density-constant-once", gauss - constant + ell),
        ("log-det-at-start", gauss - 4 * constant + ell + 1.25),
    ):
        meets(wrong(key, "flow-wide")["log_density"], density)
        meets(wrong(key, "flow-wide")["terms/likelihood"], -density.mean())
    cost = results("flow-wide")["transport_cost"]
    meets(wrong("costs-at-start", "flow-wide")["transport_cost"], cost - 1.25)
    meets(wrong("accumulators-at-t0", "flow-wide")["log_det"], ell - 0.25)


def test_terms_of_games_by_their_formulas():
    found, case = results("game-crowd-later"), CASES["game-crowd-later"]
    meets(wrong("alpha-in-L", case["name"])["terms/L"], 2.0 * found["terms/L"])
    meets(wrong("alpha-inverse-L", case["name"])["terms/L"], 4.0 * found["terms/L"])
    swapped = wrong("rows-swapped", case["name"])
    meets([swapped["terms/L"], swapped["terms/F"]], [found["terms/F"], found["terms/L"]])
    # to the standard Gaussian, terminal = 1: G is the mean of log rho + |z|^2/2 + log 2 pi
    end, rho = found["trajectory"][-1], found["log_density_path"]
    log_target = -0.5 * (end**2).sum(1) - np.log(2.0 * np.pi)
    for key, gap in (
        ("target-constant", rho[-1] - log_target - np.log(2.0 * np.pi)),
        ("stale-density-in-G", rho[0] - log_target),
        ("divergence-reversed", log_target - rho[-1]),
        ("gaussian-two-pi", rho[-1] - log_target),  # both constants alike
    ):
        meets(wrong(key, case["name"])["terms/G"], gap.mean())


@pytest.mark.parametrize(
    ("key", "r"),
    [
        ("phi-time-sign", lambda p, t, rho, a: t + p / (2 * a) - 0.5 * (rho + 1)),
        ("phi-time-missing", lambda p, t, rho, a: p / (2 * a) - 0.5 * (rho + 1)),
        ("entropy-one", lambda p, t, rho, a: -t + p / (2 * a) - 0.5 * rho),
        ("entropy-in-r", lambda p, t, rho, a: -t + p / (2 * a)),
        ("entropy-sign", lambda p, t, rho, a: -t + p / (2 * a) + 0.5 * (rho + 1)),
    ],
)
def test_the_hjb_residual_by_its_formula(key, r):
    """At the first stage of the first step, under Euler's method."""
    case = {**CASES["game-entropy"], "scheme": CASES["ode-euler-affine"]["scheme"], "n_steps": 1}
    truth, found = right(case), BY_KEY[key].evaluate(case)
    gradient, time = truth["phi_gradient"][0, 0, :, 0], truth["phi_time"][0, 0]
    rho = truth["log_density_path"][0]
    meets(found["terms/hjb"], 1.75 * np.abs(r(gradient**2, time, rho, 1.0)).mean())


@pytest.mark.parametrize("name", ["flow-everything", "supervised-logistic", "game-crowd"])
def test_terms_weighed(name):
    """The total by the terms; the gradient by an evaluation that has the term alone."""
    found, case = results(name), CASES[name]
    weights = {
        "flow-everything": "transport",
        "supervised-logistic": "tikhonov",
        "game-crowd": "hjb",
    }
    term = weights[name]
    meets(wrong(f"total-minus-{term}", name)["total"], found["total"] - 2 * found[f"terms/{term}"])
    meets(wrong(f"total-without-{term}", name)["total"], found["total"] - found[f"terms/{term}"])
    assert wrong(f"gradient-without-{term}", name)["total"] == right(case)["total"]
    for key, factor in (("without", 0.0), ("twice", 2.0), ("half", 0.5), ("minus", -1.0)):
        weight = repr(factor * float(case["problem"][term]))
        other = plain.evaluate({**case, "problem": {**case["problem"], term: weight}})
        variant = BY_KEY[f"gradient-{key}-{term}"].evaluate(case, hessian=True)
        for quantity in [k for k in other if k.startswith(("gradient", "hessian"))]:
            assert relative(variant[quantity], other[quantity]) <= tol.PLAIN_HESSIAN


def test_a_jacobian_that_is_not_transposed():
    """An Euler step of a linear field by cotangents."""
    A, _, _ = linear()
    bar = results("ode-euler-affine", "inputs")["z_bar"]
    for _ in range(4):
        bar = bar + 0.375 * bar @ A.T
    meets(wrong("adjoint-not-transposed", "ode-euler-affine")["x_bar"], bar)


def test_the_traces_derivatives_of_one_step():
    """One Euler step of a network: l = h sum_k (1 - a_k^2) M_k, M_k = sum_i W1_ik W0_ki."""
    case = {**CASES["ode-line"], "scheme": CASES["ode-euler-affine"]["scheme"]}
    case["inputs"] = {**case["inputs"], "z_bar": {"shape": [1, 1], "data": ["0"]}}
    given = reference.arrays(case, "inputs")
    W0, b0, W1 = (given[f"theta/{k}"][0] for k in ("W0", "b0", "W1"))
    a = np.tanh(W0 @ given["x"][0] + b0)
    slopes, M, size = 1.0 - a**2, (W1.T * W0).sum(1), 1.5 * given["l_bar"][0]
    bent = -2.0 * a * slopes * M
    whole = right(case)
    meets(whole["theta_bar/b0"][0], size * bent)
    meets(whole["x_bar"][0], size * W0.T @ bent)
    flat = BY_KEY["curvature-missing"].evaluate(case)
    meets(flat["theta_bar/b0"], 0.0 * whole["theta_bar/b0"])
    meets(flat["x_bar"], 0.0 * whole["x_bar"])
    meets(flat["theta_bar/W1"][0], size * slopes * W0.T)
    still = BY_KEY["trace-by-state-detached"].evaluate(case)
    meets(still["theta_bar/b0"], whole["theta_bar/b0"])
    meets(still["x_bar"], 0.0 * whole["x_bar"])


def test_slips_of_paired_fields():
    """The first slope of a Hamiltonian and of an antisymmetric field."""
    given, t = results("ode-hamiltonian", "inputs"), -0.25
    K, x = given["theta/K"][0], given["x"]
    b = given["theta/b0"][0] + t * given["theta/tau"][0]
    upper = np.tanh(x[:, 2:] @ K.T + b)
    for key, lower in (
        ("hamiltonian-K-twice", -np.tanh(x[:, :2] @ K.T + b)),
        ("hamiltonian-sign", np.tanh(x[:, :2] @ K + b)),
    ):
        slope = wrong(key, "ode-hamiltonian")["slopes"][0, 0]
        meets(slope, np.concatenate([upper, lower], axis=1))
    given = results("ode-damped", "inputs")
    K, b, x = given["theta/K"][0], given["theta/b0"][0], given["x"]
    for key, B in (("antisymmetric-K", K), ("antisymmetric-sum", K + K.T)):
        slope = np.tanh(x @ (B - 0.5 * np.eye(2)).T + b)
        meets(wrong(key, "ode-damped")["slopes"][0, 0], slope)


def test_other_legendre_polynomials():
    """One Euler step, weights at the interval's start: x = -1."""
    case = {
        **CASES["ode-affine-time"],
        "scheme": CASES["ode-euler-affine"]["scheme"],
        "n_steps": 1,
        "basis": {"type": "Legendre", "J": 3},
    }
    given = reference.arrays(case, "inputs")
    A, c, x = given["theta/A"], given["theta/c"], given["x"]
    for key, p in (
        ("legendre-normalised", np.sqrt([1.0, 3.0, 5.0]) * [1.0, -1.0, 1.0]),
        ("legendre-unshifted", np.array([1.0, 0.0, -0.5])),
    ):
        W = np.tensordot(p, A, axes=1)
        k = x @ W[:, :2].T - 0.25 * W[:, 2] + p @ c
        meets(BY_KEY[key].evaluate(case)["trajectory"][-1], x + 1.5 * k)


def test_jumps_at_observations():
    """Without what is observed before the end, the gradient is that of <bar_N, z_N> alone."""
    case = CASES["ode-observations"]
    inputs = case["inputs"]
    zero = {"shape": [2], "data": ["0", "0"]}
    bars = inputs["path_bar"]
    row = int(np.prod(bars["shape"][1:]))
    last = {"shape": bars["shape"][1:], "data": bars["data"][-row:]}
    alone = {k: v for k, v in inputs.items() if k != "path_bar"}
    other = plain.evaluate({**case, "inputs": {**alone, "z_bar": last, "l_bar": zero}})
    found = wrong("jumps-missing", "ode-observations")
    for name in ("x_bar", "theta_bar/W0", "theta_bar/b1"):
        meets(found[name], other[name])
