"""Every field with schemes, bases and losses: dot tests, complex step, Taylor, Hessian products.

What `refode validate` does for derivatives, by itself. With --show N the full report of case N
is printed: Taylor remainders, directions, and every block of theta.
"""

from __future__ import annotations

import sys

from refode.reports import validate
from refode.reports.proofs import gradients
from refode.reports.proofs.gradient_cases import cases
from validation import common


def main() -> int:
    """Check, or show one case; the exit status."""
    parser = common.arguments(__doc__, "gradient_check")
    parser.add_argument("--show", type=int, metavar="N", help="print all about case N = 1, 2, ...")
    args = parser.parse_args()
    if args.show is None:
        return int(not validate.run(args.out, args.quick, [gradients.run]))
    known = cases(args.quick)
    if not 1 <= args.show <= len(known):
        parser.error(f"argument --show: got {args.show}, wanted 1 to {len(known)}")
    row = gradients.examine(known[args.show - 1], n_directions=5)
    print(row.case.name)
    for found in (*row.dots, row.gradient, *([row.ends] if row.ends else [])):
        print(f"\n{found}")
    return int(not row.passed)


if __name__ == "__main__":
    sys.exit(main())
