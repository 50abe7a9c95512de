"""The potential network of [OFLR21]: a scalar Phi(x, t) whose control is -grad Phi."""

from refode.fields.potential.layout import PotentialSpec
from refode.fields.potential.network import Potential

__all__ = ["Potential", "PotentialSpec"]
