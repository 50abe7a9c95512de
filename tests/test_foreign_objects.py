"""Objects of other libraries as arguments: right results, or an error that names the remedy.

PyTorch and pandas need not be installed: `Tensor` behaves as a tensor that requires grad does,
`Nullable` and `Table` as pandas's nullable columns. Where pandas is there, it is tried too.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import refode
from refode import evaluate, fields, games, verify
from refode.densities import Gaussian

X = np.random.default_rng(0).standard_normal((5, 2))
ODE = refode.NeuralODE(fields.Shallow(2, 3), n_steps=2)
LOGISTIC = refode.Supervised(ODE)
REGRESSION = refode.Supervised(ODE, "regression")
FLOW = refode.ContinuousNormalizingFlow(ODE)
NORMAL = Gaussian([0.0, 0.0], 1.0)
GAME = refode.MeanFieldGame(
    fields.Potential(2, 3), games.optimal_transport(NORMAL, NORMAL, alpha=1.0, terminal=1.0)
)
LABELS = [0, 1, 1, 0, 1]
Y = np.arange(5.0)
FORBIDDEN = "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."


class Tensor:
    """A tensor that requires grad, as NumPy meets it: torch.Tensor.__array__ calls numpy()."""

    requires_grad = True

    def __init__(self, array):
        self.array = np.asarray(array)
        self.shape, self.ndim, self.dtype = self.array.shape, self.array.ndim, self.array.dtype

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError(FORBIDDEN)

    def __len__(self):
        return len(self.array)

    def __getitem__(self, index):
        return Tensor(self.array[index])

    def __float__(self):
        return float(self.array)

    def detach(self):
        return SimpleNamespace(__array__=self.array.__array__)


# --- tensors that require grad ---------------------------------------------------------------
def of(problem, method, *data):
    theta = problem.initial()
    return lambda swap: getattr(problem, method)(*swap(theta, *data))


THETA, VECTOR = LOGISTIC.initial(), np.ones(LOGISTIC.n_parameters)
WEIGHTS = np.ones(fields.Shallow(2, 3).n_weights)
#: Names of the array arguments, and a call of them.
CALLS = {
    "supervised": ("theta x y", of(LOGISTIC, "value_and_gradient", X, LABELS)),
    "value": ("theta x y", of(REGRESSION, "value", X, Y)),
    "hessian": ("theta v x y", of(LOGISTIC, "hessian_vector", VECTOR, X, LABELS)),
    "gauss_newton": ("theta v x y", of(REGRESSION, "gauss_newton_vector", VECTOR, X, Y)),
    "predict": ("theta x", of(LOGISTIC, "predict_proba", X)),
    "score": ("theta x y", of(REGRESSION, "score", X, Y)),
    "flow": ("theta y", of(FLOW, "value_and_gradient", X)),
    "density": ("theta y", of(FLOW, "log_density", X)),
    "generate": ("theta x", of(FLOW, "generate", X)),
    "game": ("theta x", of(GAME, "value_and_gradient", X)),
    "solve": ("theta x", of(ODE, "solve", X)),
    "adjoint": ("theta x z_bar", of(ODE, "adjoint", X, X)),
    "tangent": ("theta x theta_dot x_dot", of(ODE, "tangent", X, ODE.initial(), X)),
    "train": (
        "x y theta0",
        lambda swap: refode.train(LOGISTIC, *swap(X, LABELS, THETA), max_iter=1, progress=False),
    ),
    "levels": (
        "x y theta0",
        lambda swap: refode.train_multilevel(
            [LOGISTIC], *swap(X, LABELS, THETA), max_iter=1, progress=False
        ),
    ),
    "standardized": ("x y", lambda swap: REGRESSION.standardized(*swap(X, Y))),
    "densities": ("x", lambda swap: NORMAL.log_density(*swap(X))),
    "gaussian": ("mean covariance", lambda swap: Gaussian(*swap(np.zeros(2), np.eye(2)))),
    "field": (
        "weights z",
        lambda swap: evaluate.value(fields.Shallow(2, 3), *swap(WEIGHTS, X)),
    ),
    "check": (
        "x0",
        lambda swap: verify.check_gradient(np.sum, np.ones_like, *swap(Y), print_table=False),
    ),
    "order": ("errors steps", lambda swap: verify.observed_order(*swap([1, 0.1], [1, 0.5]))),
    "complex": ("x v", lambda swap: verify.complex_step(np.sum, *swap(Y, Y))),
}
PLACES = [
    pytest.param(call, i, argument, id=f"{name}-{argument}")
    for name, (arguments, call) in CALLS.items()
    for i, argument in enumerate(arguments.split())
]


@pytest.mark.parametrize(("call", "i", "argument"), PLACES)
def test_a_tensor_that_requires_grad_is_named_with_the_remedy(call, i, argument):
    def swap(*given):
        return [Tensor(a) if j == i else a for j, a in enumerate(given)]

    call(lambda *given: given)
    with pytest.raises(TypeError, match=rf"^{argument}(\[0\])?: got .*\.detach\(\)"):
        call(swap)


def test_a_checkpoint_of_such_data(tmp_path):
    for i, name in enumerate(("x", "y")):
        data = [Tensor(a) if j == i else a for j, a in enumerate((X, LABELS))]
        with pytest.raises(TypeError, match=rf"^{name}: got .*\.detach\(\)"):
            refode.train(LOGISTIC, *data, progress=False, checkpoint=tmp_path / "run.npz")


@pytest.mark.parametrize(
    ("fun", "gradient", "who"),
    [
        (lambda x: Tensor(np.sum(x**2)), lambda x: 2 * x, "fun"),
        (lambda x: np.sum(x**2), lambda x: Tensor(2 * x), "gradient"),
        (lambda x: (Tensor(np.sum(x**2)), 2 * x), True, "fun"),
        (lambda x: (np.sum(x**2), Tensor(2 * x)), True, "gradient"),
    ],
)
def test_check_gradient_of_what_returns_a_loss_tensor(fun, gradient, who):
    with pytest.raises(TypeError, match=rf"^{who}: returned a Tensor .*\.detach\(\)"):
        verify.check_gradient(fun, gradient, [1.0, 2.0], print_table=False)


def test_the_dot_test_and_the_complex_step_of_what_returns_a_tensor():
    with pytest.raises(TypeError, match=r"^tangent: returned a Tensor .*\.detach\(\)"):
        verify.dot_test(lambda v: Tensor(v), lambda w: w, (2,), (2,))
    with pytest.raises(TypeError, match=r"^adjoint: returned a Tensor .*\.detach\(\)"):
        verify.dot_test(lambda v: v, lambda w: Tensor(w), (2,), (2,))
    with pytest.raises(TypeError, match=r"^fun: returned a Tensor .*\.detach\(\)"):
        verify.complex_step(lambda x: Tensor(x), [1.0], [1.0])
    with pytest.raises(TypeError, match=r"^x: got \[\[1\.0\], \[1\.0, 2\.0\]\]"):  # ragged
        verify.complex_step(np.sum, [[1.0], [1.0, 2.0]], [1.0])


class Own:
    """An objective that returns what it is told to."""

    n_parameters = 2

    def __init__(self, value, gradient):
        self.value, self.gradient = value, gradient

    def value_and_gradient(self, theta, x):
        return self.value(np.sum(theta**2)), self.gradient(2.0 * theta)


def trained(value, gradient):
    return refode.train(Own(value, gradient), X, theta0=[1.0, 2.0], progress=False)


def test_training_on_what_returns_tensors():
    wanted = trained(float, np.array)
    assert wanted.success
    for value, gradient in ((Tensor, np.array), (float, Tensor)):
        with pytest.raises(TypeError, match=r"^problem: got a .*\.detach\(\)"):
            trained(value, gradient)


# --- values of one entry -----------------------------------------------------------------------
ONE = [lambda v: np.array([v]), lambda v: np.array([[v]]), lambda v: [v], np.float32, np.array]


@pytest.mark.parametrize("one", ONE)
@pytest.mark.filterwarnings("error")
def test_a_value_with_one_entry_is_that_number(one):
    result = trained(one, np.array)
    assert result.success
    assert type(result.fun) is float
    report = verify.check_gradient(
        lambda x: np.array([np.sum(np.sin(x))]), np.cos, [0.3, 1.0], print_table=False
    )
    assert report.passed
    assert report.smallest_detectable < 1e-13  # the complex step was taken


@pytest.mark.parametrize("value", [np.zeros(2), np.zeros(0), "one", None, 1j])
def test_values_that_are_no_number_are_named(value):
    with pytest.raises(TypeError, match=r"^problem: got a value of dtype .*, wanted a number"):
        trained(lambda v: value, np.array)
    with pytest.raises((TypeError, ValueError), match=r"^fun: returned .* wanted a float"):
        verify.check_gradient(lambda x: value, np.cos, [0.3, 1.0], print_table=False)


# --- nullable columns --------------------------------------------------------------------------
class Missing:
    """pandas.NA: no number."""

    def __float__(self):
        raise TypeError("float() argument must be a string or a real number, not 'NAType'")


NA = Missing()


class Nullable:
    """A Series of a nullable dtype: NumPy sees objects."""

    ndim = 1

    def __init__(self, values, kind):
        self.values, self.dtype = list(values), SimpleNamespace(kind=kind)
        self.shape = (len(self.values),)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=object)

    def __len__(self):
        return len(self.values)

    def isna(self):
        return np.array([v is NA for v in self.values])


class Table:
    """A DataFrame of such columns."""

    ndim = 2

    def __init__(self, *columns):
        self.columns, self.dtypes = columns, [c.dtype for c in columns]
        self.shape = (len(columns[0]), len(columns))

    def __array__(self, dtype=None, copy=None):
        return np.array([c.values for c in self.columns], dtype=object).T

    def __len__(self):
        return self.shape[0]

    def isna(self):
        return np.array([c.isna() for c in self.columns]).T


INTEGERS = [3, -1, 4, 1, 5]
MIXED = Table(Nullable([0.5, 1, 2, -3.5, 1e9], "f"), Nullable(INTEGERS, "i"))
SAME = np.column_stack([[0.5, 1, 2, -3.5, 1e9], INTEGERS])


def check_columns(table, same, labels, missing):
    """Values of a table and of labels as NumPy's; a missing entry is named."""
    theta = 1e-9 * THETA
    wanted = LOGISTIC.value(theta, same, LABELS)
    assert LOGISTIC.value(theta, table, labels) == wanted
    assert LOGISTIC.standardized(table).x_scaling == LOGISTIC.standardized(same).x_scaling
    softmax = refode.Supervised(ODE, "softmax", 2)
    assert softmax.value(softmax.initial(), X, labels) == softmax.value(
        softmax.initial(), X, LABELS
    )
    for data, name in (((missing, LABELS), "x"), ((same, missing), "y")):
        with pytest.raises(ValueError, match=rf"^{name}: got a missing value at index "):
            REGRESSION.value(theta, *data)


