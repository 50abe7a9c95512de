"""Hutchinson's estimate of the trace: no bias, the variance it should have, and what it buys.

`ContinuousNormalizingFlow(trace="rademacher")` and ``"gaussian"`` replace tr df/dz by
eps^T df/dz eps with one eps a sample. The path does not depend on eps, so that the estimated
log|det| is eps^T M eps with M = int df/dz dt from T to t0 along the path, and with
S = (M + M^T)/2 its variance is

    2 sum_{i != j} S_ij^2 (Rademacher)      2 sum_{ij} S_ij^2 (Gaussian).

M is -L A_0 for a linear field of weights with mean A_0 over an interval of length L, and
computed in plain NumPy for a shallow net. For the linear field the gradient's noise is known,
too: L (eps eps^T - I)/N a sample, in the entries of A_0 alone, with total variance
L^2 d (d-1)/N (Rademacher) or L^2 d (d+1)/N (Gaussian).

Measured over many noise vectors, for d from 2 to 64: bias and variance within four standard
errors; the standard deviation in nats a sample; the noise of the gradient; and the time of a
gradient, exact and estimated.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import refode
from refode import plotting
from validation import common

Array = np.ndarray

NOISES = ("rademacher", "gaussian")
FIELDS = ("Affine", "Shallow")
DIMS, QUICK_DIMS = (2, 8, 32, 64), (2, 8)
N_DRAWS, QUICK_DRAWS = 30_000, 8000  # noise vectors a datum, for log|det|
N_SEEDS, QUICK_SEEDS = 300, 60  # noise_seed's, for the gradient
N_DATA, N_BATCH, N_TIMED = 3, 64, 512  # data for log|det|, for the gradient, for the clock
T_SPAN, N_STEPS, FINE = (-0.2, 1.3), 8, 64
LENGTH = T_SPAN[1] - T_SPAN[0]
WIDTH = 32
SIGMAS = 4.0  # standard errors that an estimate may be off
CONTROL = 10.0  # standard errors that the wrong noise's variance is off, at least
COLOURS = {"rademacher": plotting.BLUE, "gaussian": plotting.VERMILION}


def flow_of(kind: str, d: int, trace: str = "exact", noise_seed: int = 0) -> Any:
    """A flow with weights that are quadratic in time, or constant for the net."""
    if kind == "Affine":
        field, basis = refode.fields.Affine(d), refode.bases.Legendre(3)
    else:
        field, basis = refode.fields.Shallow(d, WIDTH), refode.bases.Constant()
    ode = refode.NeuralODE(field, "rk4", N_STEPS, T_SPAN, basis)
    return refode.ContinuousNormalizingFlow(ode, trace=trace, noise_seed=noise_seed)


def weights_of(flow: Any, kind: str) -> Array:
    """Random theta (p,) such that df/dz has entries of size 1/sqrt(d)."""
    rng = np.random.default_rng(flow.dim)
    d = flow.dim
    if kind == "Affine":
        return 0.5 / np.sqrt(d) * rng.standard_normal(flow.n_parameters)
    return flow.pack(
        {
            "W0": rng.standard_normal((1, WIDTH, d)) / np.sqrt(d),
            "b0": 0.3 * rng.standard_normal((1, WIDTH)),
            "W1": rng.standard_normal((1, d, WIDTH)) / np.sqrt(WIDTH),
            "b1": 0.3 * rng.standard_normal((1, d)),
        }
    )


# --- closed forms --------------------------------------------------------------------------


def integrated_jacobian(flow: Any, kind: str, theta: Array, y: Array) -> Array:
    """M (N, d, d), in plain NumPy."""
    w = flow.unpack(theta)
    if kind == "Affine":  # Legendre polynomials but the first have mean zero
        return np.broadcast_to(-LENGTH * w["A"][0], (len(y), flow.dim, flow.dim))
    path = flow.trajectory(theta, y, n_steps=FINE, inverse=True)  # Simpson's rule on it
    simpson = np.full(FINE + 1, 2.0)
    simpson[1::2], simpson[[0, -1]] = 4.0, 1.0
    W0, b0, W1 = w["W0"][0], w["b0"][0], w["W1"][0]
    slopes = 1.0 - np.tanh(path @ W0.T + b0) ** 2  # (n_steps+1, N, k)
    mean = np.tensordot(simpson, slopes, axes=1) * (-LENGTH / FINE / 3.0)
    return np.einsum("ik,nk,kj->nij", W1, mean, W0)


def variance(M: Array, noise: str) -> Array:
    """Variance (N,) of eps^T M eps."""
    S = 0.5 * (M + M.transpose(0, 2, 1))
    total = np.sum(S**2, axis=(1, 2))
    diagonal = np.sum(np.diagonal(S, axis1=1, axis2=2) ** 2, axis=1)
    return 2.0 * (total - diagonal if noise == "rademacher" else total)


def gradient_variance(d: int, noise: str) -> float:
    """Sum over theta of the variances of the linear field's gradient."""
    return LENGTH**2 * d * (d - 1 if noise == "rademacher" else d + 1) / N_BATCH


