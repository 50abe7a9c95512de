"""A problem or an ode as a ``torch.autograd.Function``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from refode.bridges.asked import check_dtype, is_ode, package


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
    return _solution(torch, computed) if alone else _value(torch, computed, data)


def _numbers(torch: Any, name: str, tensor: Any) -> Any:
    """A tensor's numbers as an array."""
    check_dtype(name, tensor, torch.float64)
    return tensor.detach().cpu().numpy()


def _solution(torch: Any, ode: Any) -> Callable[..., Any]:
    class Solution(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, theta: Any, x: Any) -> Any:
            ctx.given = _numbers(torch, "theta", theta), _numbers(torch, "x", x)
            ctx.on = theta.device, x.device
            return torch.from_numpy(ode.solve(*ctx.given)).to(x.device)

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, z_bar: Any) -> Any:
            bars = ode.adjoint(*ctx.given, _numbers(torch, "z_bar", z_bar))
            return tuple(torch.from_numpy(b).to(on) for b, on in zip(bars, ctx.on, strict=True))

    return Solution.apply


def _value(torch: Any, problem: Any, data: tuple[Any, ...]) -> Callable[..., Any]:
    class Gradient(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, theta: Any) -> Any:
            ctx.save_for_backward(theta)
            _, gradient = problem.value_and_gradient(_numbers(torch, "theta", theta), *data)
            return torch.from_numpy(gradient).to(theta.device)

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, v: Any) -> Any:
            (theta,) = ctx.saved_tensors
            given = _numbers(torch, "theta", theta), _numbers(torch, "v", v)
            return torch.from_numpy(problem.hessian_vector(*given, *data)).to(theta.device)

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
