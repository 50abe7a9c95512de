"""The golden cases, one line each: what to vary is in the arguments, the numbers in cases.py."""

from __future__ import annotations

from typing import Any

from refode.reference.cases import field, flow, game, mixture, ode, rules, supervised

Document = dict[str, Any]

SMALL = field("Shallow", 2, width=3, time=True)
LINE = field("Shallow", 1, width=3)
WIDE = field("Shallow", 4, width=3)
PLAIN = field("Shallow", 2, width=3)
AFFINE = field("Affine", 2)
AFFINE_T = field("Affine", 2, time=True)
MLP = field("MLP", 2, widths=[3, 2], activation="softplus", time=True)
SINE = field("MLP", 2, widths=[3], activation="sine")
LINEAR = field("MLP", 2, widths=[2], activation="identity")
ANTISYMMETRIC = field("Antisymmetric", 3, gamma="0.25", activation="sine", time=True)
DAMPED = field("Antisymmetric", 2, gamma="0.5")
PARABOLIC = field("Parabolic", 2, width=3, time=True)
SOFT = field("Parabolic", 3, width=2, activation="softplus")
HAMILTONIAN = field("Hamiltonian", 4, time=True)
LEAPFROG = field("Leapfrog", 4, width=3, activation="softplus")
#: W0 W1 is diagonal, 1 and -1, and W0 b1 = 0; rows of K are orthogonal. The flow is (D157).
DECOUPLED: Document = {
    "W0": "1 0.5 -0.25  -0.5 0.75 0.5",
    "b0": "0.25 -0.375",
    "W1": "0.75 0.5  0.5 -1  0 0",
    "b1": "0.4375 -0.375 1",
}
ORTHOGONAL: Document = {"K": "1 0.5  -0.25 0.5", "b0": "0.25 -0.375"}
POTENTIAL = field("Potential", 2, width=3, depth=2, rank=2, quadratic="lowrank")
SYMMETRIC = field("Potential", 2, width=3, depth=2, quadratic="symmetric")
FLAT = field("Potential", 1, width=2, depth=1, rank=1, quadratic="lowrank")
DEEP = field("Potential", 3, width=2, depth=3, rank=2, quadratic="lowrank")
TALL = field("Potential", 5, width=2, depth=2, rank=1, quadratic="lowrank")

STANDARD = mixture("1", ["0 0"], [["1 0", "0 1"]])
TILTED = mixture("1", ["0.5 -0.25"], [["0.75 0.25", "0.25 0.5"]])
TWO = mixture("0.25 0.75", ["1 0.5", "-0.5 -1"], [["0.5 0.125", "0.125 0.75"], ["1 0", "0 0.5"]])
ONE_D = mixture("1", ["0.25"], [["0.5"]])
TWO_1D = mixture("0.5 0.5", ["1", "-0.75"], [["0.25"], ["0.5"]])
EYE_3 = ["1 0 0", "0 0.5 0", "0 0 0.75"]
IN_3 = mixture("1", ["0.25 0 -0.5"], [EYE_3])
TO_3 = mixture("1", ["-0.5 0.25 0.5"], [EYE_3])
ROWS_5 = ["1 0 0 0 0", "0 1 0 0 0", "0 0 0.5 0.25 0", "0 0 0.25 0.5 0", "0 0 0 0 1"]
IN_5 = mixture("1", ["0.25 0 -0.5 0 1"], [ROWS_5])

BUMP: Document = {
    "type": "GaussianBump",
    "height": "3",
    "mean": ["0.25", "-0.125"],
    "covariance": [["1", "0.25"], ["0.25", "0.5"]],
}
BOWL: Document = {"type": "Quadratic", "stiffness": "0.75", "centre": ["0.25", "0.25"]}
BOWL_3: Document = {"type": "Quadratic", "stiffness": "0.5", "centre": ["0.25", "0", "-0.5"]}
BOWL_5: Document = {
    "type": "Quadratic",
    "stiffness": "0.5",
    "centre": ["0.25", "0", "-0.5", "1", "0"],
}
BOTH: Document = {"hjb": 1.75, "hjb_terminal": 0.625}
FINE: Document = {"scheme": "fehlberg8", "n_steps": 12, "t_span": (0, 0.5)}


