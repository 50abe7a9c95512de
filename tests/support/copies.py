"""What copies and pickles make of an object."""

from __future__ import annotations

import copy
import pickle


def same_again(made):
    """The object, and what copies and pickles make of it."""
    yield made
    yield copy.copy(made)
    yield copy.deepcopy(made)
    yield pickle.loads(pickle.dumps(made))
