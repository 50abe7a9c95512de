"""What is held against every planted bug in implicit schemes, run by itself: ``NAME SCHEME``.

Prints the largest error of each kind, relative: states and the adjoint against plain NumPy, the
log-determinant's adjoint and the cotangents of the ends against the complex step through it.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import oracle
from implicit_mutants import MUTANTS

from validation.mutants.mutant import plant


def errors(scheme: str) -> dict[str, float]:
    """By quantity."""
    from sweep_oracle import Twin

    import refode
    from refode import bases, fields

    field, span = fields.Shallow(2, 3, time=True), (-0.1, 1.0)
    ode = refode.NeuralODE(field, scheme, 3, (-0.3, 1.2), bases.Legendre(2))
    twin, rng = Twin(ode, oracle.shallow(True)), np.random.default_rng(0)
    theta, x = 0.7 * rng.standard_normal(ode.n_parameters), rng.standard_normal((2, 2))
    v, z_bar, l_bar = (rng.standard_normal(n) for n in (theta.size, (2, 2), 2))

    def off(got, want):
        return float(np.linalg.norm(got - want) / np.linalg.norm(want))

    def value(theta, x, t0, T):
        z, l = twin.log_det(theta, x, t0, T)  # noqa: E741
        return np.sum(z_bar * z) + np.sum(l_bar * l)

    bars = ode.log_det_adjoint(theta, x, z_bar, l_bar, t_span=span, times=True)
    ends = oracle.complex_gradient(lambda e: value(theta, x, *e), np.array(span))
    return {
        "state": off(ode.solve(theta, x, t_span=span), twin.states(theta, x, *span)[-1].real),
        "theta": off(
            bars[0] @ v, oracle.complex_directional(lambda th: value(th, x, *span), theta, v)
        ),
        "x": off(bars[1], oracle.complex_gradient(lambda x: value(theta, x, *span), x)),
        "times": off(bars[2], ends),
    }


if __name__ == "__main__":
    name, scheme = sys.argv[1:]
    if name != "none":
        plant(MUTANTS[name])
    try:
        print(json.dumps(errors(scheme)))
    except ValueError as error:
        print(json.dumps({"error": str(error)}))
