"""Games: Hamiltonians as numerical Fenchel duals, L2 derivatives by changing the density."""

from __future__ import annotations

import numpy as np
import pytest
import tolerances as tol
from contract import close
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import refode
from refode import games
from refode.costs import targets
from refode.densities import Density, Empirical, Gaussian, GaussianMixture
from refode.machine.compile import JIT, kernel

BUMP = games.GaussianBump(3.0, [0.2, -0.1], [[1.0, 0.2], [0.2, 0.5]])
ENERGIES = {
    "nothing": games.Nothing(),
    "bump": BUMP,
    "bowl": games.Quadratic(0.7, 0.3),
    "bowls": games.Quadratic(0.7, [0.3, -0.2, 1.0]),
    "sum": BUMP + games.Quadratic(0.7, 0.3),
    "sum-of-three": games.Quadratic(0.2) + BUMP + games.GaussianBump(-2.0, [0.5], 0.3),
}
RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 3))


def formula(name, x):
    """The energies once more, point by point."""

    def bump(h, m, S):
        y = x[:, : len(m)] - m
        square = np.einsum("ni,ij,nj->n", y, np.linalg.inv(S), y)
        return h * np.exp(-0.5 * square) / np.sqrt(np.linalg.det(2 * np.pi * np.asarray(S)))

    def bowl(k, q):
        return 0.5 * k * ((x - q) ** 2).sum(axis=1)

    first = bump(3.0, np.array([0.2, -0.1]), np.array([[1.0, 0.2], [0.2, 0.5]]))
    return {
        "nothing": np.zeros(len(x)),
        "bump": first,
        "bowl": bowl(0.7, 0.3),
        "bowls": bowl(0.7, np.array([0.3, -0.2, 1.0])),
        "sum": first + bowl(0.7, 0.3),
        "sum-of-three": bowl(0.2, 0.0) + first + bump(-2.0, np.array([0.5]), np.array([[0.3]])),
    }[name]


@pytest.mark.parametrize("name", ENERGIES)
def test_energies_and_their_gradients(name):
    """Value by its formula, gradient by the complex step through the formula."""
    Q = ENERGIES[name]
    close(Q.value(X), formula(name, X), tol.FIELD_VALUE)
    for i in range(3):
        moved = X.astype(complex)
        moved[:, i] += 1e-40j
        close(Q.gradient(X)[:, i], formula(name, moved).imag / 1e-40, tol.FIELD_VALUE)


@pytest.mark.parametrize("name", ["nothing", "bowl", "sum"])
def test_hamiltonian_is_the_fenchel_dual(name):
    """sup_v {-p . v - L(x, v)}, by an optimiser that knows L alone."""
    cost = games.RunningCost(1.7, ENERGIES[name])
    for x, p in zip(X, RNG.standard_normal(X.shape), strict=True):
        found = minimize(
            lambda v, x=x, p=p: p @ v + cost.value(x[None], v[None])[0],
            np.zeros(3),
            method="BFGS",
            options={"gtol": 1e-9},
        )
        assert abs(-found.fun - cost.hamiltonian(x[None], p[None])[0]) <= tol.FENCHEL_VALUE
        assert np.abs(found.x - cost.feedback(x[None], p[None])[0]).max() <= tol.FENCHEL_POINT
    p = RNG.standard_normal(X.shape)
    for i in range(3):  # feedback = -grad_p H, by exact differences of a quadratic
        e = np.eye(3)[i]
        slope = (cost.hamiltonian(X, p + e) - cost.hamiltonian(X, p - e)) / 2
        close(-slope, cost.feedback(X, p)[:, i], tol.FENCHEL_VALUE)


def test_no_hamiltonian_without_a_running_cost():
    with pytest.raises(ValueError, match="^alpha: got 0"):
        games.RunningCost(0.0).hamiltonian(X, X)
    close(games.RunningCost(0.0).feedback(X, X), -X, 0.0)


GRID = np.linspace(-9.0, 9.0, 4001)
TARGET = GaussianMixture([0.4, 0.6], [[-1.0], [1.5]], [0.6, 0.9])


