"""Any function as a field: the numbers of its compiled twin, and what wrong functions are told."""

from __future__ import annotations

import copy
import pickle
import signal
import threading

import numpy as np
import pytest
import tolerances as tol
from contract import close, same
from users_field import ShallowFunctions

import refode
from refode.cuda import registry
from refode.fields import User
from refode.machine import callbacks

D, K, N = 2, 4, 9
GIVEN, TIMED = ShallowFunctions(D, K), ShallowFunctions(D, K, time=True)
RNG = np.random.default_rng(3)
X, Z_BAR, X_DOT = RNG.standard_normal((3, N, D))
BASES = {
    "Constant": refode.bases.Constant(),
    "PiecewiseConstant": refode.bases.PiecewiseConstant(2),
    "PiecewiseLinear": refode.bases.PiecewiseLinear(3),
    "Legendre": refode.bases.Legendre(3),
    "BSpline": refode.bases.BSpline(4),
}
EXACT = tol.FIELD_VALUE  # relative; the same formulas in another order


def pair(functions=TIMED, **how):
    """The same ode by NumPy and compiled, and a theta."""
    how = {"n_steps": 4} | how
    odes = [refode.NeuralODE(f, **how) for f in (functions.field(), functions.twin)]
    return *odes, odes[1].initial(seed=1)


def agree(users, ours):
    for got, want in zip(users, ours, strict=True):
        close(got, want, EXACT)


@pytest.mark.parametrize("scheme", refode.tableaus.names("explicit"))
@pytest.mark.parametrize("basis", BASES.values(), ids=BASES)
def test_every_scheme_and_basis(scheme, basis):
    users, ours, theta = pair(scheme=scheme, basis=basis)
    agree([users.trajectory(theta, X)], [ours.trajectory(theta, X)])
    agree(*(ode.adjoint(theta, X, Z_BAR, times=True) for ode in (users, ours)))


@pytest.mark.parametrize("memory", ["store", "steps"])
@pytest.mark.parametrize("t_span", [None, (0.9, 0.2)])
def test_every_memory_and_direction(memory, t_span):
    users, ours, theta = pair(memory=memory)
    states = RNG.standard_normal((5, N, D))
    for bar in (Z_BAR, states):
        agree(*(ode.adjoint(theta, X, bar, t_span, times=True) for ode in (users, ours)))


@pytest.mark.nojit
def test_values_and_derivatives():
    users, ours, theta = pair()
    theta_dot = RNG.standard_normal(theta.shape)
    agree([users.tangent(theta, X, theta_dot, X_DOT)], [ours.tangent(theta, X, theta_dot, X_DOT)])
    agree(users.log_det(theta, X), ours.log_det(theta, X))
    l_bar = RNG.standard_normal(N)
    agree(*(o.log_det_adjoint(theta, X, Z_BAR, l_bar, times=True) for o in (users, ours)))


@pytest.mark.parametrize("loss", ["regression", "logistic"])
def test_supervised(loss):
    users, ours = (refode.Supervised(ode, loss) for ode in pair(basis=BASES["Legendre"])[:2])
    theta, y = ours.initial(seed=2), (X[:, 0] > 0).astype(float)
    v = RNG.standard_normal(theta.shape)
    agree(*(p.value_and_gradient(theta, X, y) for p in (users, ours)))
    for product in ("hessian_vector", "gauss_newton_vector"):
        agree(*([getattr(p, product)(theta, v, X, y)] for p in (users, ours)))


@pytest.mark.parametrize("trace", ["exact", "gaussian", "rademacher"])
def test_flows(trace):
    users, ours, theta = pair()
    flows = [refode.ContinuousNormalizingFlow(ode, 0.3, trace=trace) for ode in (users, ours)]
    agree(*(flow.value_and_gradient(theta, X) for flow in flows))
    agree(*([flow.log_density(theta, X)] for flow in flows))
    if trace == "exact":
        v = RNG.standard_normal(theta.shape)
        agree(*([flow.hessian_vector(theta, v, X)] for flow in flows))


