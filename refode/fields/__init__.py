"""Fields: the right-hand sides f(z, t; weights) of neural ODEs."""

from refode.fields.contract import Field
from refode.fields.shallow import Shallow

__all__ = ["Field", "Shallow"]
