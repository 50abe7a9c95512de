r"""
8. Check your own code
======================

Derivatives written by hand are wrong at first, and derivatives by automatic differentiation are
right derivatives of whatever was typed. This tutorial checks code that is *not* refode's: a
gradient, an adjoint, an order, and then a whole implementation against numbers with 25 proven
digits. Nothing here needs a model of refode's.
"""

import matplotlib.pyplot as plt
import numpy as np

from refode import plotting
from refode.check import Skip, check
from refode.verify import check_gradient, dot_test, observed_order

plotting.use()
rng = np.random.default_rng(0)

# %%
# A gradient
# ----------
# Somebody's logistic regression, and its gradient, twice: once as it should be, once with the
# penalty's derivative forgotten for one weight. The error is small and training would still seem to
# work.

a, y = rng.standard_normal((50, 6)), rng.choice([-1.0, 1.0], 50)
w = rng.standard_normal(6)


def loss(w):
    return np.mean(np.log1p(np.exp(-y * (a @ w)))) + 0.005 * w @ w


def gradient(w):
    return -(a.T @ (y / (1.0 + np.exp(y * (a @ w))))) / len(y) + 0.01 * w


def forgetful(w):
    return gradient(w) - np.array([0.0, 0.0, 0.0, 0.0, 0.01 * w[4], 0.0])


# %%
# The idea of the check is a Taylor expansion: along a direction :math:`v`,
#
# .. math:: E_1(h) = |\, \ell(w + hv) - \ell(w) - h\, g^\top v \,| = O(h^2)
#           \quad \text{only if } g = \nabla \ell ,
#
# so that halving :math:`h` must quarter the remainder. ``check_gradient`` does this on steps that
# it chooses itself, and says the smallest error that it would have seen. ``blocks`` names where the
# error is.

blocks = {"first half": slice(0, 3), "second half": slice(3, 6)}
reports = {}
for tried in (gradient, forgetful):
    reports[tried.__name__] = check_gradient(loss, tried, w, blocks=blocks, print_table=False)
    print(f"{tried.__name__}: {str(reports[tried.__name__]).splitlines()[-1]}")
assert reports["gradient"].passed
assert not reports["forgetful"].passed

# %%
# The same by hand, to see what it looks at. Under the wrong gradient the remainder turns to first
# order as soon as the error dominates; without the window one would have to know where to look.

v = np.ones(6) / np.sqrt(6.0)
h = 2.0 ** -np.arange(1.0, 40.0)
figure, panel = plt.subplots(figsize=(4.2, 2.7))
for tried, colour in ((gradient, plotting.BLUE), (forgetful, plotting.VERMILION)):
    remainder = [abs(loss(w + s * v) - loss(w) - s * tried(w) @ v) for s in h]
    panel.loglog(h, np.maximum(remainder, 1e-18), "o-", ms=3, color=colour, label=tried.__name__)
panel.loglog(h, 0.3 * h**2, "--", color="0.4", lw=0.8, label="$h^2$")
panel.loglog(h, 2e-3 * h, ":", color="0.4", lw=0.8, label="$h$")
panel.set(xlabel="$h$", ylabel="$E_1(h)$", ylim=(1e-19, 1))
panel.legend()
figure.tight_layout()

# %%
# An adjoint, and an order
# ------------------------
# Linear maps and their adjoints are tested by :math:`\langle Au, v\rangle = \langle u,
# A^\top v\rangle`: here a convolution, whose adjoint is a correlation. One of the two is off by an
# index.

kernel = np.array([0.5, -1.0, 0.25])


def convolve(u):
    return np.convolve(u, kernel)


def correlate(v):
    return np.correlate(v, kernel, mode="valid")


def shifted(v):
    return np.roll(correlate(v), 1)


for adjoint in (correlate, shifted):
    report = dot_test(convolve, adjoint, 20, 22)
    print(f"{adjoint.__name__}: {str(report).splitlines()[-1]}")
    assert report.passed == (adjoint is correlate)

# %%
# A solver of ODEs is tested by the rate at which its errors fall. This one means to be Heun's, of
# order 2, and takes the second slope at the wrong time. On an autonomous equation nobody would
# notice; so test with one that is not.