def cases() -> list[Document]:
    """All cases, inputs alone."""
    listed = [*_odes(), *_supervised(), *_flows(), *_games()]
    names = [case["name"] for case in listed]
    if len(set(names)) < len(names):
        raise ValueError(f"names: got one twice among {names}")
    return listed


# A table: a case is one or two lines.
# fmt: off
def _odes() -> list[Document]:
    back = (1.25, -0.25)
    return [
        ode("ode-euler-affine", "Euler on a linear field: the map is (I + hA)^n", 1, AFFINE,
            scheme="euler", n_steps=4),
        ode("ode-affine-time", "time as a column of A", 2, AFFINE_T, basis="PiecewiseLinear 3",
            scheme="kutta3"),
        ode("ode-shallow-rk4", "the classical scheme", 3, SMALL),
        ode("ode-shallow-rk4-38", "the 3/8 rule, on the inputs of ode-shallow-rk4", 3, SMALL,
            scheme="rk4_38"),
        ode("ode-shallow-backward", "backward in time, weights where the t_span puts them", 4,
            SMALL, along=back, basis="PiecewiseLinear 2"),
        ode("ode-shallow-resnet", "a ResNet: Euler with one cell a step, h = 1", 5, WIDE,
            scheme="euler", n_steps=3, t_span=(0, 3), basis="PiecewiseConstant 3"),
        ode("ode-cells-backward", "cells visited in reverse; stages on a border", 6, WIDE,
            along=back, n_steps=4, basis="PiecewiseConstant 2", scheme="heun"),
        ode("ode-legendre", "Legendre coefficients", 7, SMALL, basis="Legendre 3",
            scheme="ralston"),
        ode("ode-splines", "cubic B-splines", 8, SMALL, basis="BSpline 5", scheme="ssprk3"),
        ode("ode-line", "one sample on the line", 9, LINE, n=1, n_steps=1),
        ode("ode-longer", "beyond [0, 1], longer than 1", 10, WIDE, t_span=(0.5, 2.5), n_steps=4,
            scheme="midpoint"),
        ode("ode-dopri5", "six stages, b_2 = 0", 11, WIDE, n=3, scheme="dopri5", n_steps=1),
        ode("ode-tsit5", "coefficients printed as decimals", 12, SMALL, scheme="tsit5"),
        ode("ode-butcher6", "two stages at one time, out of order", 13, SMALL, scheme="butcher6",
            basis="PiecewiseLinear 2"),
        ode("ode-fehlberg8", "twelve stages, nodes up and down", 29, SMALL, n=1, n_steps=1,
            scheme="fehlberg8"),
        ode("ode-bogacki-shampine", "three stages propagate", 14, MLP, scheme="bogacki_shampine"),
        ode("ode-mlp", "two hidden layers, softplus", 15, MLP, basis="Legendre 2"),
        ode("ode-mlp-sine", "sine activation", 16, SINE, scheme="heun"),
        ode("ode-mlp-identity", "a linear field as a network", 17, LINEAR, scheme="midpoint"),
        ode("ode-antisymmetric", "K - K^T - gamma I; K's diagonal has gradient 0", 18,
            ANTISYMMETRIC, scheme="kutta3"),
        ode("ode-damped", "gamma on the diagonal alone", 19, DAMPED, basis="PiecewiseConstant 2"),
        ode("ode-parabolic", "time inside sigma, not outside", 20, PARABOLIC, scheme="ralston"),
        ode("ode-parabolic-wide", "softplus, narrower than the state", 21, SOFT, scheme="heun"),
        ode("ode-hamiltonian", "trace zero under a Runge-Kutta scheme", 22, HAMILTONIAN),
        ode("ode-verlet", "[HR17]'s Verlet", 23, HAMILTONIAN, scheme="verlet", n_steps=3,
            t_span=(0, 1.5), basis="PiecewiseConstant 3"),
        ode("ode-stormer", "three substeps", 24, HAMILTONIAN, scheme="stormer_verlet"),
        ode("ode-leapfrog", "[HR17]'s leapfrog", 25, LEAPFROG, scheme="verlet", n_steps=4),
        ode("ode-leapfrog-rk4", "the second-order field under rk4", 26, LEAPFROG,
            basis="PiecewiseLinear 2"),
        ode("ode-potential", "f = -grad Phi, trace -Lap Phi", 27, POTENTIAL),
        ode("ode-observations", "a loss at the start and in between, none at the end", 101, SMALL,
            n_steps=4, basis="PiecewiseLinear 2", observed=(0, 2, 3)),
        ode("ode-observations-backward", "observed backward in time, at the end too", 102, WIDE,
            scheme="heun", n_steps=3, along=back, basis="Legendre 2", observed=(0, 2, 3)),
        ode("ode-observations-verlet", "observed between the steps of a symplectic scheme", 103,
            HAMILTONIAN, scheme="verlet", n_steps=4, observed=(0, 1, 3)),
        ode("ode-plain", "the simplest of all: Euler, constant weights, no time", 104, PLAIN,
            scheme="euler", n_steps=3, t_span=(0, 1)),
        ode("ode-plain-heun", "two stages", 105, PLAIN, scheme="heun", n_steps=3, t_span=(0, 1)),
        ode("ode-plain-time", "time as a column of W0", 106, SMALL, scheme="euler", n_steps=3,
            t_span=(0, 1)),
        ode("ode-plain-interval", "from t = -0.25 to 1.25", 107, SMALL, scheme="euler", n_steps=3),
        ode("ode-plain-backward", "backward in time", 108, SMALL, scheme="euler", n_steps=3,
            along=back),
        ode("ode-exact-shallow", "the flow itself to 17 digits, (D157), by fine steps of order 8",
            151, field("Shallow", 3, width=2), n=1, weights=DECOUPLED, **FINE),
        ode("ode-exact-parabolic", "the same with orthogonal rows", 152,
            field("Parabolic", 2, width=2), weights=ORTHOGONAL, **FINE),
        ode("ode-plain-observations", "a loss at the start and in between, none at the end", 109,
            PLAIN, scheme="euler", n_steps=4, t_span=(0, 1), observed=(0, 2, 3)),
    ]


