"""Bugs planted in what is new in time: plans, dense output, trajectories, second order, reports.

No golden case reaches them: each names the test that it has to turn red.
"""

from __future__ import annotations

from validation.mutants.mutant import Mutant

_INSIDE = "tests/ode/test_interpolation.py::test_{}[{}-Legendre(3)-t_span1]"
_ADJOINT = _INSIDE.format("adjoint_is_the_oracles_derivative", "dopri5")
_ENDS = "tests/ode/test_steps.py::test_derivatives_in_the_ends"
_STATE, _GRADIENT = (
    "tests/adaptation/test_state.py::test_",
    "tests/adaptation/test_gradient.py::test_",
)
_ORACLE = _STATE + "every_tried_step_is_the_oracles[pi-{}]"
_RK45 = _STATE + "rk45_takes_the_same_steps[t_span{}-tol1]"
_CURVES = "tests/problems/test_trajectories.py::test_"
_VALUES = _CURVES + "value_and_gradient_are_the_oracles[ShallowSpec-{}]"
_TIMES = _CURVES + "gradients_in_states_and_times_are_the_oracles[ShallowSpec-{}]"
_SHOOTING = "tests/problems/test_shooting.py::test_{}[ShallowSpec-{}]"
_LAPLACE = "tests/problems/test_laplace.py::test_"
_MSA = "tests/training/test_training_msa.py::test_"
_GAPS = "tests/verify/test_verify_gap.py::test_orders_of_the_gaps[{}]"


def _mutant(name: str, about: str, module: str, old: str, new: str, test: str) -> Mutant:
    return Mutant(name, about, module, old, new, (), test=test)


DENSE: tuple[Mutant, ...] = (
    _mutant(
        "seeds-without-h",
        "what is read within a step has cotangents of its slopes without the step's length",
        "costs.trajectory",
        "parts_within_adjoint(about, h, P_bar, F_bar)",
        "parts_within_adjoint(about, h / h, P_bar, F_bar)",
        _ADJOINT,
    ),
    _mutant(
        "last-slope-detached",
        "the slope at a step's end, which the next step begins with, has no cotangent",
        "sweeps.dense",
        "        if seeded:\n            axpy(W, 1.0, bar.Z[i])\n",
        "        if seeded and i < n - 1:\n            axpy(W, 1.0, bar.Z[i])\n",
        _ADJOINT,
    ),
    _mutant(
        "seeds-after-h-bar",
        "the cotangent of a step's length lacks what is read within it",
        "sweeps.dense",
        "        if seeded:\n"
        "            axpy(W, 1.0, bar.Z[i])\n"
        "        bar.time[1] += inner(W, tape.F[i]) / h\n",
        "        bar.time[1] += inner(W, tape.F[i]) / h\n"
        "        if seeded:\n"
        "            axpy(W, 1.0, bar.Z[i])\n",
        _ADJOINT,
    ),
    _mutant(
        "times-detached",
        "times of observation have no cotangent",
        "costs.trajectory",
        "cost.times_bar[i, j] = bar.real\n",
        "cost.times_bar[i, j] = 0.0\n",
        _ADJOINT,
    ),
    _mutant(
        "grid-stays",
        "observations within a step do not move as the step does",
        "costs.trajectory",
        "                time_bar[0] -= bar  # x = (t - t_n) / h\n",
        "",
        _ADJOINT,
    ),
    Mutant(
        "extrapolated",
        "a time is read from the step before the one that it lies in",
        "ode.interpolation",
        'side="left") - 1\n',
        'side="left") - 2\n',
        (),
        more=(("np.clip(fraction, 0.0, 1.0)", "fraction"),),
        test=_INSIDE.format("states_are_the_oracles", "tsit5"),
    ),
    _mutant(
        "cubic-for-dopri5",
        "dopri5 is read by the cubic, which has one order less",
        "ode.interpolation",
        '    if tableau.A == tableaus.get("dopri5").A:\n',
        "    if False:\n",
        "tests/ode/test_interpolation.py::test_local_orders",
    ),
)

