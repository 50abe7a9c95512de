#!/usr/bin/env bash
# numba-cuda 0.30.4 compiles nothing for a device beside NumPy 2.5, which it may be installed with.
#
# Guess: a kernel goes to PTX without a device, as it does beside NumPy 2.4; pip would otherwise not
# have put the two together.
# Seen (numba-cuda 0.30.4, Numba 0.68.1, NumPy 2.5.5, Python 3.13, Linux x86_64): pip installs both
# without a word; `from numba import cuda` works, and so does the simulator; the first kernel for a
# device ends in "AttributeError: module 'numpy' has no attribute 'row_stack'", since arrayobj.py
# reads the name that NumPy 2.5 removed, and it is imported when the first kernel is compiled.
# Needs Python 3.12 or newer, as NumPy 2.5 does. Exits with 0 while it is so, otherwise with 1.
set -euo pipefail

python=""
for candidate in python3.13 python3.12 "$HOME"/.pyenv/versions/3.1[23]*/bin/python; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 12) <= sys.version_info < (3, 14))' 2>/dev/null; then
        python=$candidate
    fi
done
[[ -n "$python" ]] || { echo "no Python 3.12 or 3.13 found"; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numba-cuda==0.30.4 numba==0.68.1 numpy==2.5.5

cat >"$work/kernel.py" <<'PYTHON'
import numpy
from numba import cuda, types


def double(x):
    x[0] = 2.0 * x[0]


print("NumPy", numpy.__version__)
try:
    ptx = cuda.compile_ptx(double, (types.float64[::1],), cc=(9, 0))[0]
    print("compiled:", ptx.count("\n"), "lines of PTX")
except AttributeError as error:
    print("AttributeError:", error)
PYTHON
seen=$(env -u NUMBA_ENABLE_CUDASIM "$work/venv/bin/python" "$work/kernel.py")
echo "$seen"
[[ "$seen" == *"AttributeError: module 'numpy' has no attribute 'row_stack'"* ]]
