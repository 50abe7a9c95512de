"""Mean field games against JAX's differentiation: objective, gradient, terms, value function.

Potentials of one to four layers with both quadratics, all four rows of Table 1, both norms,
several schemes and intervals: the same formulas, written apart in jax_games.py, with the
potential's gradient by ``jax.grad`` and its Laplacian as the trace of ``jax.hessian``. All are
exact but for rounding; each named block of the gradient must agree to 1e-12 relative to its own
norm, each term of the costs to its own size. Controls, JAX with one sign planted wrongly, must
be seen to differ.
"""

from __future__ import annotations

import sys
import time
from typing import Any, NamedTuple

import numpy as np

import refode
from validation import common

TOLERANCE = 1e-12
CONTROL = 1e-5  # a wrong sign changes the gradient by its own order
SEEN = ("value", "gradient", "costs", "value function", "Laplacian", "Hessian", "density")
N_SAMPLES = 21  # odd: the mean of a sign, the gradient of c, is not 0


class GameCase(NamedTuple):
    """A potential and a game."""

    kind: str = "transport"
    dim: int = 2
    width: int = 6
    depth: int = 2
    symmetric: bool = True
    alpha: float = 2.0
    hjb: float = 3.0
    hjb_terminal: float = 2.0
    squared: bool = False
    entropy: float = 0.0
    energies: tuple[str, ...] = ()
    cross: bool = False
    target: str = "Gaussian"
    scheme: str = "rk4"
    n_steps: int = 2
    t_span: tuple[float, float] = (0.0, 1.0)
    hessian: bool = False  # compare a Hessian-vector product too
    wrong: str = ""  # JAX's planted sign: a control

    @property
    def label(self) -> str:
        """What tells this case from the others."""
        parts = [f"{self.kind} d={self.dim}", f"{self.depth} layer" + "s" * (self.depth > 1)]
        parts += ["symmetric" if self.symmetric else "low rank"]
        parts += [f"{self.scheme} x{self.n_steps}", "squared" if self.squared else "absolute"]
        parts += [f"to {self.target}"] if self.target != "Gaussian" else []
        parts += ["+".join(self.energies)] if self.energies else []
        parts += [f"entropy {self.entropy}"] if self.entropy else []
        parts += ["no penalties"] if not self.hjb + self.hjb_terminal else []
        return ", ".join(parts)


def cases(quick: bool) -> list[GameCase]:
    """All cases, the controls at the end; the quick ones need few kernels."""
    transport = GameCase(hessian=True)
    bumps = {"kind": "crowd", "alpha": 1.0, "entropy": 0.1}
    crowd = GameCase(**bumps, energies=("bump", "spring"), target="mixture")
    flow = GameCase("flow", alpha=0.0, hjb=0.0, hjb_terminal=0.0, cross=True, target="samples")
    both = flow._replace(kind="flow with transport", alpha=0.7, hjb=0.5)
    later = (0.3, 1.5)
    chosen = [
        transport,
        crowd._replace(depth=3, symmetric=False, squared=True, t_span=later, n_steps=3),
        flow,
        both._replace(symmetric=False, hjb_terminal=0.4, target="mixture", t_span=later),
    ]
    if not quick:
        chosen += [
            transport._replace(depth=n, symmetric=s, squared=s, dim=d, hessian=False)
            for n, s, d in ((1, True, 2), (1, False, 3), (3, True, 3), (4, True, 2), (4, False, 2))
        ]
        chosen += [
            transport._replace(dim=8, symmetric=s, hessian=False) for s in (True, False)
        ]  # more dimensions than units: the Laplacian by orthonormal directions
        chosen += _others(transport, crowd, flow, both)
    planted = [(transport, sign) for sign in ("divergence", "dPhi/dt", "terminal condition")]
    smooth = crowd._replace(squared=True)  # |r| would show a wrong term only where r changes sign
    planted += [(smooth, sign) for sign in ("Q in the residual", "1 in the entropy's derivative")]
    planted += [(flow, "inverse's divergence")]
    return [*chosen, *(c._replace(wrong=w, hessian=False) for c, w in planted)]


