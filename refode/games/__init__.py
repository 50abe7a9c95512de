"""Potential mean field games: costs and densities, all rows of the survey's Table 1.

===================  =======================  =========================  ===================
game                 L(x, v)                  functional of rho          terminal cost
===================  =======================  =========================  ===================
optimal transport    alpha/2 |v|^2                                       KL(rho, rho_Y)
crowd motion         alpha/2 |v|^2 + Q(x)     entropy int rho log rho    KL(rho, rho_Y)
normalizing flow                                                         E_y[-log rho(y)]
the same with OT     alpha/2 |v|^2                                       E_y[-log rho(y)]
control              alpha/2 |v|^2 + Q(x)     entropy int rho log rho    E g(z(T)), g an energy
===================  =======================  =========================  ===================

Each cost has its L2 derivative (F and G of (20)), the running cost its Hamiltonian (23) and
feedback (22): docs/equations_games.md, (D80)-(D87). All quantities are dimensionless.
"""

from refode.costs.energies import Energy
from refode.games.costs import CrossEntropy, Entropy, KullbackLeibler, RunningCost, TerminalEnergy
from refode.games.energies import GaussianBump, Nothing, Quadratic
from refode.games.game import Game, crowd_motion, normalizing_flow, optimal_transport

__all__ = [
    "CrossEntropy",
    "Energy",
    "Entropy",
    "Game",
    "GaussianBump",
    "KullbackLeibler",
    "Nothing",
    "Quadratic",
    "RunningCost",
    "TerminalEnergy",
    "crowd_motion",
    "normalizing_flow",
    "optimal_transport",
]