@pytest.mark.parametrize(
    "cost",
    [
        games.Entropy(0.7),
        games.KullbackLeibler(TARGET, 1.3),
        games.CrossEntropy(TARGET, 0.8),
        games.TerminalEnergy(games.Quadratic(0.7, 0.2), 1.3),
    ],
    ids=["entropy", "kl", "cross-entropy", "energy"],
)
def test_derivative_of_the_functional(cost):
    """d/de of the functional at rho + e delta, on a grid, against int F delta.

    delta does not integrate to 0, so that the constant in F counts too.
    """
    h = GRID[1] - GRID[0]
    rho = np.exp(Gaussian([0.3], 1.4).log_density(GRID[:, None]))
    delta = np.exp(-((GRID - 1.0) ** 2)) * np.sin(2 * GRID) * rho + 0.1 * rho
    rho_y = np.exp(TARGET.log_density(GRID[:, None]))

    def functional(e):
        p = rho + e * delta
        if isinstance(cost, games.Entropy):
            return cost.weight * h * np.sum(p * np.log(p))
        if isinstance(cost, games.TerminalEnergy):
            return cost.weight * h * np.sum(p * 0.35 * (GRID - 0.2) ** 2)
        if isinstance(cost, games.KullbackLeibler):
            return cost.weight * h * np.sum(p * np.log(p / rho_y))
        return -cost.weight * h * np.sum(rho_y * np.log(p))

    step = 1e-3
    fourth = (
        8 * (functional(step) - functional(-step)) - (functional(2 * step) - functional(-2 * step))
    ) / (12 * step)
    derivative = cost.derivative(GRID[:, None], np.log(rho))
    assert abs(fourth - h * np.sum(derivative * delta)) <= tol.FUNCTIONAL


def test_functionals_are_expectations():
    """Over samples with their log-density, against the grid's integrals."""
    h, rho = GRID[1] - GRID[0], Gaussian([0.3], 1.4)
    x = rho.sample(200_000, seed=1)
    log_rho = rho.log_density(x)
    p = np.exp(rho.log_density(GRID[:, None]))
    rho_y = np.exp(TARGET.log_density(GRID[:, None]))
    entropy = 0.7 * h * np.sum(p * np.log(p))
    assert abs(games.Entropy(0.7).functional(x, log_rho) - entropy) <= tol.MONTE_CARLO
    kl = 1.3 * h * np.sum(p * np.log(p / rho_y))
    got = games.KullbackLeibler(TARGET, 1.3).functional(x, log_rho)
    assert abs(got - kl) <= tol.MONTE_CARLO
    y = TARGET.sample(200_000, seed=2)
    cross = -0.8 * h * np.sum(rho_y * np.log(p))
    got = games.CrossEntropy(TARGET, 0.8).functional(y, rho.log_density(y))
    assert abs(got - cross) <= tol.MONTE_CARLO
    ending = games.TerminalEnergy(games.Quadratic(0.7, 0.2), 1.3)
    paid = 1.3 * h * np.sum(p * 0.35 * (GRID - 0.2) ** 2)
    assert abs(ending.functional(x, log_rho) - paid) <= tol.MONTE_CARLO


# --- target densities inside kernels -----------------------------------------------------------
@kernel
def run(target, Z, value, score, work):
    targets.log_density(target, Z, 0, Z.shape[1], value, score, work)


def in_kernel(density, x):
    dtype = x.dtype
    target = targets.target_of(density, dtype)
    Z = np.ascontiguousarray(x.T)
    value, score = np.empty(len(x), dtype), np.empty_like(Z)
    work = np.full((targets.rows(target, x.shape[1]), len(x)), np.nan, dtype)
    run(target, Z, value, score, work)
    return value, score.T


def _spd(d, seed):
    B = np.random.default_rng(seed).standard_normal((d, d))
    return 0.3 * np.eye(d) + 0.2 * B @ B.T


DENSITIES = {
    "gaussian": Gaussian([0.1, -0.4, 0.2], _spd(3, 0)),
    "isotropic": Gaussian([0.1, -0.4, 0.2], 0.3),
    "mixture": GaussianMixture(
        [0.2, 0.5, 0.3], RNG.standard_normal((3, 3)), [_spd(3, i) for i in range(3)]
    ),
    "diagonal": GaussianMixture(
        [0.2, 0.8],
        RNG.standard_normal((2, 3)),
        [np.diag([0.2, 1.0, 0.5]), np.diag([1.0, 0.4, 2.0])],
    ),
}


