"""Another implementation held to refode's golden cases: verdicts, and what is probably wrong.

docs/check.md says how to write an adapter and how to read the report.
"""

from refode.check.case import Case, Scheme
from refode.check.outcome import Finding, Outcome, Row
from refode.check.protocol import Adapter, Skip

__all__ = ["Adapter", "Case", "Finding", "Outcome", "Row", "Scheme", "Skip"]
