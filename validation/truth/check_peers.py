"""``refode check`` on PyTorch, torchdiffeq, JAX and diffrax: what each gets, and what it names.

The adapters of validation/models/adapters/ hold the same models in each framework's own idiom,
differentiated by the framework. Those that differentiate the steps taken must be right
everywhere at their precision. Those that solve the adjoint equation must have right values and
wrong gradients, and be named; how fast their errors fall with the step is measured. torchdiffeq's
rk4 taken for the classical scheme must be named as the 3/8 rule. What is not installed is left
out.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import sys
import time
from typing import Any, NamedTuple

import numpy as np

from refode import reference
from refode.check.case import Case
from refode.check.outcome import Outcome, groups
from refode.check.protocol import QUANTITIES
from refode.check.run import check
from validation import common

RIGHT, ADJOINT, NAIVE = "right", "adjoint equation", "3/8 rule"
#: Findings that name the adjoint of optimize-then-discretize, and the other scheme.
NAMES = {
    ADJOINT: ("adjoint-equation-kept", "adjoint-equation", "optimize-discretize"),
    NAIVE: ("three-eighths-rule",),
}
DERIVATIVES = ("theta_bar", "x_bar", "gradient")
NAMED = 0.9  # share of the wrong arrays that the first finding must explain
#: JAX compiles every case anew, and diffrax's loops for a long time: some cases of each kind.
FEW = ("ode-line", "ode-cells-backward", "supervised-states", "flow-one", "game-no-penalty")
SOME = (
    "ode-euler-affine",
    "ode-longer",
    "ode-cells-backward",
    "ode-legendre",
    "ode-bogacki-shampine",
    "ode-tsit5",
    "ode-dopri5",
    "ode-butcher6",
    "ode-shallow-rk4",
    "ode-observations",
    "ode-verlet",
    "supervised-states",
    "supervised-softmax",
    "flow-everything",
    "flow-hutchinson",
    "game-no-penalty",
    "game-transport",
)


class Peer(NamedTuple):
    """An adapter, its name in the table, what it must come to, and its cases (None: all)."""

    target: str
    label: str
    expected: str
    cases: tuple[str, ...] | None = None
    quick: tuple[str, ...] | None = FEW

    @property
    def package(self) -> str:
        """What has to be installed."""
        module = self.target.partition(":")[0]
        return {
            "torch_plain": "torch",
            "torch_diffeq": "torchdiffeq",
            "jax_plain": "jax",
            "jax_diffrax": "diffrax",
        }[module]

    @property
    def full_target(self) -> str:
        """As `refode check` takes it."""
        return f"validation.models.adapters.{self.target}"


PEERS = (
    Peer("torch_plain:float64", "PyTorch, float64", RIGHT, quick=None),
    Peer("torch_plain:float32", "PyTorch, float32", RIGHT, quick=None),
    Peer("torch_plain:bfloat16", "PyTorch, bfloat16", RIGHT),
    Peer("torch_diffeq:odeint", "torchdiffeq, odeint", RIGHT, quick=None),
    Peer("torch_diffeq:odeint_adjoint", "torchdiffeq, adjoint", ADJOINT, quick=None),
    Peer("torch_diffeq:naive", "torchdiffeq, rk4 by name", NAIVE, quick=None),
    Peer("jax_plain:float64", "JAX, float64", RIGHT),
    Peer("jax_plain:float32", "JAX, float32", RIGHT, SOME),
    Peer("jax_diffrax:recursive", "diffrax, checkpoints", RIGHT, SOME),
    Peer("jax_diffrax:direct", "diffrax, direct", RIGHT, SOME),
    Peer("jax_diffrax:backsolve", "diffrax, backsolve", ADJOINT, SOME),
)
"""The adapters."""


def summary(peer: Peer, outcome: Outcome) -> dict[str, Any]:
    """Counts, digits and findings of a check."""
    by_verdict = {
        v: [r for r in outcome.rows if r.verdict == v]
        for v in ("right", "wrong", "invalid", "skipped")
    }
    failing = {(r.case, r.quantity) for r in outcome.failing()}
    first = outcome.findings[0] if outcome.findings else None
    digits = [r.digits for r in by_verdict["right"] if r.size]
    return {
        "label": peer.label,
        "target": peer.full_target,
        "precision": outcome.precision,
        "expected": peer.expected,
        "passed": outcome.passed,
        "seconds": outcome.seconds,
        "cases": len({r.case for r in outcome.rows if r.verdict != "skipped"}),
        **{verdict: len(rows) for verdict, rows in by_verdict.items()},
        "fewest_digits": min(digits, default=float("nan")),
        "median_digits": float(np.median(digits)) if digits else float("nan"),
        "wrong_quantities": sorted({r.name for r in outcome.failing()}),
        "finding": first.key if first else "",
        "explained": len(failing & set(first.explained)) / len(failing) if first else 0.0,
        "findings": [
            {
                "key": f.key,
                "sentence": f.sentence,
                "certain": f.certain,
                "explained": len(f.explained),
            }
            for f in outcome.findings
        ],
        "quantities": [
            {
                "quantity": g.quantity,
                "right": g.right,
                "wrong": g.wrong,
                "invalid": g.invalid,
                "skipped": g.skipped,
                "digits": g.worst.digits if g.worst else None,
                "in": g.worst.case if g.worst else None,
            }
            for g in groups(outcome.rows, QUANTITIES)
        ],
        "reasons": sorted({r.reason for r in by_verdict["skipped"]}),
    }


def run(quick: bool) -> list[dict[str, Any]]:
    """Check every adapter that is installed."""
    found = []
    for peer in PEERS:
        if importlib.util.find_spec(peer.package) is None:
            print(f"{peer.label}: {peer.package} is not installed, left out")
            continue
        start = time.perf_counter()
        print(f"{peer.label} ...", end=" ", flush=True)
        cases = peer.quick if quick else peer.cases
        # compiling takes long on a busy machine; nothing here hangs
        outcome = check(peer.full_target, cases=cases, timeout=600.0)
        found.append(summary(peer, outcome))
        print(f"{time.perf_counter() - start:.0f} s")
        for row in outcome.failing()[:3] if peer.expected == RIGHT else []:
            print(f"  {row.case} {row.quantity}: {row.verdict}, {row.error:.1e} {row.reason}")
    return found


# --- how fast the adjoint equation's errors fall -----------------------------------------------


class Ladder(NamedTuple):
    """A scheme of an adapter, by what to compare its gradients with, on the case's steps."""

    target: str
    truth: str
    scheme_of: str  # a golden case with this scheme
    rate: int  # the order; 3 for heun, whose two errors of order 2 cancel
    n_steps: tuple[int, ...]