@pytest.mark.parametrize("name", DENSITIES)
def test_log_densities_in_kernels(name):
    """As the density's own methods say; the tails too; the complex step gives the score."""
    rho = DENSITIES[name]
    x = np.concatenate([X, X + 40.0, -3.0 * X])
    value, score = in_kernel(rho, x)
    close(value, rho.log_density(x), tol.FIELD_VALUE)
    close(score, rho.log_density_gradient(x), tol.TARGET_SCORE)
    if not JIT:
        return
    v = RNG.standard_normal(x.shape)
    moved, moved_score = in_kernel(rho, x + 1e-200j * v)
    close(moved.imag / 1e-200, (score * v).sum(axis=1), tol.TARGET_SCORE)
    h = 1e-5
    central = rho.log_density_gradient(X + h * v[:6]) - rho.log_density_gradient(X - h * v[:6])
    close(moved_score.imag[:6] / 1e-200, central / (2 * h), tol.TARGET_CURVATURE)


def test_columns_without_a_sample_stay_finite():
    """Values computed beforehand come from their place; columns that stand for nobody are 0."""
    rng = np.random.default_rng(5)
    target = targets.GivenTarget(rng.standard_normal(7), rng.standard_normal((7, 3)))
    value, score = np.full(4, np.nan), np.full((3, 4), np.nan)
    rows = targets.rows(target, 3)
    some(target, 5, 2, np.zeros((3, 4)), value, score, np.full((rows, 4), np.nan))
    assert np.array_equal(value, [*target.log_density[5:], 0.0, 0.0])
    assert np.array_equal(score[:, :2], target.score[5:].T)
    assert np.array_equal(score[:, 2:], np.zeros((3, 2)))


@kernel
def some(target, first, m, Z, value, score, work):
    targets.log_density(target, Z, first, m, value, score, work)


class Own(Density):
    """A density of somebody's own: a normal one by its methods alone, some of them wrong."""

    dim = 2
    normal = Gaussian([0.2, 0.0], [[1.0, 0.3], [0.3, 0.8]])

    def __init__(self, wrong=None, turn=None):
        self.wrong, self.turn = wrong, turn

    def _say(self, method, value):
        return self.turn(value) if method == self.wrong else value

    def sample(self, n, seed=0):
        return self._say("sample", self.normal.sample(n, seed))

    def log_density(self, x):
        return self._say("log_density", self.normal.log_density(x))

    def log_density_gradient(self, x):
        return self._say("log_density_gradient", self.normal.log_density_gradient(x))


def test_kl_to_a_density_of_ones_own():
    """The same costs as to the one it wraps, which kernels know."""
    x, log_rho = X[:, :2], RNG.standard_normal(6)
    own, known = games.KullbackLeibler(Own(), 0.7), games.KullbackLeibler(Own.normal, 0.7)
    assert targets.target_of(Own()) is None
    assert own.functional(x, log_rho) == known.functional(x, log_rho)
    close(own.derivative(x, log_rho), known.derivative(x, log_rho), 0.0)
    found = []
    for target in (Own(), Own.normal):
        game = games.optimal_transport(Gaussian([1.0, 0.0], 0.5), target, terminal=3.0)
        problem = refode.MeanFieldGame(refode.fields.Potential(dim=2, width=2), game, n_steps=1)
        found.append(problem.value_and_gradient(problem.initial(seed=0), x))
    close(found[0][0], found[1][0], tol.FIELD_VALUE)
    close(found[0][1], found[1][1], tol.TARGET_SCORE)


