"""``python -m refode.reference``: the largest errors of refode's kernels on the golden cases."""

from __future__ import annotations

from refode.reference.compare import summary, table


def main() -> None:
    """Print, quantity by quantity, the largest error in ulp and in units of the condition."""
    from rich.console import Console
    from rich.table import Table

    shown = Table("quantity", "cases", "ulp", "in case", "condition units", "in case")
    for name, n, ulp, units in summary(table()):
        shown.add_row(name, str(n), f"{ulp.ulp:.1f}", ulp.case, f"{units.units:.1f}", units.case)
    Console(width=120).print(shown)


if __name__ == "__main__":
    main()