ENDS: tuple[Mutant, ...] = (
    _mutant(
        "start-for-end",
        "the derivative by t0 has the sign of that by T",
        "ode.plan",
        "((1 - alpha) * t_bar).sum() - h_bar",
        "((1 - alpha) * t_bar).sum() + h_bar",
        _ENDS,
    ),
    _mutant(
        "lengths-detached",
        "steps' lengths have no cotangent",
        "ode.plan",
        "(w * time_bar[:, 1]).sum()",
        "0.0",
        _ENDS,
    ),
    _mutant(
        "starts-detached",
        "steps' starts have no cotangent",
        "ode.plan",
        "    t_bar, h_bar = time_bar[:, 0], ",
        "    t_bar, h_bar = 0.0 * time_bar[:, 0], ",
        _ENDS,
    ),
)

PLANS: tuple[Mutant, ...] = (
    _mutant(
        "longest-at-the-end",
        "the last step is as long as the one before it would have it",
        "sweeps.planning",
        "        under_way[STEP] = end - t\n",
        "        under_way[STEP] = sign * wanted\n",
        _ORACLE.format("None"),
    ),
    _mutant(
        "end-by-its-size",
        "the end is reached where |t + h| is |T|",
        "sweeps.planning",
        "        clipped = wanted >= left * (1.0 - CLOSE)\n",
        "        clipped = abs(t + sign * wanted) >= abs(under_way[STOP]) * (1.0 - CLOSE)\n",
        _RK45.format(2),
    ),
    _mutant(
        "order-one",
        "lengths follow errors as if the pair were of order one",
        "adaptation.pairs",
        "        1.0 / (lower + 1),\n",
        "        0.5,\n",
        _RK45.format(0),
    ),
    _mutant(
        "another-pair",
        "the error is two thirds of dopri5's, as by Shampine's embedded weights",
        "adaptation.pairs",
        "rows = [[float(x - y) for",
        "rows = [[float(x - y) / 1.5 for",
        _RK45.format(1),
    ),
    _mutant(
        "grows-after-a-rejection",
        "the step after a rejected one may be longer",
        "sweeps.planning",
        "        factor = min(1.0, factor)\n",
        "        pass\n",
        _STATE + "the_step_after_a_rejection_does_not_grow",
    ),
    _mutant(
        "slope-of-another-cell",
        "the last slope of a cell is taken for the first one of the next",
        "adaptation.planner",
        "                self.shared[trying.KNOWN] = 0  # the slope",
        "                self.shared[trying.KNOWN] = 1  # the slope",
        _ORACLE.format("basis2"),
    ),
    _mutant(
        "unguarded-start",
        "the first length is 0.01 d0/d1 where nothing moves, too",
        "adaptation.planner",
        "1e-6 if d0 < 1e-5 or d1 < 1e-5 else 0.01 * d0 / d1",
        "0.01 * d0 / max(d1, 1e-300)",
        _STATE + "nothing_that_moves_takes_few_steps",
    ),
    _mutant(
        "hidden-among-others",
        "the error is the mean over samples",
        "sweeps.planning",
        "    if plan.control[MEAN] != 0.0:\n",
        "    if True:\n",
        _STATE + "by_the_largest_norm_nobody_hides_among_the_others",
    ),
    _mutant(
        "gradient-unwatched",
        "the share of the gradient does not count in a plan",
        "adaptation.halving",
        "~((of_theta <= allowed * lengths / self.length) & (by_cotangent <= 1.0))",
        "~(by_cotangent <= 1.0)",
        _GRADIENT
        + "the_gradient_is_as_exact_as_asked_for_where_the_state_does_not_move[0.0-dopri5]",
    ),
    _mutant(
        "state-alone",
        "problems plan for the state alone",
        "adaptation.course",
        "return courses if gradient else",
        "return courses if not courses else",
        "tests/problems/test_adapt_problems.py::test_a_flow_that_starts_with_a_zero_last_layer",
    ),
)

