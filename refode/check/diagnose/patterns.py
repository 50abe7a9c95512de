"""Mistakes told by where the errors are: in which cases, which stages, of which size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from refode.check.diagnose.cells import Candidate, Cell, Document, Key
from refode.check.outcome import EPS, INVALID, RIGHT, Row
from refode.check.sizes import largest

#: Quantities that are derivatives of others.
DERIVATIVES = ("tangent", "x_bar", "theta_bar", "gradient", "hessian_vector")


# --- precision -------------------------------------------------------------------------------


#: What errors look like where correct implementations round, pooled over arrays: the median of
#: the largest errors is 0.004 to 0.01 of the tolerance, neighbours' relative errors have the same
#: sign in 0.51 to 0.64 of all pairs. A correct one may be somewhat worse.
TYPICAL, SAME_SIGN = 0.03, 0.67
#: The share of arrays, and of numbers, that "nearly all" stands for.
NEARLY, STORED = 0.8, 0.9
#: Where single precision comes from without being asked for.
SINGLE = (
    " Look for a number type: JAX computes in float32 unless jax_enable_x64 is set, PyTorch unless"
    " the default or the tensors are torch.float64, NumPy where an array is np.float32."
)
#: Pairs of neighbours that say anything of signs.
PAIRS = 16


def coarse(rows: Sequence[Row], cells: Sequence[Cell]) -> list[Candidate]:
    """Errors that look like a coarser precision's, in nearly all that nothing else explains.

    That the tolerance covers them is not enough: at bfloat16 it may reach two thirds of an array.
    Either the wrong numbers are numbers of the precision, or their errors are as small beside
    the tolerance and as mixed in sign as those of rounding.
    """
    models = {(r.case, r.quantity): r.model for r in rows}
    for model in sorted(EPS, key=EPS.__getitem__):
        within = [c for c in cells if models[c.key] and EPS[models[c.key]] <= EPS[model]]
        if not within or len(within) < NEARLY * len(cells):
            continue
        of_model = _stored_share(within, model)
        if of_model < STORED and not _like_rounding(within, model):
            continue
        good = {r.name for r in rows if r.verdict == RIGHT and r.size}
        alone = [name for name in sorted({c.name for c in within}) if name not in good]
        where = f" in {', '.join(alone)}" if good and alone else ""
        stored = of_model == 1.0
        how = "results are rounded to it" if stored else "something is computed in it inside"
        hint = SINGLE if model == "float32" else ""
        sentence = f"errors are those of {model}{where}: {how}.{hint}"
        return [Candidate("precision", sentence, {c.key for c in within}, certain=False)]
    return []


def _stored_share(cells: Sequence[Cell], model: str) -> float:
    """The share of wrong numbers that are numbers of the precision."""
    wrong = np.concatenate([c.got[np.abs(c.got - c.right) > c.tolerance] for c in cells])
    single = wrong.astype(np.float32)
    fits = wrong == single
    if model == "bfloat16":
        fits &= (single.view(np.uint32) & 0xFFFF) == 0
    return float(fits.mean())


def _like_rounding(cells: Sequence[Cell], model: str) -> bool:
    """Whether errors are as small and as mixed as rounding leaves them.

    A factor that varies smoothly within an array gives relative errors that mostly have the sign
    of their neighbours'. A few numbers by themselves may be small by chance.
    """
    typical = np.median([largest(c.got - c.right) / c.allowed[model] for c in cells])
    signs = [
        np.sign(c.got - c.right)[wrong] * np.sign(c.right)[wrong]
        for c in cells
        for wrong in [np.abs(c.got - c.right) > c.tolerance]
    ]
    alike = np.concatenate([s[1:] == s[:-1] for s in signs])
    if len(alike) < PAIRS:
        return False
    return bool(typical <= TYPICAL and alike.mean() <= SAME_SIGN + 1.0 / np.sqrt(len(alike)))


# --- NaN where a weight is 0 -----------------------------------------------------------------


def divided_by_zero(rows: Sequence[Row], documents: dict[str, Document]) -> list[Candidate]:
    """NaN or infinity exactly in cases of schemes with a weight b_i = 0."""
    signs = ("got nan", "got inf", "got -inf")
    invalid = [r for r in rows if r.verdict == INVALID and r.reason.startswith(signs)]
    if not invalid or not all(_has_zero_weight(documents.get(r.case)) for r in invalid):
        return []
    sentence = (
        "not finite where the scheme has a weight b_i = 0, and only there: an adjoint that divides "
        "by b_i. Form b_i times the cotangent instead."
    )
    return [Candidate("zero-weight", sentence, {(r.case, r.quantity) for r in invalid}, rank=0.1)]


def _has_zero_weight(document: Document | None) -> bool:
    return document is not None and any(Fraction(b) == 0 for b in document["scheme"]["b"])


# --- noise -----------------------------------------------------------------------------------


def noise(cells: Iterable[Cell], right: set[Key]) -> list[Candidate]:
    """Hutchinson's estimates that are right at the first stage and wrong later, on right states."""
    redrawn = Candidate("noise-redrawn", "", rank=0.3, certain=False)
    cells = list(cells)
    for cell in cells:
        if cell.quantity != "trace" or cell.document["problem"].get("trace") != "hutchinson":
            continue
        close = np.abs(cell.got - cell.right).max(axis=-1) <= cell.tolerance
        name = cell.document["name"]
        if close[0, 0] and not close.all() and (name, "stages") in right:
            redrawn.explained |= {c.key for c in cells if c.document["name"] == name}
    redrawn.sentence = (
        "Hutchinson's noise is drawn anew between stages: the first stage's estimate is right, "
        "later ones are not, on right states. It has to be kept along the whole path."
    )
    return [redrawn] if redrawn.explained else []


