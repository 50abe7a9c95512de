"""Hold another implementation, mymodel.py beside this file, to the golden cases.

The same from the shell, with all 99 cases: refode check mymodel:adapter
"""

from refode.check import check

for name in ("adapter", "three_eighths"):
    outcome = check(f"mymodel:{name}", cases=["ode-shallow-rk4", "ode-dopri5", "ode-line"])
    print(f"{name}: {'passed' if outcome.passed else 'failed'}")
    for row in outcome.rows:
        if row.verdict != "skipped":  # what the adapter has no method for
            print(f"  {row.case}, {row.quantity}: {row.verdict}, {row.digits:.1f} digits")
    for finding in outcome.findings:
        print(f"  {finding.sentence}")