def test_training_comes_to_the_same():
    runs = []
    for ode in pair(GIVEN)[:2]:
        problem = refode.Supervised(ode, "regression")
        runs.append(refode.train(problem, X, X[:, :1] ** 2, max_iter=5, progress=False))
    close(runs[0].x, runs[1].x, 1e-9)


def test_the_same_bits_on_any_number_of_threads():
    users, _, theta = pair(GIVEN)
    x = RNG.standard_normal((3 * users.field.block() + 5, D))
    before, found = refode.get_num_threads(), []
    try:
        for n in (1, 2, 4):
            refode.set_num_threads(n)
            found.append((users.solve(theta, x), *users.adjoint(theta, x, x)))
    finally:
        refode.set_num_threads(before)
    for other in found[1:]:
        for a, b in zip(other, found[0], strict=True):
            same(a, b)


def test_one_vector_without_names():
    field = GIVEN.field(names=None)
    assert dict(field.layout.shapes) == {"theta": (GIVEN.size,)}
    ode = refode.NeuralODE(field, basis=BASES["PiecewiseConstant"])
    assert ode.unpack(ode.initial())["theta"].shape == (2, GIVEN.size)
    assert (ode.initial() != 0.0).all()


def test_initial_weights_of_ones_own():
    field = GIVEN.field(initial=lambda rng: rng.uniform(1.0, 2.0, GIVEN.size))
    assert (refode.NeuralODE(field).initial() >= 1.0).all()
    with pytest.raises(ValueError, match=r"^initial: got an array of shape \(3,\), wanted"):
        refode.NeuralODE(GIVEN.field(initial=lambda rng: np.ones(3))).initial()
    with pytest.raises(TypeError, match=r"^initial: got 3 \(int\), wanted a function or None"):
        GIVEN.field(initial=3)


# --- copies ----------------------------------------------------------------------------------
def bowl(theta, t, z):
    return -theta * z


def bowl_vjp(theta, t, z, f_bar):
    return np.array([-np.sum(f_bar * z)]), -theta * f_bar


def test_copies_and_pickles():
    field = User(bowl, dim=2, n_parameters=1, vjp=bowl_vjp)
    assert repr(field) == "User(bowl, dim=2, n_parameters=1, vjp=bowl_vjp)"
    ode, theta = refode.NeuralODE(field), np.array([0.7])
    want = ode.solve(theta, X)
    for made in (pickle.loads(pickle.dumps(ode)), copy.deepcopy(ode), copy.copy(ode)):
        same(made.solve(theta, X), want)
        same(made.adjoint(theta, X, Z_BAR)[0], ode.adjoint(theta, X, Z_BAR)[0])


def test_functions_may_keep_and_change_what_they_get():
    kept = []

    def greedy(theta, t, z):
        found = bowl(theta, t, z)
        kept.append((theta, z, theta.copy(), z.copy()))
        theta[:], z[:] = np.nan, np.nan
        return found

    ode = refode.NeuralODE(User(greedy, dim=2, n_parameters=1, vjp=bowl_vjp, check=False))
    want = refode.NeuralODE(User(bowl, dim=2, n_parameters=1, vjp=bowl_vjp))
    theta = np.array([0.7])
    same(ode.solve(theta, X), want.solve(theta, X))
    for a, b in zip(ode.adjoint(theta, X, Z_BAR), want.adjoint(theta, X, Z_BAR), strict=True):
        same(a, b)
    assert np.isnan(kept[-1][0]).all()


def spoiling(function):
    """The same, leaving nothing whole of the arrays that it was given."""

    def spoils(*given):
        found = function(*given)
        for array in given:
            if isinstance(array, np.ndarray):
                array[...] = 7.0
        return found

    return spoils


def reusing(function, shelf):
    """The same, returning one array for each shape, again and again."""

    def stored(value):
        value = np.asarray(value)
        place = shelf.setdefault((value.shape, value.dtype), np.empty_like(value))
        place[...] = value
        return place

    def reuses(*given):
        found = function(*given)
        return tuple(map(stored, found)) if isinstance(found, tuple) else stored(found)

    return reuses


