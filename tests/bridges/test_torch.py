"""The bridge to PyTorch: gradcheck, gradgradcheck, and training through it."""

from __future__ import annotations

import numpy as np
import pytest
from rough_problem import Bowl

import refode

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(2)
X, Z_BAR = RNG.standard_normal((2, 7, 2))
Y = (X[:, 0] > 0).astype(float)
ODE = refode.NeuralODE(refode.fields.Shallow(2, 3), n_steps=3, basis=refode.bases.Legendre(2))
PROBLEM = refode.Supervised(ODE, "logistic", tikhonov=0.1)


def leaf(array):
    return torch.tensor(array, dtype=torch.float64, requires_grad=True)


def same(got, want):
    assert got.dtype == torch.float64
    assert got.detach().numpy().tobytes() == np.asarray(want).tobytes()


def test_a_problem():
    value = refode.bridges.torch_function(PROBLEM, X, Y)
    theta = leaf(PROBLEM.initial(seed=1))
    found = value(theta)
    (2.0 * found).backward()
    want, gradient = PROBLEM.value_and_gradient(theta.detach().numpy(), X, Y)
    same(found, want)
    same(theta.grad, 2.0 * gradient)
    assert torch.autograd.gradcheck(value, (theta,))
    assert torch.autograd.gradgradcheck(value, (theta,))


def test_second_derivatives_are_hessian_vector_products():
    value = refode.bridges.torch_function(PROBLEM, X, Y)
    theta, v = leaf(PROBLEM.initial(seed=1)), RNG.standard_normal(PROBLEM.n_parameters)
    (gradient,) = torch.autograd.grad(value(theta), theta, create_graph=True)
    (product,) = torch.autograd.grad(gradient, theta, torch.from_numpy(v))
    same(product, PROBLEM.hessian_vector(theta.detach().numpy(), v, X, Y))


def test_an_ode():
    solve = refode.bridges.torch_function(ODE)
    theta, x = leaf(ODE.initial(seed=1)), leaf(X)
    z = solve(theta, x)
    same(z, ODE.solve(theta.detach().numpy(), X))
    z.backward(torch.from_numpy(Z_BAR))
    for got, want in zip((theta, x), ODE.adjoint(theta.detach().numpy(), X, Z_BAR), strict=True):
        same(got.grad, want)
    assert torch.autograd.gradcheck(solve, (theta, x))


def test_it_trains_within_a_network():
    """Weights of the ode as the output of a layer, a loss of PyTorch's."""
    torch.manual_seed(0)
    solve, head = refode.bridges.torch_function(ODE), torch.nn.Linear(1, ODE.n_parameters).double()
    target, x = torch.from_numpy(X[:, ::-1].copy()), torch.from_numpy(X)
    steps = torch.optim.Adam(head.parameters(), lr=0.05)
    losses = []
    for _ in range(40):
        loss = (solve(head(torch.ones(1, dtype=torch.float64)), x) - target).square().mean()
        steps.zero_grad()
        loss.backward()
        steps.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("changed", ["theta", "x"])
def test_what_is_changed_in_place_before_the_gradient_is_noticed(changed):
    given = {"theta": leaf(ODE.initial()), "x": leaf(X)}
    loss = refode.bridges.torch_function(ODE)(*given.values()).sum()
    with torch.no_grad():
        given[changed].mul_(2.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_derivative_that_there_is_not_is_an_error_and_not_nothing():
    """A penalty on a gradient: the cotangent that comes in is a constant."""
    solve, theta = refode.bridges.torch_function(ODE), leaf(ODE.initial())
    (gradient,) = torch.autograd.grad(solve(theta, torch.tensor(X)).sum(), theta, create_graph=True)
    with pytest.raises(NotImplementedError, match="^torch_function: got asked for a further deri"):
        (solve(theta, torch.tensor(X)).sum() + gradient.square().sum()).backward()
    value, theta = refode.bridges.torch_function(PROBLEM, X, Y), leaf(PROBLEM.initial())
    (gradient,) = torch.autograd.grad(value(theta), theta, create_graph=True)
    (product,) = torch.autograd.grad(gradient.sum(), theta, create_graph=True)
    with pytest.raises(NotImplementedError, match="of a problem's gradient, wanted none$"):
        (value(theta) + product.square().sum()).backward()


def test_a_problem_with_value_and_gradient_alone():
    value, theta = refode.bridges.torch_function(Bowl()), leaf([1.0, 2.0, 3.0])
    one = torch.autograd.grad(value(theta), theta)[0]
    other = torch.autograd.grad(value(2.0 * theta), theta)[0]
    same(value(theta), 14.0)
    same(one, [2.0, 4.0, 6.0])
    same(other, [8.0, 16.0, 24.0])
    (gradient,) = torch.autograd.grad(value(theta), theta, create_graph=True)
    with pytest.raises(TypeError, match=r"^computed: got a Bowl without hessian_vector, wanted"):
        gradient.sum().backward()


def test_what_is_refused():
    value, solve = (refode.bridges.torch_function(*g) for g in ((PROBLEM, X, Y), (ODE,)))
    with pytest.raises(TypeError, match=r"^theta: got dtype torch.float32, wanted torch.float64$"):
        value(torch.tensor(PROBLEM.initial(), dtype=torch.float32))
    with pytest.raises(TypeError, match=r"^x: got dtype float64, wanted torch.float64$"):
        solve(leaf(ODE.initial()), X)
    with pytest.raises(TypeError, match=r"^theta: got \[1\] \(list\), wanted torch.float64$"):
        value([1])
    with pytest.raises(ValueError, match=r"^theta: got an array of shape \(3,\), wanted"):
        value(leaf(np.zeros(3)))
    with pytest.raises(TypeError, match=r"^computed: got 3 \(int\), wanted a NeuralODE or a pro"):
        refode.bridges.torch_function(3)
    with pytest.raises(TypeError, match=r"^data: got 1 with a NeuralODE, wanted none"):
        refode.bridges.torch_function(ODE, X)
