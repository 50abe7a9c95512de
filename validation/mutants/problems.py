"""Bugs planted in losses, flows, regularisers and readouts."""

from __future__ import annotations

from validation.mutants.mutant import Mutant

_DENSITY = "        return l - 0.5 * np.sum(w**2, axis=1) - self._constant\n"
_CONSTANT = "        return 0.5 * self.dim * math.log(2.0 * math.pi)\n"

SUPERVISED: tuple[Mutant, ...] = (
    Mutant(
        "loss-half", "|v - y|^2 in place of |v - y|^2/2", "costs.losses",
        "            value += 0.5 * r * r\n", "            value += r * r\n",
        (("regression-half", ""), ("factor", "2")), "terms",
    ),
    Mutant(
        "loss-gradient-twice", "the derivative of |v - y|^2/2 is 2 (v - y)", "costs.losses",
        "            V[i, s] = r\n", "            V[i, s] = 2.0 * r\n",
        (("gradient-twice-loss", ""), ("factor", "2 times what is right")), "gradient",
    ),
    Mutant(
        "sum-over-samples", "a sum over samples in place of their mean", "problems.supervised",
        "self._loss.description(y), W, b, 1.0 / n)", "self._loss.description(y), W, b, 1.0)",
        (("sum-over-samples", ""), ("factor", "N (the number")), "total",
    ),
    Mutant(
        "labels-shifted", "classes count from 1", "costs.losses",
        '_validate.labels_integer("y", y, n, m)',
        '(_validate.labels_integer("y", y, n, m) + 1) % m',
        (("labels-later", ""),), "terms",
    ),
    Mutant(
        "labels-exchanged", "labels 0 and 1 are exchanged", "costs.losses",
        '_validate.labels_binary("y", y, n).astype(np.int64)',
        '1 - _validate.labels_binary("y", y, n).astype(np.int64)',
        (("labels-turned", ""),), "terms",
    ),
    Mutant(
        "readout-bias-detached", "the readout's bias has no gradient", "costs.supervised",
        "    add_row_sums(cost_bar[k * d :], V)  #               b_bar += v_bar\n", "",
        (("detached", "b"),), "gradient",
    ),
    Mutant(
        "readout-bias-missing", "outputs lack the readout's bias", "problems.supervised",
        "        return z @ W.T + b if self.readout else z\n",
        "        return z @ W.T if self.readout else z\n", (("readout-bias", ""),), "outputs",
    ),
    Mutant(
        "zeros-in-front", "zeros stand before the data", "problems.supervised",
        "        padded[:, : self.n_inputs] = x\n", "        padded[:, self.augment :] = x\n",
        (("zeros-in-front", ""),), "outputs",
    ),
    Mutant(
        "gauss-newton", "the Hessian-vector product lacks the curvature of the network",
        "problems.supervised",
        "super().hessian_vector(theta, v, x, y)", "self.gauss_newton_vector(theta, v, x, y)",
        (("gauss-newton", ""),), "hessian_vector",
    ),
    Mutant(
        "penalty-detached", "regularisers have no gradient", "problems.supervised",
        "np.concatenate([theta_bar, result.cost_bar]) + penalty_bar",
        "np.concatenate([theta_bar, result.cost_bar])",
        (("gradient-without-tikhonov", ""), ("gradient-without-smoothness", "")), "gradient",
    ),
)  # fmt: skip

REGULARISERS: tuple[Mutant, ...] = (
    Mutant(
        "tikhonov-half", "the factor 1/2 of both regularisers is missing", "problems.regularisers",
        "        return 0.5 * np.dot(theta, gradient), gradient\n",
        "        return np.dot(theta, gradient), gradient\n",
        (("factor", "2"), ("tikhonov-half", "")), "terms",
    ),
    Mutant(
        "smoothness-length", "theta' is a derivative by the scaled time", "problems.regularisers",
        "ode.basis.stiffness() / abs(ode.t_span[1] - ode.t_span[0])", "ode.basis.stiffness()",
        (("smoothness-length", ""),), "terms",
    ),
)  # fmt: skip

FLOWS: tuple[Mutant, ...] = (
    Mutant(
        "log-det-sign", "the log-determinant enters the likelihood with the wrong sign",
        "costs.flow", "        value += cost.constant - Y[l, s] + cost.transport * Y[v, s]\n",
        "        value += cost.constant + Y[l, s] + cost.transport * Y[v, s]\n",
        (("log-det-sign", ""),), "total",
        more=(("        L[l, s] -= cost.scale\n", "        L[l, s] += cost.scale\n"),),
    ),
    Mutant(
        "log-det-sign-density", "the log-determinant enters the density with the wrong sign",
        "problems.normalizing_flow", _DENSITY, _DENSITY.replace("return l -", "return -l -"),
        (("log-det-sign", ""),), "log_density",
    ),
    Mutant(
        "rows-exchanged", "the rows of log-determinant and transport cost are exchanged",
        "costs.flow", "    l, v = Y.shape[0] - 2", "    v, l = Y.shape[0] - 2",
        (("rows-swapped", "log-determinant"),), "total",
    ),
    Mutant(
        "density-constant", "the density lacks d/2 log 2 pi", "problems.normalizing_flow",
        _CONSTANT, "        return 0.0\n",
        (("density-constant", ""), ("constant", "d/2 log(2 pi)")), "log_density",
    ),
    Mutant(
        "density-constant-once", "the density's constant is that of one dimension",
        "problems.normalizing_flow", _CONSTANT, _CONSTANT.replace("self.dim * ", ""),
        (("density-constant-once", ""),), "log_density",
    ),
    Mutant(
        "transport-sign", "the transport cost is negative where time runs backwards",
        "problems.normalizing_flow", "        return math.copysign(1.0, plan.grid.h[0])\n",
        "        return 1.0\n", (("transport-sign", ""), ("sign", "transport")), "transport_cost",
    ),
    Mutant(
        "likelihood-sum", "the likelihood is a sum over samples", "problems.normalizing_flow",
        "cost = FlowCost(self.dim, self._constant, weight, 1.0 / len(y))",
        "cost = FlowCost(self.dim, self._constant, weight, 1.0)",
        (("sum-over-samples", ""), ("factor", "N (the number")), "total",
    ),
    Mutant(
        "transport-detached", "the transport cost has no gradient", "costs.flow",
        "        L[v, s] += cost.scale * cost.transport\n", "        L[v, s] += 0.0\n",
        (("gradient-without-transport", ""),), "gradient",
    ),
)  # fmt: skip

PROBLEMS: tuple[Mutant, ...] = (*SUPERVISED, *REGULARISERS, *FLOWS)
