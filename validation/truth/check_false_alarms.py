"""``refode check`` on correct implementations: no false alarm in 1,000 random cases a precision.

The implementations evaluate the formulas of the golden cases in an arithmetic that rounds every
operation to double, single or bfloat16 precision, with derivatives by their own tape and series
(refode/check/rounded.py): they share no derivative with the kernels that are the live oracle, and
they are right, but for rounding. So nothing may be called wrong, and the errors in units of what
rounding is allowed show what room the allowance leaves.

The control: the same implementations in single precision, held to double, and in bfloat16, held to
single. A check that passes those would see nothing.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from refode.check.outcome import EPS, compared
from refode.check.run import check
from validation import common

CASES, QUICK = 1000, 40
COLOURS = dict(zip(EPS, (common.BLUE, common.ORANGE, common.GREEN), strict=True))


def shares(precision: str, n: int, seed: int) -> tuple[Any, np.ndarray]:
    """The outcome, and every error over what rounding is allowed."""
    outcome = check(
        f"refode.check.rounded:{precision}",
        cases=["ode-line"],
        n_random=n,
        seed=seed,
        diagnose=False,
        progress=_said(precision),
    )
    rows = compared(outcome.rows)
    return outcome, np.array([r.error / r.tolerance for r in rows])


def _said(precision: str) -> Any:
    def progress(name: str, done: int, total: int) -> None:
        if done % 100 == 0:
            print(f"{precision}: {done} of {total}", file=sys.stderr, flush=True)

    return progress


def controls(report: common.Report, n: int) -> None:
    """One precision held to the next finer one must fail at once."""
    for coarse, fine in (("float32", "float64"), ("bfloat16", "float32")):
        outcome = check(
            f"refode.check.rounded:{coarse}",
            precision=fine,
            n_random=n,
            cases=["ode-line"],
            diagnose=False,
        )
        report.at_least(f"{coarse} held to {fine}: arrays called wrong", len(outcome.failing()), 1)


def draw(found: dict[str, np.ndarray], report: common.Report) -> None:
    """Share of arrays whose error exceeds a share of the allowance."""
    import matplotlib.pyplot as plt

    with plt.rc_context(common.STYLE):
        figure, axes = plt.subplots(figsize=(6.0, 3.6), layout="constrained")
        for precision, values in found.items():
            x = np.sort(values[values > 0.0])
            axes.loglog(
                x, 1.0 - np.arange(len(x)) / len(x), color=COLOURS[precision], label=precision
            )
        axes.axvline(1.0, color=common.RED, lw=1.0)
        axes.annotate(
            "called wrong\nfrom here on",
            (1.0, 0.5),
            (-5, 0),
            color=common.RED,
            ha="right",
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
        )
        axes.set(
            xlabel="error / what rounding is allowed",
            xlim=(1e-3, 2.0),
            ylabel="share of arrays beyond",
        )
        axes.legend(loc="lower left")
        report.figure(figure, "check_false_alarms")


def main() -> int:
    """Run, print, draw; 0 where there was no false alarm."""
    parser = common.arguments(__doc__ or "", "check_false_alarms")
    parser.add_argument("--seed", type=int, default=1, help="of the random cases")
    args = parser.parse_args()
    report, n = common.Report(args.out), QUICK if args.quick else CASES
    found, rows = {}, []
    for precision in EPS:
        outcome, values = shares(precision, n, args.seed)
        found[precision] = values
        cases = len({r.case for r in outcome.rows}) - 1
        wrong = len(outcome.failing())
        rows.append(
            [
                precision,
                str(cases),
                f"{len(values):,}",
                str(wrong),
                f"{values.max():.2f}",
                f"{np.quantile(values, 0.999):.2f}",
                f"{np.median(values):.3f}",
            ]
        )
        report.at_most(f"{precision}: arrays called wrong in {cases} cases", wrong, 0)
        report.at_least(f"{precision}: cases that were judged", cases, n)
        report.at_least(f"{precision}: largest error over the allowed one", values.max(), 0.05)
    common.print_table(
        "Errors over what rounding is allowed",
        ["precision", "cases", "arrays", "wrong", "largest", "99.9 %", "median"],
        rows,
    )
    controls(report, 5)
    draw(found, report)
    report.json("check_false_alarms.json", {"rows": rows, "seed": args.seed})
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