@pytest.mark.parametrize("how", ["spoiling", "reusing"])
@pytest.mark.parametrize("check", [True, False])
def test_no_function_gets_in_anothers_way(how, check):
    shelf = {}

    def rough(function):
        return spoiling(function) if how == "spoiling" else reusing(function, shelf)

    fn = TIMED
    functions = {name: rough(getattr(fn, name)) for name in ("f", "vjp", "jacobian_vector")}
    trace = rough(fn.trace), rough(fn.trace_vjp)
    ode, _, theta = pair(n_steps=2)
    field = fn.field(**functions, trace=trace, check=check)
    for kind in ("exact", "rademacher"):
        flows = [
            refode.ContinuousNormalizingFlow(o, transport=0.1, trace=kind)
            for o in (refode.NeuralODE(field, n_steps=2), ode)
        ]
        same(*(flow.value_and_gradient(theta, X)[1] for flow in flows))
        if kind == "exact":
            same(*(flow.hessian_vector(theta, theta, X) for flow in flows))


def test_reused_arrays_do_not_hide_that_f_depends_on_time():
    def two(*given):
        return TIMED.vjp(*given)[:2]

    field = TIMED.field(f=reusing(TIMED.f, {}), vjp=two, trace=None)
    ode = refode.NeuralODE(field, n_steps=2)
    with pytest.raises(ValueError, match="^vjp: got two cotangents"):
        ode.adjoint(ode.initial(), X, Z_BAR, times=True)


def test_saved_models_ask_for_the_field_by_name(tmp_path):
    field = User(bowl, dim=2, n_parameters=1, vjp=bowl_vjp)
    ode, theta = refode.NeuralODE(field, n_steps=3), np.array([0.7])
    refode.save(tmp_path / "bowl.npz", ode, theta)
    with pytest.raises(ValueError, match=r"^fields: .*User"):
        refode.load(tmp_path / "bowl.npz")
    again = refode.load(tmp_path / "bowl.npz", fields={"User": field})
    same(again.problem.solve(again.theta, X), ode.solve(theta, X))


# --- what is missing -------------------------------------------------------------------------
def test_what_is_not_given_is_asked_for_by_name():
    bare = refode.NeuralODE(GIVEN.field(trace=None, jacobian_vector=None))
    theta = bare.initial(seed=1)
    with pytest.raises(ValueError, match=r"^trace: got None, wanted a pair of functions"):
        bare.log_det(theta, X)
    with pytest.raises(ValueError, match=r"^trace: got None"):
        refode.ContinuousNormalizingFlow(bare).value_and_gradient(theta, X)
    for ask in (
        lambda: bare.tangent(theta, X, theta, X),
        lambda: refode.ContinuousNormalizingFlow(bare, trace="gaussian").value(theta, X),
    ):
        with pytest.raises(ValueError, match=r"^jacobian_vector: got None, wanted a function"):
            ask()


def test_the_cotangent_of_times():
    def two(*given):
        return TIMED.vjp(*given)[:2]

    def tr_two(*given):
        return TIMED.trace_vjp(*given)[:2]

    want, theta = pair()[1:]
    blind = refode.NeuralODE(TIMED.field(vjp=two, trace=(TIMED.trace, tr_two)), n_steps=4)
    agree(blind.adjoint(theta, X, Z_BAR), want.adjoint(theta, X, Z_BAR))
    with pytest.raises(ValueError, match=r"^vjp: got two cotangents.*wanted t_bar as the third"):
        blind.adjoint(theta, X, Z_BAR, times=True)
    assert np.isnan(refode.evaluate.adjoint(blind.field, theta, X, Z_BAR)[2])
    still, ours, theta = pair(GIVEN)  # does not depend on t: nothing is missing
    agree(*(ode.adjoint(theta, X, Z_BAR, times=True) for ode in (still, ours)))