def _others(transport: GameCase, crowd: GameCase, flow: GameCase, both: GameCase) -> list[GameCase]:
    """Schemes, energies, entropies, norms and the terminal costs, by turns."""
    later, free = (-0.5, 0.8), {"hjb": 0.0, "hjb_terminal": 0.0}
    return [
        transport._replace(scheme="euler", n_steps=5, symmetric=False, target="mixture"),
        transport._replace(scheme="dopri5", squared=True, t_span=later, hessian=False),
        transport._replace(scheme="rk4_38", **free, hessian=False),
        transport._replace(hjb_terminal=0.0, target="mixture", dim=3, hessian=False),
        crowd,
        crowd._replace(entropy=0.0, energies=("bump",), scheme="dopri5", hessian=True),
        crowd._replace(energies=(), target="Gaussian", squared=True, dim=3, hessian=True),
        crowd._replace(energies=("spring",), dim=3, symmetric=False, hjb=0.0, t_span=later),
        crowd._replace(energies=("spring", "bump", "bump"), depth=4, **free, dim=1),
        flow._replace(depth=3, symmetric=False, scheme="dopri5", target="Gaussian", hessian=True),
        both._replace(squared=True, hjb_terminal=0.4, target="Gaussian", hessian=True),
        both._replace(depth=1, dim=3, symmetric=False, scheme="euler", n_steps=4),
        both._replace(energies=("bump",), entropy=0.2, depth=2, t_span=later),
    ]


# --- the same game twice -----------------------------------------------------------------


def numbers(case: GameCase) -> dict[str, Any]:
    """Means, covariances and samples of a case's densities."""
    rng, d = np.random.default_rng(case.dim), case.dim

    def covariance() -> Any:
        B = 0.3 * rng.standard_normal((d, d))
        return B @ B.T + 0.4 * np.eye(d)

    def mixture(weights: list[float], spread: float) -> tuple[Any, ...]:
        means = spread * rng.standard_normal((len(weights), d))
        return np.array(weights), means, np.array([covariance() for _ in weights])

    found = {"initial": mixture([0.3, 0.5, 0.2], 1.0), "samples": rng.standard_normal((17, d))}
    isotropic = np.array([1.0]), 0.3 * rng.standard_normal((1, d)), 0.8 * np.eye(d)[None]
    found["target"] = mixture([0.6, 0.4], 0.5) if case.target == "mixture" else isotropic
    k = min(d, 2)
    found["bump"] = 2.0, 0.2 * rng.standard_normal(k), np.diag([0.7, 0.5][:k])
    found["spring"] = 0.8, rng.standard_normal(d)
    return found


def ours(case: GameCase) -> tuple[Any, Any]:
    """The problem, and theta, v, x and y; no weight is zero."""
    g, n = refode.games, numbers(case)
    initial = refode.densities.GaussianMixture(*n["initial"])
    if case.target == "samples":
        target: Any = refode.densities.Empirical(n["samples"])
    elif case.target == "mixture":
        target = refode.densities.GaussianMixture(*n["target"])
    else:
        target = refode.densities.Gaussian(n["target"][1][0], n["target"][2][0])
    made = [
        g.GaussianBump(*n["bump"]) if e == "bump" else g.Quadratic(*n["spring"])
        for e in case.energies
    ]
    energy = sum(made[1:], made[0]) if made else None
    end = (g.CrossEntropy if case.cross else g.KullbackLeibler)(target, 1.5)
    game = g.Game(initial, end, case.alpha, energy, case.entropy)
    quadratic = "symmetric" if case.symmetric else "lowrank"
    potential = refode.fields.Potential(case.dim, case.width, case.depth, quadratic=quadratic)
    problem = refode.MeanFieldGame(
        potential,
        game,
        case.hjb,
        case.hjb_terminal,
        "squared" if case.squared else "absolute",
        case.scheme,
        case.n_steps,
        case.t_span,
    )
    rng = np.random.default_rng(5)
    theta = problem.initial(seed=0) + 0.3 * rng.standard_normal(problem.n_parameters)
    v = rng.standard_normal(problem.n_parameters)
    return problem, (theta, v, initial.sample(N_SAMPLES, seed=1), target.sample(14, seed=2))