@pytest.mark.parametrize("labels", [Nullable(LABELS, "i"), Nullable(LABELS, "u")])
def test_nullable_columns_are_numbers(labels):
    check_columns(MIXED, SAME, labels, Table(Nullable([1, 2, NA, 4, 5], "i"), MIXED.columns[0]))
    booleans = Nullable([bool(v) for v in LABELS], "b")
    assert LOGISTIC.value(THETA, X, booleans) == LOGISTIC.value(THETA, X, LABELS)
    with pytest.raises(TypeError, match=r"^y: got an array of dtype bool, wanted real numbers"):
        REGRESSION.value(THETA, X, booleans)


def test_integers_that_float64_cannot_hold_stay_an_error():
    large = Table(Nullable([2**53 + 1, 0, 0, 0, 0], "i"), Nullable(INTEGERS, "i"))
    with pytest.raises(TypeError, match=r"^x: got the integer 9007199254740993 at index \(0, 0\)"):
        LOGISTIC.predict(THETA, large)


@pytest.mark.parametrize("kind", ["O", "M", "c"])
def test_columns_of_other_kinds_stay_an_error(kind):
    with pytest.raises(TypeError, match=r"^x: got an array of dtype object, wanted real numbers"):
        LOGISTIC.predict(THETA, Table(Nullable(INTEGERS, kind), Nullable(INTEGERS, "i")))


