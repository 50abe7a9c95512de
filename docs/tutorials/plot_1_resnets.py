r"""
1. ResNets are Euler steps
==========================

A deep network is a long composition of layers. In this tutorial we look at what that does to a
signal, add the skip connection that made very deep networks trainable, and recognise in it the
oldest method there is for differential equations. Everything after this tutorial rests on that.

You need NumPy and a little calculus; it follows equations (1)-(4) of the survey.
"""

import matplotlib.pyplot as plt
import numpy as np

import refode
from refode import plotting

plotting.use()
rng = np.random.default_rng(0)

# %%
# A plain deep network forgets
# ----------------------------
# A feed-forward network of :math:`L` layers is, eq. (1),
#
# .. math:: x_{l+1} = \sigma(W_l x_l + b_l), \qquad l = 0, \dots, L - 1 .
#
# With random weights its layers shrink and fold what passes through. We send a grid of points of
# the plane through 30 layers, and look at what is left of it.


def grid_lines(n=13, half=1.0):
    """Points (n, n, 2) of a square grid; rows and columns are its lines."""
    side = np.linspace(-half, half, n)
    return np.stack(np.meshgrid(side, side), axis=-1)


x = grid_lines()
depth = 30
weights = 1.3 * rng.standard_normal((depth, 2, 2))
biases = 0.3 * rng.standard_normal((depth, 2))

plain = [x]
for W, b in zip(weights, biases, strict=True):
    plain.append(np.tanh(plain[-1] @ W.T + b))

# %%
# The residual layer, (3), adds what it computes to what came in, here in small amounts:
#
# .. math:: x_{l+1} = x_l + h\, f_{\theta_l}(x_l), \qquad
#           f_\theta(x) = W_1 \tanh(W_0 x + b_0) + b_1 ,
#
# with :math:`f` the network of one hidden layer of (2). For :math:`f \equiv 0` a layer is the
# identity: more layers can do no harm. For the picture the layers are those of above, a thirtieth
# of four times their output at a time.

residual = [x]
for W, b in zip(weights, biases, strict=True):
    residual.append(residual[-1] + 4.0 / depth * np.tanh(residual[-1] @ W.T + b))


def draw_grid(axes, points, title):
    """The lines of a grid that something has moved."""
    for lines in (points, points.transpose(1, 0, 2)):
        axes.plot(lines[..., 0], lines[..., 1], color=plotting.BLUE, lw=0.7)
    axes.plot(*points.reshape(-1, 2).T, ".", color=plotting.BLUE, ms=1.5)
    axes.set(title=title, xlim=(-2.1, 2.1), ylim=(-2.1, 2.1), xticks=(-1, 0, 1), yticks=(-1, 0, 1))
    axes.set_aspect("equal")


figure, axes = plt.subplots(2, 4, figsize=(7.2, 3.9), sharex=True, sharey=True)
for j, layer in enumerate((0, 1, 5, 30)):
    draw_grid(axes[0, j], plain[layer], f"plain, layer {layer}")
    draw_grid(axes[1, j], residual[layer], f"residual, layer {layer}")
figure.tight_layout(h_pad=1.5)

# %%
# The plain network has squeezed the square to a line, and then to a point: its points cannot be
# told apart any more, and a gradient that comes back through these layers is as flat. In numbers,
# the area that is left after the last layer, as a share of the first:


def area(points):
    """Sum of the areas of the grid's cells."""
    a, b = points[1:, 1:] - points[:-1, :-1], points[1:, :-1] - points[:-1, 1:]
    return 0.5 * np.abs(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]).sum()


left_plain, left_residual = area(plain[-1]) / area(x), area(residual[-1]) / area(x)
print(f"area left: plain {left_plain:.1e}, residual {left_residual:.2f}")
assert left_plain < 1e-6
assert 0.1 < left_residual < 10.0

# %%
# From layers to time
# -------------------
# Read :math:`h = 1/L` as a step in time, and the residual layer is the forward Euler method for
#
# .. math:: \frac{d}{dt} z = f_{\theta(t)}(z), \qquad t \in (0, 1], \qquad z(0) = x ,
#
# which is (4): a *neural ODE*. In refode it is a field, weights in time, and a scheme. A ResNet of
# ten layers is the scheme ``"euler"`` with ten steps, and a set of weights for every step.