IMPLICIT: tuple[Mutant, ...] = (
    _mutant(
        "slopes-at-the-start",
        "implicit stages read the field at the step's start",
        "sweeps.newton",
        "        t = at.t + scheme.c[i + 1] * at.h\n        n = i + 1\n        slope(",
        "        t = at.t\n        n = i + 1\n        slope(",
        "tests/sweeps/test_implicit.py::test_adjoint_tangent_and_differences_agree[sdirk3-MLPSpec]",
    ),
    _mutant(
        "radau-typo",
        "1/3 stands for 1/4 in gauss2's second row, whose sum and weights are right",
        "tableaus",
        "0.5386751345948128822545743903  0.25\n",
        "0.4553418012614795489212410570  0.3333333333333333333333333333\n",
        "tests/test_implicit_tableaus.py::"
        "test_order_conditions_hold_to_the_printed_digits_and_fail_at_the_next_order[gauss2]",
    ),
)

TRAJECTORIES: tuple[Mutant, ...] = (
    Mutant(
        "missing-times-zero",
        "a value that is missing is multiplied by its weight, 0",
        "costs.trajectory",
        "        if cost.weights[i, j, c] == 0.0:  # missing\n",
        "        if cost.weights[i, j, c] < 0.0:  # missing\n",
        (),
        more=(
            (
                "problems.observations",
                "        self.values = _closed(np.where(there, found, 0.0))\n",
                "        self.values = _closed(found)\n",
            ),
        ),
        test=_CURVES + "what_is_missing_is_never_looked_at",
    ),
    _mutant(
        "mean-over-samples",
        "the loss is a mean over samples, not over what is observed",
        "problems.trajectory_objective",
        "            1.0 / y.total,\n",
        "            1.0 / len(y.weights),\n",
        _VALUES.format("gaps"),
    ),
    _mutant(
        "weights-are-deviations",
        "weights are 1/sigma in the residual's square",
        "costs.trajectory",
        "            bar = cost.scale * cost.weights[i, j, c] * (v - target)\n",
        "            bar = cost.scale * cost.weights[i, j, c] ** 2 * (v - target)\n",
        _VALUES.format("own"),
    ),
    _mutant(
        "durations-of-one-side",
        "the time of an observation moves the steps before it alone",
        "problems.schedules",
        "    bars[:, :-1] -= duration_bar[:, 1:]\n",
        "",
        _TIMES.format("steps"),
    ),
    _mutant(
        "points-one-late",
        "cotangents of observations at points of the grid go to the next one",
        "problems.schedules",
        "    bars[:-1] += time_bar[:, 0] - time_bar[:, 1]\n    bars[1:] += time_bar[:, 1]\n",
        "    bars[1:] += time_bar[:, 0]\n",
        _TIMES.format("common"),
    ),
    _mutant(
        "first-interval-for-all",
        "every stretch is as long as the first",
        "problems.schedules",
        "        _stretch(ode, times, a, b, k == 0)\n",
        "        _stretch(ode, times, a, a + ends[1] - ends[0], k == 0)\n",
        _SHOOTING.format("on_the_path_it_is_single_shooting", "common"),
    ),
    _mutant(
        "multipliers-sign",
        "the next stretch's node gets what joins it with the wrong sign",
        "problems.shooting",
        "                nodes_bar[:, k] -= self._multipliers(k, x.shape[1])",
        "                nodes_bar[:, k] += self._multipliers(k, x.shape[1])",
        _SHOOTING.format("gradient_off_the_path", "common"),
    ),
)