# --- measurements --------------------------------------------------------------------------


def of_log_density(kind: str, d: int, noise: str, n_draws: int) -> dict[str, Any]:
    """Moments of the estimated log-density of a few data over many noise vectors."""
    exact, flow = flow_of(kind, d), flow_of(kind, d, noise, noise_seed=d)
    theta = weights_of(exact, kind)
    y = np.random.default_rng((d, 1)).standard_normal((N_DATA, d))
    M = integrated_jacobian(exact, kind, theta, y)
    want, other = (variance(M, n) for n in (noise, *(n for n in NOISES if n != noise)))
    rows = np.repeat(y, n_draws, axis=0)  # one noise vector a row
    log_det = flow._backward(theta, rows, flow.ode, None)[1].reshape(N_DATA, n_draws)
    off = log_det - exact.inverse(theta, y)[1][:, None]
    spread = off.var(axis=1, ddof=1)
    fourth = np.mean((off - off.mean(axis=1, keepdims=True)) ** 4, axis=1)
    n = n_draws  # squared error of the variance: (m4 - s^4 (n-3)/(n-1))/n; m4 >= s^4
    squared = np.maximum(fourth - spread**2 * (n - 3) / (n - 1), 2.0 * spread**2 / (n - 1)) / n
    error = np.sqrt(squared)
    return {
        "nats": float(np.sqrt(spread.mean())),
        "nats wanted": float(np.sqrt(want.mean())),
        "bias": float(np.max(np.abs(off.mean(axis=1)) / np.sqrt(spread / n_draws))),
        "variance": float(np.max(np.abs(spread - want) / error)),
        "control": float(np.max(np.abs(spread - other) / error)),
    }


def of_gradient(kind: str, d: int, noise: str, n_seeds: int) -> dict[str, Any]:
    """Mean and total variance of the gradient over many seeds, and its size."""
    exact = flow_of(kind, d)
    theta = weights_of(exact, kind)
    rng = np.random.default_rng((d, 2))
    y = rng.standard_normal((N_BATCH, d))
    truth = exact.value_and_gradient(theta, y)[1]
    flow, total, along = flow_of(kind, d, noise), [], []
    directions = np.stack([truth, *rng.standard_normal((2, truth.size))])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    for seed in range(n_seeds):
        off = flow.with_noise(seed).value_and_gradient(theta, y)[1] - truth
        total.append(float(np.sum(off**2)))
        along.append(directions @ off)
    mean, error = np.mean(along, axis=0), np.std(along, axis=0, ddof=1) / np.sqrt(n_seeds)
    found = {
        "bias": float(np.max(np.abs(mean) / error)),
        "deviation": float(np.sqrt(np.mean(total))),
        "size": float(np.linalg.norm(truth)),
    }
    if kind == "Affine":
        want = gradient_variance(d, noise)
        found["deviation wanted"] = float(np.sqrt(want))
        spread = np.std(total, ddof=1) / np.sqrt(n_seeds)
        found["variance"] = float(abs(np.mean(total) - want) / spread)
    return found


def milliseconds(call: Callable[[], Any]) -> float:
    """Median of seven calls after the first."""
    call()
    found = []
    for _ in range(7):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return 1e3 * float(np.median(found))


def times(kind: str, d: int) -> dict[str, float]:
    """Milliseconds of a gradient for N_TIMED data, by trace."""
    y = np.random.default_rng((d, 3)).standard_normal((N_TIMED, d))
    found = {}
    for trace in ("exact", *NOISES):
        flow = flow_of(kind, d, trace)
        theta = weights_of(flow, kind)
        found[trace] = milliseconds(lambda f=flow, th=theta: f.value_and_gradient(th, y))  # type: ignore[misc]
    return found


def measure(quick: bool) -> list[dict[str, Any]]:
    """All of it, one row a field, dimension and noise."""
    rows = []
    for kind in FIELDS:
        for d in QUICK_DIMS if quick else DIMS:
            clock = times(kind, d)
            for noise in NOISES:
                draws, seeds = (QUICK_DRAWS, QUICK_SEEDS) if quick else (N_DRAWS, N_SEEDS)
                rows.append(
                    {
                        "field": kind,
                        "d": d,
                        "noise": noise,
                        "log-density": of_log_density(kind, d, noise, draws),
                        "gradient": of_gradient(kind, d, noise, seeds),
                        "ms": clock[noise],
                        "ms exact": clock["exact"],
                    }
                )
            print(f"  {kind}, d = {d}", flush=True)
    return rows


# --- report --------------------------------------------------------------------------------


