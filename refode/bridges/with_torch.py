"""A problem or an ode as a ``torch.autograd.Function``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refode.bridges.asked import check_dtype, is_ode, package
from refode.problems.wrapped import problem_of


def torch_function(computed: Any, *data: Any) -> Callable[..., Any]:
    """A function of tensors that PyTorch differentiates by refode's adjoint.

    Parameters
    ----------
    computed : NeuralODE or problem
        A problem is whatever has ``value_and_gradient``.
    *data
        What comes after theta in a problem's calls; none for a ``NeuralODE``.

    Returns
    -------
    callable
        Of a problem: theta (p,) -> its value, a scalar tensor; twice differentiable where the
        problem has ``hessian_vector``. Of an ode: theta (p,), x (N, d) -> z(T) (N, d), once.

    Raises
    ------
    ImportError
        PyTorch is missing.
    TypeError, ValueError
        Naming the argument; tensors that are not float64, and what refode refuses.
    NotImplementedError
        A derivative beyond these.

    Notes
    -----
    Tensors are copied to the host and results back to theta's device. ``torch.func`` and
    ``torch.compile`` do not see into the function.

    Examples
    --------
    A network's output as the weights of an ode::

        solve = refode.bridges.torch_function(ode)
        loss = (solve(net(context), x) - target).square().mean()
        loss.backward()
    """
    alone = is_ode(computed, data)
    torch = package("torch", "torch_function")
    return _solution(torch, computed) if alone else _value(torch, problem_of(computed), data)


def _numbers(torch: Any, name: str, tensor: Any) -> Any:
    """A tensor's numbers as an array of its own: what it is given to may change it."""
    check_dtype(name, tensor, torch.float64)
    return tensor.detach().cpu().numpy().copy()


def _solution(torch: Any, ode: Any) -> Callable[..., Any]:
    Adjoint = _last(torch, "an ode's solution", ("theta", "x", "z_bar"), ode.adjoint)

    class Solution(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, theta: Any, x: Any) -> Any:
            ctx.save_for_backward(theta, x)  # which sees what is changed in place
            given = _numbers(torch, "theta", theta), _numbers(torch, "x", x)
            return torch.from_numpy(ode.solve(*given)).to(x.device)

        @staticmethod
        def backward(ctx: Any, z_bar: Any) -> Any:
            return Adjoint.apply(*ctx.saved_tensors, z_bar)

    return Solution.apply


def _value(torch: Any, problem: Any, data: tuple[Any, ...]) -> Callable[..., Any]:
    def product(theta: Any, v: Any) -> Any:
        if not problem.has_hessian:
            raise TypeError(
                f"computed: got a {problem.kind} without hessian_vector, wanted one for second "
                "derivatives"
            )
        return (problem.hessian_vector(theta, v, *data),)

    Product = _last(torch, "a problem's gradient", ("theta", "v"), product)

    class Gradient(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, theta: Any) -> Any:
            ctx.save_for_backward(theta)
            _, gradient = problem.value_and_gradient(_numbers(torch, "theta", theta), *data)
            return _tensor(torch, gradient, theta)

        @staticmethod
        def backward(ctx: Any, v: Any) -> Any:
            return Product.apply(*ctx.saved_tensors, v)

    class Value(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, theta: Any) -> Any:
            ctx.save_for_backward(theta)
            value = problem.value(_numbers(torch, "theta", theta), *data)
            return theta.new_tensor(value)

        @staticmethod
        def backward(ctx: Any, bar: Any) -> Any:
            (theta,) = ctx.saved_tensors
            return bar * Gradient.apply(theta)

    return Value.apply


def _last(torch: Any, of: str, names: tuple[str, ...], function: Callable[..., Any]) -> Any:
    """The last derivative that there is: cotangents by ``function``, and an error behind them.

    ``once_differentiable`` says nothing where the cotangent that comes in is a constant: a
    penalty on a gradient would silently do without its second derivative.
    """

    class Last(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *given: Any) -> Any:
            arrays = [_numbers(torch, *pair) for pair in zip(names, given, strict=True)]
            found = function(*arrays)
            bars = tuple(_tensor(torch, bar, to) for bar, to in zip(found, given, strict=False))
            return bars if len(bars) > 1 else bars[0]

        @staticmethod
        def backward(ctx: Any, *bars: Any) -> Any:
            raise NotImplementedError(
                f"torch_function: got asked for a further derivative of {of}, wanted none"
            )

    return Last


def _tensor(torch: Any, array: Any, like: Any) -> Any:
    """An array as a tensor of its own, where another one is."""
    return torch.from_numpy(np.array(array, dtype=np.float64)).to(like.device)
