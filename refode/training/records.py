"""What a training run remembers: evaluations, the best of them, and the calls to play back.

SciPy's optimisers keep their memory to themselves, so a run cannot be stored by its state.
They are deterministic, though: given the same answers they ask the same questions. Hence a
`Recorder` stands between the optimiser and the problem and logs every answer; on resuming it
gives the logged answers until they are used up, and the problem's own from then on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from refode import _products as products
from refode.problems.wrapped import problem_of

if TYPE_CHECKING:
    from refode.training.samples import Samples

Float64 = NDArray[np.float64]

#: One row an iteration; row 0 is the start.
HISTORY = np.dtype(
    [
        ("iteration", np.int64),
        ("value", np.float64),
        ("gradient_norm", np.float64),  # Euclidean
        ("seconds", np.float64),  # since the start, without interruptions and compiling
        ("evaluations", np.int64),  # of value and gradient, so far
        ("products", np.int64),  # Hessian-vector products, so far
    ]
)

#: The same for samples that are redrawn.
RESAMPLED = np.dtype(
    [
        ("period", np.int64),  # from 0; each has a row for its start besides
        *((name, HISTORY[name]) for name in HISTORY.names or ()),
        ("validation", np.float64),  # the value there; NaN but at the start of a period
    ]
)

# 0 to 3 as SciPy has them: 2 and 3 are its failures, 2 that no step lessens the value, and ours
# to see it fail is 3
CONVERGED, MAX_ITER, LINE_SEARCH, STUCK = 0, 1, 2, 3
STOPPED, INTERRUPTED, NON_FINITE, FAILED, PATIENCE = 10, 11, 12, 13, 14

EVALUATION, PRODUCT = 0, 1

#: From here on squares overflow: a step to such a value or gradient was too long as well.
HUGE = 1e150


class Evaluation(NamedTuple):
    """Value and gradient at theta."""

    theta: Float64
    value: float
    gradient: Float64


class Call(NamedTuple):
    """One answer of the problem, and a digest of the question."""

    kind: int
    digest: bytes
    value: float  # 0 for a product
    vector: Float64


class NonFinite(Exception):
    """NaN or infinity came; the message says where."""


class Lost(Exception):
    """The optimiser itself came up with NaN; the message says where."""


class Mismatch(Exception):
    """A stored call is not the one that this run makes; the message says which."""


class Recorder:
    """The problem as the optimiser sees it, with a log of every answer.

    Parameters
    ----------
    problem : Problem, or object with ``value_and_gradient``
        With ``hessian_vector`` or ``gauss_newton_vector`` where products are asked for.
    samples : Samples
        What these take besides theta.
    stored : list of Call
        Answers to play back first.
    keep : bool
        Whether to log new answers; without it only their number is kept.
    gauss_newton : bool, optional
        Whether products are those of ``gauss_newton_vector``.
    """

    def __init__(
        self,
        problem: Any,
        samples: Samples,
        stored: list[Call],
        keep: bool,
        gauss_newton: bool = False,
    ) -> None:
        self.problem, self.gauss_newton = problem_of(problem), gauss_newton
        self.samples = samples.placed(self.problem)
        self.calls, self.keep = stored, keep
        self.n_stored, self.played = len(stored), 0
        self.evaluations = self.products = 0
        self.best: Evaluation | None = None
        self.base: Evaluation | None = None  # the iterate, from which steps are taken
        self.recent: dict[bytes, Evaluation] = {}  # this iteration's, by digest
        self.broken = ""  # what was not finite at the newest point, if anything was
        self.shortened = False  # whether a step of this iteration was too long
        self._last = {call.kind: i for i, call in enumerate(stored)}
        self.errors = np.geterr()  # the caller's, under which the problem is asked

    @property
    def replaying(self) -> bool:
        """Whether stored answers are left."""
        return self.played < self.n_stored

    def evaluate(self, theta: Any) -> Evaluation:
        """Value and gradient at theta; the same theta within an iteration costs nothing."""
        theta = np.array(theta, dtype=np.float64)
        digest = _digest(theta)
        evaluation = self.recent.get(digest)
        if evaluation is None:
            _check_finite(theta, "SciPy's step", Lost)
            call = self._stored(EVALUATION, digest)
            self.broken, data = "", self.samples
            if call is None or self._is_asked_again(EVALUATION):
                try:  # with copies, since it may write into them
                    with np.errstate(**self.errors):
                        asked = self.problem.value_and_gradient
                        answer = asked(theta.copy(), *data.arrays, **data.named)
                    fresh = self._short(_evaluated(digest, answer, theta.shape))
                except (NonFinite, FloatingPointError, OverflowError) as error:
                    fresh = self._too_long(digest, error)
                call = self._logged(fresh, call)
            self._played()
            self.shortened = self.shortened or _is_too_long(call, self.base)
            evaluation = Evaluation(theta, call.value, call.vector)
            self.evaluations += 1
            self.recent[digest] = evaluation
            if self.best is None or evaluation.value < self.best.value:
                self.best = evaluation
        return evaluation

    def value(self, theta: Float64) -> float:
        """For SciPy's ``fun``."""
        return self.evaluate(theta).value

    def gradient(self, theta: Float64) -> Float64:
        """For SciPy's ``jac``; a copy, since SciPy may write into it."""
        return self.evaluate(theta).gradient.copy()

    def product(self, theta: Float64, v: Float64) -> Float64:
        """For SciPy's ``hessp``."""
        theta, v = np.array(theta, dtype=np.float64), np.array(v, dtype=np.float64)
        _check_finite(v, "SciPy's direction", Lost)
        digest = _digest(theta, v)
        call = self._stored(PRODUCT, digest)
        if call is None or self._is_asked_again(PRODUCT):
            problem, data = cast(Any, self.problem), self.samples  # by the options' check
            asked = problem.gauss_newton_vector if self.gauss_newton else problem.hessian_vector
            with np.errstate(**self.errors):
                answer = asked(theta.copy(), v.copy(), *data.arrays, **data.named)
            vector = _copied(answer, theta.shape)
            kind = "Gauss-Newton" if self.gauss_newton else "Hessian-vector"
            _check_finite(vector, f"a {kind} product")
            call = self._logged(Call(PRODUCT, digest, 0.0, vector), call)
        self._played()
        self.products += 1
        return call.vector.copy()

    def forget_all_but(self, kept: Evaluation) -> None:
        """Start an iteration: keep one evaluation, the iterate's."""
        self.recent, self.base, self.shortened = {_digest(kept.theta): kept}, kept, False

    def terms(self, theta: Float64) -> Mapping[str, float]:
        """The problem's costs at theta, which no log has."""
        with np.errstate(**self.errors):
            return self.problem.costs(theta.copy(), *self.samples.arrays, **self.samples.named)

    def redraw(self, samples: Samples, theta: Float64) -> Evaluation:
        """Go on with other samples, from theta; what is best counts anew, as values changed."""
        self.samples, self.recent, self.base = samples.placed(self.problem), {}, None
        self.best = self.evaluate(theta)
        self.forget_all_but(self.best)
        return self.best

    # --- playing back ------------------------------------------------------------------
    def _stored(self, kind: int, digest: bytes) -> Call | None:
        """The next one to play back, if any is left; Mismatch where it is of another call."""
        if not self.replaying:
            return None
        i, call = self.played, self.calls[self.played]
        if (call.kind, call.digest) != (kind, digest):
            raise Mismatch(f"call {i + 1} of the stored run was another one than this run makes")
        return call

    def _is_asked_again(self, kind: int) -> bool:
        """Whether the problem is to confirm the stored one: at both ends."""
        return self.played in (0, self._last[kind])

    def _logged(self, fresh: Call, stored: Call | None) -> Call:
        """The problem's answer, kept; or held to the stored one."""
        if stored is None:
            if self.keep:
                self.calls.append(fresh)  # one statement: Ctrl-C leaves all or nothing
        # the problem's repr may not tell everything about it
        elif fresh.value != stored.value or fresh.vector.tobytes() != stored.vector.tobytes():
            i = self.played + 1
            raise Mismatch(f"the problem no longer answers call {i} with the same bits")
        return fresh

    def _played(self) -> None:
        """Go on to the next one that is stored."""
        if self.replaying:
            self.played += 1

    # --- steps that are too long --------------------------------------------------------
    def _short(self, call: Call) -> Call:
        """The call, unless its squares would overflow and those of the iterate would not."""
        base = self.base
        if base is None or _huge(base.value, base.gradient) or not _huge(call.value, call.vector):
            return call
        self.broken = "value or gradient is too large to be squared"
        return _mirrored(call.digest, base)

    def _too_long(self, digest: bytes, error: Exception) -> Call:
        """What answers a step to where nothing is finite; raises the error at the start."""
        if self.base is None:
            raise error
        self.broken = str(error)
        return _mirrored(digest, self.base)


