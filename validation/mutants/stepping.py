"""Bugs planted in learned steps, reversible schemes, kept states and inputs, each with its test."""

from __future__ import annotations

from validation.mutants.moments import held
from validation.mutants.mutant import Mutant

_LEARNED = (
    "tests/ode/test_learned_steps.py::test_the_adjoint_against_a_plain_program"
    "[False-rk4-Constant()-{}]"
)
_REVERSIBLE = "tests/ode/test_reversible.py::test_the_formula_and_the_adjoint[0.9-rk4]"
_DRIVEN = "tests/problems/test_driven_trajectories.py::test_"

LEARNED: tuple[Mutant, ...] = (
    held(
        "learned-lengths-detached",
        "learned steps have no cotangent of their length",
        "ode.learned",
        "    return h_bar + later\n",
        "    return later\n",
        _LEARNED.format("free"),
    ),
    held(
        "learned-times-detached",
        "learned steps do not move the times of later ones",
        "ode.learned",
        "    return h_bar + later\n",
        "    return h_bar\n",
        _LEARNED.format("free"),
    ),
    held(
        "softmax-unbalanced",
        "softmax's derivative is its diagonal",
        "ode.learned",
        "        return steps * (h_bar - np.sum(steps * h_bar) / length)\n",
        "        return steps * h_bar\n",
        _LEARNED.format("softmax"),
    ),
)

KEPT: tuple[Mutant, ...] = (
    held(
        "coupling-missing",
        "the way back of a reversible step lacks the coupling",
        "sweeps.reversible",
        "            y_bar[r, s] *= ell\n",
        "            y_bar[r, s] *= 1.0\n",
        _REVERSIBLE,
    ),
    held(
        "half-of-the-cotangent",
        "the samples get the cotangent of one of the two states",
        "sweeps.reversible",
        "        axpy(y_bar, 1.0, v_bar)\n",
        "        pass\n",
        _REVERSIBLE,
    ),
    held(
        "split-in-halves",
        "kept states halve what is left, in place of the binomial choice",
        "sweeps.binomial",
        "    return min(before, steps - (before - older))\n",
        "    return steps // 2\n",
        "tests/ode/test_binomial.py::test_no_choice_of_starts_takes_fewer_steps",
    ),
)

DRIVEN: tuple[Mutant, ...] = (
    held(
        "slopes-without-length",
        "the inputs' cubic has slopes by the cell's own time",
        "fields.driven",
        "ends + h * a * b * (b * m0 - a * m1)",
        "ends + a * b * (b * m0 - a * m1)",
        _DRIVEN + "value_and_gradient_are_the_plain_program_s[False]",
    ),
    held(
        "inputs-stand-still",
        "times have no cotangent through the inputs",
        "fields.driven",
        "            t_bar += bar[d + i, s] * (rate + (3.0 * a * a - 2.0 * a) * m1)\n",
        "            t_bar += 0.0 * bar[d + i, s] * rate\n",
        _DRIVEN + "derivatives_by_states_and_times[False]",
    ),
)

STEPPING: tuple[Mutant, ...] = (*LEARNED, *KEPT, *DRIVEN)
