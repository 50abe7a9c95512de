"""Losses l(v, y) of supervised learning: what an output v costs where y is wanted.

A kernel body takes a block of outputs, feature-major, for real and complex numbers:

``loss(about, V, first, m)``
    The sum of the losses of the samples first, ..., first + m - 1, whose outputs are the first m
    columns of V (k, S); it overwrites these with the derivatives in the outputs. Later columns
    stand for no sample: whoever asks clears them.

Values, gradients and Hessians of all problems come from this one function; the Hessian by the
complex step through the derivative, (D34). docs/adding_a_loss.md adds one in one small class.

Twin on the device: refode/cuda/losses.py.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refode import _validate
from refode._fixed import Fixed
from refode._quiet import quietly
from refode._scaling import TINY, restored, scaled
from refode.machine.activations import sigmoid, softplus
from refode.machine.parts import Room, entry, link

__all__ = ["Logistic", "Loss", "Regression", "Softmax"]

Array = np.ndarray
Float64 = NDArray[np.float64]

LOSS = Room("loss")


@LOSS.function("Mii", "s")
def loss(about, V, first, m):
    """Sum of the losses of the block's m samples; V <- its derivative."""


class Loss(Fixed):
    """A loss l(v, y), mean over samples in ``Supervised``. Attributes are set once."""

    #: Whether targets are integers (N,), the numbers of classes, and not real numbers (N, m).
    labels: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """What it goes by in messages: the class's name in small letters."""
        return type(self).__name__.lower()

    @abstractmethod
    def description(self, targets: Any) -> Any:
        """The NamedTuple whose class the kernel body is registered for.

        ``targets`` is what the method of that name returned, or the same on a device; each of
        the description's arrays has an entry for every sample, or is the same for all.
        """

    def targets(self, y: Any, n: int, m: int) -> Array:
        """Targets of n samples with m outputs, checked; by default real numbers (n, m).

        Raises
        ------
        TypeError, ValueError
            Naming y, what came and what was wanted.
        """
        if m == 1 and _validate.n_axes(y) == 1:
            y = _validate.real_array("y", y, (n,))[:, None]
        return _validate.real_array("y", y, (n, m))

    def check_outputs(self, m: int) -> None:  # noqa: B027  most losses take any number
        """Raise a ValueError that names ``n_outputs`` where the loss does not take m outputs."""

    def probabilities(self, outputs: Float64) -> Float64:
        """Probabilities of the classes, (N, number of classes); a ValueError if there are none."""
        raise ValueError(f"loss: got {self.name!r}, wanted a classifier for probabilities")

    # --- by itself ---------------------------------------------------------------------
    @quietly()
    def values(self, outputs: ArrayLike, y: Any) -> Float64:
        """Loss of each sample (N,), of outputs (N, m) and their targets."""
        return one_by_one(*self._checked(outputs, y))[0]

    @quietly()
    def gradient(self, outputs: ArrayLike, y: Any) -> Float64:
        """Derivatives of the losses in the outputs, (N, m)."""
        return one_by_one(*self._checked(outputs, y))[1]

    @quietly()
    def hessian_vector(self, outputs: ArrayLike, v: ArrayLike, y: Any) -> Float64:
        """Each sample's Hessian in its outputs times its row of v (N, m), (N, m)."""
        about, outputs = self._checked(outputs, y)
        return hessian_products(about, outputs, _validate.real_array("v", v, outputs.shape))

    def _checked(self, outputs: ArrayLike, y: Any) -> tuple[Any, Float64]:
        outputs = _validate.real_array("outputs", outputs, ("N", "m"))
        n, m = outputs.shape
        self.check_outputs(m)
        return self.description(self.targets(y, n, m)), outputs

    def __repr__(self) -> str:
        public = {k: v for k, v in vars(self).items() if not k.startswith("_")}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in public.items())})"


def one_by_one(about: Any, outputs: Array) -> tuple[Array, Array]:
    """Losses (N,) of samples and their derivatives (N, m), in the outputs' number type."""
    outputs = np.ascontiguousarray(outputs)
    values, bars = np.empty(len(outputs), outputs.dtype), np.empty_like(outputs)
    part = link(LOSS, about, outputs.dtype, frozenset([(loss, 0)]))
    _each_loss.of(outputs.dtype)(part, outputs, values, bars)
    return values, bars


def hessian_products(about: Any, outputs: Float64, v: Float64) -> Float64:
    """H_n v_n (N, m): the complex step through the derivative."""
    exponent, (v,) = scaled(v)
    size = np.abs(v).max()
    if size == 0.0:
        return np.zeros_like(outputs)
    step = TINY / size
    return restored(exponent, one_by_one(about, outputs + 1j * step * v)[1].imag / step)


