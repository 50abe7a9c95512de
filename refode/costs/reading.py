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
def reads_within(about, at):
    """Whether any of the samples is read within the step."""
    for s in range(at.m):
        own = own_of(about, at.first + s)
        if about.begin[own, at.n + 1] > about.begin[own, at.n]:
            return True
    return False


@kernel(cache=False)
def parts_within(about, h, F, P):
    """P <- the four sums h sum_i shares_i F_i, by which a path is a polynomial within the step."""
    d = F.shape[1]
    for m in range(about.shares.shape[0]):
        for r in range(d):
            for s in range(P.shape[1]):
                P[m * d + r, s] = 0.0
        for i in range(F.shape[0]):
            factor = h * about.shares[m, i]
            if about.shares[m, i] != 0.0:
                for r in range(d):
                    for s in range(P.shape[1]):
                        P[m * d + r, s] += factor * F[i, r, s]


@kernel(cache=False)
def parts_within_adjoint(about, h, P_bar, F_bar):
    """F_bar <- the cotangents of the slopes from those of the four sums."""
    d = F_bar.shape[1]
    for i in range(F_bar.shape[0]):
        for m in range(about.shares.shape[0]):
            factor = h * about.shares[m, i]
            if about.shares[m, i] != 0.0:
                for r in range(d):
                    for s in range(P_bar.shape[1]):
                        F_bar[i, r, s] += factor * P_bar[m * d + r, s]


@kernel(cache=False)
def read_within(Y, P, x, s, z):
    """z <- y + x (P_0 + u (P_1 + x (P_2 + u P_3))), of column s."""
    d, u = z.shape[0], 1.0 - x
    for r in range(d):
        inside = P[2 * d + r, s] + u * P[3 * d + r, s]
        z[r] = Y[r, s] + x * (P[r, s] + u * (P[d + r, s] + x * inside))


@kernel(cache=False)
def read_within_adjoint(z_bar, x, s, Y_bar, P_bar):
    """Y_bar += z_bar, and what that gives the four sums."""
    d, u = z_bar.shape[0], 1.0 - x
    for r in range(d):
        bar = z_bar[r]
        Y_bar[r, s] += bar
        bar = x * bar
        P_bar[r, s] += bar
        bar = u * bar
        P_bar[d + r, s] += bar
        bar = x * bar
        P_bar[2 * d + r, s] += bar
        P_bar[3 * d + r, s] += u * bar


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
