"""Fields fitted to measured curves: extrapolation, error bars beside refits, parameters; sunspots.

Every case is held to what is known of it: the size of its noise, its curves beyond the last
observation, its parameters. The sunspots are real, and nothing of them is known but what came.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from refode import plotting
from refode.reports import outputs, tables
from refode.reports.figures import trajectories_sunspots as sunspots
from refode.reports.figures.trajectories_cases import Fit, cases, fitted
from refode.reports.figures.trajectories_plots import draw, draw_sunspots, known

Array = np.ndarray

REFITS = 40
Checks = list[tuple[str, bool]]


def run(out: Path, progress: bool, n_refits: int | None = None) -> bool:
    """Fit, draw, print; False where noise, bands, parameters or forecasts are not as they must."""
    folder = outputs.folder("trajectories", out)
    fits: list[Fit] = []
    with tables.keeping("trajectories", folder) as kept:
        for case in cases():
            if progress:
                print(f"trajectories: {case.name}, and {n_refits or REFITS} refits to other noise")
            fits.append(fitted(case, n_refits or REFITS))
            kept.add(case.name, numbers_of(fits[-1]))
        if progress:
            print("trajectories: sunspots, learned to 1929")
        real = _sunspots()
    plotting.save(draw(fits), folder, "trajectories")
    checks = [check for fit in fits for check in checks_of(fit)]
    numbers: dict[str, Any] = {fit.case.name: numbers_of(fit) for fit in fits}
    _show(fits)
    if real is None:
        print("trajectories: sunspots are left out: statsmodels is missing (refode[data])")
        numbers["sunspots"] = "left out: statsmodels is missing"
    else:
        plotting.save(draw_sunspots(real), folder, "trajectories_sunspots")
        checks += _checks_of_sunspots(real)
        numbers["sunspots"] = _numbers_of_sunspots(real)
        _show_sunspots(real)
    return tables.finish("trajectories", folder, checks, numbers)


# --- made curves -----------------------------------------------------------------------------
def numbers_of(fit: Fit) -> dict[str, Any]:
    """What was measured of a case; errors and deviations are root mean squares."""
    posterior, inside = fit.posterior, fit.inside
    r = fit.problem.residuals(posterior.theta, None, fit.y)
    squares = float(np.nansum(fit.y.weights * r**2))
    fine = fit.problem.with_steps(8 * fit.case.n_steps).residuals(posterior.theta, None, fit.y)
    free = fit.y.n_observed - posterior.p_eff
    off = fit.curves - fit.truth
    covered = np.abs([refit.curves - fit.truth for refit in fit.refits]) < 1.96 * fit.bands
    found = {
        "observed": fit.y.n_observed,
        "p_eff": posterior.p_eff,
        "residual over noise": float(np.sqrt(squares / free)),
        "its deviation": float(np.sqrt(0.5 / free)),
        "steps' error over noise": float(np.nanmax(np.abs(fine - r) / fit.case.sigma)),
        "error": _size(off[:, inside]),
        "error beyond": _size(off[:, ~inside]),
        "band": _size(fit.bands[:, inside]),
        "band beyond": _size(fit.bands[:, ~inside]),
        "curve beyond": _size(fit.truth[:, ~inside]),
        "band over refits": float(np.median((fit.bands / fit.spread)[:, inside])),
        "band over refits beyond": float(np.median((fit.bands / fit.spread)[:, ~inside])),
        "coverage": float(covered[:, :, inside].mean()),
        "coverage beyond": float(covered[:, :, ~inside].mean()),
    }
    if fit.case.true is not None:
        found["parameters"] = _parameters(fit)
    return found


def _size(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _parameters(fit: Fit) -> dict[str, dict[str, float]]:
    """By name: true value, estimate, standard errors by Laplace and by refits, z-score."""
    names, true = known(fit)
    theta = fit.posterior.theta
    errors = np.sqrt(np.diagonal(fit.posterior.covariance))
    again = np.std([refit.theta for refit in fit.refits], axis=0, ddof=1)
    columns = ("true", "estimate", "standard error", "of refits", "z")
    rows = zip(true, theta, errors, again, (theta - true) / errors, strict=True)
    return {
        name.strip("$"): dict(zip(columns, map(float, row), strict=True))
        for name, row in zip(names, rows, strict=True)
    }


def checks_of(fit: Fit) -> Checks:
    """What must hold of a case."""
    found, name = numbers_of(fit), fit.case.name
    noise, ratio = found["residual over noise"], found["band over refits"]
    checks = [
        (
            f"{name}: residuals at the noise's level",
            abs(noise - 1.0) < 3.0 * found["its deviation"],
        ),
        (
            f"{name}: steps' error under a tenth of the noise",
            found["steps' error over noise"] < 0.1,
        ),
        (f"{name}: error within three bands", found["error"] < 3.0 * found["band"]),
        (
            f"{name}: error beyond within three bands",
            found["error beyond"] < 3.0 * found["band beyond"],
        ),
        (f"{name}: bands as wide as refits say", 0.8 < ratio < 1.25),
        (f"{name}: bands of 95 % cover 90 to 99 %", 0.9 < found["coverage"] < 0.99),
    ]
    if fit.case.true is None:
        wider = found["band beyond"] > 2.0 * found["band"]
        checks.append((f"{name}: bands are wider where nothing was seen", wider))
    else:
        foreseen = found["error beyond"] < 0.1 * found["curve beyond"]
        checks.append((f"{name}: curves beyond are foreseen to 10 %", foreseen))
        rows = found["parameters"].values()
        near = max(abs(row["z"]) for row in rows) < 3.0
        ratios = [row["standard error"] / row["of refits"] for row in rows]
        alike = 0.8 < float(np.exp(np.mean(np.log(ratios)))) < 1.25
        checks.append((f"{name}: parameters within three standard errors", near))
        checks.append((f"{name}: standard errors as large as refits say", alike))
    return checks


def _show(fits: list[Fit]) -> None:
    found = {fit.case.name: numbers_of(fit) for fit in fits}
    tables.show(
        f"Fits, and {len(fits[0].refits)} more to other noise; beyond: after the last observation",
        ["", *found],
        [
            [what, *(f"{numbers[what]:.3g}" for numbers in found.values())]
            for what in next(iter(found.values()))
            if what != "parameters"
        ],
    )
    for name, numbers in found.items():
        if "parameters" not in numbers:
            continue
        rows = numbers["parameters"]
        tables.show(
            f"{name}: parameters, and states at time 0",
            ["name", *next(iter(rows.values()))],
            [[what, *(f"{value:.4f}" for value in row.values())] for what, row in rows.items()],
        )


# --- sunspots --------------------------------------------------------------------------------
def _sunspots() -> sunspots.Forecasts | None:
    """None where the package that has the numbers is missing."""
    try:
        years, numbers = sunspots.sunspots()
    except ImportError:
        return None
    return sunspots.forecasts(years, numbers)


def _numbers_of_sunspots(real: sunspots.Forecasts) -> dict[str, Any]:
    came = ~np.isnan(real.came)
    near = np.abs(real.by[sunspots.NODE] - real.came) < 2.0 * real.learned
    return {
        "error by years ahead": {name: real.errors(name).tolist() for name in real.by},
        "error": {name: real.error(name) for name in real.by},
        "error where learned": real.learned.tolist(),
        "within two deviations": float(near[came].mean()),
    }


def _checks_of_sunspots(real: sunspots.Forecasts) -> Checks:
    own = real.error(sunspots.NODE)
    return [
        ("sunspots: better than persistence", own < real.error(sunspots.PERSISTENCE)),
        ("sunspots: better than Yule's two terms", own < real.error(sunspots.YULE)),
    ]


def _show_sunspots(real: sunspots.Forecasts) -> None:
    tables.show(
        f"Sunspots after {sunspots.SPLIT}: error of the root of the yearly number, by years ahead",
        ["forecast by", "1", "3", "5", "8", "11", "all"],
        [
            [
                name,
                *(f"{real.errors(name)[k - 1]:.2f}" for k in (1, 3, 5, 8, 11)),
                f"{real.error(name):.2f}",
            ]
            for name in real.by
        ],
    )
