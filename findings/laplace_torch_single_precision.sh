#!/usr/bin/env bash
# laplace-torch rounds the curvature of a model in double precision to single precision.
#
# Guess: of a linear model in float64 the full Laplace approximation is the exact posterior, to 1e-7
# where the matrix has a condition number of 1e8, however the data are cut into batches.
# Seen (laplace-torch 0.3, curvlinops 3.0.1, PyTorch 2.13.0): error bars of a polynomial of degree 7,
# fitted to 200 points with noise 0.001, are up to 20 or 30 % too large or too small, and others for
# every size of batches. H is of dtype float64, but the backend as it comes multiplies by torch.eye(p),
# of PyTorch's default dtype: products are in float32, and H has seven digits. Nothing warns. After
# torch.set_default_dtype(torch.float64) the error bars are right to 1e-7.
# Exits with 0 while it is so, otherwise with 1.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
# torchvision, which nothing here reads, may come for another PyTorch and keep it from being imported
"$work/venv/bin/pip" install --quiet torch==2.13.0 laplace-torch==0.3 curvlinops-for-pytorch==3.0.1
"$work/venv/bin/pip" uninstall --quiet --yes torchvision

cat >"$work/posterior.py" <<'PYTHON'
import torch
from laplace import Laplace
from torch.utils.data import DataLoader, TensorDataset

double, noise, prior, N, p = torch.float64, 1e-3, 1.0, 200, 8
t = torch.linspace(0.0, 1.0, N, dtype=double)
X = torch.stack([t**k for k in range(p)], dim=1)
w = torch.ones(p, dtype=double)
drawn = torch.randn(N, generator=torch.Generator().manual_seed(0), dtype=double)
y = X @ w + noise * drawn

precision = X.T @ X / noise**2 + prior * torch.eye(p, dtype=double)
exact = torch.linalg.inv(precision).diagonal().sqrt()
model = torch.nn.Linear(p, 1, bias=False).double()
with torch.no_grad():
    model.weight.copy_(torch.linalg.solve(precision, X.T @ y / noise**2)[None])


def ratios(batch_size):
    posterior = Laplace(
        model,
        "regression",
        subset_of_weights="all",
        hessian_structure="full",
        sigma_noise=noise,
        prior_precision=prior,
    )
    posterior.fit(DataLoader(TensorDataset(X, y[:, None]), batch_size=batch_size))
    assert posterior.H.dtype == double
    return posterior.posterior_covariance.diagonal().sqrt() / exact


print("PyTorch", torch.__version__)
print(f"condition number {float(torch.linalg.cond(precision)):.1e}; error bars over the exact ones:")
off = {}
for dtype in (torch.float32, double):
    torch.set_default_dtype(dtype)
    for batch_size in (200, 50, 37):
        found = ratios(batch_size)
        off[dtype, batch_size] = float((found - 1.0).abs().max())
        told = "  ".join(f"{float(r):.7f}" for r in found)
        print(f"default {dtype}, batches of {batch_size:3d}: {told}")
so = all(v > 0.05 if dtype == torch.float32 else v < 1e-6 for (dtype, _), v in off.items())
print("as described" if so else "changed")
raise SystemExit(not so)
PYTHON
"$work/venv/bin/python" "$work/posterior.py"
