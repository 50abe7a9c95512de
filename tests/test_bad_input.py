"""Bad input is refused by name: hypothesis draws the call, the argument and how it is spoiled."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import refode
from refode import bases, evaluate, fields

FIELD = fields.Shallow(2, 3, time=True)
grouped = pytest.mark.parametrize("group", ["x"], ids=["ShallowSpec-bad-input"])
SEED = st.integers(0, 2**16)


class Call(NamedTuple):
    """A function with good arguments, and which of them are arrays, integer labels or neither."""

    function: Callable[..., Any]
    arguments: dict[str, Any]
    labels: tuple[str, ...] = ()


def calls() -> dict[str, Call]:
    rng = np.random.default_rng(0)
    ode = refode.NeuralODE(FIELD, "rk4", 3, basis=bases.PiecewiseLinear(2))
    theta, x, z_bar = ode.initial(), rng.standard_normal((4, 2)), rng.standard_normal((4, 2))
    span, l_bar = (0.0, 1.0), rng.standard_normal(4)
    at = {"theta": theta, "x": x}
    found = {
        "solve": Call(ode.solve, {**at, "t_span": span}),
        "trajectory": Call(ode.trajectory, {**at, "t_span": span}),
        "log_det": Call(ode.log_det, {**at, "t_span": span}),
        "tangent": Call(ode.tangent, {**at, "theta_dot": theta, "x_dot": z_bar, "t_span": span}),
        "adjoint": Call(ode.adjoint, {**at, "z_bar": z_bar, "t_span": span}),
        "log_det_adjoint": Call(ode.log_det_adjoint, {**at, "z_bar": z_bar, "l_bar": l_bar}),
        "unpack": Call(ode.unpack, {"theta": theta}),
    }
    y = {
        "regression": rng.standard_normal((4, 3)),
        "logistic": np.array([0, 1, 1, 0]),
        "softmax": np.array([0, 2, 1, 2]),
    }
    for loss, target in y.items():
        p = refode.Supervised(ode, loss, 1 if loss == "logistic" else 3, augment=1)
        at = {"theta": p.initial(), "x": x[:, :1].copy()}
        labels = () if loss == "regression" else ("y",)
        for name in ("value", "value_and_gradient"):
            found[f"{loss}.{name}"] = Call(getattr(p, name), {**at, "y": target}, labels)
        for name in ("hessian_vector", "gauss_newton_vector"):
            function = getattr(p, name)
            found[f"{loss}.{name}"] = Call(function, {**at, "v": at["theta"], "y": target}, labels)
        found[f"{loss}.predict"] = Call(p.predict, at)
        found[f"{loss}.features"] = Call(p.features, at)
    for name in ("predict_proba", "predict_label"):
        found[name] = Call(getattr(p, name), at)
    found["transported"] = Call(p.transported, {"theta": p.initial(), "x": x, "t": 0.5})
    flow = refode.ContinuousNormalizingFlow(ode, transport=0.1)
    for name in (
        "value",
        "value_and_gradient",
        "log_density",
        "inverse",
        "transport_cost",
        "log_det_exact",
    ):
        found[f"flow.{name}"] = Call(getattr(flow, name), {"theta": theta, "y": x})
    for name in ("generate", "trajectory"):
        found[f"flow.{name}"] = Call(getattr(flow, name), {"theta": theta, "x": x})
    found["flow.hessian_vector"] = Call(flow.hessian_vector, {"theta": theta, "v": theta, "y": x})
    w = {"weights": FIELD.layout.pack(FIELD.initial(rng)), "z": x}
    found["evaluate.value"] = Call(evaluate.value, {"field": FIELD, **w, "t": 0.3})
    found["evaluate.trace"] = Call(evaluate.trace, {"field": FIELD, **w, "t": 0.3})
    found["evaluate.jacobian"] = Call(evaluate.jacobian, {"field": FIELD, **w, "t": 0.3})
    found["evaluate.tangent"] = Call(
        evaluate.tangent, {"field": FIELD, **w, "weights_dot": w["weights"], "z_dot": x}
    )
    found["evaluate.adjoint"] = Call(
        evaluate.adjoint, {"field": FIELD, **w, "f_bar": x, "trace_bar": l_bar, "t": 0.3}
    )
    return found


CALLS = calls()


def put(value: Any) -> Callable[[np.ndarray, Any], Any]:
    """A copy with `value` somewhere."""

    def spoil(a: np.ndarray, rng: Any) -> np.ndarray:
        a = a.astype(float)
        a[tuple(rng.integers(n) for n in a.shape)] = value
        return a

    return spoil


SPOILERS: dict[str, Callable[[np.ndarray, Any], Any]] = {
    "one row less": lambda a, rng: a[:-1],
    "one row more": lambda a, rng: np.concatenate([a, a[:1]]),
    "another axis": lambda a, rng: np.stack([a, a], axis=int(rng.integers(a.ndim + 1))),
    "too flat": lambda a, rng: a.ravel()[0] if a.ndim == 1 else a.ravel(),
    "one column more": lambda a, rng: np.concatenate([a, a[..., :1]], axis=-1),
    "no rows": lambda a, rng: a[:0],
    "no columns": lambda a, rng: a[..., :0],
    "nan": put(np.nan),
    "inf": put(np.inf),
    "-inf": put(-np.inf),
    "complex": lambda a, rng: a + 0j,
    "objects": lambda a, rng: a.astype(object),
    "text": lambda a, rng: a.astype(str),
    "bytes": lambda a, rng: a.astype("S8"),
    "dates": lambda a, rng: np.zeros(a.shape, dtype="M8[s]"),
    "masked": lambda a, rng: np.ma.masked_invalid(a.astype(float)),
    "ragged": lambda a, rng: [[1.0, 2.0], [3.0]],
    "nothing": lambda a, rng: None,
    "a dict": lambda a, rng: {"x": a},
}
NOT_LABELS: dict[str, Callable[[np.ndarray, Any], Any]] = {
    "booleans": lambda a, rng: a > 0,
    "integers beyond 2**53": lambda a, rng: np.full(a.shape, 2**53 + 1),
    "long doubles": lambda a, rng: np.full(a.shape, np.longdouble(1) + np.finfo(np.longdouble).eps),
}
LABELS: dict[str, Callable[[np.ndarray, Any], Any]] = {
    "a label below": put(-1),
    "a label above": put(3),
    "between labels": put(0.5),
}
# a call may well take another number of samples: what refuses them is another argument's shape
ROWS = {"one row less", "one row more"}
ALLOWED = {
    # views of what numbers there are: a gradient that blew up may be looked at by name
    ("unpack", "theta"): {"nan", "inf", "-inf", "complex"},
    ("evaluate.adjoint", "trace_bar"): {"nothing"},  # it is optional
}


@grouped
def test_unspoiled_calls_pass(group):
    """Else the refusals below would mean nothing."""
    for call in CALLS.values():
        call.function(**call.arguments)


@given(data=st.data(), name=st.sampled_from(sorted(CALLS)), seed=SEED)
@settings(max_examples=300, deadline=None)
def test_spoiled_arrays_are_refused_by_name(data, name, seed):
    call, rng = CALLS[name], np.random.default_rng(seed)
    arrays = [k for k, v in call.arguments.items() if isinstance(v, np.ndarray)]
    argument = data.draw(st.sampled_from(arrays))
    spoilers = SPOILERS | (LABELS if argument in call.labels else NOT_LABELS)
    how = data.draw(st.sampled_from(sorted(set(spoilers) - ALLOWED.get((name, argument), set()))))
    spoiled = spoilers[how](call.arguments[argument], rng)
    culprits = {argument}
    data_alone = name.startswith("flow.") and argument == "y"
    # N is free, so those that go with x are wrong
    if (argument in ("x", "z") or data_alone) and how in ROWS:
        culprits = set(arrays) - {"theta", "theta_dot", "weights", "weights_dot", "v", argument}
        if not culprits:
            return
    with pytest.raises((TypeError, ValueError)) as caught:
        call.function(**{**call.arguments, argument: spoiled})
    text = str(caught.value)
    shown = re.match(r"(\w+)(\[[^\]]*\])?: got .*, wanted ", text, re.DOTALL)
    assert shown, f"{how}: {text}"
    assert shown.group(1) in culprits, f"{how}: {text}"


SPANS = [
    (0.0, 0.0),
    (np.nan, 1.0),
    (0.0, np.inf),
    (0.0,),
    (0.0, 0.5, 1.0),
    1.0,
    "01",
    ("0", "1"),
    (0j, 1.0),
    {0.0, 1.0},
]


@given(
    span=st.sampled_from(SPANS),
    name=st.sampled_from([n for n, c in CALLS.items() if "t_span" in c.arguments]),
)
@settings(deadline=None)
def test_spoiled_intervals_are_refused(span, name):
    with pytest.raises((TypeError, ValueError), match=r"^t_span"):
        CALLS[name].function(**{**CALLS[name].arguments, "t_span": span})
    with pytest.raises((TypeError, ValueError), match=r"^t_span"):
        refode.NeuralODE(FIELD, t_span=span)


def test_an_interval_beyond_the_basis_is_refused():
    """theta(t) has no value there, but for constant weights."""
    call = CALLS["solve"]
    with pytest.raises(ValueError, match=r"^t_span: got .*wanted times within"):
        call.function(**{**call.arguments, "t_span": (0.0, 1.1)})


COUNTS = [0, -1, 2.5, 3.0, "3", True, None, np.nan, [3], 1j]
NUMBERS = [-1e-9, -1, np.nan, np.inf, "1", 1j, None, True, [0.1]]
NAMES = ["Tanh", "", None, 3, b"tanh"]
ODE = refode.NeuralODE(FIELD)
S = refode.Supervised
CONSTRUCTIONS: dict[str, tuple[Callable[..., Any], str, list[Any]]] = {
    "n_steps": (
        lambda v: refode.NeuralODE(FIELD, n_steps=v),
        "n_steps",
        [v for v in COUNTS if v is not None],
    ),
    "field": (lambda v: refode.NeuralODE(v), "field", ["Shallow", None, fields.Shallow]),
    "scheme": (lambda v: refode.NeuralODE(FIELD, v), "scheme", ["RK4", "verlet", None, 4]),
    "basis": (lambda v: refode.NeuralODE(FIELD, basis=v), "basis", [3, "Constant", bases.Constant]),
    "memory": (lambda v: refode.NeuralODE(FIELD, memory=v), "memory", ["reverse", "all", None]),
    "seed": (lambda v: ODE.initial(v), "seed", [-1, 0.5, "0", None]),
    "times": (
        lambda v: ODE.adjoint(ODE.initial(), np.ones((1, 2)), np.ones((1, 2)), times=v),
        "times",
        [1, "yes", None],
    ),
    "ode": (lambda v: S(v), "ode", [FIELD, None]),
    "loss": (lambda v: S(ODE, v), "loss", ["hinge", None, 0]),
    "n_outputs": (lambda v: S(ODE, "softmax", v), "n_outputs", [*COUNTS, 1]),
    "one output": (lambda v: S(ODE, "logistic", v), "n_outputs", [2]),
    "no readout": (lambda v: S(ODE, "regression", v, readout=False), "n_outputs", [3]),
    "augment": (lambda v: S(ODE, augment=v), "augment", [-1, 2, 3, 0.5, "1", True, None]),
    "readout": (lambda v: S(ODE, readout=v), "readout", ["yes", 1, None]),
    "tikhonov": (lambda v: S(ODE, tikhonov=v), "tikhonov", NUMBERS),
    "smoothness": (lambda v: S(ODE, smoothness=v), "smoothness", NUMBERS),
    "width": (lambda v: fields.Shallow(2, v), "width", COUNTS),
    "gamma": (lambda v: fields.Antisymmetric(2, gamma=v), "gamma", NUMBERS),
    "even": (lambda v: fields.Hamiltonian(v), "dim", [*COUNTS, 3]),
    "pairs": (lambda v: fields.Leapfrog(v), "dim", [*COUNTS, 5]),
    "widths": (lambda v: fields.MLP(2, v), "widths", ["32", 32, (3, 0), (3, 2.5), None]),
    "one name a layer": (
        lambda v: fields.MLP(2, (3, 4), v),
        "activation",
        [("tanh",), ("tanh",) * 3, ("tanh", "cosh"), *NAMES],
    ),
    "threads": (refode.set_num_threads, "n", COUNTS),
    "t": (
        lambda v: evaluate.value(FIELD, np.ones(FIELD.n_weights), np.ones((1, 2)), v),
        "t",
        [np.nan, np.inf, "0", 1j, None],
    ),
}
CONSTRUCTIONS["Shallow.dim"] = (lambda v: fields.Shallow(v, 3), "dim", COUNTS)
for _cls in (fields.Affine, fields.MLP, fields.Antisymmetric, fields.Parabolic):
    CONSTRUCTIONS[f"{_cls.__name__}.dim"] = (lambda v, cls=_cls: cls(v), "dim", COUNTS)
for _cls in (fields.Antisymmetric, fields.Parabolic, fields.Hamiltonian, fields.Leapfrog):
    CONSTRUCTIONS[f"{_cls.__name__}.activation"] = (
        lambda v, cls=_cls: cls(2, activation=v),
        "activation",
        NAMES,
    )
    CONSTRUCTIONS[f"{_cls.__name__}.time"] = (
        lambda v, cls=_cls: cls(2, time=v),
        "time",
        [1, 0, None, "yes", 0.5],
    )


@pytest.mark.parametrize("name", CONSTRUCTIONS)
def test_spoiled_constructions_are_refused_by_name(name):
    make, argument, values = CONSTRUCTIONS[name]
    for value in values:
        with pytest.raises((TypeError, ValueError)) as caught:
            make(value)
        text = str(caught.value)
        assert re.match(rf"{argument}(\[\d+\])?: got .*, wanted ", text), f"{value!r}: {text}"


@pytest.mark.parametrize(
    ("bad", "known"),
    [
        (lambda: refode.NeuralODE(FIELD, "rk5"), refode.tableaus.names()),
        (lambda: refode.NeuralODE(fields.Hamiltonian(2), "rk5"), ("verlet", "stormer_verlet")),
        (lambda: S(ODE, "hinge"), ("regression", "logistic", "softmax")),
        (lambda: fields.MLP(2, (3,), "relu"), ("tanh", "softplus", "sine", "identity")),
    ],
)
def test_unknown_names_are_met_with_the_known_ones(bad, known):
    with pytest.raises(ValueError, match="got '(rk5|hinge|relu)'") as caught:
        bad()
    assert all(repr(name) in str(caught.value) for name in known)


@given(data=st.data(), seed=SEED)
@settings(deadline=None)
def test_spoiled_packs_are_refused_by_name(data, seed):
    """A missing name, one too many, a wrong shape, what is no number."""
    problem = S(ODE, "softmax", 3)
    target = data.draw(st.sampled_from([ODE, problem]))
    rng = np.random.default_rng(seed)
    good = {n: rng.standard_normal(s) for n, s in target.layout.shapes.items()}
    flat = target.pack(good)
    assert flat.shape == (target.n_parameters,)
    assert all(np.array_equal(target.unpack(flat)[n], w) for n, w in good.items())
    name = data.draw(st.sampled_from(sorted(good)))
    how = data.draw(st.sampled_from(["missing", "unknown", *sorted(SPOILERS)]))
    if how == "missing":
        bad = {n: w for n, w in good.items() if n != name}
    elif how == "unknown":
        bad = good | {name + "_": good[name]}
    else:
        bad = good | {name: SPOILERS[how](good[name], rng)}
    with pytest.raises((TypeError, ValueError), match=re.escape(name)):
        target.pack(bad)


class _NoBody(fields.Affine):
    """A field whose kernels were forgotten."""

    def description(self) -> Any:
        return self._given

    def __init__(self, given: Any) -> None:
        super().__init__(2)
        self._given = given


class _Forgotten(NamedTuple):
    d: int = 2


@pytest.mark.parametrize(("given", "name"), [(_Forgotten(), "_Forgotten"), (None, "NoneType")])
def test_a_field_without_a_body_is_named(given: Any, name: str) -> None:
    field = _NoBody(given)
    with pytest.raises(TypeError, match=f"field: got a {name}, for which rhs has no body"):
        evaluate.value(field, np.ones(6), np.ones((1, 2)))


@pytest.mark.parametrize("loss", [3, None, int])
def test_a_loss_that_is_none_is_met_with_what_is(loss: Any) -> None:
    ode = refode.NeuralODE(fields.Affine(2))
    with pytest.raises(TypeError, match="loss: got .* wanted a Loss or one of 'regression', 'log"):
        refode.Supervised(ode, loss=loss)
