"""Weights in time, theta(t) = sum_j p_j(t) theta_j, as sparse matrices.

Everything here lives on the normalised time s = (t - t0) / (T - t0) in [0, 1] of the ODE's t_span.
A basis is evaluated at stage times alone, so theta(t) is a fixed sparse matrix P from the J
coefficient vectors to the stages' weights, and its adjoint is P^T. Quantities are dimensionless.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refode._quiet import quietly

from . import _splines, _validate
from ._blas import one_thread
from ._fixed import Fixed
from ._sparse import csr, differences, from_columns, ones, solved

if TYPE_CHECKING:  # scipy.sparse costs a good part of the import, and not everybody needs it
    from scipy.sparse import csr_array

__all__ = [
    "BSpline",
    "Basis",
    "Constant",
    "Legendre",
    "PiecewiseConstant",
    "PiecewiseLinear",
    "StageTable",
]

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

#: Times this far outside [0, 1] are rounding, and clipped; a cell's border is this wide.
BORDER = 1e-12
#: Bases with more coefficients than this are prolongated without a dense square matrix.
DENSE = 512
#: Stage times this close (relative to the length of t_span) are one time.
SAME_TIME = 1e-13


class StageTable(NamedTuple):
    """Which weights each stage of each step reads.

    Attributes
    ----------
    slots : (n_steps, n_stages) int64
        Row of `P` that a stage reads. Stages at the same time share a slot.
    s : (n_slots,) float64
        Normalised time of each slot, rising; for piecewise constant bases the cell's centre.
    P : csr_array (n_slots, J)
        p_j(s).
    dP : csr_array (n_slots, J)
        dp_j/ds.
    """

    slots: Int64
    s: Float64
    P: csr_array
    dP: csr_array


class Basis(Fixed):
    """Functions p_0, ..., p_{J-1} on [0, 1]. Immutable; equal where class and J are equal.

    Attributes
    ----------
    n_coefficients : int
        J, the number of basis functions.
    """

    n_coefficients: int
    _least = 1  # the smallest J

    def __init__(self, J: int) -> None:
        J = _validate.positive_int("J", J)
        if self._least > J:
            raise ValueError(
                f"J: got {J}, wanted an int >= {self._least} for {type(self).__name__}"
            )
        _validate.affordable("J", J, 16 * J)
        self.n_coefficients = J

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n_coefficients})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Basis):
            return NotImplemented
        return type(self) is type(other) and self.n_coefficients == other.n_coefficients

    def __hash__(self) -> int:
        return hash((type(self), self.n_coefficients))

    @abstractmethod
    def _values(self, s: Float64) -> csr_array:
        """p_j(s), (len(s), J), for s in [0, 1]."""

    @abstractmethod
    def _derivatives(self, s: Float64) -> csr_array:
        """dp_j/ds, (len(s), J), for s in [0, 1]."""

    def _dense(self, s: Float64) -> Float64:
        """`_values` with its zeros."""
        return self._values(s).toarray()

    def _pieces(self) -> tuple[int, int] | None:
        """Of how many equal cells all functions are polynomials, and of which degree; or None."""
        return None

    @abstractmethod
    def stiffness(self) -> csr_array:
        """The (J, J) matrix of int_0^1 p_i' p_j' ds, for the penalty 1/2 int |theta'|^2."""

    @abstractmethod
    def _points(self) -> Float64:
        """J points of [0, 1] at which values determine the coefficients."""

    def _one(self) -> Float64:
        """Coefficients (J,) of the function 1."""
        return np.ones(self.n_coefficients)

    @quietly()
    def matrix(self, s: ArrayLike, derivative: int = 0) -> csr_array:
        """p_j(s), or dp_j/ds.

        Parameters
        ----------
        s : (n,) float64
            Normalised times in [0, 1]; `Constant` takes any.
        derivative : int, 0 or 1
            At a node of `PiecewiseLinear` the derivative is the mean of both sides'. That of
            `PiecewiseConstant` is zero everywhere.

        Returns
        -------
        csr_array (n, J)

        Raises
        ------
        ValueError, TypeError
            `s` no vector of finite numbers, or outside [0, 1] by more than 1e-12; another
            `derivative`.
        """
        derivative = _validate.nonnegative_int("derivative", derivative)
        if derivative > 1:
            raise ValueError(f"derivative: got {derivative}, wanted 0 or 1")
        s = self._inside(_validate.real_array("s", s, ("n",)), "s")
        return self._derivatives(s) if derivative else self._values(s)

    @quietly()
    def stage_table(self, s_start: ArrayLike, s_end: ArrayLike, c: ArrayLike) -> StageTable:
        """The weights that each stage of each step reads.

        Stage i of step n stands at s_start[n] + c[i] (s_end[n] - s_start[n]). Stages closer
        than 1e-13 share a slot: a step's c = 1 and the next one's c = 0, say. Steps may run
        backwards, s_end < s_start.

        `PiecewiseConstant` differs: every stage of a step reads the cell in which the step's
        midpoint lies, so a stage on the cell's far end does not look into the next cell; where
        the midpoint itself is a border, the earlier of the two cells. It has one slot a cell
        that is read, and `Constant` one in all.

        Parameters
        ----------
        s_start, s_end : (n_steps,) float64
            Each step's ends in normalised time.
        c : (n_stages,) float64
            The scheme's nodes.

        Raises
        ------
        ValueError, TypeError
            No vectors of finite numbers, or of different lengths; a stage outside [0, 1] by more
            than 1e-12 (but for `Constant`).
        """
        start = _validate.real_array("s_start", s_start, ("n_steps",))
        end = _validate.real_array("s_end", s_end, start.shape)
        c = _validate.real_array("c", c, ("n_stages",))
        for name, ends in (("s_start", start), ("s_end", end)):
            self._inside(ends, name)
        return self._stages(start, end, c, "c")

    def _stages(self, start: Float64, end: Float64, c: Float64, name: str) -> StageTable:
        """`stage_table`; ``name`` is to blame for a stage outside [0, 1]."""
        times = start[:, None] + c * (end - start)[:, None]
        times = self._inside(times.ravel(), name).reshape(times.shape)
        return self._table(times, 0.5 * (start + end))

    @quietly()
    @one_thread
    def prolongation(self, finer: Basis) -> csr_array:
        """The matrix from coefficients in this basis to the same function's in a finer one.

        It is a csr_array (J_fine, J), exact to rounding where the finer space contains this one:
        PiecewiseConstant(J) in PiecewiseConstant(m J), PiecewiseLinear(J) in
        PiecewiseLinear(m (J - 1) + 1), Legendre(J) in any longer Legendre, BSpline(J) in
        BSpline(m (J - 3) + 3), Constant in any. Elsewhere it interpolates at the finer basis's
        natural points: cell centres, nodes, Gauss-Legendre points, the B-splines' Greville points.

        Raises
        ------
        TypeError
            `finer` is no basis.
        ValueError
            `finer` has fewer coefficients.
        """
        finer = _validate.instance("finer", finer, Basis)
        if finer.n_coefficients < self.n_coefficients:
            raise ValueError(
                f"finer: got {finer}, wanted at least {self.n_coefficients} "
                f"coefficients, as {self} has"
            )
        if finer == self:
            return ones(self.n_coefficients, self.n_coefficients)
        return self._interpolation(finer)

    def _interpolation(self, finer: Basis) -> csr_array:
        points = finer._points()
        at_points, wanted = finer._values(points), self._values(points)
        if finer.n_coefficients > DENSE and at_points.nnz <= 4 * finer.n_coefficients:
            return finer._solved(at_points, wanted)
        X = np.linalg.solve(at_points.toarray(), wanted.toarray())
        X[np.abs(X) < 1e-15] = 0.0  # what rounding left where the two functions do not meet
        return csr(X)

    def _solved(self, at_points: csr_array, wanted: csr_array) -> csr_array:
        """`_interpolation` into this basis, whose values at its points are a sparse matrix."""
        X = wanted.copy()  # of cells and hats the values are the coefficients
        X.data[np.abs(X.data) < 1e-15] = 0.0
        X.eliminate_zeros()
        return X

    def _inside(self, s: Float64, name: str) -> Float64:
        """`s` clipped to [0, 1]; ValueError that blames ``name`` where that is no rounding."""
        beyond = np.maximum(-s, s - 1.0)
        if beyond.max() > BORDER:
            worst = s[np.argmax(beyond)]
            raise ValueError(
                f"{name}: got the normalised time {worst:.17g}, wanted times within "
                f"the ODE's t_span (0 to 1), where alone {self} is defined"
            )
        return np.clip(s, 0.0, 1.0)

    def _table(self, times: Float64, midpoints: Float64) -> StageTable:
        """`stage_table` from stage times (n_steps, n_stages) and step midpoints (n_steps,)."""
        order = np.argsort(times, axis=None, kind="stable")
        rising = times.ravel()[order]
        first = np.concatenate(([True], np.diff(rising) > SAME_TIME))
        slots = np.empty(times.size, dtype=np.int64)
        slots[order] = np.cumsum(first) - 1
        s = rising[first]
        return StageTable(slots.reshape(times.shape), s, self._values(s), self._derivatives(s))


