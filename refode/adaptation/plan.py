"""From courses to a grid: for the state, then for the gradient, one course after another."""

from __future__ import annotations

import numpy as np

from refode.adaptation.course import Course, Span
from refode.adaptation.halving import Halving, Watched
from refode.adaptation.pairs import EmbeddedPair, pair_of
from refode.adaptation.planner import Planned, Planner
from refode.adaptation.report import Adaptation
from refode.adaptation.settings import Settings
from refode.ode.steps import Given
from refode.sweeps import planning as kernel

Array = np.ndarray


def planned(
    courses: list[Course], settings: Settings, in_turn: bool = False
) -> tuple[Given, Adaptation]:
    """Steps that are good for all courses, on the interval of their ode, and the report.

    A course stops wherever those before it do; or, ``in_turn``, it begins where the one before it
    has ended.
    """
    ode = courses[0].ode
    pair = pair_of(ode, settings.interpolated)
    _check_parts(courses, settings)
    plans: list[Planned] = []
    watched: list[Watched] = []
    quadratures: dict[str, float] = {}
    nodes: Array | None = None
    done = np.zeros(0)  # points of the courses that have had their turn
    for number, course in enumerate(courses):
        within = settings
        if in_turn:
            done = done if nodes is None else np.concatenate([done, nodes[:-1]])
            within = settings._replace(stops=_between(settings.stops, course.span))
        elif nodes is not None:
            within = settings._replace(stops=(*settings.stops, *nodes.tolist()))
        plan = Planner(course, pair, within, keep=course.cost is not None).run()
        plans.append(plan)
        nodes = plan.nodes
        if course.cost is not None:
            watched.append(Halving(course, pair, settings, plan).run())
            nodes = watched[-1].nodes
        quadratures |= _quadratures(course, plan, f"{course.name}: " if number else "")
    assert nodes is not None
    nodes = np.concatenate([done, nodes])
    nodes = nodes if nodes[0] == ode.t_span[0] else nodes[::-1]
    report = Adaptation(
        nodes,
        plans,
        quadratures,
        settings,
        pair.name,
        sum(w.halved for w in watched),
        sum(w.error for w in watched) if watched else None,
        sum(p.evaluations for p in plans) + sum(w.evaluations for w in watched),
        sum(w.adjoints for w in watched),
        _interpolant(pair, settings),
    )
    return Given(nodes), report


def _between(stops: tuple[float, ...], span: Span) -> tuple[float, ...]:
    low, high = sorted(span)
    return tuple(stop for stop in stops if low < stop < high)


def _quadratures(course: Course, plan: Planned, prefix: str) -> dict[str, float]:
    """For each quadrature its largest errors, summed over the steps."""
    labels = [label for _, label in course.rows if label]
    sums = plan.taken[:, kernel.QUADRATURES :].sum(axis=0)
    return {prefix + label: float(total) for label, total in zip(labels, sums, strict=True)}


def _interpolant(pair: EmbeddedPair, settings: Settings) -> str:
    if not settings.interpolated:
        return ""
    return "bounded" if len(pair.differences) > 1 else "not bounded"


def _check_parts(courses: list[Course], settings: Settings) -> None:
    known = {part for course in courses for part, _ in course.rows if part}
    for part in settings.error_in:
        if part not in known:
            raise ValueError(
                f"error_in: got {part!r}, wanted of {', '.join(map(repr, sorted(known)))}, which "
                "are all that rides along here"
            )