def theirs(case: GameCase, problem: Any, theta: Any, v: Any, x: Any, y: Any) -> dict[str, Any]:
    """All that is compared, by JAX."""
    import jax
    from jax import numpy as jnp

    from validation.models import jax_games as jg

    n = numbers(case)
    made = [jg.Bump(*n["bump"]) if e == "bump" else jg.Spring(*n["spring"]) for e in case.energies]
    game = jg.JaxGame(
        jg.Mixture(*n["initial"]),
        None if case.target == "samples" else jg.Mixture(*n["target"]),
        case.alpha,
        1.5,
        tuple(made),
        case.entropy,
        case.cross,
        case.hjb,
        case.hjb_terminal,
        case.squared,
        case.scheme,
        case.n_steps,
        case.t_span,
        case.wrong,
    )
    derivatives = jg.by_autodiff(jg.Net(case.dim, case.width, case.depth, case.symmetric))
    p, p_dot = ({k: jnp.asarray(a) for k, a in problem.unpack(u).items()} for u in (theta, v))
    data = x.T, game.initial.log_density(x.T), y.T if case.cross else None

    def both(p: Any) -> Any:
        found = jg.terms(game, derivatives, p, *data, loop="scan")
        return sum(found.values()), found

    (value, found), gradient = jax.jit(jax.value_and_grad(both, has_aux=True))(p)
    t = 0.4 * case.t_span[0] + 0.6 * case.t_span[1]
    phi, g, g_t, laplacian = jax.jit(derivatives)(p, t, x.T)
    result = {
        "value": value,
        "gradient": gradient,
        "costs": found,
        "value function": (phi, g.T, g_t),
        "Laplacian": laplacian,
        "t": t,
    }
    if case.hessian:
        slope = jax.grad(lambda p: both(p)[0])
        second = jax.jit(lambda p, q: jax.jvp(slope, (p,), (q,))[1])
        result["Hessian"] = second(p, p_dot)
    start = (y.T, *[jnp.zeros(len(y))] * 4)
    w, q = jg.solve(game, derivatives, p, start, case.t_span[::-1], "scan")[:2]
    result["density"] = game.initial.log_density(w) - game.sign("divergence") * q
    return result


# --- compared ----------------------------------------------------------------------------


def relative(mine: Any, truth: Any) -> float:
    """Norm of the difference, in norms of the truth; both may be 0 together."""
    mine, truth = np.asarray(mine), np.asarray(truth)
    norm = np.linalg.norm(truth)
    if norm == 0.0:
        return 0.0 if not mine.any() else float("inf")
    return float(np.linalg.norm(mine - truth) / norm)


def worst(mine: dict[str, Any], truth: dict[str, Any], label: str) -> tuple[float, str]:
    """The largest relative difference of the named blocks; only c's may be zero."""
    found = {name: relative(mine[name], a) for name, a in truth.items()}
    zero = [name for name, a in truth.items() if not np.any(a) and name != "c"]
    if zero:
        raise AssertionError(f"{label}: the gradient of {zero} is zero, it shows nothing")
    name = max(found, key=lambda n: found[n] if np.isfinite(found[n]) else np.inf)
    return found[name], name


