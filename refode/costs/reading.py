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


# --- a block of samples together ---------------------------------------------------------------
@kernel(cache=False)
def own_of(about, i):
    """The row of sample i's times."""
    return i if about.begin.shape[0] > 1 else 0


@kernel(cache=False)
def time_of(about, at, q, s):
    """Which of its times column s has as its q-th within the step; -1 where it has not so many."""
    own = own_of(about, at.first + s)
    j = about.begin[own, at.n] + q
    return j if j < about.begin[own, at.n + 1] else -1


@kernel(cache=False)
def most_within(about, at):
    """How many times the sample has that has most within the step."""
    most = 0
    for s in range(at.m):
        own = own_of(about, at.first + s)
        most = max(most, about.begin[own, at.n + 1] - about.begin[own, at.n])
    return most


@kernel(cache=False)
def shares_within(about, at, q, h, beta):
    """beta[i, s] <- h beta_i at each column's q-th time within the step; 0 where it has none."""
    last = beta.shape[0] - 1  # holds the fractions for a while
    for s in range(beta.shape[1]):
        j = time_of(about, at, q, s) if s < at.m else -1
        beta[last, s] = about.fraction[own_of(about, at.first + s), j] if j >= 0 else 0.0
    shares = about.shares
    for i in range(beta.shape[0]):
        b, g, k, e = shares[0, i], shares[1, i], shares[2, i], shares[3, i]
        for s in range(beta.shape[1]):
            x = beta[last, s]
            u = 1.0 - x
            beta[i, s] = h * (x * (b + u * (g + x * (k + u * e))))


@kernel(cache=False)
def states_within(Y, F, beta, Z):
    """Z <- Y + sum_i beta_i F_i, each column by its own beta."""
    for r in range(Z.shape[0]):
        for s in range(Z.shape[1]):
            Z[r, s] = Y[r, s]
        for i in range(F.shape[0]):
            for s in range(Z.shape[1]):
                Z[r, s] += beta[i, s] * F[i, r, s]


@kernel(cache=False)
def time_within(about, i, j, F, z_bar, s):
    """t_bar = sum_i beta_i' zbar . k_i, of column s."""
    x = about.fraction[own_of(about, i), j]
    u, bar = 1.0 - x, z_bar[0] * 0
    for q in range(F.shape[0]):
        r = about.shares[2, q] + u * about.shares[3, q]
        inside = about.shares[1, q] + x * r
        inside_dot = r - x * about.shares[3, q]
        rate = about.shares[0, q] + u * inside + x * (u * inside_dot - inside)
        for p in range(z_bar.shape[0]):
            bar += rate * z_bar[p] * F[q, p, s]
    return bar
