"""Odd arguments for every public call: what refode answers, and what it says where it does not.

No exception but TypeError, ValueError and the documented ones, each naming an argument of the
call; finite numbers below 1e100 are answered with finite ones, unless the documentation says
otherwise; no call takes more than 10 s, compiling aside. Writes the faults to a file.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from validation.fuzz.trial import Tally, trials


def main() -> int:
    """Make the calls, say what came of them; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Exit status: 0 the rule held in every call, 1 it did not in one.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--calls", type=int, default=5_000, metavar="N", help="default: 5000")
    parser.add_argument("--first", type=int, default=0, metavar="K", help="number of the first")
    parser.add_argument("--seed", type=int, default=0, help="of all calls (default: 0)")
    parser.add_argument("--only", default="", metavar="TEXT", help="calls with this in their name")
    parser.add_argument("--out", type=Path, default=Path("results") / "fuzz", metavar="DIR")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    file = (args.out / "faults.txt").resolve()
    tally = run(args.seed, range(args.first, args.first + args.calls), args.only)
    file.write_text("".join(f"{fault}\n" for fault in tally.faults), "utf-8")
    print(
        f"{tally.calls} calls: {tally.answered} answered, {tally.refused} refused by name, "
        f"{len(tally.faults)} faults"
    )
    for kind, n in tally.kinds.most_common():
        print(f"  {n:6d}  {kind}")
    for fault in tally.faults[:20]:
        print(str(fault)[:300])
    print(f"verdict: {'FAILED' if tally.faults else 'passed'}; faults are in {file}")
    return int(bool(tally.faults))


def run(seed: int, numbers: range, only: str = "") -> Tally:
    """Make the calls from a folder of their own, as some write where they are told to."""
    tally, start, shown, here = Tally(), time.monotonic(), 0.0, os.getcwd()
    with tempfile.TemporaryDirectory(prefix="refode-fuzz-") as folder:
        os.chdir(folder)
        try:
            for trial in trials(seed, numbers, only):
                tally.add(trial)
                if trial.fault:
                    print(str(trial)[:300], file=sys.stderr, flush=True)
                now = time.monotonic() - start
                if now - shown > 10.0:
                    shown = now
                    print(
                        f"{tally.calls} of {len(numbers)} calls, {len(tally.faults)} faults, "
                        f"{now:.0f} s",
                        file=sys.stderr,
                        flush=True,
                    )
        finally:
            os.chdir(here)
    return tally


if __name__ == "__main__":
    sys.exit(main())
