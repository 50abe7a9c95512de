"""refode's problems and odes as functions of PyTorch and of JAX, with derivatives of refode's own.

Adapters of a few lines: what they call computes as ever, in NumPy and by the hand-derived adjoint,
and neither package is needed by anything else here. Extras ``torch`` and ``jax``.
"""

from refode.bridges.with_jax import jax_function
from refode.bridges.with_torch import torch_function

__all__ = ["jax_function", "torch_function"]
