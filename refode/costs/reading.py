"""Where within its steps a path is read, and what is read there, eqs. (D133), (D134).

y(t_n + x h) = y_n + h sum_i beta_i(x) k_i,  with
beta = x (b + u (e_1 - b + x (2 b - e_1 - e_s + u d))),  u = 1 - x:
the cubic through values and slopes at both ends, and with d a polynomial of degree four.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refode.machine.compile import kernel

Array = np.ndarray


class Reading(NamedTuple):
    """What is read of each sample's path, in the order of the steps.

    With one row the samples share their times.
    """

    begin: Array  # (N or 1, n_steps+1): times begin[i, n], ..., begin[i, n+1]-1 lie in step n
    fraction: Array  # (N or 1, K): where in its step each time is, 0 to 1
    shares: Array  # (4, n_stages): b, e_1 - b, 2 b - e_1 - e_s, d


@kernel(cache=False)
def slope_shares(shares, x, beta):
    """beta_i(x): the share of each slope in the state."""
    u = 1.0 - x
    for i in range(beta.shape[0]):
        inside = shares[1, i] + x * (shares[2, i] + u * shares[3, i])
        beta[i] = x * (shares[0, i] + u * inside)


@kernel(cache=False)
def slope_rates(shares, x, beta):
    """beta_i'(x)."""
    u = 1.0 - x
    for i in range(beta.shape[0]):
        r = shares[2, i] + u * shares[3, i]
        q = shares[1, i] + x * r
        q_dot = r - x * shares[3, i]
        beta[i] = shares[0, i] + u * q + x * (u * q_dot - q)


@kernel(cache=False)
def state_within(Y, F, h, beta, s, z):
    """z <- y + h sum_i beta_i k_i, of column s; slopes of no share are not looked at.

    At a step's end these are the operations of the step itself, and its bits.
    """
    for r in range(z.shape[0]):
        z[r] = Y[r, s]
    for i in range(F.shape[0]):
        if beta[i] != 0.0:
            factor = h * beta[i]
            for r in range(z.shape[0]):
                z[r] += factor * F[i, r, s]