SECOND: tuple[Mutant, ...] = (
    _mutant(
        "leverage-missing",
        "a fit without a sample lacks 1/(1 - leverage)",
        "problems.left_out",
        "    pushed = np.linalg.solve(left, bars[..., None])\n",
        "    pushed = bars[..., None]\n",
        "tests/problems/test_leave_one_out.py::test_ridge_regression",
    ),
    _mutant(
        "prior-for-every-output",
        "M counts outputs, not samples: the prior enters as often",
        "problems.laplace",
        "        scale = self.noise / self.total\n",
        "        scale = self.noise / max(about.scalars, 1)\n",
        _LAPLACE + "ridge_regression",
    ),
    _mutant(
        "fit-twice",
        "the evidence counts the fit twice",
        "problems.laplace",
        "    return -about.total * value / noise",
        "    return -2.0 * about.total * value / noise",
        _LAPLACE + "evidence_is_that_of_the_marginal_gaussian",
    ),
    _mutant(
        "volume-missing",
        "the evidence lacks the posterior's log-determinant",
        "problems.laplace",
        "(prior - H.log_determinant)",
        "prior",
        _LAPLACE + "evidence_is_that_of_the_marginal_gaussian",
    ),
    _mutant(
        "moved-the-other-way",
        "the optimum moves against the data",
        "problems.error_bars",
        '        return -Definite(H, "hessian").solve(mixed)\n',
        '        return Definite(H, "hessian").solve(mixed)\n',
        "tests/problems/test_sensitivity.py::test_ridge_regression",
    ),
    _mutant(
        "linearised-hessian",
        "the Gauss-Newton matrix stands for the Hessian",
        "problems.curvature",
        "        product = problem.hessian_vector\n",
        "        product = problem.gauss_newton_vector\n",
        _LAPLACE + "covariance_by_differences_of_gradients[regression]",
    ),
)

REPORTS: tuple[Mutant, ...] = (
    _mutant(
        "costate-of-the-layers-start",
        "a layer's Hamiltonian reads the costate at its start",
        "training.msa",
        "Layer(t, path[k], p, (path",
        "Layer(t, path[k], p + self.h * slope, (path",
        _MSA + "the_gradient_is_that_of_the_hamiltonian",
    ),
    _mutant(
        "penalty-of-states-alone",
        "departures of the costates are not penalised in affine layers",
        "training.msa",
        "    by_p = r * np.eye(d) + rho * layer.p.T @ layer.p / n\n",
        "    by_p = r * np.eye(d)\n",
        _MSA + "affine_layers_are_maximised_exactly",
    ),
    _mutant(
        "penalty-sums",
        "penalties are sums over samples where the Hamiltonian is a mean",
        "training.msa",
        "(np.sum(off**2) + np.sum(miss**2)) / n\n",
        "(np.sum(off**2) + np.sum(miss**2))\n",
        _MSA + "the_hamiltonians_gradient_off_the_path",
    ),
    _mutant(
        "path-kept",
        "backsolve begins every step at the state that was kept",
        "verify.gap",
        "            z = z - h * np.tensordot(b, F, 1)\n        else:\n",
        "            z = path[k]\n        else:\n",
        "tests/verify/test_verify_gap.py::test_euler_of_a_scalar",
    ),
    _mutant(
        "line-for-cubic",
        "states are read from the stored path by lines",
        "verify.gap",
        'if kind == "hermite" else None',
        "if False else None",
        _GAPS.format("rk4-4-4-2-4"),
    ),
    _mutant(
        "bound-twice",
        "the bound of the gap lacks its half",
        "reports.depths",
        "    return float(0.5 * net.h * curvature * growth)\n",
        "    return float(net.h * curvature * growth)\n",
        "tests/reports/test_depths.py::test_the_bound_by_numbers",
    ),
)

MOMENTS: tuple[Mutant, ...] = (
    *DENSE,
    *ENDS,
    *PLANS,
    *IMPLICIT,
    *TRAJECTORIES,
    *SECOND,
    *REPORTS,
)
