"""What pickles and skops hold of an estimator: its problem as a text and arrays, as files do.

So they are small, hold plain types alone, and are read by versions whose classes look otherwise
inside.
"""

from __future__ import annotations

import json
from typing import Any

from refode.saving import build, describe

PROBLEM = "problem_"


def frozen(state: dict[str, Any]) -> dict[str, Any]:
    """The attributes with the problem described, if it is made of refode's own parts alone."""
    if PROBLEM not in state:
        return state
    described = describe.described(state[PROBLEM])
    if json.loads(described.text)["outside"]:  # a field of one's own: as it pickles itself
        return state
    return {**state, PROBLEM: {"text": described.text, "arrays": list(described.arrays)}}


def thawed(state: dict[str, Any]) -> dict[str, Any]:
    """The attributes with the problem that is described."""
    if not isinstance(state.get(PROBLEM), dict):
        return state
    text, arrays = state[PROBLEM]["text"], state[PROBLEM]["arrays"]
    members = describe.Description(text, arrays).members()
    problem = build.built(json.loads(text), members, len(state["theta_"]), {})
    return {**state, PROBLEM: problem}