class PiecewiseConstant(Basis):
    """J equal cells, theta_j on cell j: a ResNet's layers.

    A border belongs to the earlier cell, so cell j is j/J < s <= (j + 1)/J (cell 0 has s = 0 too).

    J is an int, at least 1 (TypeError, ValueError).

    Examples
    --------
    >>> import refode
    >>> ode = refode.NeuralODE(refode.fields.Shallow(2, 8), n_steps=4, basis=PiecewiseConstant(4))
    >>> ode.unpack(ode.initial())["W0"].shape  # a weight set a step: a ResNet
    (4, 8, 2)
    """

    def _cells(self, s: Float64) -> Int64:
        J = self.n_coefficients
        return np.clip(np.ceil((s - BORDER) * J) - 1, 0, J - 1).astype(np.int64)

    def _values(self, s: Float64) -> csr_array:
        return from_columns(self._cells(s)[:, None], np.ones((len(s), 1)), self.n_coefficients)

    def _derivatives(self, s: Float64) -> csr_array:
        return csr((len(s), self.n_coefficients))

    def _table(self, times: Float64, midpoints: Float64) -> StageTable:
        visited, slot = np.unique(self._cells(midpoints), return_inverse=True)
        slots = np.repeat(slot.astype(np.int64)[:, None], times.shape[1], axis=1)
        s = (visited + 0.5) / self.n_coefficients
        return StageTable(slots, s, self._values(s), self._derivatives(s))

    def _points(self) -> Float64:
        return (np.arange(self.n_coefficients) + 0.5) / self.n_coefficients

    @quietly()
    def stiffness(self) -> csr_array:
        """(J, J) matrix of sum_j |theta_{j+1} - theta_j|^2 / ds, ds = 1/J.

        The jumps have no square-integrable derivative; this is the difference quotient between
        neighbouring cell centres, integrated by the rectangle rule.
        """
        return differences(self.n_coefficients, float(self.n_coefficients))