def _evaluated(digest: bytes, answer: Any, shape: tuple[int, ...]) -> Call:
    """A problem's value and gradient, checked."""
    value, gradient = answer
    value, vector = _number(value), _copied(gradient, shape)
    if not np.isfinite(value):
        raise NonFinite(f"the value is {value}")
    _check_finite(vector, "the gradient")
    return Call(EVALUATION, digest, value, vector)


def _huge(value: float, gradient: Float64) -> bool:
    """Whether squares would overflow; a value far below zero is a success."""
    return max(value, float(np.abs(gradient).max())) > HUGE


def _mirrored(digest: bytes, base: Evaluation) -> Call:
    """What a line search is told where value or gradient are not finite: a mirror image.

    The value a little above the iterate's, and the slope back to it as steep as the one that
    led away. Interpolation, quadratic or cubic, then takes the middle, where an infinite value
    would give NaN and a huge one no step at all; and no rule accepts such a point.
    """
    return Call(EVALUATION, digest, float(np.nextafter(base.value, np.inf)), -base.gradient)


def _is_too_long(call: Call, base: Evaluation | None) -> bool:
    """Whether that was the answer, now or in a stored run."""
    if base is None or call.value != np.nextafter(base.value, np.inf):
        return False
    return np.array_equal(call.vector, -base.gradient)


