"""What a problem is: what training, and whoever works with any problem, may ask of one.

``Problem`` is an objective of a flat theta. ``SecondOrder`` has Hessian-vector products besides,
from a gradient that runs in complex numbers too. ``WithODE`` is one around a ``NeuralODE``: the
survey's three are. docs/adding_a_problem.md adds one in a small class; ``problem_of`` makes one
of any object that can do a part of this.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Self, cast

import numpy as np

from refode import _validate
from refode._quiet import quietly
from refode._scaling import TINY, restored, scaled
from refode._weights import NAME
from refode.adaptation.course import Course, watched
from refode.adaptation.pairs import pair_of
from refode.adaptation.plan import planned
from refode.adaptation.report import Adaptation
from refode.adaptation.settings import MAX_STEPS, Settings
from refode.ode.neural_ode import NeuralODE
from refode.ode.placement import TooLarge
from refode.ode.shares import Rows
from refode.ode.steps import Given, Steps
from refode.packing import Layout
from refode.problems.paths import kept_with
from refode.problems.scaling import Scaling

Array = np.ndarray
Sampler = Callable[[int, int], Any]


class Problem(ABC):
    """An objective of theta and of data, with its gradient.

    A subclass sets ``layout`` and has ``initial`` and ``value_and_gradient``; everything else
    has a default.

    Attributes
    ----------
    layout : refode.packing.Layout
        Names, shapes and places of theta's arrays.
    ode : NeuralODE or None
        Whose weights in time stand first in theta, where there is one.
    n_data : (int, int or None)
        How many arrays of data the methods take after theta: at least, at most.
    has_gradient, has_hessian, has_gauss_newton : bool
        Whether there are ``value_and_gradient``, ``hessian_vector`` and ``gauss_newton_vector``.
    no_gauss_newton : str
        Why there is none of the last, for messages; empty where nothing is to be said.
    has_costs : bool
        Whether ``costs`` has the terms of the value.
    has_sample_weight : bool
        Whether the methods take weights of the samples, by the name sample_weight.
    held_out_term : str
        The term of ``costs`` that is compared on held-out samples; empty for the value itself.
    scalings : dict
        By what the problem standardises its data, by argument; empty where it takes them as
        they are. Problems of other scalings mean other functions by one theta.
    """

    layout: Layout
    ode: NeuralODE | None = None
    n_data: ClassVar[tuple[int, int | None]] = (0, None)
    has_gradient: bool = True
    has_hessian: bool = False
    has_gauss_newton: bool = False
    no_gauss_newton: ClassVar[str] = ""
    has_costs: bool = False
    has_sample_weight: bool = False
    held_out_term: ClassVar[str] = ""

    @property
    def scalings(self) -> dict[str, Scaling]:
        """By what data are standardised: none."""
        return {}

    # --- parameters --------------------------------------------------------------------
    @property
    def n_parameters(self) -> int:
        """Length p of theta."""
        return self.layout.size

    @abstractmethod
    def initial(self, seed: int = 0) -> Array:
        """Random theta (p,), the same for the same seed."""

    def unpack(self, theta: Array) -> dict[str, Array]:
        """Views of theta by name."""
        return self.layout.unpack(theta)

    def pack(self, arrays: dict[str, Array]) -> Array:
        """The inverse of ``unpack``: theta (p,)."""
        return self.layout.pack(arrays)

    @property
    def parametrisation(self) -> Any:
        """Equal where one problem's theta can be another's; None where nobody knows."""
        return self.layout

    # --- objective ---------------------------------------------------------------------
    @abstractmethod
    def value_and_gradient(self, theta: Array, *data: Any, **named: Any) -> tuple[float, Array]:
        """Objective and its gradient (p,)."""

    def value(self, theta: Array, *data: Any, **named: Any) -> float:
        """Objective."""
        return float(self.value_and_gradient(theta, *data, **named)[0])

    def costs(self, theta: Array, *data: Any, **named: Any) -> dict[str, float]:
        """Terms of the objective by name, and their sum, total; that alone by default."""
        return {"total": self.value(theta, *data, **named)}

    def held_out(self, theta: Array, *data: Any, **named: Any) -> float:
        """What training compares on samples that it does not see: without regularisers."""
        if self.held_out_term:
            return float(self.costs(theta, *data, **named)[self.held_out_term])
        return self.value(theta, *data, **named)

    @property
    def shows_costs(self) -> bool:
        """Whether lines on the progress of training show ``costs``."""
        return self.has_costs

    # --- data --------------------------------------------------------------------------
    def data(self, given: tuple[Any, ...]) -> tuple[Any, ...]:
        """What the methods take after theta; TypeError unless there are as many as they take."""
        least, most = self.n_data
        if len(given) < least or (most is not None and len(given) > most):
            wanted = str(least) if most == least else f"{least} to {most or 'any number'}"
            raise TypeError(
                f"y: got {len(given)} arrays of data, x included, wanted {wanted} for {self.kind}"
            )
        return given

    def check(self, theta: Array, *data: Any, **named: Any) -> None:
        """Raise what the methods would of such arguments, as far as that is known here."""
        self.data(data)

    def weighted(self, sample_weight: Any, name: str = NAME) -> dict[str, Any]:
        """What the methods take by name for weights of samples: nothing for None.

        Whoever gave them knows them by `name`.

        Raises
        ------
        TypeError
            Weights for a problem that takes none.
        """
        if sample_weight is None:
            return {}
        if not self.has_sample_weight:
            raise TypeError(
                f"{name}: got {_validate.shown(sample_weight)} with a {self.kind}, whose methods "
                "take no sample_weight, wanted None"
            )
        return {NAME: sample_weight}

    @property
    def sampler(self) -> Sampler | None:
        """``sampler(n, seed)`` draws data, for ``train_resampled``; None where nothing does."""
        return None

    def placed(self, data: tuple[Any, ...]) -> tuple[Any, ...]:
        """The data where sweeps run: sent once, not at every call, if they fit."""
        return data

    def placed_with(self, data: tuple[Any, ...], sample_weight: Any) -> tuple[tuple[Any, ...], Any]:
        """``placed`` data with their weights, where sweeps run; None stays None."""
        self.weighted(sample_weight)
        return self.placed(data), sample_weight

    # --- who it is ---------------------------------------------------------------------
    @property
    def kind(self) -> str:
        """Name of the class, for messages."""
        return type(self).__name__

    def fingerprint(self) -> str:
        """What a checkpoint knows the problem by: class and repr, without addresses."""
        return fingerprint_of(self)

    def _parameters(self, theta: Any) -> Array:
        return _validate.real_vector("theta", theta, self.n_parameters)


class SecondOrder(Problem):
    """A problem with exact Hessian-vector products, by the complex step through its gradient.

    A subclass has ``_value_and_gradient``, which runs in complex numbers too, in place of
    ``value_and_gradient``; and ``_arguments`` if it checks its data.
    """

    has_hessian = True

    @quietly()
    def value_and_gradient(self, theta: Array, *data: Any, **named: Any) -> tuple[float, Array]:
        """Objective and its gradient (p,), not finite where a path is not."""
        value, gradient = self._value_and_gradient(*self._arguments(theta, *data, **named))
        return float(value), gradient

    @quietly()
    def hessian_vector(self, theta: Array, v: Array, *data: Any, **named: Any) -> Array:
        """Exact Hessian-vector product (p,): the complex step through the gradient, (D33).

        Linear in v of every size, to rounding of its largest entry; not finite where a path is
        not.
        """
        theta, *checked = self._arguments(theta, *data, **named)
        v = _validate.real_vector("v", v, self.n_parameters)
        self._check_products(*checked)
        exponent, (v,) = scaled(v)
        size = np.abs(v).max()
        if size == 0.0:
            return np.zeros_like(v)
        step = TINY / size
        product = self._value_and_gradient(theta + 1j * step * v, *checked)[1].imag / step
        return restored(exponent, product)

    def check(self, theta: Array, *data: Any, **named: Any) -> None:
        """Raise what the methods would of such arguments."""
        self._arguments(theta, *data, **named)

    @abstractmethod
    def _value_and_gradient(self, theta: Array, *data: Any) -> tuple[Any, Array]:
        """Objective and gradient of checked arguments, theta real or complex."""

    def _arguments(self, theta: Any, *data: Any, **named: Any) -> tuple[Any, ...]:
        """Theta and the data, checked, as ``_value_and_gradient`` takes them."""
        self.weighted(named.pop(NAME, None))
        for name in named:  # nobody knows here in which order they are meant
            raise TypeError(f"{name}: got it by name, wanted the data by position")
        return (self._parameters(theta), *data)

    def _check_products(self, *data: Any) -> None:
        """Raise a ValueError where there are no second derivatives."""


class WithODE(SecondOrder):
    """A problem whose theta has the weights of a NeuralODE."""

    ode: NeuralODE
    has_costs = True
    x_scaling: Scaling | None = None
    y_scaling: Scaling | None = None
    _odes: dict[Steps, NeuralODE]  # a subclass begins with {}

    @property
    def scalings(self) -> dict[str, Scaling]:
        """By what data are standardised: x_scaling, y_scaling, those that there are."""
        named = {"x_scaling": self.x_scaling, "y_scaling": self.y_scaling}
        return {name: scaling for name, scaling in named.items() if scaling is not None}

    def fingerprint(self) -> str:
        """What a checkpoint knows the problem by; of long scalings repr shows a part alone."""
        digests = [f" {name} {scaling.digest}" for name, scaling in self.scalings.items()]
        return super().fingerprint() + "".join(digests)

    @abstractmethod
    def with_steps(self, n_steps: int | Steps) -> WithODE:
        """The same problem with other steps: so many equal ones."""

    @abstractmethod
    def to_device(self, *data: Any, **named: Any) -> Any:
        """The data on the device, one for one, to be given in their place."""

    def placed(self, data: tuple[Any, ...]) -> tuple[Any, ...]:
        """The data where sweeps run: sent once, not at every call, if they fit."""
        return placed_by(self, self.ode.placement, data)

    def _rows(self, x: Any, name: str = "x") -> Rows:
        """Samples by chunks, for sums and means over all of which x may be a share."""
        return Rows(len(x), self.ode.field.block(), name)

    def placed_with(self, data: tuple[Any, ...], sample_weight: Any) -> tuple[tuple[Any, ...], Any]:
        """``placed`` data with their weights; on a device, without those of weight 0."""
        named = self.weighted(sample_weight)
        there = placed_by(self, self.ode.placement, data, **named)
        return (there[:-1], there[-1]) if named and there is not data else (there, sample_weight)

    @quietly()
    def adapt(
        self,
        theta: Array,
        x: Any,
        y: Any = None,
        *,
        rtol: float,
        atol: float,
        gradient: bool = True,
        error_in: Any = ("z",),
        norm: str = "max",
        stops: Any = None,
        first_step: float | None = None,
        controller: str = "pi",
        max_steps: int = MAX_STEPS,
        sample_weight: Any = None,
    ) -> tuple[Self, Adaptation]:
        """The same problem on a grid that is as exact as asked for at theta, (D128)-(D132).

        Parameters
        ----------
        theta : (p,)
        x, y
            Data, as ``value_and_gradient`` takes them.
        rtol, atol : float
            Tolerances, as of ``refode.adapt``.
        gradient : bool, optional
            Whether the adjoint and the gradient are held to them too. Without it the state alone
            is, and that says nothing of the gradient.
        error_in, norm, stops, first_step, controller, max_steps
            As of ``refode.adapt``.
        sample_weight : (N,), optional
            Weights of the samples; those of weight 0 are left out.

        Returns
        -------
        problem
            The same on the grid: for other theta it takes the same steps.
        report : refode.adaptation.Adaptation

        Raises
        ------
        TypeError, ValueError
            As of ``value_and_gradient`` and ``refode.adapt``.
        """
        settings = Settings.of(rtol, atol, error_in, norm, stops, first_step, controller, max_steps)
        gradient = _validate.boolean("gradient", gradient)
        data = self.data((x,) if y is None else (x, y))
        pair_of(self.ode)  # says that there is none before samples are looked at
        arguments = self._arguments(theta, *data, **self.weighted(sample_weight))
        steps, report = self._planned(settings, gradient, *arguments)
        return cast(Self, self.with_steps(steps)), report

    def _planned(
        self, settings: Settings, gradient: bool, theta: Array, *data: Any
    ) -> tuple[Given, Adaptation]:
        """Steps and the report, of checked arguments."""
        return planned(watched(self._courses(theta, *data), gradient), settings)

    def _courses(self, theta: Array, *data: Any) -> list[Course]:
        """What a grid is planned for, of checked arguments; TypeError where nobody knows."""
        raise TypeError(
            f"problem: got a {self.kind}, for which no grid can be planned, wanted one that has "
            "_courses"
        )

    def _ode(self, n_steps: int | Steps | None) -> NeuralODE:
        """The ode with other steps, kept for the next call; the ode itself for None."""
        return kept_with(self._odes, self.ode, n_steps)


def with_total(terms: dict[str, float]) -> dict[str, float]:
    """The terms and their sum."""
    return {**terms, "total": sum(terms.values())}


def placed_by(problem: Any, placement: Any, data: tuple[Any, ...], **named: Any) -> tuple[Any, ...]:
    """The data on the placement's device by the problem's ``to_device``, if they fit there."""
    if placement.device == "cpu":
        return data
    try:
        there = problem.to_device(*data, **named)
    except TooLarge:
        return data
    return there if isinstance(there, tuple) else (there,)


def fingerprint_of(problem: Any) -> str:
    """Class and repr, without addresses, which change with the process."""
    kind = type(problem)
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(problem))
    return f"{kind.__module__}.{kind.__qualname__}: {text}"