@pytest.mark.parametrize("frequency", [5.0 * np.pi, 10.0 * np.pi, 20.0 * np.pi])
def test_an_f_that_is_periodic_in_time_depends_on_it(frequency):
    """sin(5 pi t) has the same bits at 0.3 and at 0.7."""

    def f(theta, t, z):
        return theta * round(float(np.sin(frequency * t)), 12) * z

    def vjp(theta, t, z, f_bar):
        factor = round(float(np.sin(frequency * t)), 12)
        return np.array([np.sum(factor * z * f_bar)]), theta * factor * f_bar

    ode = refode.NeuralODE(User(f, dim=2, n_parameters=1, vjp=vjp), n_steps=2)
    with pytest.raises(ValueError, match="^vjp: got two cotangents"):
        ode.adjoint(ode.initial(), X, Z_BAR, times=True)


def test_the_device_refuses_it_by_name():
    with pytest.raises(ValueError, match=r"^device: got 'cuda' with the field UserSpec, wanted"):
        registry.found("field", GIVEN.field().description())


# --- wrong functions -------------------------------------------------------------------------
def changed(function, at, factor=1.001):
    """The function with its result, or one of its results, times a factor."""

    def wrong(*given):
        found = function(*given)
        if at is None:
            return factor * found
        return tuple(factor * part if i == at else part for i, part in enumerate(found))

    return wrong


WRONG = {
    "theta_bar": (
        {"vjp": changed(TIMED.vjp, 0)},
        r"^vjp: got a theta_bar that is off by 1\.0e-03 relative \(.* along a random direction\), "
        r"wanted that of f's own differences \(.*\); check=False skips this check$",
    ),
    "z_bar": ({"vjp": changed(TIMED.vjp, 1)}, r"^vjp: got a z_bar that is off by 1\.0e-03 rel"),
    "t_bar": ({"vjp": changed(TIMED.vjp, 2)}, r"^vjp: got a t_bar that is off by 1\.0e-03 rel"),
    "zeros": (
        {"vjp": changed(TIMED.vjp, 0, 0.0)},
        r"^vjp: got a theta_bar that is off by 1\.0e\+0",
    ),
    "sign": ({"vjp": changed(TIMED.vjp, 1, -1.0)}, r"^vjp: got a z_bar that is off by 2\.0e\+0"),
    "nan": ({"vjp": changed(TIMED.vjp, 1, np.nan)}, r"^vjp: .*not finite.*, wanted finite"),
    "tangent": (
        {"jacobian_vector": changed(TIMED.jacobian_vector, None)},
        r"^jacobian_vector: got a derivative that is off by .*e-03 relative, wanted the transpose",
    ),
    "tangent by z": (
        {"jacobian_vector": lambda th, t, z, a, b: TIMED.jacobian_vector(th, t, z, a, 1.001 * b)},
        r"^jacobian_vector: got a derivative by z_dot that is off by",
    ),
    "trace": (
        {"trace": (changed(TIMED.trace, None), TIMED.trace_vjp)},
        r"^trace: got values off by .*, wanted the trace of df/dz as vjp has it",
    ),
    "trace vjp": (
        {"trace": (TIMED.trace, changed(TIMED.trace_vjp, 0))},
        r"^trace's vjp: got a theta_bar that is off by 1\.0e-03 relative .* of trace's own diff",
    ),
    "trace z": (
        {"trace": (TIMED.trace, changed(TIMED.trace_vjp, 1, 0.0))},
        r"^trace's vjp: got a z_bar that is off by 1\.0e\+00 relative",
    ),
    "rows": (
        {"f": lambda th, t, z: TIMED.f(th, t, z - z.mean(axis=0))},
        r"^f: got another first row for the first row of z alone, off by .*, wanted rows that do",
    ),
    "infinite": (
        {"f": lambda th, t, z: TIMED.f(th, t, z) / 0.0},
        r"^f: got values that are not finite at the points of the check",
    ),
    "shape": ({"f": lambda th, t, z: z[:, :1]}, r"^f: got shape \(3, 1\), wanted \(3, 2\)$"),
    "one": ({"vjp": lambda *given: TIMED.vjp(*given)[0]}, r"^vjp: got ndarray of shape .*, wanted"),
    "bar": (
        {"vjp": lambda *given: (TIMED.vjp(*given)[0][1:], TIMED.vjp(*given)[1])},
        r"^vjp: theta_bar: got shape \(25,\), wanted \(26,\)$",
    ),
    "names": ({"names": {"W": (3,)}}, r"^names: got shapes of 3 numbers, wanted n_parameters=26"),
    "negative": ({"names": {"W": (-3,)}}, r"^names\['W'\]: got -3"),
    "none": ({"names": {}}, r"^names: got shapes of 0 numbers"),
    "raises": ({"f": lambda th, t, z: th[99] * z}, r"^f: raised IndexError: index 99 is out"),
    "points": ({"check": (1, 2)}, r"^check: got 2 values, wanted True, False or \(theta, t, z\)$"),
    "theta": ({"check": (X, 0.0, X)}, r"^check: theta: got an array of shape \(9, 2\), wanted"),
}