class Constant(PiecewiseConstant):
    """theta(t) = theta_0 at every time, inside t_span and outside."""

    def __init__(self) -> None:
        super().__init__(1)

    def __repr__(self) -> str:
        return "Constant()"

    def _inside(self, s: Float64, name: str) -> Float64:
        return s

    def _interpolation(self, finer: Basis) -> csr_array:
        return csr(finer._one()[:, None])


class PiecewiseLinear(Basis):
    """Hat functions on J equally spaced nodes, both ends included; theta_j is the value at node j.

    The derivative at an inner node is the mean of both sides'. (A stage there may be shared by two
    steps, so no side is the stage's own.)

    J is an int, at least 2 (TypeError, ValueError).
    """

    _least = 2

    def _values(self, s: Float64) -> csr_array:
        n_cells = self.n_coefficients - 1
        left = np.minimum(np.floor(s * n_cells), n_cells - 1).astype(np.int64)
        w = s * n_cells - left
        return from_columns(
            np.stack((left, left + 1), axis=1), np.stack((1.0 - w, w), axis=1), self.n_coefficients
        )

    def _pieces(self) -> tuple[int, int]:
        return self.n_coefficients - 1, 1

    def _dense(self, s: Float64) -> Float64:
        nodes = np.arange(self.n_coefficients)
        return np.maximum(0.0, 1.0 - np.abs(s[:, None] * (self.n_coefficients - 1) - nodes))

    def _derivatives(self, s: Float64) -> csr_array:
        # the slopes of the cells just before and just after s, which differ at nodes alone
        n_cells = self.n_coefficients - 1
        before = np.clip(np.ceil((s - BORDER) * n_cells) - 1, 0, n_cells - 1).astype(np.int64)
        after = np.clip(np.floor((s + BORDER) * n_cells), 0, n_cells - 1).astype(np.int64)
        half = np.full(len(s), 0.5 * n_cells)
        return from_columns(
            np.stack((before, before + 1, after, after + 1), axis=1),
            np.stack((-half, half, -half, half), axis=1),
            self.n_coefficients,
        )

    def _points(self) -> Float64:
        return np.linspace(0.0, 1.0, self.n_coefficients)

    @quietly()
    def stiffness(self) -> csr_array:
        """int_0^1 p_i' p_j' ds: (J - 1) tridiag(-1, 2, -1), with 1 at both ends of the diagonal."""
        return differences(self.n_coefficients, self.n_coefficients - 1.0)