@pytest.mark.parametrize(
    "wrong",
    [
        ("log_density", lambda v: v[:, None], r"an array of shape \(3, 1\) from its log_density, "),
        ("log_density", lambda v: v[0], r"an array of shape \(\) from its log_density, "),
        ("log_density", lambda v: v * np.nan, "NaN from its log_density, "),
        (
            "log_density_gradient",
            np.transpose,
            r"an array of shape \(2, 3\) from its log_density_gr",
        ),
        ("sample", np.transpose, r"an array of shape \(2, 3\) from its sample, "),
    ],
    ids=["column", "number", "nan", "gradient", "sample"],
)
def test_densities_that_answer_in_other_shapes(wrong):
    """At the door, where a transposed score would otherwise pass for another gradient."""
    method, turn, message = wrong
    bad, good = Own(method, turn), Own.normal
    if method != "sample":
        with pytest.raises(ValueError, match=f"^target: got {message}"):
            games.optimal_transport(good, bad)
    with pytest.raises(ValueError, match=f"^initial: got {message}"):
        games.normalizing_flow(bad, good)


def test_a_density_says_its_dimension():
    class Unknown(Own):
        dim = None

    bad = Unknown()
    with pytest.raises(TypeError, match=r"^target\.dim: got None"):
        games.optimal_transport(Own.normal, bad)


def test_costs_ask_densities_again():
    """Also where no game asked: a column would make the derivative a matrix."""
    bad, x, log_rho = Own("log_density", lambda v: v[:, None]), X[:, :2], np.zeros(6)
    for call in (
        games.KullbackLeibler(bad).functional,
        games.KullbackLeibler(bad).derivative,
        games.CrossEntropy(bad).derivative,
    ):
        with pytest.raises(ValueError, match="^target: got an array of shape"):
            call(x, log_rho)


# --- the door ----------------------------------------------------------------------------------
ONE, TWO = Gaussian([0.0], 1.0), Gaussian([0.0, 0.0], 1.0)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: games.optimal_transport(ONE, TWO), "target"),
        (lambda: games.optimal_transport(ONE, ONE, alpha=0.0), "alpha"),
        (lambda: games.optimal_transport(ONE, ONE, alpha=-1.0), "alpha"),
        (lambda: games.optimal_transport(ONE, ONE, terminal=0.0), "terminal"),
        (lambda: games.optimal_transport("N(0,1)", ONE), "initial"),
        (lambda: games.optimal_transport(ONE, None), "target"),
        (lambda: games.optimal_transport(ONE, Empirical(np.zeros((3, 1)))), "target"),
        (lambda: games.optimal_transport(Empirical(np.zeros((3, 1))), ONE), "initial"),
        (lambda: games.crowd_motion(ONE, ONE, obstacle=3.0), "obstacle"),
        (lambda: games.crowd_motion(ONE, ONE, obstacle=BUMP), "obstacle"),
        (
            lambda: games.crowd_motion(TWO, TWO, obstacle=games.Quadratic(1.0, [0.0] * 3)),
            "obstacle",
        ),
        (lambda: games.crowd_motion(ONE, ONE, entropy=-0.1), "entropy"),
        (lambda: games.crowd_motion(ONE, ONE, entropy=np.nan), "entropy"),
        (lambda: games.normalizing_flow(ONE, ONE, alpha=-0.5), "alpha"),
        (lambda: games.GaussianBump(np.inf, [0.0], 1.0), "height"),
        (lambda: games.GaussianBump(1.0, [0.0, 0.0], [[1.0, 1.0], [1.0, 1.0]]), "covariance"),
        (lambda: games.GaussianBump(1.0, [0.0, 0.0], 0.0), "covariance"),
        (lambda: games.Quadratic(-1.0), "k"),
        (lambda: games.Quadratic(1.0, [np.nan]), "q"),
        (lambda: GaussianMixture([0.5, 0.4], [[0.0], [1.0]], 1.0), "weights"),
    ],
)
def test_bad_games_are_refused_by_name(call, named):
    with pytest.raises((TypeError, ValueError), match=f"^{named}: got"):
        call()


@settings(max_examples=30, deadline=None)
@given(d=st.integers(1, 5), k=st.integers(1, 5))
def test_a_bump_lives_on_leading_coordinates(d, k):
    bump = games.GaussianBump(1.0, np.zeros(k), 1.0)
    rho = Gaussian(np.zeros(d), 1.0)
    if k > d:
        with pytest.raises(ValueError, match="^obstacle: got a GaussianBump"):
            games.crowd_motion(rho, rho, obstacle=bump)
    else:
        assert games.crowd_motion(rho, rho, obstacle=bump).energy is bump