LADDERS = (
    Ladder(
        "torch_diffeq:odeint_adjoint", "torch_plain:float64", "ode-euler-affine", 1, (8, 16, 32, 64)
    ),
    Ladder("torch_diffeq:odeint_adjoint", "torch_plain:float64", "ode-longer", 2, (8, 16, 32, 64)),
    Ladder(
        "torch_diffeq:odeint_adjoint", "torch_plain:float64", "ode-mlp-sine", 3, (8, 16, 32, 64)
    ),
    Ladder(
        "torch_diffeq:odeint_adjoint",
        "torch_plain:float64",
        "ode-shallow-rk4-38",
        4,
        (4, 8, 16, 32),
    ),
    Ladder("jax_diffrax:backsolve", "jax_plain:float64", "ode-legendre", 2, (8, 16, 32)),
    Ladder("jax_diffrax:backsolve", "jax_plain:float64", "ode-shallow-rk4", 4, (4, 8, 16)),
)


def ladder(of: Ladder) -> dict[str, Any]:
    """Errors of theta_bar with finer and finer steps, and the rate between the last two."""
    base = Case.of(reference.case("ode-shallow-rk4"))
    scheme = Case.of(reference.case(of.scheme_of)).scheme
    errors = []
    for n in of.n_steps:
        case = dataclasses.replace(base, scheme=scheme, n_steps=n)
        got, want = (adapter(name).results(case)["theta_bar"] for name in (of.target, of.truth))
        vectors = [np.concatenate([np.asarray(g[k]).ravel() for k in want]) for g in (got, want)]
        errors.append(float(np.linalg.norm(vectors[0] - vectors[1]) / np.linalg.norm(vectors[1])))
    rate = float(np.log2(errors[-2] / errors[-1]) / np.log2(of.n_steps[-1] / of.n_steps[-2]))
    return {
        "target": of.target,
        "scheme": scheme.name,
        "expected": of.rate,
        "rate": rate,
        "n_steps": list(of.n_steps),
        "errors": errors,
    }


def adapter(target: str) -> Any:
    """An adapter by module:name."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(f"validation.models.adapters.{module}"), name)


# --- checks, table -----------------------------------------------------------------------------


def verify(report: common.Report, found: list[dict[str, Any]]) -> None:
    """What must hold of every adapter."""
    for s in found:
        label = s["label"]
        report.at_least(f"{label}: arrays that are right", s["right"], 1)
        report.at_most(f"{label}: exceptions, NaN, wrong shapes", s["invalid"], 0)
        if s["expected"] == RIGHT:
            report.at_most(f"{label}: arrays that are wrong", s["wrong"], 0)
            if "plain" in s["target"]:
                report.at_most(f"{label}: arrays that are skipped", s["skipped"], 0)
            continue
        report.at_least(f"{label}: arrays that are wrong, as they must be", s["wrong"], 1)
        named = s["explained"] if s["finding"] in NAMES[s["expected"]] else 0.0
        if s["expected"] == ADJOINT:
            values = [q for q in s["wrong_quantities"] if q not in DERIVATIVES]
            report.at_most(f"{label}: wrong quantities that are no derivatives", len(values), 0)
            report.at_least(f"{label}: share named as the adjoint equation's", named, NAMED)
        else:
            # second derivatives are not part of what the diagnosis computes by the other rule
            report.at_least(f"{label}: share named as the 3/8 rule's", named, NAMED)


def table(found: list[dict[str, Any]]) -> None:
    """What each adapter gets."""
    rows = [
        (
            s["label"],
            str(s["cases"]),
            str(s["right"]),
            str(s["wrong"]),
            str(s["skipped"]),
            f"{s['fewest_digits']:.1f}",
            ", ".join(s["wrong_quantities"][:3])
            + (", ..." if len(s["wrong_quantities"]) > 3 else ""),
            s["finding"],
        )
        for s in found
    ]
    columns = ("adapter", "cases", "right", "wrong", "skipped", "digits", "wrong in", "named")
    common.print_table("refode check", columns, rows)


def main() -> int:
    """Check, measure rates, print, write."""
    parser = common.arguments(__doc__, "check_peers")
    args = parser.parse_args()
    report = common.Report(args.out)
    found = run(args.quick)
    table(found)
    verify(report, found)
    installed = {s["target"].rpartition(".")[2] for s in found}
    slow = "jax" if args.quick else "none"
    ladders = [
        ladder(of) for of in LADDERS if of.target in installed and not of.target.startswith(slow)
    ]
    for r in ladders:
        what = f"{r['target']}, {r['scheme']}: rate of the gradient's error"
        report.within(what, r["rate"], r["expected"], 0.25)
    report.json(
        "check_peers.json", {"machine": common.machine(), "adapters": found, "rates": ladders}
    )
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
