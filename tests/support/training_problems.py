"""Problems in plain NumPy for the tests of training, with a diary of what they were asked."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

METHODS = ("lbfgs", "newton-cg", "trust-krylov", "gn-cg")
ONES = np.ones(3)


class Valley:
    """sum_i a_i (theta_{i+1} - theta_i^2)^2 + (y_i - theta_i)^2, Rosenbrock's valley.

    Parameters
    ----------
    events : dict
        ``{("value", k): event}`` or ``{("product", k): event}``: what happens at the k-th
        evaluation or product, counted from 1. An exception is raised, "value" and "gradient"
        become NaN from there on, "once" the value there alone, and "product" the product.
    """

    n_parameters = 4
    broken = ""
    tilt = 0.0  # adds tilt * theta[0], unseen by repr

    def __init__(self, events=None):
        self.events = events or {}
        self.diary = []  # (kind, theta, value)
        self.count = {"value": 0, "product": 0}

    def __repr__(self):
        return "Valley()"

    def initial(self, seed=0):
        return np.random.default_rng(seed).standard_normal(self.n_parameters)

    def value_and_gradient(self, theta, x, y=ONES):
        event = self._event("value")
        bend = theta[1:] - theta[:-1] ** 2
        value = float((x * bend**2).sum() + ((y - theta[:-1]) ** 2).sum() + self.tilt * theta[0])
        gradient = np.zeros_like(theta)
        gradient[1:] += 2 * x * bend
        gradient[:-1] -= 4 * x * bend * theta[:-1] + 2 * (y - theta[:-1])
        gradient[0] += self.tilt
        self.broken = event if event in ("value", "gradient") else self.broken
        if self.broken == "value" or event == "once":
            value = float("nan")
        if self.broken == "gradient":
            gradient[2] = float("inf")
        seen = float("nan") if self.broken or event == "once" else value
        self.diary.append(("value", theta.copy(), seen))
        return value, gradient

    def hessian_vector(self, theta, v, x, y=ONES):
        return self._product(theta, v, x, theta[1:] - theta[:-1] ** 2)

    def gauss_newton_vector(self, theta, v, x, y=ONES):
        return self._product(theta, v, x, np.zeros(len(theta) - 1))

    def _product(self, theta, v, x, bend):
        event = self._event("product")
        out = np.zeros_like(theta)
        bend_v = v[1:] - 2 * theta[:-1] * v[:-1]
        out[1:] += 2 * x * bend_v
        out[:-1] += 2 * v[:-1] - 4 * x * (bend_v * theta[:-1] + bend * v[:-1])
        if event == "product":
            out[0] = float("nan")
        self.diary.append(("product", theta.copy(), float("nan")))
        return out

    def _event(self, kind):
        self.count[kind] += 1
        event = self.events.get((kind, self.count[kind]))
        if callable(event):
            event()
        elif event is not None and not isinstance(event, str):
            raise event
        return event

    def best(self):
        """The smallest finite value asked for, and where."""
        return min(
            (
                (value, theta)
                for kind, theta, value in self.diary
                if kind == "value" and np.isfinite(value)
            ),
            key=lambda pair: pair[0],
        )


class Regression:
    """Least squares over drawn samples, with the methods and the costs of a game.

    x has rows of features a, N(0, diag(scales^2)), and noise e; the value is the mean of
    1/2 (a.(theta - 1) - e)^2, called L, plus bend/4 |theta - 1|_4^4, called G.

    Parameters
    ----------
    p : int
    spread : float
        Decades between the largest and the smallest scale.
    noise, bend : float
    events : dict
        ``{k: event}``: raised, or called, at the k-th evaluation.
    """

    def __init__(self, p=12, spread=1.5, noise=0.1, bend=0.0, events=None):
        self.n_parameters, self.noise, self.bend = p, noise, bend
        self.scales = np.logspace(0, -spread, p)
        self.broken, self.events = False, events or {}
        self.count = {"value": 0, "costs": 0, "sample": 0, "test": 0}

    def __repr__(self):
        return f"Regression({self.n_parameters}, {self.noise}, {self.bend})"

    def initial(self, seed=0):
        return np.random.default_rng(seed).standard_normal(self.n_parameters)

    def draw(self, n, seed):
        self.count["sample"] += 1
        draws = np.random.default_rng(seed).standard_normal((n, self.n_parameters + 1))
        return draws * np.append(self.scales, self.noise)

    def _parts(self, theta, x):
        off = theta - 1
        residual = x[:, :-1] @ off - x[:, -1]
        return off, residual, 0.5 * (residual**2).mean(), 0.25 * self.bend * (off**4).sum()

    def value(self, theta, x):
        self.count["test"] += 1
        return float(sum(self._parts(theta, x)[2:]))

    def value_and_gradient(self, theta, x):
        self.count["value"] += 1
        event = self.events.get(self.count["value"])
        if isinstance(event, BaseException):
            raise event
        off, residual, L, G = self._parts(theta, x)
        self.broken = self.broken or event == "value"  # from there on
        value = float("nan") if self.broken else float(L + G)
        return value, residual @ x[:, :-1] / len(x) + self.bend * off**3

    def costs(self, theta, x):
        self.count["costs"] += 1
        L, G = (float(term) for term in self._parts(theta, x)[2:])
        return {"L": L, "F": 0.0, "G": G, "hjb": 0.0, "hjb_terminal": 0.0, "total": L + G}

    def expectation(self, theta):
        """The value over all samples there could be."""
        off = theta - 1
        spread = ((self.scales * off) ** 2).sum() + self.noise**2
        return float(0.5 * spread + 0.25 * self.bend * (off**4).sum())


class WithGame(Regression):
    """Brings its sampler along, as games do."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.game = SimpleNamespace(initial=SimpleNamespace(sample=self.draw))


X = np.full(3, 20.0)
Y = np.array([1.0, 0.8, 1.1])


def bfgs(pairs):
    """The inverse Hessian by the textbook's update, from the newest pair's gamma I."""
    s, y = pairs[-1]
    eye = np.eye(len(s))
    H = (s @ y) / (y @ y) * eye
    for s, y in pairs:
        rho = 1 / (s @ y)
        left = eye - rho * np.outer(s, y)
        H = left @ H @ left.T + rho * np.outer(s, s)
    return H


def same_history(a, b):
    """Equal in every column but seconds, bit for bit."""
    names = [name for name in a.dtype.names if name != "seconds"]
    return len(a) == len(b) and all(a[n].tobytes() == b[n].tobytes() for n in names)


def same_result(a, b):
    """Equal to the last bit, but for the time it took."""
    return (
        a.x.tobytes() == b.x.tobytes()
        and a.jac.tobytes() == b.jac.tobytes()
        and (a.fun, a.nit, a.nfev, a.get("nhev"), a.status, a.message)
        == (b.fun, b.nit, b.nfev, b.get("nhev"), b.status, b.message)
        and same_history(a.history, b.history)
    )
