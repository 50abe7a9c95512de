"""Golden cases solved so finely that they are the flow itself: held to the closed form."""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
import pytest
import tolerances as tol
from closed_form_checks import close
from shallow_digits import exact, of

from refode import reference
from refode.closed_forms import ParabolicFlow, ShallowFlow

NAMES = ("ode-exact-parabolic", "ode-exact-shallow")


def blocks(document, part):
    """Arrays such as theta/W0 by the last part of their names, without J = 1."""
    found = reference.arrays(document, "inputs")
    return {k.partition("/")[2]: v[0] for k, v in found.items() if k.startswith(f"{part}/")}


def flow_of(document):
    kind = {"Shallow": ShallowFlow, "Parabolic": ParabolicFlow}[document["field"]["type"]]
    return kind(**blocks(document, "theta"))


def digits(document, name):
    array = document["results"][name]
    return np.array([Decimal(d) for d in array["data"]], dtype=object).reshape(array["shape"])


def times(document):
    first, last = (float(t) for t in document["along"])
    return [
        first + (last - first) * k / document["n_steps"] for k in range(document["n_steps"] + 1)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_states_and_log_determinants_to_seventeen_digits(name):
    document = reference.case(name)
    flow, x = flow_of(document), reference.arrays(document, "inputs")["x"]
    path, log_det = digits(document, "trajectory"), digits(document, "log_det")
    with localcontext() as context:
        context.prec = 60
        T = Decimal(document["along"][1]) - Decimal(document["along"][0])
        for k in range(document["n_steps"] + 1):
            for s in range(len(x)):
                z, _ = exact(*of(flow, x[s], T * k / document["n_steps"]))
                assert max(abs(a - b) for a, b in zip(z, path[k, s], strict=True)) < tol.EXACT_FLOW
        for s in range(len(x)):
            assert abs(exact(*of(flow, x[s], T))[1] - log_det[s]) < tol.EXACT_FLOW


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_by_states_and_biases_to_seventeen_digits(name):
    """Both leave the preactivations decoupled: differences of the closed form, steps of 1e-20."""
    document = reference.case(name)
    flow, given = flow_of(document), reference.arrays(document, "inputs")
    x_bar, b0_bar = digits(document, "x_bar"), np.full(flow.width, Decimal(0))
    with localcontext() as context:
        context.prec = 60
        step, T = Decimal("1e-20"), Decimal(document["along"][1])

        def slope(s, place, i):
            ends = []
            for sign in (1, -1):
                arguments = of(flow, given["x"][s], T)
                arguments[place][i] += sign * step
                z, log_det = exact(*arguments)
                z_bar = map(Decimal, given["z_bar"][s].tolist())
                paired = sum(a * b for a, b in zip(z_bar, z, strict=True))
                ends.append(paired + Decimal(float(given["l_bar"][s])) * log_det)
            return (ends[0] - ends[1]) / (2 * step)

        for s in range(len(given["x"])):
            for i in range(flow.dim):
                assert abs(slope(s, 4, i) - x_bar[s, i]) < tol.EXACT_FLOW
            b0_bar = b0_bar + np.array([slope(s, 1, i) for i in range(flow.width)])
        data = document["results"]["theta_bar"]["b0"]["data"]
        for found, right in zip(b0_bar, map(Decimal, data), strict=True):
            assert abs(found - right) < tol.EXACT_FLOW


@pytest.mark.parametrize("name", NAMES)
def test_what_the_closed_form_computes(name):
    """Values and all derivatives, by the class that users have."""
    document = reference.case(name)
    flow, given = flow_of(document), reference.arrays(document, "inputs")
    right = reference.arrays(document, "results")
    T = float(document["along"][1])
    close(flow.trajectory(given["x"], times(document)), right["trajectory"], tol.SHALLOW_ROUNDING)
    close(flow.log_det(given["x"], T)[1], right["log_det"], tol.SHALLOW_ROUNDING)
    theta_bar, x_bar, _ = flow.adjoint(given["x"], given["z_bar"], T, given["l_bar"])
    close(x_bar, right["x_bar"], tol.SHALLOW_ADJOINT)
    names = blocks(document, "theta")
    wanted = np.concatenate([right[f"theta_bar/{k}"].ravel() for k in names])
    close(theta_bar, wanted, tol.SHALLOW_ADJOINT)
    moves = np.concatenate([v.ravel() for v in blocks(document, "direction").values()])
    for s, x in enumerate(given["x"]):
        for i, axis in enumerate(np.eye(flow.dim)):
            of_theta, of_x, _ = flow.adjoint(x[None], axis[None], T)
            tangent = of_theta @ moves + of_x[0] @ given["x_direction"][s]
            close(tangent, right["tangent"][s, i], tol.SHALLOW_ADJOINT, 1.0)