@pytest.mark.parametrize("how", WRONG)
def test_wrong_functions_are_refused_when_the_field_is_made(how):
    given, message = WRONG[how]
    with pytest.raises(ValueError, match=message):
        TIMED.field(**given)


@pytest.mark.parametrize("how", ["theta_bar", "z_bar", "tangent", "trace", "trace vjp", "rows"])
def test_the_check_may_be_left_out(how):
    TIMED.field(**WRONG[how][0], check=False)


def test_points_of_ones_own():
    seen = []

    def root(theta, t, z):
        seen.append(theta.copy())
        return theta * np.sqrt(z)

    def vjp(theta, t, z, f_bar):
        return np.array([np.sum(f_bar * np.sqrt(z))]), theta * f_bar / (2.0 * np.sqrt(z))

    with pytest.raises(ValueError, match=r"^f: got values that are not finite"):
        User(root, dim=2, n_parameters=1, vjp=vjp)
    User(root, dim=2, n_parameters=1, vjp=vjp, check=([0.5], 0.0, X**2 + 1.0))
    assert seen[-1] == 0.5


NO_FUNCTIONS = {
    "f": ({"f": 3}, r"^f: got 3 \(int\), wanted a function$"),
    "vjp": ({"vjp": None}, r"^vjp: got None \(NoneType\), wanted a function$"),
    "tangent": ({"jacobian_vector": 1}, r"^jacobian_vector: got 1 \(int\), wanted a function$"),
    "trace": ({"trace": GIVEN.trace}, r"^trace: got .*, wanted a pair of functions"),
    "half": ({"trace": (GIVEN.trace, None)}, r"^trace: got None in the pair, wanted both"),
    "list": ({"names": [3]}, r"^names: got \[3\] \(list\), wanted a mapping of names to shapes$"),
    "check": ({"check": "no"}, r"^check: got 'no'"),
    "complex": ({"f": lambda theta, t, z: z + 1j}, r"^f: got dtype complex128, wanted real"),
    "text": ({"f": lambda theta, t, z: "z"}, r"^f: got dtype <U1, wanted real numbers$"),
}


@pytest.mark.parametrize("how", NO_FUNCTIONS)
def test_what_is_no_function(how):
    given, message = NO_FUNCTIONS[how]
    with pytest.raises(TypeError, match=message):
        GIVEN.field(**given)


def test_functions_that_stop_complex_numbers():
    def real(theta, t, z, f_bar):
        theta_bar, z_bar = GIVEN.vjp(theta.real.copy(), t, z.real.copy(), f_bar.real.copy())
        return theta_bar, z_bar

    users = refode.Supervised(refode.NeuralODE(GIVEN.field(vjp=real)), "regression")
    theta = users.initial(seed=1)
    assert users.value_and_gradient(theta, X, X[:, :1])[1].any()
    with pytest.raises(ValueError, match=r"^vjp: got a derivative that is off by .* complex arr"):
        users.hessian_vector(theta, theta, X, X[:, :1])