def _supervised() -> list[Document]:
    return [
        supervised("supervised-regression", "two outputs", 31, SMALL, "regression", 2,
                   basis="PiecewiseConstant 2", n_steps=4, tikhonov=0.25),
        supervised("supervised-augmented", "zeros appended", 32, SMALL, "regression", 1, augment=1,
                   smoothness=0.5, basis="BSpline 5", n_steps=3),
        supervised("supervised-states", "no readout", 33, SMALL, "regression", 2, readout=False,
                   basis="PiecewiseLinear 3", smoothness=0.25, scheme="heun", n_steps=3),
        supervised("supervised-logistic", "labels 0 and 1", 34, SMALL, "logistic", n=4,
                   tikhonov=0.125, smoothness=0.5, basis="PiecewiseLinear 3"),
        supervised("supervised-logistic-one", "one sample", 35, WIDE, "logistic", n=1,
                   basis="Legendre 2", scheme="midpoint"),
        supervised("supervised-softmax", "three classes", 36, SMALL, "softmax", 3, n=4,
                   smoothness=0.5, basis="Legendre 3"),
        supervised("supervised-softmax-wide", "more zeros than data", 37, WIDE, "softmax", 3,
                   augment=3, basis="PiecewiseConstant 2", smoothness=0.25, scheme="kutta3",
                   n_steps=4),
        supervised("supervised-softmax-states", "the states are the outputs", 38, WIDE, "softmax",
                   4, readout=False, scheme="rk4_38", n_steps=3),
        supervised("supervised-resnet", "a ResNet of three layers, h = 1", 39, WIDE, "softmax", 2,
                   scheme="euler", n_steps=3, t_span=(0, 3), basis="PiecewiseConstant 3"),
        supervised("supervised-verlet", "a symplectic scheme", 40,
                   field("Hamiltonian", 4), "softmax", 3, augment=2, scheme="verlet",
                   basis="PiecewiseConstant 2", n_steps=4, tikhonov=0.125),
        supervised("supervised-regression-dopri5", "a scheme with b_2 = 0", 41, WIDE, "regression",
                   2, scheme="dopri5", n=2),
        supervised("supervised-downwards", "t_span from 1 to 0", 42, SMALL, "logistic",
                   t_span=(1, 0), basis="Legendre 2", scheme="ralston", n_steps=3),
        supervised("supervised-butcher6", "b_2 = 0 and nodes that go back, in two steps", 43,
                   SMALL, "regression", 2, scheme="butcher6", n=2, basis="PiecewiseLinear 3"),
        *_plain_supervised(),
    ]


