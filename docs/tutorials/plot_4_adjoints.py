r"""
4. Discretise, then optimise: orders, and what an adjoint is
============================================================

A computer solves a differential equation in steps, and so there are two things that one may call
the gradient of a neural ODE: the derivative of what is *computed*, or a computed version of the
derivative of what is *meant*. The survey's outlook calls them discretise-optimise and
optimise-discretise. This tutorial builds both, measures how they differ, and shows which one an
optimiser wants.
"""

import matplotlib.pyplot as plt
import numpy as np

import refode
from refode import plotting
from refode.verify import check_gradient, dot_test, observed_order

plotting.use()
rng = np.random.default_rng(0)

# %%
# Orders
# ------
# A scheme has order :math:`p` if its error falls as :math:`h^p` for small steps :math:`h`. We
# measure it: the same ODE by five schemes and 2 to 64 steps, against a scheme of order 8 whose
# error is rounding.

field = refode.fields.Shallow(dim=2, width=8)
x = rng.standard_normal((50, 2))
schemes = {"euler": 1, "midpoint": 2, "kutta3": 3, "rk4": 4, "dopri5": 5}
odes = {name: refode.NeuralODE(field, scheme=name, n_steps=8) for name in schemes}
reference = refode.NeuralODE(field, scheme="fehlberg8", n_steps=256)
theta = 0.7 * rng.standard_normal(reference.n_parameters)
truth = reference.solve(theta, x)

steps = 2 ** np.arange(1, 8)
errors = {}
for name, order in schemes.items():
    states = [odes[name].with_steps(n).solve(theta, x) for n in steps]
    errors[name] = [np.abs(z - truth).max() for z in states]
    report = observed_order(errors[name], 1.0 / steps, scale=1.0)  # above rounding
    print(f"{name:9} {report.verdict}")
    assert abs(report.order - order) < 0.2

# %%
# What an adjoint is
# ------------------
# The derivative of a map such as :math:`x \mapsto z(1)` is linear: it takes a direction
# :math:`\dot x` to a direction :math:`\dot z = J \dot x`. This is the *tangent*. Its *adjoint*
# takes the derivative of any later number with respect to :math:`z(1)`, a cotangent
# :math:`\bar z`, to that with respect to :math:`x`, :math:`\bar x = J^\top \bar z`. One equation
# says all of it:
#
# .. math:: \langle \bar z, J \dot x \rangle = \langle J^\top \bar z, \dot x \rangle
#           \qquad \text{for all } \dot x, \bar z .
#
# It can be tested with random vectors and needs no :math:`J`. refode has both by two ways that have
# nothing in common: the tangent is a complex step through the forward sweep, the adjoint is
# written by hand.

ode = odes["rk4"]
report = dot_test(
    lambda theta_dot, x_dot: ode.tangent(theta, x, theta_dot, x_dot),
    lambda z_bar: ode.adjoint(theta, x, z_bar),
    [theta.shape, x.shape],
    x.shape,
)
print(str(report).splitlines()[-1])
assert report.passed

# %%
# The other gradient
# ------------------
# Optimise, then discretise: write down the adjoint *equation*, (as in the last tutorial),
#
# .. math:: -\dot p = \partial_z f^\top p, \qquad \dot g = -\partial_\theta f^\top p ,
#
# and solve it backward in time as one solves any ODE, together with the state, which is recomputed
# on the way and not stored. This is what ``odeint_adjoint`` of torchdiffeq and
# ``BacksolveAdjoint`` of diffrax do. Here with the scheme's own tableau, for the mean of
# :math:`\tfrac12 |z(1) - y|^2`:

y = x @ np.array([[0.0, 1.0], [-1.0, 0.0]])  # turned by a quarter, and noise
y += 0.3 * rng.standard_normal(x.shape)


def solved_backward(ode, theta, z, p):
    """theta_bar and x_bar by the adjoint equation, from z(1) and p(1) back to 0."""

    def slopes(state):
        z, p, _ = state
        theta_bar, z_bar, _ = refode.evaluate.adjoint(ode.field, theta, z, p)
        return refode.evaluate.value(ode.field, theta, z), -z_bar, -theta_bar

    def moved(state, k, weights):
        return tuple(
            a + sum(w * s[i] for w, s in zip(weights, k, strict=False)) for i, a in enumerate(state)
        )

    A, b, _ = refode.tableaus.get(ode.scheme).as_floats()
    h, state = -1.0 / ode.n_steps, (z, p, np.zeros_like(theta))
    for _ in range(ode.n_steps):
        k = []
        for row in A:
            k.append(slopes(moved(state, k, h * row)))
        state = moved(state, k, h * b)
    return state[2], state[1]


def both(ode, theta):
    """Value, discrete adjoint, and the adjoint equation's answer."""
    z = ode.solve(theta, x)
    r = (z - y) / len(x)
    value = 0.5 * np.sum((z - y) ** 2) / len(x)
    return value, ode.adjoint(theta, x, r)[0], solved_backward(ode, theta, z, r)[0]


# %%
# Which one is right? Both tend to the same limit, the derivative of the exact solution, at the rate
# of the scheme's order. But a computer evaluates the loss at *some* number of steps; there, only
# one of the two is its derivative.

exact = both(reference.with_steps(64), theta)[1]
gaps = {"midpoint": [], "rk4": []}
for name, gap in gaps.items():
    for n in steps[:6]:
        _, discrete, continuous = both(odes[name].with_steps(n), theta)
        gap.append([np.abs(a - b).max() for a, b in ((discrete, exact), (continuous, discrete))])
    gap = np.array(gap)
    for column, what in enumerate(("discrete adjoint to the limit", "between the two")):
        report = observed_order(gap[:, column], 1.0 / steps[:6])
        print(f"{name:9} {what:30} order {report.order:.2f}")
        assert abs(report.order - schemes[name]) < 0.5