# --- exceptions ------------------------------------------------------------------------------
class Moody:
    """Functions of a bowl, one of which raises when it is told to."""

    def __init__(self, error, where="f", after=0):
        self.error, self.where, self.after, self.armed = error, where, after, False

    def _step(self, name):
        if self.armed and name == self.where:
            self.after -= 1
            if self.after < 0:
                raise self.error

    def f(self, theta, t, z):
        self._step("f")
        return bowl(theta, t, z)

    def vjp(self, theta, t, z, f_bar):
        self._step("vjp")
        return bowl_vjp(theta, t, z, f_bar)

    def ode(self):
        return refode.NeuralODE(User(self.f, dim=2, n_parameters=1, vjp=self.vjp))


@pytest.mark.nojit
@pytest.mark.parametrize("n", [5, 5000])
@pytest.mark.parametrize("where", ["f", "vjp"])
def test_what_a_function_raises_names_it(where, n):
    moody, theta = Moody(KeyError("odd"), where, after=3), np.array([0.7])
    ode, x = moody.ode(), np.ones((n, 2))
    want = ode.adjoint(theta, x, x)
    moody.armed = True
    with pytest.raises(ValueError, match=rf"^{where}: raised KeyError: 'odd' \(for z of") as e:
        ode.adjoint(theta, x, x)
    assert e.value.__cause__ is moody.error
    moody.armed = False
    for a, b in zip(ode.adjoint(theta, x, x), want, strict=True):
        same(a, b)


def test_a_shape_that_changes_later():
    broken = []

    def f(theta, t, z):
        return bowl(theta, t, z)[:, : 1 if broken else 2]

    ode = refode.NeuralODE(User(f, dim=2, n_parameters=1, vjp=bowl_vjp))
    broken.append(True)
    with pytest.raises(ValueError, match=r"^f: got shape \(16, 1\), wanted \(16, 2\)$"):
        ode.solve(np.ones(1), X)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_interruptions_pass_as_they_are(error):
    moody = Moody(error)
    ode = moody.ode()
    moody.armed = True
    with pytest.raises(type(error)) as caught:
        ode.solve(np.ones(1), X)
    assert caught.value is error


def test_ctrl_c_while_a_function_runs():
    def f(theta, t, z):
        if armed:
            signal.raise_signal(signal.SIGINT)
        return bowl(theta, t, z)

    armed = []
    ode = refode.NeuralODE(User(f, dim=2, n_parameters=1, vjp=bowl_vjp))
    armed.append(True)
    with pytest.raises(KeyboardInterrupt):
        ode.solve(np.ones(1), X)


def test_an_exception_on_the_way_to_an_answer_is_not_lost():
    """ctypes prints what a handler raises on entering the callback, and drops it."""
    frame = np.zeros(callbacks.FREE, np.int64)
    frame[callbacks.SIZE], frame[callbacks.BROKEN] = callbacks.FREE, 1
    spec = GIVEN.field().description()
    with pytest.raises(KeyboardInterrupt):
        callbacks.heard(spec, lambda: callbacks._answer(frame.ctypes.data))()
    assert frame[callbacks.DONE] == 1


def test_a_handler_may_compute_in_the_middle_of_what_has_failed():
    ode, theta, found = Moody(None).ode(), np.ones(1), []
    want = ode.solve(theta, X)

    def work():
        callbacks._raised.error = KeyError("outer")
        found.append(ode.solve(theta, X))

    with pytest.raises(KeyError, match="outer"):
        callbacks.heard(ode.field.description(), work)()
    same(found[0], want)


def test_only_the_thread_that_failed_hears_of_it():
    calm, moody = Moody(None), Moody(KeyError("odd"))
    odes, theta, found = [m.ode() for m in (calm, moody)], np.ones(1), {}
    moody.armed = True
    start = threading.Barrier(2)

    def run(i):
        start.wait()
        for _ in range(20):
            try:
                found.setdefault(i, set()).add(odes[i].solve(theta, X).tobytes())
            except ValueError as error:
                found.setdefault(i, set()).add(str(error)[:9])

    threads = [threading.Thread(target=run, args=(i,)) for i in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found[0] == {
        refode.NeuralODE(User(bowl, dim=2, n_parameters=1, vjp=bowl_vjp)).solve(theta, X).tobytes()
    }
    assert found[1] == {"f: raised"}