def _plain_supervised() -> list[Document]:
    """A feature each, with constant weights and the simplest field: who has no others gets here."""
    plain: Document = {"n_steps": 3, "t_span": (0, 1)}
    return [
        supervised("supervised-plain", "one output, no penalties, Euler", 121, PLAIN, "regression",
                   scheme="euler", **plain),
        supervised("supervised-plain-outputs", "two outputs", 122, PLAIN, "regression", 2,
                   **plain),
        supervised("supervised-plain-tikhonov", "theta, W and b are penalised", 123, PLAIN,
                   "regression", tikhonov=0.25, **plain),
        supervised("supervised-plain-smoothness", "nothing to smooth: the penalty is 0", 124,
                   PLAIN, "regression", smoothness=0.5, **plain),
        supervised("supervised-plain-augmented", "a zero appended", 125, PLAIN, "regression",
                   augment=1, **plain),
        supervised("supervised-plain-states", "no readout", 126, PLAIN, "regression", 2,
                   readout=False, **plain),
        supervised("supervised-plain-states-tikhonov", "no readout: theta alone is penalised", 127,
                   PLAIN, "regression", 2, readout=False, tikhonov=0.25, **plain),
        supervised("supervised-plain-logistic", "labels 0 and 1", 128, PLAIN, "logistic", **plain),
        supervised("supervised-plain-softmax", "three classes", 129, PLAIN, "softmax", 3, **plain),
        supervised("supervised-plain-softmax-states", "the states are the outputs", 130, PLAIN,
                   "softmax", 2, readout=False, **plain),
        supervised("supervised-plain-one", "one sample", 131, PLAIN, "regression", n=1, **plain),
        supervised("supervised-plain-time", "time as a column of W0", 132, SMALL, "regression",
                   **plain),
        supervised("supervised-plain-interval", "from t = -0.25 to 1.25", 133, SMALL,
                   "regression", n_steps=3),
        supervised("supervised-plain-downwards", "t_span from 1 to 0", 134, SMALL, "regression",
                   n_steps=3, t_span=(1, 0)),
    ]


def _flows() -> list[Document]:
    plain: Document = {"n": 3, "n_steps": 3, "t_span": (0, 1)}
    return [
        flow("flow-shallow", "likelihood alone", 51, SMALL, n=3, n_steps=3),
        flow("flow-transport", "with transport cost", 52, SMALL, transport=0.375, n=3,
             basis="PiecewiseLinear 2", n_steps=3),
        flow("flow-everything", "transport cost and both regularisers", 53, SMALL, transport=0.25,
             tikhonov=0.125, smoothness=0.25, basis="Legendre 3", scheme="heun"),
        flow("flow-one", "one sample on the line", 54, LINE, n=1, transport=0.5),
        flow("flow-wide", "four dimensions", 55, WIDE, basis="PiecewiseConstant 2",
             scheme="kutta3", transport=0.25),
        flow("flow-affine", "a linear field: a Gaussian", 56, AFFINE_T, transport=0.25),
        flow("flow-mlp", "two hidden layers", 57, MLP, transport=0.25),
        flow("flow-antisymmetric", "trace from gamma alone", 58, ANTISYMMETRIC, transport=0.25,
             scheme="heun"),
        flow("flow-parabolic", "symmetric Jacobian", 59, PARABOLIC, transport=0.25,
             basis="BSpline 4"),
        flow("flow-hamiltonian", "volume kept: the likelihood of w alone", 60,
             field("Hamiltonian", 4), transport=0.25, scheme="midpoint"),
        flow("flow-rk4-38", "the 3/8 rule", 61, SMALL, scheme="rk4_38", transport=0.25),
        flow("flow-downwards", "t_span from 1 to 0", 62, SMALL, t_span=(1, 0), transport=0.25,
             scheme="ssprk3"),
        flow("flow-dopri5", "b_2 = 0, in two steps", 63, SMALL, transport=0.25, scheme="dopri5",
             basis="PiecewiseLinear 2"),
        flow("flow-hutchinson", "the trace estimated with given signs, kept along the path", 69,
             SMALL, n=3, transport=0.25, basis="PiecewiseLinear 2", n_steps=3, noise="signs"),
        flow("flow-hutchinson-wide", "noise that is no sign, in four dimensions", 70, WIDE,
             scheme="heun", n_steps=3, tikhonov=0.125, basis="PiecewiseConstant 3",
             noise="sixteenths"),
        flow("flow-hutchinson-downwards", "t_span from 1 to 0: the data go forward in time", 67,
             MLP, scheme="kutta3", t_span=(1, 0), transport=0.25, noise="signs"),
        flow("flow-plain", "likelihood alone, constant weights, no time, Euler", 141, PLAIN,
             scheme="euler", **plain),
        flow("flow-plain-transport", "with transport cost", 142, PLAIN, transport=0.375, **plain),
        flow("flow-plain-tikhonov", "theta is penalised", 143, PLAIN, tikhonov=0.25, **plain),
        flow("flow-plain-hutchinson", "the trace estimated with given signs", 144, PLAIN,
             noise="signs", **plain),
    ]


