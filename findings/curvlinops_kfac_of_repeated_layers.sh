#!/usr/bin/env bash
# curvlinops' KFAC of a layer that is called T times has the bias's block T times too small.
#
# Guess: for one sample and one unit KFAC is the Gauss-Newton matrix's diagonal, whatever number of
# times the layer is called, as a step of Runge-Kutta's or a recurrent network calls it.
# Seen (curvlinops 3.0.1, PyTorch 2.13.0): f(x) = sum of T calls of the same Linear(1, 1). The weight's
# entry is right, 8 T^2; the bias's is 2 T in place of 2 T^2 with separate_weight_and_bias=True, which
# it is as it comes, by "expand" and by "reduce" alike. With False both are right, and so is the
# Gauss-Newton matrix. A posterior by it has the bias's variance T times too large, up to the prior's.
# Exits with 0 while it is so, otherwise with 1.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 curvlinops-for-pytorch==3.0.1

cat >"$work/kfac.py" <<'PYTHON'
import torch
from curvlinops import GGNLinearOperator, KFACLinearOperator

torch.set_default_dtype(torch.float64)
x, y = torch.full((1, 1), 2.0), torch.zeros(1, 1)


class Repeated(torch.nn.Module):
    def __init__(self, calls):
        super().__init__()
        self.calls, self.layer = calls, torch.nn.Linear(1, 1)

    def forward(self, x):
        return sum(self.layer(x) for _ in range(self.calls))


def diagonal(kind, calls, **how):
    torch.manual_seed(0)
    model = Repeated(calls)
    given = (model, torch.nn.MSELoss(), list(model.parameters()), [(x, y)])
    return (kind(*given, **how) @ torch.eye(2)).diagonal()


def kfac(calls, **how):
    return diagonal(KFACLinearOperator, calls, fisher_type="type-2", **how)  # exact, not sampled


print("PyTorch", torch.__version__)
so = True
for calls in (1, 2, 4, 8):
    exact = diagonal(GGNLinearOperator, calls)
    found = {
        "expand": kfac(calls),
        "reduce": kfac(calls, kfac_approx="reduce"),
        "together": kfac(calls, separate_weight_and_bias=False),
    }
    ratios = {name: (entries / exact).tolist() for name, entries in found.items()}
    told = ", ".join(f"{name} {w:.3f} and {b:.3f}" for name, (w, b) in ratios.items())
    print(f"T = {calls}, KFAC over Gauss-Newton, weight and bias: {told}")
    for name, (weight, bias) in ratios.items():
        wanted = 1.0 if name == "together" else 1.0 / calls
        so = so and abs(weight - 1.0) < 1e-12 and abs(bias - wanted) < 1e-12
print("as described" if so else "changed")
raise SystemExit(not so)
PYTHON
"$work/venv/bin/python" "$work/kfac.py"
