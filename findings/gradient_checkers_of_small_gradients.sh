#!/usr/bin/env bash
# PyTorch's gradcheck and JAX's check_grads pass gradients of the wrong sign where these are small.
#
# Guess: in float64 both see an error of 1 % in a gradient, whatever the gradient's size.
# Seen (PyTorch 2.13.0, JAX 0.10.2, float64, tolerances as they are by default): the loss is the mean
# over N samples, so that its gradient in each sample is of size 1/N. With N = 10 both find a gradient
# that is 1 % too large. With N = 2,000,000 PyTorch passes it eleven times too large and with the wrong
# sign, JAX with the wrong sign; with N = 20,000,000 both pass all. The tolerances have an absolute part
# as they come (atol = 1e-5 in PyTorch): below it every gradient is as good as another. The same holds
# for parameters that a loss hardly depends on.
# Here five of the samples are looked at, and N is only the number that the loss divides by.
# Exits with 0 while it is so, otherwise with 1.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 jax==0.10.2 jaxlib==0.10.2

cat >"$work/check.py" <<'PYTHON'
import jax
import jax.numpy as jnp
import torch
from jax.test_util import check_grads

jax.config.update("jax_enable_x64", True)
FACTORS = {"right": 1.0, "1 % too large": 1.01, "wrong sign": -1.0, "eleven times": 11.0}


def torch_passes(n, factor):
    class Loss(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return torch.sin(x).sum() / n

        @staticmethod
        def backward(ctx, cotangent):
            (x,) = ctx.saved_tensors
            return cotangent * factor * torch.cos(x) / n

    x = torch.linspace(0.1, 1.0, 5, dtype=torch.float64, requires_grad=True)
    return torch.autograd.gradcheck(Loss.apply, (x,), raise_exception=False)


def jax_passes(n, factor):
    loss = jax.custom_vjp(lambda x: jnp.sin(x).sum() / n)
    loss.defvjp(
        lambda x: (loss(x), x), lambda x, cotangent: (cotangent * factor * jnp.cos(x) / n,)
    )
    try:
        check_grads(loss, (jnp.linspace(0.1, 1.0, 5),), order=1, modes=["rev"])
    except AssertionError:
        return False
    return True


table = {}
for n in (10, 2_000_000, 20_000_000):
    for name, passes in (("PyTorch", torch_passes), ("JAX", jax_passes)):
        passed = [what for what, factor in FACTORS.items() if passes(n, factor)]
        table[n, name] = passed
        print(f"N = {n:>10,}  {name:8s} passes: {', '.join(passed)}")
everything = list(FACTORS)
expected = {
    (10, "PyTorch"): ["right"],
    (10, "JAX"): ["right"],
    (2_000_000, "PyTorch"): everything,
    (2_000_000, "JAX"): everything[:3],
    (20_000_000, "PyTorch"): everything,
    (20_000_000, "JAX"): everything,
}
changed = {key: table[key] for key, want in expected.items() if table[key] != want}
print("changed:", changed or "nothing")
raise SystemExit(bool(changed))
PYTHON
"$work/venv/bin/python" "$work/check.py"