# --- which cases -----------------------------------------------------------------------------

Feature = Callable[[Document], Any]

FEATURES: dict[str, Feature] = {
    "theta varies in time": lambda d: d["basis"]["type"] != "Constant" and d["basis"]["J"] > 1,
    "the basis is {}": lambda d: d["basis"]["type"],
    "the field is {}": lambda d: d["field"]["type"],
    "the field takes t": lambda d: d["field"].get("time", d["field"]["type"] == "Potential"),
    "the activation is {}": lambda d: d["field"].get("activation"),
    "the quadratic is {}": lambda d: d["field"].get("quadratic"),
    "the potential has {} layers": lambda d: d["field"].get("depth"),
    "the scheme is {}": lambda d: d["scheme"]["name"],
    "the scheme has a weight b_i = 0": lambda d: _has_zero_weight(d),
    "the scheme has one stage": lambda d: len(d["scheme"]["b"]) == 1,
    "the scheme is symplectic": lambda d: "half" in d["scheme"],
    "there is more than one step": lambda d: d["n_steps"] > 1,
    "there is more than one sample": lambda d: d["inputs"]["x"]["shape"][0] > 1,
    "integration runs backwards": lambda d: Fraction(d["along"][1]) < Fraction(d["along"][0]),
    "t_span is not [0, 1]": lambda d: [Fraction(t) for t in d["t_span"]] != [0, 1],
    "the kind is {}": lambda d: d["problem"]["type"],
    "the loss is {}": lambda d: d["problem"].get("loss"),
    "zeros are appended": lambda d: bool(d["problem"].get("augment")),
    "there is a readout": lambda d: d["problem"].get("readout"),
    "there are intermediate observations": lambda d: "path_bar" in d["inputs"],
    "the trace is an estimate": lambda d: d["problem"].get("trace") == "hutchinson",
    "the terminal cost is {}": lambda d: d["problem"].get("kind"),
    "the HJB norm is {}": lambda d: d["problem"].get("hjb_norm"),
    "there is an interaction cost Q": lambda d: bool(d["problem"].get("energy")),
    "a density is a mixture": lambda d: any(
        len(d["problem"][k]["weights"]) > 1 for k in ("initial", "target") if d["problem"].get(k)
    ),
}


def _weighted(name: str) -> Feature:
    return lambda d: Fraction(d["problem"].get(name, "0")) != 0


for _weight in ("tikhonov", "smoothness", "transport", "entropy", "hjb", "hjb_terminal"):
    FEATURES[f"the weight {_weight} is not 0"] = _weighted(_weight)


def where(name: str, bad: list[Document], good: list[Document]) -> str:
    """What the cases have in common in which a quantity is wrong; "" where nothing tells."""
    in_common = []
    for words, feature in FEATURES.items():
        values = {_text(feature(d)) for d in bad}
        others = {_text(feature(d)) for d in good}
        if len(values) == 1 and not values & others and good:
            (value,) = values
            in_common.append(
                words.format(value)
                if value not in ("True", "False")
                else words
                if value == "True"
                else f"not: {words}"
            )
    if in_common:
        return f"{name} is wrong exactly where {' and '.join(in_common[:2])}"
    return ""


def _text(value: Any) -> str:
    return str(value)


# --- which quantity is the first -------------------------------------------------------------

#: What to look at where a quantity is wrong and all that it is made of is right.
HINTS = {
    "stages": "the stage states Y_i = y + h sum_j a_ij k_j: the tableau's A, or the step",
    "slopes": "the field itself, its weights theta(t), or the time at which they are read",
    "trace": "the trace of the field's Jacobian",
    "phi": "the potential network",
    "phi_gradient": "the potential's gradient by x",
    "phi_time": "the potential's derivative by t",
    "phi_laplacian": "the potential's Laplacian",
    "trajectory": "how stages are summed to a step: the weights b, or h",
    "log_det": "the quadrature of the trace: its sign, the weights b, its start at 0",
    "log_density_path": "the initial density, or the quadrature of the Laplacian along paths",
    "outputs": "the readout W z + b",
    "inverse": "the inverse: integration from T to t0 with the same scheme",
    "log_density": "the reference density, its constant, or the sign of the log-determinant",
    "transport_cost": "the quadrature of |f|^2 / 2",
    "terms": "the terms of the objective: loss, densities, weights, means over samples",
    "total": "the sum of the terms",
    "tangent": "the derivative along a direction",
    "x_bar": "the adjoint of the states",
    "theta_bar": "the adjoint's accumulation into theta",
    "gradient": "the adjoint: values are right",
    "hessian_vector": "second derivatives: the gradient is right",
}


def first_wrong(rows: Sequence[Row], order: Sequence[str]) -> str:
    """The most upstream quantity that is wrong in a case in which nothing before it is."""
    wrong: dict[str, set[str]] = {}
    for row in rows:
        if row.failed and row.name:
            wrong.setdefault(row.case, set()).add(row.name)
    firsts = [
        next(n for n in order if n in names)
        for names in wrong.values()
        if any(n in names for n in order)
    ]
    return max(set(firsts), key=lambda n: (firsts.count(n), -order.index(n))) if firsts else ""