def show(rows: list[dict[str, Any]]) -> None:
    """The table."""

    def entries(r: dict[str, Any]) -> tuple[str, ...]:
        a, b = r["log-density"], r["gradient"]
        known = f"{b['deviation wanted']:.3f}" if "variance" in b else "-"
        return (
            f"{r['field']}, d = {r['d']}, {r['noise']}",
            f"{a['nats']:.4f}",
            f"{a['nats wanted']:.4f}",
            f"{a['bias']:.1f}",
            f"{b['deviation']:.3f}",
            known,
            f"{b['bias']:.1f}",
            f"{b['deviation'] / b['size']:.2f}",
            f"{r['ms']:.1f}",
            f"{r['ms exact']:.1f}",
        )

    common.print_table(
        f"Standard deviations: of the log-density in nats, of the gradient for N = {N_BATCH}; "
        f"biases in standard errors; ms a gradient, N = {N_TIMED}",
        (
            "field, noise",
            "nats",
            "known",
            "bias",
            "gradient",
            "known",
            "bias",
            "/ |gradient|",
            "ms",
            "ms exact",
        ),
        [entries(r) for r in rows],
    )


def judge(report: common.Report, rows: list[dict[str, Any]]) -> None:
    """Add the checks."""
    unit = "s.e."
    for kind in FIELDS:
        for noise in NOISES:
            mine = [r for r in rows if (r["field"], r["noise"]) == (kind, noise)]
            for what in ("log-density", "gradient"):
                name = f"{kind}, {noise}, {what}"
                report.at_most(
                    f"{name}: bias, worst of d", max(r[what]["bias"] for r in mine), SIGMAS, unit
                )
                off = [r[what]["variance"] for r in mine if "variance" in r[what]]
                if off:
                    report.at_most(f"{name}: variance off its closed form", max(off), SIGMAS, unit)
            seen = max(r["log-density"]["control"] for r in mine)
            report.at_least(
                f"{kind}, {noise}: the other noise's variance is seen", seen, CONTROL, unit
            )


def main() -> int:
    """Measure, print, check, draw."""
    args = common.arguments(__doc__, "hutchinson_variance").parse_args()
    report = common.Report(args.out)
    rows = measure(args.quick)
    show(rows)
    judge(report, rows)
    report.json("hutchinson_variance.json", {"machine": common.machine(), "rows": rows})
    report.files += draw(rows, args.out)
    return report.finish()


def draw(rows: list[dict[str, Any]], out: Path) -> list[Path]:
    """Deviations of log-density and gradient, and times, against d."""
    made = plotting.figure(7.2, 2.75)
    made.set_layout_engine("constrained")
    panels = made.subplots(1, 3, sharex=True)
    for kind, marker, line in zip(FIELDS, "os", ("-", "--"), strict=True):
        for noise in NOISES:
            mine = [r for r in rows if (r["field"], r["noise"]) == (kind, noise)]
            d, look = [r["d"] for r in mine], {"color": COLOURS[noise]}
            if noise == "gaussian":
                look |= {"markerfacecolor": "white"}
            a, b = [r["log-density"] for r in mine], [r["gradient"] for r in mine]
            panels[0].plot(d, [x["nats wanted"] for x in a], line, **look)
            panels[0].plot(d, [x["nats"] for x in a], marker, **look)
            relative = [x["deviation"] / x["size"] for x in b]
            if kind == "Affine":
                panels[1].plot(d, [x["deviation wanted"] / x["size"] for x in b], line, **look)
            panels[1].plot(d, relative, marker, **look)
            panels[2].plot(
                d, [r["ms"] for r in mine], marker + line, **look, label=f"{kind}, {noise}"
            )
        exact = [r["ms exact"] for r in mine]
        panels[2].plot(d, exact, marker + line, color="black", label=f"{kind}, exact")
    titles = (
        "(a) deviation of $\\log\\rho(y)$ [nats]",
        f"(b) noise of the gradient / its size, $N={N_BATCH}$",
        f"(c) time of a gradient [ms], $N={N_TIMED}$",
    )
    ticks = ((0.5, 1, 2, 4, 8), (0.01, 0.03, 0.1, 0.3), (0.3, 1, 3, 10, 30))
    for panel, title, numbers in zip(panels, titles, ticks, strict=True):
        panel.set(xscale="log", yscale="log", title=title, xlabel="dimension $d$")
        panel.set_xticks(d, [str(n) for n in d])
        panel.set_yticks(numbers, [str(n) for n in numbers])
        panel.minorticks_off()
        panel.grid(alpha=0.25, linewidth=0.5)
    made.legend(
        *panels[2].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=6,
        columnspacing=1.2,
        handletextpad=0.5,
        title="(a), (b): markers measured, lines closed forms",
        title_fontsize=7,
    )
    return plotting.save(made, out, "hutchinson_variance")


if __name__ == "__main__":
    sys.exit(main())
