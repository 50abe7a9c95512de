"""Golden cases: inputs, and every quantity to 25 proven digits, for any implementation.

docs/reference.md says what the files hold and how to read them in other languages.
"""

from refode.reference.compare import Error, errors
from refode.reference.files import arrays, case, export, names, schema

__all__ = ["Error", "arrays", "case", "errors", "export", "names", "schema"]