def test_games_stay_as_they_were_checked():
    game = games.crowd_motion(TWO, TWO, obstacle=BUMP, entropy=0.1)
    fixed = [
        (game, "alpha"),
        (game, "target"),
        (game.running_cost, "alpha"),
        (game.interaction, "weight"),
        (game.terminal_cost, "weight"),
    ]
    for part, name in fixed:
        with pytest.raises(AttributeError, match=f"^{name}: got -3.0"):
            setattr(part, name, -3.0)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 4), m=st.integers(1, 4), d=st.integers(1, 3), e=st.integers(1, 3))
def test_costs_ask_for_shapes(n, m, d, e):
    """(N, d) twice, or (N, d) and (N,); the name of what does not fit."""
    x, cost, rho = np.zeros((n, d)), games.RunningCost(2.0), Gaussian(np.zeros(d), 1.0)
    other, name = np.zeros((m, e)), {"value": "v", "hamiltonian": "p", "feedback": "p"}
    for method, wrong in name.items():
        call = getattr(cost, method)
        if (n, d) == (m, e):
            assert call(x, other).shape == ((n, d) if method == "feedback" else (n,))
        else:
            with pytest.raises(ValueError, match=rf"^{wrong}: got .* wanted \({n}, {d}\)"):
                call(x, other)
    ending = games.TerminalEnergy(games.Quadratic(1.0))
    for cost in (games.Entropy(1.0), games.KullbackLeibler(rho), games.CrossEntropy(rho), ending):
        if n == m:
            assert cost.derivative(x, np.zeros(m)).shape == (n,)
            assert np.ndim(cost.functional(x, np.zeros(m))) == 0
        else:
            for call in (cost.derivative, cost.functional):
                with pytest.raises(ValueError, match=rf"^log_rho: got .* wanted \({n},\)"):
                    call(x, np.zeros(m))


class Nowhere(games.Energy):
    """An energy that lives on no space, and says so in its own words."""

    def description(self):
        return games.Quadratic(1.0).description()

    def check_dim(self, d):
        raise ValueError("mine: got no space")


@pytest.mark.parametrize(
    ("cost", "error", "message"),
    [
        (games.Quadratic(1.0, [0.0] * 3), ValueError, r"^terminal_cost: got a Quadratic with q of"),
        (games.TerminalEnergy(games.Quadratic(1.0, [0.0])), ValueError, r"^terminal_cost: got a Q"),
        (Nowhere(), ValueError, r"^mine: got no space$"),
        (lambda x: x, TypeError, r"^terminal_cost: got .* TerminalEnergy.* Energy"),
        (TWO, TypeError, r"^terminal_cost: got Gaussian"),
        (None, TypeError, r"^terminal_cost: got None"),
    ],
)
def test_terminal_costs_that_are_none(cost, error, message):
    with pytest.raises(error, match=message):
        games.Game(TWO, cost)


def test_an_energy_is_a_terminal_cost():
    game = games.Game(TWO, BUMP, 1.5, entropy=0.1)
    assert isinstance(game.terminal_cost, games.TerminalEnergy)
    assert (game.target, game.terminal, game.alpha) == (None, 1.0, 1.5)
    assert repr(games.Game(TWO, games.TerminalEnergy(BUMP), 1.5, entropy=0.1)) == repr(game)
    with pytest.raises(ValueError, match=r"^alpha: got 0.0, wanted a positive number"):
        games.Game(TWO, BUMP, 0.0)
    for wrong in (0.0, -1.0):
        with pytest.raises(ValueError, match=r"^weight: got"):
            games.TerminalEnergy(BUMP, wrong)
    with pytest.raises(TypeError, match=r"^energy: got"):
        games.TerminalEnergy(TWO)
    problem = refode.MeanFieldGame(refode.fields.Potential(2, 3), game)
    x = TWO.sample(4, seed=0)
    with pytest.raises(ValueError, match=r"^y: got samples, wanted None"):
        problem.value(problem.initial(), x, x)


def test_what_games_say_of_themselves():
    game = games.crowd_motion(TWO, TWO, obstacle=BUMP, entropy=0.1)
    for part in ("GaussianBump", "KullbackLeibler", "entropy=0.1"):
        assert part in repr(game)
    assert refode.games.Nothing() + BUMP is BUMP
