"""Without scikit-learn the package is a clear error, and nothing else of refode's minds."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
sys.modules["sklearn"] = None
import refode
from refode import *
try:
    refode.estimators.NeuralODEClassifier
except ImportError as error:
    assert "pip install 'refode[sklearn]'" in str(error), error
else:
    raise AssertionError("imported")
"""


def test_the_error_names_the_extra():
    subprocess.run([sys.executable, "-c", CODE], check=True, timeout=60)
