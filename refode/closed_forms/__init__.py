"""Transport, games and flows in closed form: the truth that everything else is held against.

The optimal transport of one Gaussian to another, (D63) and (D64), and the compromise between
staying and arriving, (D65)-(D67), derived in docs/equations_densities.md. The linear-quadratic
game with entropy, (D68)-(D73), and its control problem, (D74), and transport on the line,
(D75)-(D78), are derived in docs/equations_closed_forms.md, shallow networks whose flow is known
exactly, (D157) and (D158), in docs/equations_exact_flows.md. The quadratic Wasserstein distance is
written W2 there and here: W2^2 = min E|X - Y|^2 over all pairs with X ~ source, Y ~ target.
"""

from refode.closed_forms.games import LinearQuadraticGame, lq_game
from refode.closed_forms.gaussians import (
    bures_distance2,
    bures_map,
    lq_value_function,
    relaxed_transport,
)
from refode.closed_forms.line import hopf_lax, monotone_distance2, monotone_map
from refode.closed_forms.shallow import ParabolicFlow, ShallowFlow

__all__ = [
    "LinearQuadraticGame",
    "ParabolicFlow",
    "ShallowFlow",
    "bures_distance2",
    "bures_map",
    "hopf_lax",
    "lq_game",
    "lq_value_function",
    "monotone_distance2",
    "monotone_map",
    "relaxed_transport",
]
