"""Mistakes in mean field games."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refode.check.variants.make import Document, Variant, edited, gradient_alone, knobs

GAME = ("game",)


def _rules(change: Callable[[Document], Document | None]) -> Callable[[Document], Document | None]:
    """Settings of the game changed."""

    def edit(document: Document) -> Document | None:
        changed = change(document["problem"])
        return None if changed is None else {"problem": {**document["problem"], **changed}}

    return edit


def _norm(given: str, taken: str) -> Callable[[Document], Document | None]:
    return _rules(lambda p: {"hjb_norm": taken} if p["hjb_norm"] == given else None)


def _covariances(change: Callable[[Any], Any]) -> Callable[[Document], Document | None]:
    """Covariances of the densities read as something else."""

    def reread(rho: Any) -> Any:
        if rho is None:
            return None
        covariances = [change(np.array(S, dtype=float)) for S in rho["covariances"]]
        texts = [[[repr(float(a)) for a in row] for row in S] for S in covariances]
        return {**rho, "covariances": texts}

    return _rules(lambda p: {"initial": reread(p["initial"]), "target": reread(p["target"])})


GAMES: tuple[Variant, ...] = (
    edited(
        "hjb-squared",
        "The HJB residual is squared; the norm asked for is the absolute value.",
        _norm("absolute", "squared"),
        GAME,
    ),
    edited(
        "hjb-absolute",
        "The HJB residual enters by its absolute value; squares are asked for.",
        _norm("squared", "absolute"),
        GAME,
    ),
    knobs(
        "hjb-positive-part", "max(r, 0) stands for |r| in the HJB terms.", GAME, positive_part=True
    ),
    knobs(
        "hjb-outside",
        "The norm is taken of the integral of r; it is the integral of |r| or r^2.",
        GAME,
        outside=True,
    ),
    edited(
        "hjb-weights-swapped",
        "The weights hjb and hjb_terminal are exchanged.",
        _rules(
            lambda p: (
                {"hjb": p["hjb_terminal"], "hjb_terminal": p["hjb"]}
                if p["target"] or p["kind"] == "energy"
                else None
            )
        ),
        GAME,
    ),
    edited(
        "hjb-weights-one",
        "The weights hjb and hjb_terminal are taken for 1.",
        _rules(lambda p: {k: "1" for k in ("hjb", "hjb_terminal") if float(p[k])}),
        GAME,
    ),
    edited(
        "hjb-terminal-missing",
        "The terminal penalty |Phi(T) - G'| is missing.",
        _rules(lambda p: {"hjb_terminal": "0"}),
        GAME,
    ),
    edited(
        "hjb-missing",
        "The HJB residual along the paths is missing.",
        _rules(lambda p: {"hjb": "0"}),
        GAME,
    ),
    knobs(
        "alpha-in-feedback",
        "alpha is missing in the velocity and in the density's rate: v = -grad Phi / alpha.",
        GAME,
        no_alpha="vd",
    ),
    knobs(
        "alpha-in-velocity",
        "alpha is missing in the velocity alone: v = -grad Phi / alpha.",
        GAME,
        no_alpha="v",
    ),
    knobs(
        "alpha-in-density",
        "alpha is missing in the density's rate Lap Phi / alpha.",
        GAME,
        no_alpha="d",
    ),
    knobs("alpha-in-L", "alpha is missing in L = |grad Phi|^2 / (2 alpha).", GAME, no_alpha="L"),
    knobs(
        "alpha-in-r",
        "alpha is missing in the HJB residual's |grad Phi|^2 / (2 alpha).",
        GAME,
        no_alpha="r",
    ),
    knobs(
        "alpha-inverse-L",
        "L is alpha |grad Phi|^2 / 2; it is alpha |v|^2 / 2 = |grad Phi|^2 / (2 alpha).",
        GAME,
        inverse_alpha="L",
    ),
    knobs(
        "alpha-inverse-r",
        "The HJB residual has alpha |grad Phi|^2 / 2 instead of |grad Phi|^2 / (2 alpha).",
        GAME,
        inverse_alpha="r",
    ),
    edited(
        "alpha-one",
        "alpha is taken for 1 everywhere.",
        _rules(lambda p: {"alpha": "1"} if float(p["alpha"]) else None),
        GAME,
    ),
    knobs("L-half", "The factor 1/2 of L = |grad Phi|^2 / (2 alpha) is missing.", GAME, L_half=1.0),
    knobs(
        "r-half",
        "The factor 1/2 of |grad Phi|^2 / (2 alpha) is missing in the HJB residual.",
        GAME,
        r_half=1.0,
    ),
    knobs("bowl-half", "The factor 1/2 of a quadratic energy is missing.", GAME, bowl_half=1.0),
    knobs(
        "bump-constant",
        "A bump's Gaussian lacks its constant: it is the height times a density.",
        GAME,
        bump_constant=0.0,
    ),
    knobs(
        "entropy-one",
        "The entropy's derivative lacks its 1: lambda (log rho + 1).",
        GAME,
        entropy_one=0.0,
    ),
    knobs("entropy-in-r", "The entropy is missing in the HJB residual.", GAME, entropy_in_r=0.0),
    knobs("entropy-in-F", "The entropy is missing in F.", GAME, entropy_in_F=0.0),
    knobs(
        "entropy-sign",
        "The entropy enters the HJB residual with the wrong sign.",
        GAME,
        entropy_in_r=-1.0,
    ),
    edited(
        "entropy-missing",
        "The entropy is missing in F and in the HJB residual.",
        _rules(lambda p: {"entropy": "0"}),
        GAME,
    ),
    knobs(
        "stale-density-running",
        "The entropy uses log rho(t0, x) all along the path: log rho "
        "has to be carried with the state.",
        GAME,
        stale="Fr",
    ),
    knobs(
        "stale-density-in-r",
        "The entropy in the HJB residual uses log rho(t0, x) all along "
        "the path: log rho has to be carried with the state.",
        GAME,
        stale="r",
    ),
    knobs(
        "stale-density-terminal",
        "The terminal cost and its derivative use log rho(t0, x) instead of log rho(T, z(T)).",
        GAME,
        stale="Gg",
    ),
    knobs(
        "stale-density-in-G",
        "The terminal cost uses log rho(t0, x) instead of log rho(T, z(T)).",
        GAME,
        stale="G",
    ),
    knobs(
        "stale-density-in-penalty",
        "The terminal penalty uses log rho(t0, x) instead of log rho(T, z(T)).",
        GAME,
        stale="g",
    ),
    knobs(
        "Q-sign-in-r",
        "Q enters the HJB residual with the wrong sign: -dPhi/dt + H - Q.",
        GAME,
        Q_in_r=-1.0,
    ),
    knobs("Q-missing-in-r", "Q is missing in the HJB residual.", GAME, Q_in_r=0.0),
    edited(
        "Q-missing",
        "Q is missing in F and in the HJB residual.",
        _rules(lambda p: {"energy": []}),
        GAME,
    ),
    knobs(
        "phi-time-sign",
        "dPhi/dt enters the HJB residual with the wrong sign: -dPhi/dt + H - F.",
        GAME,
        phi_time=-1.0,
    ),
    knobs("phi-time-missing", "dPhi/dt is missing in the HJB residual.", GAME, phi_time=0.0),
    knobs(
        "log-rho-sign",
        "log rho moves with the wrong sign: its rate is -div v = Lap Phi / alpha.",
        GAME,
        log_rho_sign=-1.0,
    ),
    knobs(
        "log-rho-still",
        "log rho does not move: its rate is Lap Phi / alpha.",
        GAME,
        log_rho_sign=0.0,
    ),
    knobs(
        "divergence-reversed",
        "The Kullback-Leibler divergence has the wrong sign: log rho - log rho_Y.",
        GAME,
        reversed_divergence=True,
    ),
    knobs(
        "terminal-at-one",
        "The terminal penalty takes Phi at t = 1 instead of T.",
        GAME,
        end_at="one",
    ),
    knobs(
        "terminal-at-start",
        "The terminal penalty takes Phi at t0 instead of T.",
        GAME,
        end_at="start",
    ),
    knobs(
        "rows-swapped",
        "Rows of the state are exchanged: L and F, or a flow's log-determinant and transport cost.",
        ("flow", "game"),
        swapped_rows=True,
    ),
    *(
        gradient_alone(
            f"r-detached-{key}",
            f"The gradient lacks what comes through {words} in the HJB residual.",
            GAME,
            r_detached=part,
        )
        for key, part, words in (
            ("time", "time", "dPhi/dt"),
            ("square", "square", "|grad Phi|^2"),
            ("Q", "Q", "Q"),
            ("entropy", "log rho", "log rho"),
        )
    ),
    gradient_alone(
        "penalty-target-detached",
        "The gradient lacks what comes through G' in the terminal penalty |Phi(T) - G'|.",
        GAME,
        target_detached=True,
    ),
    knobs(
        "gaussian-two-pi",
        "The game's log-densities, initial and target, lack d/2 log 2 pi.",
        GAME,
        two_pi=0.0,
    ),
    knobs(
        "gaussian-determinant",
        "The game's log-densities, initial and target, lack log det S / 2.",
        GAME,
        determinant=0.0,
    ),
    knobs(
        "target-constant",
        "The target's log-density lacks its constant (d log 2 pi + log det S)/2.",
        GAME,
        target_constant=0.0,
    ),
    knobs(
        "initial-constant",
        "The initial log-density lacks its constant (d log 2 pi + log det S)/2.",
        GAME,
        initial_constant=0.0,
    ),
    edited(
        "covariance-as-factor",
        "Covariances are taken for their square roots: a deviation for a variance.",
        _covariances(lambda S: S @ S.T),
        GAME,
    ),
    edited(
        "covariance-as-precision",
        "Covariances are taken for precisions, or the other way round.",
        _covariances(np.linalg.inv),
        GAME,
    ),
    edited(
        "terminal-weight",
        "The weight `terminal` is taken for 1.",
        _rules(lambda p: {"terminal": "1"}),
        GAME,
    ),
    knobs(
        "terminal-in-penalty",
        "The weight `terminal` is missing in the terminal penalty: "
        "G' = terminal (1 + log rho - log rho_Y), or terminal g of an energy g.",
        GAME,
        terminal_in_G=0.0,
    ),
    knobs(
        "penalty-one",
        "The derivative of the Kullback-Leibler divergence lacks its 1: 1 + log rho - log rho_Y.",
        GAME,
        G_one=0.0,
    ),
    knobs(
        "penalty-sign",
        "G' enters the terminal penalty with the wrong sign: |Phi(T) - G'|.",
        GAME,
        G_sign=-1.0,
    ),
)
