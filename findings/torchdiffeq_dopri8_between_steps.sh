#!/usr/bin/env bash
# torchdiffeq's dopri8 is off by thousands of times its tolerance, at the end too.
#
# Guess: at rtol = atol = 1e-10 the solution of a harmonic oscillator at t = 10 is right to 1e-9.
# Seen (torchdiffeq 0.2.5, PyTorch 2.13.0, float64): it is 5e-7 off, and 1e-4 at a tolerance of 1e-6,
# where dopri5 is below its tolerance or near it. The steps are as exact as asked for: they go beyond
# the end, and what is asked for is read by a polynomial of degree four across long steps of order
# eight. With the times as steps, options={"step_t": times}, the error is below the tolerance.
# Exits with 0 while it is so, otherwise with 1.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 torchdiffeq==0.2.5 numpy==2.4.6

cat >"$work/oscillator.py" <<'PYTHON'
import torch
from torchdiffeq import odeint

start = torch.tensor([0.0, 1.0], dtype=torch.float64)
ends = torch.tensor([0.0, 10.0], dtype=torch.float64)


def slope(t, y):
    return torch.stack([y[1], -y[0]])


def error(method, tol, **options):
    y = odeint(slope, start, ends, method=method, rtol=tol, atol=tol, options=options)
    return float((y[-1, 0] - torch.sin(ends[-1])).abs())


print("PyTorch", torch.__version__)
so = True
for tol in (1e-6, 1e-8, 1e-10):
    five, eight = error("dopri5", tol), error("dopri8", tol)
    stepped = error("dopri8", tol, step_t=ends)
    print(f"tolerance {tol:.0e}: dopri5 {five:.1e}, dopri8 {eight:.1e}, with step_t {stepped:.1e}")
    so = so and five < 10.0 * tol and eight > 50.0 * tol and stepped < tol
print("as described" if so else "changed")
raise SystemExit(not so)
PYTHON
"$work/venv/bin/python" "$work/oscillator.py"
