"""``refode.save`` and ``refode.load``: arguments, what is from outside, what is written."""

from __future__ import annotations

import re

import numpy as np
import pytest
import saved_models
from saved_models import Hill, Linear, Ring, Shifted, cases, outside, theta_of

import refode
from refode import fields, games
from refode.costs.losses import Regression
from refode.saving import Model

ODE = refode.NeuralODE(fields.Affine(2), n_steps=2)
HOME = "'.*a\\.npz'"


class Own(refode.Supervised):
    """A problem of one's own, by what is overwritten."""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.npz"


def saved(path, problem):
    refode.save(path, problem, theta_of(problem))
    return path


# --- arguments -------------------------------------------------------------------------------
def test_what_comes_back(path):
    model = refode.load(saved(path, ODE))
    assert isinstance(model, Model)
    assert model.theta.tobytes() == theta_of(ODE).tobytes()
    assert model.theta.flags.writeable
    assert (model.path, model.version) == (path, refode.__version__)
    assert repr(model) == f"Model({ODE!r}, theta of shape (6,), refode {refode.__version__})"
    with pytest.raises(AttributeError, match="^theta: got "):
        model.theta = 1


@pytest.mark.parametrize("problem", [Own(ODE), ODE.field, object(), refode.Supervised, None])
def test_only_refodes_own_problems_are_saved(path, problem):
    with pytest.raises(TypeError, match=r"^problem: got .*, wanted a Supervised, .* or NeuralODE"):
        refode.save(path, problem, np.ones(3))
    assert not path.exists()


@pytest.mark.parametrize(
    ("theta", "kind", "message"),
    [
        (np.ones(5), ValueError, r"^theta: got .*\(5,\)"),
        (np.full(6, np.nan), ValueError, "^theta: got nan"),
        ("theta", TypeError, "^theta: got an array of dtype <U5"),
        (np.ones(6, complex), TypeError, "^theta: "),
    ],
)
def test_theta_is_checked_before_anything_is_written(path, theta, kind, message):
    with pytest.raises(kind, match=message):
        refode.save(path, ODE, theta)
    assert not path.exists()


def test_paths_are_checked(tmp_path):
    for bad in (None, 3, b"a.npz"):
        with pytest.raises(TypeError, match=r"^path: got .* wanted a path"):
            refode.save(bad, ODE, ODE.initial())
    with pytest.raises(ValueError, match="^path: got the folder"):
        refode.save(tmp_path, ODE, ODE.initial())
    with pytest.raises(ValueError, match="wanted a name in a folder that can be written"):
        refode.save(tmp_path / "none" / "a.npz", ODE, ODE.initial())


def test_a_file_is_replaced_whole_or_not_at_all(path, monkeypatch):
    before = saved(path, ODE).read_bytes()

    def full(file, **members):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(np, "savez", full)
        with pytest.raises(OSError, match="No space"):
            refode.save(path, ODE, np.zeros(6))
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["a.npz"]
    refode.save(path, ODE, np.zeros(6))
    assert not refode.load(path).theta.any()


def test_the_same_model_is_the_same_file(path, tmp_path):
    first = saved(path, cases()["game sum"].problem).read_bytes()
    again = refode.load(path)
    refode.save(tmp_path / "b.npz", again.problem, again.theta)
    assert (tmp_path / "b.npz").read_bytes() == first


def test_theta_of_any_layout_is_taken(path):
    theta = np.arange(12.0)[::2]
    refode.save(str(path), ODE, list(theta))
    assert np.array_equal(refode.load(str(path)).theta, theta)
    refode.save(path, ODE, theta)
    assert np.array_equal(refode.load(path).theta, theta)


@pytest.mark.parametrize("name", cases())
def test_the_problem_is_the_same(path, name):
    case = cases()[name]
    known = outside()
    made = refode.load(saved(path, case.problem), {n: known[n] for n in case.outside}).problem
    assert type(made) is type(case.problem)
    assert repr(made) == repr(case.problem)
    if isinstance(made, refode.NeuralODE):
        assert (made.steps, made.basis) == (case.problem.steps, case.problem.basis)
    else:
        assert made.fingerprint() == case.problem.fingerprint()


def test_what_is_too_much_for_a_file_is_refused(path):
    many = refode.NeuralODE(fields.Affine(2), n_steps=10**6 + 1)
    hills = games.Quadratic(1.0) + games.Quadratic(1.0)
    for _ in range(70):
        hills = hills + games.Quadratic(1.0)
    start = refode.densities.Gaussian([0.0], 1.0)
    deep = refode.MeanFieldGame(
        fields.Potential(1, 2), games.crowd_motion(start, start, obstacle=hills)
    )
    for problem in (many, deep):
        with pytest.raises(ValueError, match=r"^problem: got one that no file can hold \(problem"):
            saved(path, problem)
    assert not path.exists()


# --- from outside ----------------------------------------------------------------------------
def both():
    return refode.Supervised(refode.NeuralODE(Linear(2, 0.5)), Shifted(0.25))