class Legendre(Basis):
    """Shifted Legendre polynomials P_j(2 s - 1), j < J, not normalised: |P_j| <= 1 = P_j(1).

    J is an int, at least 1 (TypeError, ValueError).

    Examples
    --------
    >>> import refode
    >>> ode = refode.NeuralODE(refode.fields.Shallow(2, 8), basis=Legendre(3))
    >>> {name: w.shape for name, w in ode.unpack(ode.initial()).items()}
    {'W0': (3, 8, 2), 'b0': (3, 8), 'W1': (3, 2, 8), 'b1': (3, 2)}
    """

    def _values(self, s: Float64) -> csr_array:
        return csr(np.polynomial.legendre.legvander(2.0 * s - 1.0, self.n_coefficients - 1))

    def _pieces(self) -> tuple[int, int]:
        return 1, self.n_coefficients - 1

    def _dense(self, s: Float64) -> Float64:
        values = np.polynomial.legendre.legvander(2.0 * s - 1.0, self.n_coefficients - 1)
        return np.asarray(values, dtype=np.float64)

    def _derivatives(self, s: Float64) -> csr_array:
        P = np.polynomial.legendre.legvander(2.0 * s - 1.0, self.n_coefficients - 1)
        dP = np.zeros_like(P)
        for j in range(1, self.n_coefficients):  # P_j' = P_{j-2}' + (2 j - 1) P_{j-1}
            dP[:, j] = (2 * j - 1) * P[:, j - 1] + (dP[:, j - 2] if j > 1 else 0.0)
        return csr(2.0 * dP)

    def _points(self) -> Float64:
        return 0.5 + 0.5 * np.polynomial.legendre.leggauss(self.n_coefficients)[0]

    def _one(self) -> Float64:
        one = np.zeros(self.n_coefficients)
        one[0] = 1.0
        return one

    def _interpolation(self, finer: Basis) -> csr_array:
        if isinstance(finer, Legendre):  # the same polynomials, and more
            return ones(finer.n_coefficients, self.n_coefficients)
        return super()._interpolation(finer)

    @quietly()
    def stiffness(self) -> csr_array:
        """int_0^1 p_i' p_j' ds = 2 m (m + 1), m = min(i, j), where i + j is even, else zero.

        On [-1, 1] P_j' P_i integrates to 2 where i < j and i + j is odd; the rest is integration
        by parts.
        """
        j = np.arange(self.n_coefficients)
        m = np.minimum(j[:, None], j)
        return csr(np.where((j[:, None] + j) % 2 == 0, 2.0 * m * (m + 1.0), 0.0))


class BSpline(Basis):
    """Cubic B-splines on J - 3 equal cells, with fourfold knots at both ends.

    theta(0) = theta_0 and theta(1) = theta_{J-1}; the functions sum to one.

    J is an int, at least 4 (TypeError, ValueError).
    """

    _least = 4

    def _values(self, s: Float64) -> csr_array:
        return csr(_splines.values(s, self.n_coefficients))

    def _pieces(self) -> tuple[int, int]:
        return self.n_coefficients - 3, 3

    def _derivatives(self, s: Float64) -> csr_array:
        return csr(_splines.derivatives(s, self.n_coefficients))

    def _solved(self, at_points: csr_array, wanted: csr_array) -> csr_array:
        return solved(at_points, wanted)

    def _points(self) -> Float64:
        return _splines.greville(self.n_coefficients)

    @quietly()
    @one_thread
    def stiffness(self) -> csr_array:
        """int_0^1 p_i' p_j' ds, by three Gauss-Legendre points a cell: exact to degree five."""
        return csr(_splines.stiffness(self.n_coefficients))
