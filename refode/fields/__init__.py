"""Fields: the right-hand sides f(z, t; weights) of neural ODEs."""

from refode.fields.affine import Affine
from refode.fields.antisymmetric import Antisymmetric
from refode.fields.contract import Field
from refode.fields.hamiltonian import Hamiltonian, Leapfrog
from refode.fields.mlp import MLP
from refode.fields.parabolic import Parabolic
from refode.fields.potential import Potential
from refode.fields.shallow import Shallow
from refode.fields.user import User

__all__ = [
    "MLP",
    "Affine",
    "Antisymmetric",
    "Field",
    "Hamiltonian",
    "Leapfrog",
    "Parabolic",
    "Potential",
    "Shallow",
    "User",
]
