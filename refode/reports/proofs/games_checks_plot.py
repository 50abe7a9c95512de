"""Orders of games against the step, and the trained game beside its closed form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from refode import plotting
from refode.reports.proofs.examined import order_line

TITLES = {
    "z": r"$z(T)$",
    "log rho": r"$\log\rho(T)$",
    "L": r"$L$",
    "F": r"$F$",
    "R": r"$R$, of $r^2$",
    "gradient": "gradient",
    "Phi along a path": r"$\Phi$ along a path",
}
MARKERS = ("o", "s", "^", "D")
TIMES = (0.0, 0.5, 1.0)


def draw(studies: Sequence[Any], trained: Mapping[str, Any] | None, out: Path) -> list[Path]:
    """The orders, and the trained game where there is one; PNG and PDF."""
    files = plotting.save(_orders(studies), out, "games_orders")
    return files + (plotting.save(_solution(trained), out, "games_entropy") if trained else [])


def _orders(studies: Sequence[Any]) -> Any:
    made = plotting.figure(7.2, 4.2)
    made.set_layout_engine("constrained")
    panels = made.subplots(2, 4, sharex=True, sharey=True).ravel()
    for panel, (name, title) in zip(panels, TITLES.items(), strict=False):
        for k, study in enumerate(studies):
            order_line(
                panel,
                study.reports[name],
                plotting.CYCLE[k],
                MARKERS[k],
                f"{study.scheme}, order {study.order}",
            )
        panel.set(xscale="log", yscale="log", title=title)
        panel.set_xscale("log", base=2)
        panel.grid(alpha=0.25, linewidth=0.5)
    for panel in panels[3:7]:
        panel.set_xlabel(r"step $h/(T-t_0)$")
        panel.tick_params(labelbottom=True)
    for panel in panels[::4]:
        panel.set_ylabel("RMS error")
    panels[7].axis("off")
    handles, labels = panels[0].get_legend_handles_labels()
    panels[7].legend(
        handles,
        labels,
        loc="center",
        title="filled: judged\nhollow: larger steps, or rounding\ndotted: slope wanted",
        title_fontsize=7,
    )
    return made


def _solution(trained: Mapping[str, Any]) -> Any:
    """Densities and the value function at three times, trained and exact."""
    truth, problem, theta = trained["truth"], trained["problem"], trained["theta"]
    made = plotting.figure(7.2, 2.9)
    made.set_layout_engine("constrained")
    left, right = made.subplots(1, 2)
    for k, t in enumerate(TIMES):
        mean, deviation, colour = truth.mean(t)[0], truth.deviation(t)[0], plotting.CYCLE[k]
        x = np.linspace(mean - 3 * deviation, mean + 3 * deviation, 61)[:, None]
        exact = np.exp(-0.5 * ((x[:, 0] - mean) / deviation) ** 2)
        exact /= deviation * np.sqrt(2 * np.pi)
        mine = np.exp(problem.log_density(theta, x, n_steps=64, t=t))
        phi = problem.value_function(theta, t, x)[0]
        for panel, curve, dots in (
            (left, exact, mine),
            (right, truth.value_function(t, x)[0], phi),
        ):
            panel.plot(x[:, 0], curve, color=colour, linewidth=1.0, label=f"$t={t:g}$, exact")
            panel.plot(x[::5, 0], dots[::5], "o", color=colour, markersize=3, label="trained")
    left.set(title=r"(a) density $\rho(t,x)$", xlabel="$x$")
    right.set(title=r"(b) value function $\Phi(t,x)$, three deviations wide", xlabel="$x$")
    handles, labels = left.get_legend_handles_labels()
    made.legend(handles, labels, loc="outside lower center", ncols=6)
    return made