def with_columns(columns: np.dtype, names: Any) -> np.dtype:
    """History's dtype with further columns of numbers, such as terms."""
    old = [(name, columns[name]) for name in columns.names or ()]
    return np.dtype(old + [(str(name), np.float64) for name in names])


def _number(value: Any) -> float:
    """A problem's value, that of an array with one entry too."""
    array = _array("a value", value)
    if array.size != 1 or array.dtype.kind not in "biuf":
        raise TypeError(
            f"problem: got a value of dtype {array.dtype} and shape {array.shape}, wanted a number"
        )
    return float(array.reshape(()))


def _array(what: str, answer: Any) -> np.ndarray:
    try:
        return np.asarray(answer)
    except (ValueError, TypeError, RuntimeError) as error:
        raise TypeError(
            f"problem: got {what} that is no array of NumPy's ({error}); wanted numbers, such as "
            "tensor.detach().numpy()"
        ) from None


def _copied(answer: Any, shape: tuple[int, ...]) -> Float64:
    answer = _array("a gradient", answer)
    if np.iscomplexobj(answer):
        raise TypeError("problem: got a complex answer, wanted real numbers")
    vector = np.array(answer, dtype=np.float64)  # a copy: the problem may reuse its buffer
    if vector.shape != shape:
        raise ValueError(f"problem: got an answer of shape {vector.shape}, wanted {shape}")
    return vector


def _check_finite(vector: Float64, what: str, error: type[Exception] = NonFinite) -> None:
    bad = ~np.isfinite(vector)
    if bad.any():
        i = int(np.argmax(bad))
        raise error(f"{what} has the entry {vector[i]} at index {i}")


def _digest(*vectors: Float64) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for vector in vectors:
        digest.update(vector.tobytes())
    return digest.digest()


def norm(gradient: Float64) -> float:
    """Euclidean norm, without overflow."""
    largest = np.abs(gradient).max()
    return float(largest * products.norm(gradient / largest)) if largest else 0.0
