"""Mistakes in objectives of supervised problems and flows, and in accumulators."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from refode.check.plain.mistakes import Mistakes
from refode.check.variants.adjoint import TERMS
from refode.check.variants.make import Document, Variant, edited, knobs, weighed

Array = NDArray[Any]
RUN, FIT, DRIFT = ("ode", "flow", "game"), ("supervised",), ("flow",)
BOTH = ("supervised", "flow")


def _labels(kind: str, change: Any) -> Any:
    """Labels changed, where the loss has some."""

    def chosen(document: Document) -> Mistakes | None:
        return Mistakes(labels=change) if document["problem"]["loss"] == kind else None

    return chosen


def _square(document: Document) -> Mistakes | None:
    """The readout can only be forgotten where states have as many components as outputs."""
    problem = document["problem"]
    fits = problem["n_outputs"] == document["field"]["dim"] or problem["loss"] == "softmax"
    return Mistakes(no_readout=True) if problem["readout"] and fits else None


def _zeros(document: Document) -> Mistakes | None:
    return Mistakes(zeros_in_front=True) if document["problem"]["augment"] else None


def _exact(document: Document) -> Document | None:
    problem = {k: v for k, v in document["problem"].items() if k != "trace"}
    return {"problem": problem} if "trace" in document["problem"] else None


ACCUMULATORS: tuple[Variant, ...] = (
    knobs(
        "accumulators-at-start",
        "Accumulators (log-determinant, costs, residual) start at the "
        "first time of the integration instead of at 0.",
        RUN,
        start="along",
    ),
    knobs(
        "accumulators-at-t0",
        "Accumulators (log-determinant, costs, residual) start at t0 instead of at 0.",
        RUN,
        start="span",
    ),
    knobs(
        "log-det-at-start",
        "The log-determinant (or log-density) starts with the first time of the integration added.",
        ("flow", "game"),
        start="along",
        start_rows=(0,),
    ),
    knobs(
        "costs-at-start",
        "The running costs start at the first time of the integration instead of at 0.",
        ("flow", "game"),
        start="along",
        start_rows=(1, 2, 3),
    ),
    knobs(
        "quadrature-first",
        "The integrals along the path (log-determinant, costs) take the "
        "first stage of each step alone: they belong to the scheme's state.",
        RUN,
        quadrature="first",
    ),
    knobs(
        "quadrature-last",
        "The integrals along the path (log-determinant, costs) take the last "
        "stage of each step alone: they belong to the scheme's state.",
        RUN,
        quadrature="last",
    ),
    knobs(
        "trace-first", "The trace is the first component's derivative alone.", RUN, trace="first"
    ),
    knobs(
        "trace-sign",
        "The trace (or Laplacian) has the wrong sign, and all that is made of it.",
        RUN,
        trace="minus",
    ),
    knobs(
        "trace-sum",
        "The trace is the sum of all entries of the Jacobian: a derivative of "
        "sum_i f_i instead of the derivatives df_i/dz_i.",
        ("ode", "flow"),
        trace="sum",
    ),
    knobs(
        "trace-with-time",
        "The trace (or Laplacian) is over all of (x, t): it takes in the time.",
        RUN,
        trace="with time",
    ),
    edited(
        "trace-exact",
        "The trace is exact; Hutchinson's estimate with the given noise was asked for.",
        _exact,
        DRIFT,
    ),
    knobs(
        "noise-of-one",
        "Hutchinson's estimate has the first sample's noise for all samples.",
        DRIFT,
        trace="one noise",
    ),
)

SUPERVISED: tuple[Variant, ...] = (
    knobs(
        "sum-over-samples",
        "The loss (or likelihood, or cost) is a sum over samples; it is their mean.",
        ("supervised", "flow", "game"),
        over_samples="sum",
    ),
    knobs("regression-half", "The factor 1/2 of |v - y|^2 is missing.", FIT, loss_half=1.0),
    knobs(
        "regression-mean",
        "|v - y|^2 is a mean over the outputs, with the factor 1/2; it is their sum.",
        FIT,
        over_outputs=True,
    ),
    knobs(
        "regression-mse",
        "|v - y|^2 is a mean over the outputs without the factor 1/2 "
        "(PyTorch's MSELoss); it is half the sum.",
        FIT,
        loss_half=1.0,
        over_outputs=True,
    ),
    knobs(
        "labels-later",
        "Labels are one too large: they count from 0.",
        FIT,
        chosen=_labels("softmax", lambda y: y + 1),
    ),
    knobs(
        "labels-earlier",
        "Labels are one too small: they count from 0.",
        FIT,
        chosen=_labels("softmax", lambda y: y - 1),
    ),
    knobs(
        "labels-turned",
        "Labels 0 and 1 are exchanged, or v has the wrong sign.",
        FIT,
        chosen=_labels("logistic", lambda y: 1.0 - y),
    ),
    knobs(
        "labels-product",
        "The logistic loss is log(1 + exp(-y v)) with y in {0, 1}: that "
        "formula is for y in {-1, 1}.",
        FIT,
        signed_labels="product",
    ),
    knobs(
        "labels-signed",
        "The logistic loss is log(1 + exp v) - y v with y in {-1, 1}: that "
        "formula is for y in {0, 1}.",
        FIT,
        signed_labels="shifted",
    ),
    knobs("readout-bias", "The readout's bias is missing: W z(T) + b.", FIT, no_bias=True),
    knobs(
        "readout-missing",
        "The readout is missing: the loss is that of the states.",
        FIT,
        chosen=_square,
    ),
    knobs(
        "zeros-in-front",
        "Zeros are put in front of the data; they are appended.",
        FIT,
        chosen=_zeros,
    ),
    knobs(
        "tikhonov-half", "The factor 1/2 of the Tikhonov term is missing.", BOTH, tikhonov_half=1.0
    ),
    knobs(
        "tikhonov-norm",
        "The Tikhonov term has |theta| instead of |theta|^2.",
        BOTH,
        tikhonov_power=1.0,
    ),
    knobs(
        "tikhonov-readout",
        "The Tikhonov term leaves out the readout.",
        FIT,
        tikhonov_blocks=lambda name: name not in ("W", "b"),
    ),
    knobs(
        "tikhonov-biases",
        "The Tikhonov term leaves out the biases.",
        BOTH,
        tikhonov_blocks=lambda name: name[0] != "b",
    ),
    knobs(
        "tikhonov-readout-alone",
        "The Tikhonov term has the readout alone.",
        FIT,
        tikhonov_blocks=lambda name: name in ("W", "b"),
    ),
    knobs(
        "smoothness-half",
        "The factor 1/2 of the smoothness term is missing.",
        BOTH,
        smoothness_half=1.0,
    ),
    knobs(
        "smoothness-length",
        "The smoothness term takes the interval's length for 1: theta' is a "
        "derivative by t, not by the scaled time.",
        BOTH,
        length_power=0.0,
    ),
    knobs(
        "smoothness-squared",
        "The smoothness term has theta' by t but an integral over the "
        "scaled time: the interval's length enters once more.",
        BOTH,
        length_power=-2.0,
    ),
    knobs(
        "smoothness-times",
        "The smoothness term is multiplied by the interval's length instead of divided.",
        BOTH,
        length_power=1.0,
    ),
    knobs(
        "smoothness-differences",
        "The smoothness term is a sum of squared differences of "
        "coefficients instead of the integral of |theta'|^2.",
        BOTH,
        smoothness="differences",
    ),
    knobs(
        "smoothness-readout",
        "The smoothness term takes in the readout, which does not depend on t.",
        FIT,
        smoothness="readout",
    ),
    *(
        weighed(f"total-{how}-{term}", f"{words} {term}.", term, factor, kinds, total=True)
        for how, factor, words in (
            ("without", 0.0, "The total lacks the term"),
            ("minus", -1.0, "The total has with the wrong sign the term"),
        )
        for term, kinds in TERMS.items()
    ),
)

FLOWS: tuple[Variant, ...] = (
    knobs(
        "log-det-sign",
        "The log-determinant enters the density with the wrong sign: with l the "
        "integral along the way from the data to the Gaussian, log rho(x) = log pi(z) + l.",
        DRIFT,
        density_sign=-1.0,
    ),
    knobs("log-det-missing", "The density lacks the log-determinant.", DRIFT, density_sign=0.0),
    knobs("density-constant", "The density lacks the constant d/2 log 2 pi.", DRIFT, constant=0.0),
    knobs(
        "density-constant-once",
        "The density's constant is that of one dimension, 1/2 log 2 pi.",
        DRIFT,
        chosen=lambda d: Mistakes(constant=1.0 / d["field"]["dim"]),
    ),
    knobs(
        "density-constant-whole",
        "The density's constant is d log 2 pi: its factor 1/2 is missing.",
        DRIFT,
        constant=2.0,
    ),
    knobs(
        "transport-half",
        "The factor 1/2 of the transport cost |f|^2/2 is missing.",
        DRIFT,
        cost_half=1.0,
    ),
    knobs(
        "transport-length",
        "The transport cost is the integral of |f| instead of |f|^2/2.",
        DRIFT,
        cost_half=1.0,
        cost_power=1.0,
    ),
    knobs(
        "transport-sign",
        "The transport cost is negative where time runs backwards.",
        DRIFT,
        cost_signed=True,
    ),
)

__all__ = ["ACCUMULATORS", "FLOWS", "SUPERVISED"]
