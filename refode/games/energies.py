"""The running potentials Q(x) of games; their kernels are in refode/costs/energies.py.

docs/adding_an_energy.md adds one in one small class.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from refode import _validate
from refode._blas import one_thread
from refode._fixed import read_only
from refode._quiet import quietly
from refode._shown import as_called
from refode.costs.energies import BumpSpec, Energy, NothingSpec, QuadraticSpec
from refode.densities import Gaussian


class Nothing(Energy):
    """Q = 0, at no cost."""

    def description(self) -> NothingSpec:
        return NothingSpec(0.0)

    def __add__(self, other: object) -> Energy:
        return other if isinstance(other, Energy) else NotImplemented

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "Nothing()"


class GaussianBump(Energy):
    """Q(x) = height times the normal density N(mean, covariance) of the leading coordinates.

    Parameters
    ----------
    height : float
        Positive repels, negative attracts.
    mean : array_like, shape (k,)
        Centre; k at most the game's dimension.
    covariance : float or array_like, shape (k,) or (k, k)
        Variance for a number, diagonal for a vector; positive definite.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what was wanted.
    """

    @quietly()
    def __init__(self, height: float, mean: ArrayLike, covariance: float | ArrayLike) -> None:
        self.height = _validate.real_number("height", height)
        mean = _validate.real_array("mean", mean, ("k",))
        if _validate.n_axes(covariance) == 1:
            covariance = np.diag(_validate.real_array("covariance", covariance, mean.shape))
        self.density = Gaussian(mean, covariance)
        self._spec = self._prepared()

    @one_thread
    def _prepared(self) -> BumpSpec:
        rho = self.density
        with np.errstate(over="ignore", invalid="ignore"):
            peak = self.height * float(np.exp(rho.log_density(rho.mean[None])[0]))
        if not np.isfinite(peak):
            raise ValueError(
                f"height: got {self.height} with a density whose peak is beyond float64, wanted "
                "a finite product of the two"
            )
        inverse = np.linalg.inv(rho.cholesky)
        return read_only(BumpSpec(peak, rho.mean, np.ascontiguousarray(inverse.T @ inverse)))

    def description(self) -> BumpSpec:
        return self._spec

    def check_dim(self, d: int) -> None:
        if self.density.dim > d:
            raise ValueError(
                f"obstacle: got a GaussianBump on {self.density.dim} coordinates, wanted at "
                f"most the {d} there are"
            )

    def __repr__(self) -> str:
        return as_called(self, self.height, self.density.mean, self.density.covariance)


class Quadratic(Energy):
    """Q(x) = k/2 |x - q|^2.

    Parameters
    ----------
    k : float
        Stiffness, not negative: with k < 0 agents would flee from q, and given time enough gain
        without bound.
    q : float or array_like, shape (d,)
        Centre; a number for all coordinates.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what was wanted.
    """

    @quietly()
    def __init__(self, k: float, q: float | ArrayLike = 0.0) -> None:
        self.k = _validate.nonnegative("k", k)
        if _validate.n_axes(q) == 0:
            q = [_validate.real_number("q", q)]
            self.everywhere = True
        else:
            self.everywhere = False
        self.q = read_only(np.array(_validate.real_array("q", q, ("d",))))
        self._spec = QuadraticSpec(self.k, self.q)

    def description(self) -> QuadraticSpec:
        return self._spec

    def check_dim(self, d: int) -> None:
        if not self.everywhere and len(self.q) != d:
            raise ValueError(
                f"obstacle: got a Quadratic with q of shape {self.q.shape}, wanted ({d},)"
            )

    def __repr__(self) -> str:
        return as_called(self, self.k, self.q[0] if self.everywhere else self.q)