def test_nullable_columns_in_training_with_a_checkpoint(tmp_path):
    how = {"max_iter": 2, "progress": False}
    labels, file = Nullable(LABELS, "i"), tmp_path / "run.npz"
    table = Table(Nullable(X[:, 0].tolist(), "f"), Nullable(X[:, 1].tolist(), "f"))
    result = refode.train(LOGISTIC, table, labels, checkpoint=file, **how)
    assert np.array_equal(result.x, refode.train(LOGISTIC, X, LABELS, **how).x)
    refode.train(LOGISTIC, X, np.array(LABELS), checkpoint=file, resume=True, **how)


def test_pandas_itself(tmp_path):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(
        {
            "a": pandas.array(SAME[:, 0], dtype="Float64"),
            "b": pandas.array(INTEGERS, dtype="Int32"),
        }
    )
    labels = pandas.Series(LABELS, dtype="Int64")
    missing = table.copy()
    missing.loc[2, "b"] = pandas.NA
    check_columns(table, SAME, labels, missing)
    assert LOGISTIC.value(THETA, X, labels.astype("boolean")) == LOGISTIC.value(THETA, X, LABELS)
    plain = pandas.DataFrame(SAME, columns=["a", "b"])
    assert np.array_equal(
        LOGISTIC.predict(1e-9 * THETA, plain), LOGISTIC.predict(1e-9 * THETA, SAME)
    )
    result = refode.train(LOGISTIC, table, labels, max_iter=2, progress=False)
    assert result.nit <= 2
    with pytest.raises(TypeError, match=r"^x: got an array of dtype (object|str)"):
        LOGISTIC.predict(THETA, pandas.DataFrame({"a": list("abcde"), "b": INTEGERS}))