def heun(n, wrong=False):
    """Solve z' = -z + cos(3 t), z(0) = 1, to t = 1."""
    t, z, h = 0.0, 1.0, 1.0 / n
    for _ in range(n):
        first = -z + np.cos(3.0 * t)
        second = -(z + h * first) + np.cos(3.0 * (t if wrong else t + h))
        t, z = t + h, z + 0.5 * h * (first + second)
    return z


truth = 0.9 * np.exp(-1.0) + 0.1 * np.cos(3.0) + 0.3 * np.sin(3.0)
counts = 2 ** np.arange(3, 11)
for wrong in (False, True):
    errors = [abs(heun(n, wrong) - truth) for n in counts]
    report = observed_order(errors, 1.0 / counts, expected=2, scale=1.0)
    print(f"{'wrong time' if wrong else 'right time'}: {report.verdict}")
    assert report.passed != wrong

# %%
# A whole implementation
# ----------------------
# If your code computes what the survey is about, there are *golden cases* for it: inputs, and
# results with 25 digits that ball arithmetic has proven. You write an adapter, a method for every
# quantity that you have; what has none is skipped. Here is a small neural ODE in plain NumPy, with
# trajectories of the shallow field:


class Adapter:
    """Shallow neural ODEs; everything else is skipped."""

    precision = "float64"

    def slope(self, case, t, z):
        w = {name: block[0] for name, block in case.theta.items()}
        if case.field["time"]:
            z = np.hstack([z, np.full((len(z), 1), t)])
        return np.tanh(z @ w["W0"].T + w["b0"]) @ w["W1"].T + w["b1"]

    def trajectory(self, case):
        if case.field["type"] != "Shallow" or case.basis["type"] != "Constant":
            raise Skip("shallow fields with constant weights alone")
        scheme, h, t, z = case.scheme, case.h, case.along[0], case.x
        states = [z]
        for _ in range(case.n_steps):
            k = np.zeros((len(scheme.b), *z.shape))
            for i, row in enumerate(scheme.A):
                k[i] = self.slope(case, t + scheme.c[i] * h, z + h * np.tensordot(row, k, 1))
            t, z = t + h, z + h * np.tensordot(scheme.b, k, 1)
            states.append(z)
        return np.array(states)


class Half(Adapter):
    """The same, with one of the commonest mistakes: computing in single precision."""

    def slope(self, case, t, z):
        return super().slope(case, t, z).astype(np.float32).astype(float)


outcomes = {}
for adapter in (Adapter(), Half()):
    name = type(adapter).__name__
    outcomes[name] = check(adapter, cases=["ode-shallow-rk4", "ode-dopri5"])
    print(f"{name}: {'passed' if outcomes[name].passed else 'failed'}")
    for row in outcomes[name].rows:
        if row.verdict != "skipped":
            print(f"    {row.case}, {row.quantity}: {row.verdict}, {row.digits:.1f} digits")
    for finding in outcomes[name].findings:
        print(f"    {finding.sentence}")
assert outcomes["Adapter"].passed
assert not outcomes["Half"].passed
assert any("float32" in finding.sentence for finding in outcomes["Half"].findings)

# %%
# There is no tolerance to choose: what is allowed is what rounding explains, case by case. From
# the shell the same is ``refode check mymodel:adapter``, which runs the adapter in a process of its
# own, on all cases, and writes a report. It takes results as files, too, from any language.
#
# An exercise
# -----------
# *Central differences,* :math:`(\ell(w + hv) - \ell(w - hv)) / 2h` *with* :math:`h = 10^{-6}`,
# *agree with your gradient to* :math:`10^{-6}`. *Is the gradient right?*
#
# **Answer.** That cannot be said. Rounding alone disturbs the difference by about
# :math:`\varepsilon |\ell| / h \approx 2 \cdot 10^{-10}` here; agreement to :math:`10^{-6}` leaves
# room for an error thousands of times as large, in one small block for instance. The check above
# says what it would have seen:

report = reports["gradient"]
print(f"an error of {report.smallest_detectable:.0e} would have been seen")
assert report.smallest_detectable < 1e-10
difference = (loss(w + 1e-6 * v) - loss(w - 1e-6 * v)) / 2e-6
subtle = gradient(w) + 1e-7  # wrong in every entry, and closer than 1e-6
assert abs(difference - subtle @ v) < 1e-6
assert not check_gradient(loss, lambda w: gradient(w) + 1e-7, w, print_table=False).passed