def _games() -> list[Document]:
    crowd: Document = {"entropy": 0.25, "energy": (BUMP, BOWL)}
    squared: Document = {"hjb_norm": "squared"}
    return [
        game("game-transport", "[ROL+20]'s symmetric quadratic, all terms", 71, SYMMETRIC,
             rules("kl", STANDARD, TILTED, 2, 5, **BOTH)),
        game("game-transport-squared", "the smooth norm", 72, SYMMETRIC,
             rules("kl", TILTED, STANDARD, 2, 5, **BOTH, **squared)),
        game("game-lowrank", "low rank, to a mixture", 73, POTENTIAL,
             rules("kl", TILTED, TWO, 1, 2, **BOTH)),
        game("game-lowrank-squared", "low rank, the smooth norm", 74, POTENTIAL,
             rules("kl", TWO, TILTED, 1.5, 2, **BOTH, **squared), scheme="rk4_38"),
        game("game-no-penalty", "one sample on the line, one layer", 75, FLAT,
             rules("kl", ONE_D, TWO_1D, 0.75), n=1, n_steps=3, t_span=(0, 1.5), scheme="heun"),
        game("game-crowd", "obstacle, bowl and entropy", 76, POTENTIAL,
             rules("kl", TWO, TILTED, 1.25, 2, **crowd, **BOTH), n=3, n_steps=3),
        game("game-crowd-squared", "the same with the smooth norm and the symmetric quadratic", 77,
             SYMMETRIC, rules("kl", TWO, TILTED, 1.25, 2, **crowd, **BOTH, **squared)),
        game("game-crowd-deep", "three layers in three dimensions", 78, DEEP,
             rules("kl", IN_3, TO_3, 1, 1.5, 0.25, (BUMP, BOWL_3), **BOTH, **squared)),
        game("game-crowd-later", "from t = 0.5 to 2: (t, not t - t0) enters", 79, POTENTIAL,
             rules("kl", TILTED, STANDARD, 2, 1, energy=(BUMP, BOWL), **BOTH), t_span=(0.5, 2)),
        game("game-tall", "five dimensions, two units", 80, TALL,
             rules("kl", IN_5, IN_5, 1, 2, 0.25, (BUMP, BOWL_5), **BOTH)),
        game("game-flow", "a normalizing flow: no running cost", 81, POTENTIAL,
             rules("cross_entropy", STANDARD, None, 0), n_targets=3),
        game("game-flow-transport", "with transport and the residual", 82, SYMMETRIC,
             rules("cross_entropy", TWO, None, 0.625, 2, hjb=0.75), n_targets=3),
        game("game-flow-density", "the target's density in the terminal penalty", 83, POTENTIAL,
             rules("cross_entropy", TWO, TILTED, 0.875, 1.25, **BOTH, **squared), n_targets=2),
        game("game-entropy", "entropy alone", 84, FLAT,
             rules("kl", TWO_1D, ONE_D, 1, 1, entropy=0.5, **BOTH), n=1, n_steps=2),
        game("game-energy", "ends in a bowl and a bump instead of a target", 85, POTENTIAL,
             rules("energy", TWO, None, 1.25, 2, terminal_energy=(BOWL, BUMP), **BOTH)),
        game("game-energy-crowd", "with obstacle, entropy and the smooth norm", 86, SYMMETRIC,
             rules("energy", TILTED, None, 2, 1.5, 0.25, (BUMP,), terminal_energy=(BOWL,), **BOTH,
                   **squared), n=3, n_steps=3),
    ]
