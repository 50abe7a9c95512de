"""The former place of refode.ode.driver."""

from refode.ode.driver import Gradient, Sweep, forward, gradient

__all__ = [
    "Gradient",
    "Sweep",
    "forward",
    "gradient",
]