@entry([LOSS, "M", "v", "M"])
def _each_loss(about, outputs, values, bars):
    """Blocks of one sample each, so that every loss is seen; an entry from Python."""
    V = np.empty((outputs.shape[1], 1), outputs.dtype)
    for n in range(outputs.shape[0]):
        for i in range(outputs.shape[1]):
            V[i, 0] = outputs[n, i]
        values[n] = loss(about, V, n, 1)
        for i in range(outputs.shape[1]):
            bars[n, i] = V[i, 0]


# --- regression ------------------------------------------------------------------------------
class RegressionSpec(NamedTuple):
    """Targets (N, m)."""

    targets: Any


class Regression(Loss):
    """l = |v - y|^2 / 2."""

    def description(self, targets: Any) -> RegressionSpec:
        return RegressionSpec(targets)


@loss.register(RegressionSpec)
def regression_loss(about, V, first, m):
    """l = |v - y|^2 / 2,  v_bar = v - y."""
    value = V[0, 0] * 0
    for i in range(V.shape[0]):
        for s in range(m):
            r = V[i, s] - about.targets[first + s, i]
            value += 0.5 * r * r
            V[i, s] = r
    return value


# --- two classes -----------------------------------------------------------------------------
class LogisticSpec(NamedTuple):
    """Labels (N,), 0 or 1."""

    labels: Any


class Logistic(Loss):
    """l = log(1 + e^v) - y v for y in {0, 1}, one output."""

    labels = True

    def description(self, targets: Any) -> LogisticSpec:
        return LogisticSpec(targets)

    def targets(self, y: Any, n: int, m: int) -> Array:
        """Labels (n,), each 0 or 1."""
        return _validate.labels_binary("y", y, n).astype(np.int64)

    def check_outputs(self, m: int) -> None:
        if m != 1:
            raise ValueError(f"n_outputs: got {m}, wanted 1 for the logistic loss")

    @quietly()
    def probabilities(self, outputs: Float64) -> Float64:
        """Of 0 and of 1, (N, 2)."""
        outputs = _validate.real_array("outputs", outputs, ("N", 1))
        return _softmax(np.concatenate([np.zeros_like(outputs), outputs], axis=1))


@loss.register(LogisticSpec)
def logistic_loss(about, V, first, m):
    """l = log(1 + e^v) - y v,  v_bar = 1/(1 + e^-v) - y."""
    value = V[0, 0] * 0
    for s in range(m):
        v, y = V[0, s], about.labels[first + s]
        value += softplus(-v) if y == 1 else softplus(v)  # no cancellation
        V[0, s] = -sigmoid(-v) if y == 1 else sigmoid(v)
    return value


# --- many classes ----------------------------------------------------------------------------
class SoftmaxSpec(NamedTuple):
    """Labels (N,), 0, ..., m-1."""

    labels: Any


class Softmax(Loss):
    """l = log sum_i e^{v_i} - v_y for y in {0, ..., m-1}, at least two outputs."""

    labels = True

    def description(self, targets: Any) -> SoftmaxSpec:
        return SoftmaxSpec(targets)

    def targets(self, y: Any, n: int, m: int) -> Array:
        """Labels (n,), each in 0, ..., m-1."""
        return _validate.labels_integer("y", y, n, m)

    def check_outputs(self, m: int) -> None:
        if m < 2:
            raise ValueError(f"n_outputs: got {m}, wanted at least 2 for the softmax loss")

    @quietly()
    def probabilities(self, outputs: Float64) -> Float64:
        """Of every class, (N, m)."""
        return _softmax(_validate.real_array("outputs", outputs, ("N", "m")))


@loss.register(SoftmaxSpec)
def softmax_loss(about, V, first, m):
    """l = log sum_i e^{v_i} - v_y,  v_bar = p - e_y, with the largest v taken out."""
    value = V[0, 0] * 0
    for s in range(m):
        y, top = about.labels[first + s], V[0, s]
        for i in range(1, V.shape[0]):
            if V[i, s].real > top.real:
                top = V[i, s]
        total = V[0, 0] * 0
        shifted = V[y, s] - top
        for i in range(V.shape[0]):
            V[i, s] = np.exp(V[i, s] - top)
            total += V[i, s]
        value += np.log(total) - shifted
        for i in range(V.shape[0]):
            V[i, s] = V[i, s] / total
        V[y, s] -= 1.0
    return value


def _softmax(outputs: Float64) -> Float64:
    e = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


#: The losses that go by a name.
NAMED: dict[str, Loss] = {made.name: made for made in (Regression(), Logistic(), Softmax())}


def loss_of(value: Any) -> Loss:
    """A loss as it is, or the one of a name; TypeError or ValueError for anything else."""
    if isinstance(value, Loss):
        return value
    if not _validate.is_text(value):
        raise TypeError(
            f"loss: got {_validate.shown(value)}, wanted a Loss or one of "
            f"{', '.join(map(repr, NAMED))}"
        )
    return NAMED[_validate.choice("loss", value, tuple(NAMED))]