L = 10
field = refode.fields.Shallow(dim=2, width=16)
resnet = refode.NeuralODE(field, scheme="euler", n_steps=L, basis=refode.bases.PiecewiseConstant(L))
theta = resnet.initial(seed=1)
named = resnet.unpack(theta)  # views: a leading axis of L, one entry a layer
print({name: block.shape for name, block in named.items()})

# %%
# That this is the ResNet and nothing else we do not have to believe. Here is (3) in NumPy:

points = x.reshape(-1, 2)
z = points
for layer in range(L):
    hidden = np.tanh(z @ named["W0"][layer].T + named["b0"][layer])
    z = z + (hidden @ named["W1"][layer].T + named["b1"][layer]) / L

off = np.abs(z - resnet.solve(theta, points)).max()
print(f"by hand and by refode differ by {off:.1e}")
assert off < 1e-13

# %%
# More layers, the same equation
# ------------------------------
# If the weights are a function of time, more layers do not make another network: they solve the
# same equation better. We take weights that do not change in time at all, and compare ResNets of 2
# to 512 layers with a solution that is right to rounding, a scheme of eighth order.

constant = refode.NeuralODE(field, scheme="euler", n_steps=L)  # one set of weights for all times
theta = 0.7 * np.random.default_rng(4).standard_normal(constant.n_parameters)
truth = refode.NeuralODE(field, scheme="fehlberg8", n_steps=64).solve(theta, points)

depths = 2 ** np.arange(1, 10)
errors = [np.abs(constant.with_steps(n).solve(theta, points) - truth).max() for n in depths]
report = refode.verify.observed_order(errors, 1.0 / depths, expected=1.0)
print(report)
assert report.passed

# %%
# Twice the layers, half the error: order one, as the theory of Euler's method says.

figure, axes = plt.subplots(1, 4, figsize=(7.2, 2.1), width_ratios=(1, 1, 1, 1.25))
for panel, n in zip(axes, (2, 8, 512), strict=False):
    moved = constant.with_steps(n).solve(theta, points).reshape(x.shape)
    draw_grid(panel, moved, f"{n} layers")
    panel.set(xlim=(-4.2, 1.6), ylim=(-3.8, 2.0), xticks=(-4, -2, 0), yticks=(-2, 0))
axes[3].loglog(depths, errors, "o-", color=plotting.BLUE, label="measured")
line = 1.5 * errors[-1] * depths[-1] / depths
axes[3].loglog(depths, line, "--", color=plotting.VERMILION, label="slope $-1$")
axes[3].set(xlabel="layers", title="largest error")
axes[3].legend()
figure.tight_layout()

# %%
# The two are still different things. A ResNet is a discrete map, and with few layers its lines
# may cross; the flow of an ODE is invertible, whatever the weights are, and its lines never do
# (the next tutorial uses that, and meets what it forbids).
#
# An exercise
# -----------
# A trained ResNet need not be near any ODE: its layers may have nothing to do with one another.
# *Draw the weights of every layer independently, and let the number of layers grow. How far does
# such a network move a point?*
#
# **Answer.** The steps :math:`h f_{\theta_l}` are independent with mean 0, so that their sum has
# a size of :math:`h \sqrt L = L^{-1/2}`: the network tends to the identity, slowly.

depths, moves = 4 ** np.arange(2, 6), []
for n in depths:
    layers = refode.NeuralODE(
        field, scheme="euler", n_steps=int(n), basis=refode.bases.PiecewiseConstant(int(n))
    )
    drawn = 0.5 * rng.standard_normal((8, layers.n_parameters))  # eight networks
    moved = [layers.solve(theta, points) - points for theta in drawn]
    moves.append(np.sqrt(np.mean(np.square(moved))))
slope = np.polyfit(np.log(depths), np.log(moves), 1)[0]
print(f"moves of {np.round(moves, 3)} for {depths} layers: slope {slope:.2f}")
assert abs(slope + 0.5) < 0.1