coarse = odes["midpoint"].with_steps(4)
reports = []
for which, name in ((1, "discretise, optimise"), (2, "optimise, discretise")):
    reports.append(
        check_gradient(
            lambda theta: both(coarse, theta)[0],
            lambda theta, which=which: both(coarse, theta)[which],
            theta,
            print_table=False,
        )
    )
    print(f"{name}: {str(reports[-1]).splitlines()[-1]}")
assert reports[0].passed
assert not reports[1].passed

# %%
figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.8))
for name, colour in zip(schemes, plotting.CYCLE, strict=False):
    axes[0].loglog(1.0 / steps, np.maximum(errors[name], 1e-16), "o-", color=colour, label=name)
axes[0].set(xlabel="step $h$", title="error of $z(1)$")
axes[0].legend(loc="lower right")
for (name, gap), colour in zip(gaps.items(), (plotting.VERMILION, plotting.ORANGE), strict=True):
    axes[1].loglog(1.0 / steps[:6], np.array(gap)[:, 1], "o-", color=colour, label=name)
floor = [r.relative_error for r in reports[:1]][0]
axes[1].axhline(floor, color="black", ls="--", lw=0.8, label="discrete adjoint, any $h$")
axes[1].set(xlabel="step $h$", title="gradient, off from that of the computed loss")
axes[1].legend(loc="center right", bbox_to_anchor=(1.0, 0.35))
for panel in axes:
    panel.set_xticks([1 / 64, 1 / 16, 1 / 4], ["1/64", "1/16", "1/4"])
    panel.minorticks_off()
figure.tight_layout()

# %%
# What an optimiser makes of it
# -----------------------------
# A line search believes that a step along the gradient lessens the value. We train on the two
# gradients; any object with ``value_and_gradient`` will do.


class By:
    """The loss of coarse steps, with one of the two gradients."""

    def __init__(self, which):
        self.which = which

    def value_and_gradient(self, theta, x):
        result = both(coarse, theta)
        return result[0], result[self.which]


ends = [
    refode.train(By(which), x, theta0=theta, max_iter=1000, tolerance=1e-3, progress=False)
    for which in (1, 2)
]
for name, end in zip(("discretise, optimise", "optimise, discretise"), ends, strict=True):
    true_gradient = np.abs(both(coarse, end.x)[1]).max()
    how = end.message.split(":")[0]
    print(f"{name}: value {end.fun:.4f}, true gradient {true_gradient:.1e}, {how}")
assert ends[0].success
assert not ends[1].success

# %%
# Going back is not undoing
# -------------------------
# The second way has a deeper flaw: it recomputes the states backward. A field that contracts
# forgets, and what is forgotten cannot be computed. We solve :math:`z' = -\lambda z` forward and
# back by 64 steps of ``rk4`` and look at what has become of the start.

rates = np.linspace(1.0, 80.0, 40)
linear = refode.NeuralODE(refode.fields.Affine(dim=1), scheme="rk4", n_steps=64)
start, returned = np.ones((1, 1)), []
for rate in rates:
    weights = linear.pack({"A": np.full((1, 1, 1), -rate), "c": np.zeros((1, 1))})
    end = linear.solve(weights, start)
    returned.append(linear.solve(weights, end, t_span=(1.0, 0.0))[0, 0])
figure, panel = plt.subplots(figsize=(3.6, 2.4))
panel.semilogy(rates, np.abs(np.array(returned) - 1.0), color=plotting.BLUE)
panel.set(xlabel=r"rate $\lambda$ of contraction", title="error of the start, there and back")
figure.tight_layout()
assert abs(returned[0] - 1.0) < 1e-10
assert abs(returned[-1] - 1.0) > 0.1

# %%
# refode keeps stages on a tape, or recomputes them from stored states (``memory="steps"``), and
# goes backward only by schemes that are exactly reversible (``memory="reverse"``).
#
# An exercise
# -----------
# *For a linear field* :math:`f(z) = Az` *the derivative with respect to the start,*
# :math:`\bar x`, *is the same by both ways, to rounding. Why? Is that of the weights, too?*
#
# **Answer.** Solving forward multiplies by a polynomial of :math:`hA` in every step,
# :math:`z_{n+1} = R(hA) z_n`. The discrete adjoint multiplies by :math:`R(hA)^\top`, and the
# scheme applied to :math:`-\dot p = A^\top p` by :math:`R(hA^\top)`, which is the same matrix. The
# weights' derivative needs :math:`z`, which is :math:`R(-hA)R(hA) \ne 1` times what it was after
# a step back, and is off by the order of the scheme.

spin = refode.NeuralODE(refode.fields.Affine(dim=2), scheme="rk4", n_steps=4)
theta = spin.pack({"A": np.array([[[0.3, 2.0], [-2.0, 0.1]]]), "c": np.zeros((1, 2))})
z_bar = rng.standard_normal(x.shape)
discrete = spin.adjoint(theta, x, z_bar)
continuous = solved_backward(spin, theta, spin.solve(theta, x), z_bar)
off = [np.abs(a - b).max() / np.abs(a).max() for a, b in zip(continuous, discrete, strict=True)]
print(f"off by {off[0]:.1e} in the weights, {off[1]:.1e} in the start")
assert off[1] < 1e-14
assert off[0] > 1e-5