def errors(case: GameCase) -> dict[str, Any]:
    """Relative differences of everything compared."""
    problem, (theta, v, x, y) = ours(case)
    truth = theirs(case, problem, theta, v, x, y)
    given = (x, y) if case.cross else (x,)
    value, gradient = problem.value_and_gradient(theta, *given)
    found: dict[str, Any] = {
        "label": case.label,
        "kind": case.kind,
        "control": case.wrong,
        "n_parameters": problem.n_parameters,
    }
    found["value"] = relative(value, truth["value"])
    found["gradient"], found["block"] = worst(
        problem.unpack(gradient), truth["gradient"], case.label
    )
    costs = problem.costs(theta, *given)
    found["costs"] = max(relative(costs[n], a) for n, a in truth["costs"].items())
    found["costs"] = max(found["costs"], relative(costs["total"], truth["value"]))
    t = truth["t"]
    phi = problem.value_function(theta, t, x)
    found["value function"] = max(map(relative, phi, truth["value function"]))
    found["Laplacian"] = relative(problem.laplacian(theta, t, x), truth["Laplacian"])
    if case.hessian:
        product = problem.unpack(problem.hessian_vector(theta, v, *given))
        found["Hessian"] = worst(product, truth["Hessian"], case.label)[0]
    found["density"] = relative(problem.log_density(theta, y), truth["density"])
    return found


def closed_forms() -> float:
    """The largest difference of JAX's own closed forms, those timed, from its autodiff."""
    import jax

    from validation.models import jax_games as jg

    rng, found = np.random.default_rng(3), [0.0]
    for depth in (1, 2, 3, 4):
        for symmetric, d in ((True, 3), (False, 8)):
            net = jg.Net(d, 6, depth, symmetric)
            shapes = {
                "K0": (6, d + 1),
                "b0": (6,),
                "w": (6,),
                "b": (d + 1,),
                "c": (),
                "A": (d + 1 if symmetric else 2, d + 1),
            }
            for i in range(1, depth):
                shapes |= {f"K{i}": (6, 6), f"b{i}": (6,)}
            p = {n: 0.5 * rng.standard_normal(s) for n, s in shapes.items()}
            Z = rng.standard_normal((d, 9))
            truth = jax.jit(jg.by_autodiff(net))(p, 0.4, Z)
            forms = jg.FORMS if depth == 2 else ("direct", "Gram")
            for form in forms:
                found += map(relative, jax.jit(jg.closed_form(net, form))(p, 0.4, Z), truth)
    return max(found)


def main() -> int:
    """Compare, print, check."""
    args = common.arguments(__doc__, "games_vs_jax").parse_args()
    report = common.Report(args.out)
    start, found = time.perf_counter(), []
    chosen = cases(args.quick)
    for i, case in enumerate(chosen):
        found.append(errors(case))
        seconds = time.perf_counter() - start
        print(f"\r{i + 1}/{len(chosen)} cases, {seconds:.0f} s", end="", flush=True)
    print()
    for i, f in enumerate(found):
        print(f"{i + 1:3d}  {f['label']}")
    rows = [
        (
            f"{i + 1} {f['kind']}" + (f", CONTROL: {f['control']}" if f["control"] else ""),
            *(f"{f[s]:.0e}" if s in f else "" for s in SEEN),
            f["block"],
        )
        for i, f in enumerate(found)
    ]
    common.print_table("Relative difference from JAX", ("game", *SEEN, "worst block"), rows)
    compared = [f for f in found if not f["control"]]
    for what in SEEN:
        sizes = [f[what] for f in compared if what in f]
        report.at_most(f"{what}, largest of {len(sizes)}", float(np.max(sizes)), TOLERANCE)
    report.at_most("JAX's closed forms against its autodiff", closed_forms(), TOLERANCE)
    for f in found:
        if f["control"]:
            what = f"control, {f['kind']}: JAX with a wrong sign of {f['control']} is seen"
            report.at_least(what, f["gradient"], CONTROL)
    report.json("games_vs_jax.json", found)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
