"""SciPy's optimisers as training calls them: with none of their own reasons to stop but one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from refode.training.options import METHODS, Options
from refode.training.records import Float64, Recorder
from refode.training.variables import Variables

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

#: L-BFGS has converged where the value falls by less than this, relative to max(1, |value|):
#: some fifty units in the last place, as much as a mean over samples rounds by.
STALLED = 1e-14


def minimise(
    recorder: Recorder,
    variables: Variables,
    options: Options,
    iterated: Callable[[Float64], None],
) -> OptimizeResult:
    """Run SciPy from ``variables.start`` until it gives up, or `iterated` raises.

    `iterated` is called after each iteration and has the tests of convergence: SciPy's own are
    switched off but for the stalled value.
    """
    from scipy.optimize import minimize

    never = 10**9
    settings: dict[str, Any] = {"maxiter": never}
    if options.method == "lbfgs":
        settings |= {"maxcor": options.memory, "maxfun": never, "maxls": 40}
        settings |= {"ftol": STALLED, "gtol": 0.0}
    else:
        by_steps = options.method == "newton-cg"
        settings |= {"xtol": np.finfo(float).eps} if by_steps else {"gtol": 0.0}
    hessp = {"hessp": recorder.product} if options.with_products else {}
    with warnings.catch_warnings():
        # SciPy's words on its own rounding: what comes of it is in the message
        warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"scipy\.optimize")
        return minimize(
            lambda xi: recorder.value(variables.theta(xi)),
            variables.start,
            jac=lambda xi: variables.pull_back(recorder.gradient(variables.theta(xi))),
            method=METHODS[options.method],
            callback=iterated,
            options=settings,
            **hessp,
        )
