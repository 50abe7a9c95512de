"""Observed order of every scheme: state, log-determinant, gradients.

Order conditions in exact fractions; errors against a fine solution, which SciPy's solver on
plain NumPy formulas confirms; each of the last three halvings within 0.1 of the order. What
`refode validate` does for orders, by itself.
"""

from __future__ import annotations

import sys

from refode.reports import validate
from refode.reports.proofs import orders
from validation import common


def main() -> int:
    """Measure; the exit status."""
    args = common.arguments(__doc__, "convergence_order").parse_args()
    return int(not validate.run(args.out, args.quick, [orders.run]))


if __name__ == "__main__":
    sys.exit(main())