def test_what_is_missing_is_listed(path):
    saved(path, both())
    wanted = (
        rf"^fields: got nothing, wanted what {HOME} has from outside: 'Linear', which was "
        r"Linear\(dim=2, scale=0.5\) \(problem\.ode\.field\); 'Shifted', which was "
        r"Shifted\(shift=0.25\) \(problem\.loss\)$"
    )
    with pytest.raises(ValueError, match=wanted):
        refode.load(path)
    wanted = rf"^fields: got 'Linear', wanted what {HOME} has from outside: 'Shifted', which was S"
    with pytest.raises(ValueError, match=wanted):
        refode.load(path, {"Linear": Linear(2, 0.5)})


def test_what_is_not_asked_for_is_refused(path):
    given = {"Linear": Linear(2, 0.5), "Shifted": Shifted(0.25)}
    saved(path, both())
    message = rf"^fields: got 'Ring', which {HOME} has not from outside, wanted 'Linear', 'Shifted'"
    with pytest.raises(ValueError, match=message):
        refode.load(path, given | {"Ring": Ring(1.0)})
    with pytest.raises(TypeError, match=r"^fields: got .* wanted a mapping such as"):
        refode.load(path, [Linear(2)])
    with pytest.raises(ValueError, match=rf"^fields: got 'Linear', which {HOME} has not .*nothing"):
        refode.load(saved(path, ODE), {"Linear": Linear(2)})


@pytest.mark.parametrize("other", [Linear(2, 0.75), Linear(3, 0.5), Ring(0.5), fields.Affine(2), 3])
def test_what_is_given_is_as_it_was(path, other):
    saved(path, both())
    message = r"^fields\['Linear'\]: got .*, wanted one like the Linear that was saved, Linear\(d"
    with pytest.raises(ValueError, match=message):
        refode.load(path, {"Linear": other, "Shifted": Shifted(0.25)})


def test_one_thing_in_two_places_is_asked_for_once(path):
    ring, hill = Ring(1.0), Hill(2.0)
    game = games.crowd_motion(ring, ring, obstacle=hill + hill)
    made = refode.MeanFieldGame(fields.Potential(2, 3), game)
    loaded = refode.load(saved(path, made), {"Ring": ring, "Hill": hill}).problem
    assert loaded.game.initial is loaded.game.target is ring
    assert loaded.game.energy.first is loaded.game.energy.second is hill


class Long(Ring):
    """Its repr has an address and is long."""

    def __repr__(self):
        return f"<Long at {id(self):#x} {'x' * 600}{self.deviation}>"


def test_long_texts_and_addresses_do_not_matter(path):
    def made(density):
        game = games.optimal_transport(density, density)
        return refode.MeanFieldGame(fields.Potential(2, 3), game)

    saved(path, made(Long(1.0)))
    assert refode.load(path, {"Long": Long(1.0)}).problem.game.dim == 2
    with pytest.raises(ValueError, match=r"^fields\['Long'\]"):
        refode.load(path, {"Long": Long(2.0)})


class Alike(Regression):
    """Not refode's own, though it does nothing else."""


def test_subclasses_are_from_outside(path):
    problem = refode.Supervised(ODE, Alike())
    with pytest.raises(ValueError, match="'Alike', which was Alike"):
        refode.load(saved(path, problem))
    assert type(refode.load(path, {"Alike": Alike()}).problem._loss) is Alike


def test_a_subclass_in_disguise_is_not_taken_for_refodes(path):
    class Affine(fields.Affine):
        pass

    saved(path, refode.NeuralODE(Affine(2)))
    with pytest.raises(ValueError, match="^fields: got nothing, wanted what"):
        refode.load(path)


# --- devices ---------------------------------------------------------------------------------
def test_the_device_may_be_another(path, monkeypatch):
    monkeypatch.setattr("refode.ode.placement.gpu_module", lambda name: saved_models.Gpu)
    saved(path, refode.NeuralODE(fields.Affine(2), device="cuda", dtype="float32"))
    assert refode.load(path).problem.placement == ("cuda", "float32")
    assert refode.load(path, device="cuda").problem.placement == ("cuda", "float64")
    saved_models.Gpu.missing = True
    try:
        with pytest.raises(RuntimeError, match=r"no GPU; load\(\.\.\., device='cpu'\) runs it"):
            refode.load(path)
        with pytest.raises(RuntimeError, match="^no GPU$"):
            refode.load(path, device="cuda")
        assert refode.load(path, device="cpu").problem.placement == ("cpu", "float64")
    finally:
        saved_models.Gpu.missing = False
    for bad, kind in (({"device": "tpu"}, ValueError), ({"device": 3}, TypeError)):
        with pytest.raises(kind, match=f"^device: got {re.escape(repr(bad['device']))}"):
            refode.load(path, **bad)
    with pytest.raises(ValueError, match="^dtype: got 'float32' with device='cpu'"):
        refode.load(path, device="cpu", dtype="float32")
