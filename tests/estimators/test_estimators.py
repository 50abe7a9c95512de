"""What users of scikit-learn expect of the three estimators, beyond its own checks."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")
from sklearn.base import clone  # noqa: E402
from sklearn.datasets import load_iris  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.inspection import partial_dependence, permutation_importance  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

import refode  # noqa: E402
from refode.estimators import FlowDensity, NeuralODEClassifier, NeuralODERegressor  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, Y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])
SMALL = {"width": 6, "max_iter": 30, "random_state": 0}


def of_each_kind():
    """One fitted estimator of each kind, small."""
    return [
        NeuralODEClassifier(**SMALL).fit(X, NAMES[Y]),
        NeuralODERegressor(**SMALL).fit(X, X[:, :2] + Y[:, None]),
        FlowDensity(**SMALL).fit(X),
    ]


def answers(estimator):
    """Numbers that an estimator gives for X."""
    proba = getattr(estimator, "predict_proba", None) or getattr(estimator, "predict", None)
    return (proba or estimator.score_samples)(X)


# --- classifier --------------------------------------------------------------------------------
def test_string_labels_and_probabilities():
    model = NeuralODEClassifier(**SMALL).fit(X, NAMES[Y])
    assert model.classes_.tolist() == NAMES.tolist()
    proba = model.predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1.0, rtol=1e-14)
    np.testing.assert_array_equal(model.predict(X), NAMES[proba.argmax(axis=1)])
    np.testing.assert_allclose(proba, model.problem_.predict_proba(model.theta_, X), rtol=1e-12)
    assert model.score(X, NAMES[Y]) > 0.95


def test_two_classes_are_logistic():
    keep = Y > 0
    model = NeuralODEClassifier(**SMALL).fit(X[keep], NAMES[Y[keep]])
    assert model.problem_.loss == "logistic"
    decision = model.decision_function(X[keep])
    assert decision.shape == (100,)
    np.testing.assert_array_equal(model.predict(X[keep]), model.classes_[(decision > 0) * 1])
    probability = 1.0 / (1.0 + np.exp(-decision))
    np.testing.assert_allclose(model.predict_proba(X[keep])[:, 1], probability, rtol=1e-12)


def test_class_weight_is_a_sample_weight():
    weights = np.array([1.0, 5.0, 0.5])
    by_class = NeuralODEClassifier(class_weight=dict(enumerate(weights)), **SMALL).fit(X, Y)
    by_sample = NeuralODEClassifier(**SMALL).fit(X, Y, sample_weight=weights[Y])
    np.testing.assert_array_equal(by_class.theta_, by_sample.theta_)
    plain = NeuralODEClassifier(**SMALL).fit(X, Y)
    balanced = NeuralODEClassifier(class_weight="balanced", **SMALL).fit(X, Y)
    np.testing.assert_array_equal(plain.theta_, balanced.theta_)  # 50 of each


def test_balanced_classes_count_whole_weights_as_repeated_samples():
    weight = np.random.default_rng(0).integers(0, 4, len(X))
    repeated = np.repeat(np.arange(len(X)), weight)
    model = NeuralODEClassifier(class_weight="balanced", width=6, max_iter=4, random_state=0)
    one = clone(model).fit(X, Y, sample_weight=weight)
    other = clone(model).fit(X[repeated], Y[repeated])
    np.testing.assert_allclose(one.theta_, other.theta_, rtol=1e-10, atol=1e-12)
    share = len(repeated) / (3 * np.bincount(Y, weight))
    by_hand = clone(model).set_params(class_weight=dict(enumerate(share)))
    by_hand.fit(X, Y, sample_weight=weight)
    np.testing.assert_allclose(one.theta_, by_hand.theta_, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("unit", [2.0**900, 2.0**-900])
def test_weights_of_classes_and_samples_in_any_unit(unit):
    weight, by_class = 1.0 + np.arange(len(X)) % 3, {0: 1.0, 1: 3.0, 2: 0.5}
    model = NeuralODEClassifier(class_weight=by_class, width=6, max_iter=4, random_state=0)
    one = clone(model).fit(X, Y, sample_weight=weight)
    large = {label: unit * number for label, number in by_class.items()}
    other = model.set_params(class_weight=large).fit(X, Y, sample_weight=unit * weight)
    np.testing.assert_array_equal(one.theta_, other.theta_)


def test_samples_of_weight_zero_are_as_good_as_absent():
    """Those that are held out are drawn among the others, and no class is made of them alone."""
    there = np.arange(len(X)) % 4 > 0
    options = {**SMALL, "early_stopping": True}
    for model, more in ((NeuralODEClassifier, (Y,)), (FlowDensity, ())):
        weighed = model(**options).fit(X, *more, sample_weight=there * 1.0)
        alone = model(**options).fit(X[there], *(y[there] for y in more))
        np.testing.assert_array_equal(weighed.theta_, alone.theta_)
    with pytest.raises(ValueError, match="samples of 1 class, wanted two"):
        NeuralODEClassifier(**SMALL).fit(X, Y, sample_weight=(Y == 0) * 1.0)


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ({0: -1.0}, r"got -1.0 at index 0, wanted numbers >= 0$"),
        ({0: np.nan}, r"got nan at index 0, wanted finite numbers$"),
        (dict.fromkeys(range(3), 0.0), r"got zeros alone, wanted a number > 0 among them$"),
        ("even", r"got 'even', wanted a dict, 'balanced' or None$"),
        (3, r"got 3 \(int\), wanted a dict, 'balanced' or None$"),
    ],
)
def test_wrong_weights_of_classes_are_named(class_weight, message):
    with pytest.raises((TypeError, ValueError), match=f"^class_weight: {message}"):
        NeuralODEClassifier(class_weight=class_weight, **SMALL).fit(X, Y)


def test_the_linear_model_is_logistic_regression():
    """No steps' worth of field: with f = 0 held by its penalty, scikit-learn's linear model."""
    from sklearn.linear_model import LogisticRegression

    x, keep = StandardScaler().fit_transform(X), Y > 0
    how = {"tikhonov": 0.1, "tolerance": 1e-8, "max_iter": 500, "random_state": 0}
    model = NeuralODEClassifier("affine", t_span=(0.0, 1e-9), standardize=False, **how)
    model.fit(x[keep], Y[keep])
    linear = LogisticRegression(C=1.0 / (0.1 * keep.sum()), tol=1e-10, max_iter=1000)
    # the intercept is penalised here too, and so is not there
    column = np.ones((len(x), 1))
    linear.set_params(fit_intercept=False).fit(np.hstack([x, column])[keep], Y[keep])
    expected = linear.decision_function(np.hstack([x, column])[keep])
    np.testing.assert_allclose(model.decision_function(x[keep]), expected, rtol=1e-5, atol=1e-6)


# --- weights and repetition --------------------------------------------------------------------
@pytest.mark.parametrize("kind", [NeuralODEClassifier, NeuralODERegressor, FlowDensity])
def test_whole_weights_are_repeated_samples(kind):
    rng = np.random.default_rng(0)
    weight = rng.integers(0, 4, len(X)).astype(float)
    how = {"width": 6, "max_iter": 15, "random_state": 0, "early_stopping": False}
    repeated = np.repeat(np.arange(len(X)), weight.astype(int))
    data = (X,) if kind is FlowDensity else (X, Y)
    one = kind(**how).fit(*data, sample_weight=weight)
    other = kind(**how).fit(*(a[repeated] for a in data))
    np.testing.assert_allclose(answers(one), answers(other), rtol=1e-8, atol=1e-10)
    assert one.loss_ == pytest.approx(other.loss_, rel=1e-10)


# --- regressor ---------------------------------------------------------------------------------
def test_targets_of_either_shape():
    y = X @ [1.0, 2.0, 3.0, 4.0] * 1e3
    flat, column = (NeuralODERegressor(**SMALL).fit(X, t) for t in (y, y[:, None]))
    assert flat.predict(X).shape == (150,)
    assert column.predict(X).shape == (150, 1)
    np.testing.assert_array_equal(flat.predict(X), column.predict(X)[:, 0])
    assert flat.score(X, y) > 0.99
    both = NeuralODERegressor(**SMALL).fit(X, np.stack([y, -y], axis=1))
    assert both.predict(X).shape == (150, 2)


# --- density -----------------------------------------------------------------------------------
def test_density_is_one_and_samples_are_of_it():
    x = np.random.default_rng(0).standard_normal((300, 1)) * 5.0 + 40.0
    model = FlowDensity(width=6, max_iter=30, random_state=0).fit(x)
    grid = np.linspace(0.0, 80.0, 4001)[:, None]
    assert np.exp(model.score_samples(grid)).sum() * 0.02 == pytest.approx(1.0, abs=1e-3)
    drawn = model.sample(4000, random_state=0)
    assert drawn.shape == (4000, 1)
    assert drawn.mean() == pytest.approx(x.mean(), abs=0.5)
    np.testing.assert_array_equal(drawn, model.sample(4000, random_state=0))
    assert model.score(x) == pytest.approx(model.score_samples(x).mean())
    np.testing.assert_allclose(model.inverse_transform(model.transform(x)), x, rtol=1e-4)


# --- training ----------------------------------------------------------------------------------
def test_early_stopping_keeps_the_best_on_held_out_samples():
    model = NeuralODEClassifier(
        width=30, tikhonov=0.0, early_stopping=True, n_iter_no_change=5, random_state=0
    ).fit(X, Y)
    curve = model.validation_curve_
    assert len(curve) == len(model.loss_curve_) == model.n_iter_ + 1 < 200
    assert len(curve) - 1 - int(np.argmin(curve)) == 5
    plain = clone(model).set_params(early_stopping=False, max_iter=3).fit(X, Y)
    assert not hasattr(plain, "validation_curve_")


def test_warm_start_goes_on_with_the_same_standardisation():
    model = NeuralODEClassifier(width=6, max_iter=4, warm_start=True, random_state=0).fit(X, Y)
    loss, scaling = model.loss_, model.problem_.x_scaling
    model.fit(X[::2], Y[::2])
    assert model.loss_curve_[0] < 1.5 * loss
    assert model.problem_.x_scaling == scaling
    model.set_params(max_iter=30).fit(X, Y)
    assert model.loss_ < loss
    with pytest.raises(ValueError, match=r"^warm_start: got True with weights"):
        model.set_params(width=7).fit(X, Y)
    model.set_params(width=6)
    with pytest.raises(ValueError, match=r"^y: got the class 3 with warm_start=True"):
        model.fit(X, Y + 1)


@pytest.mark.parametrize("number", range(3))
def test_warm_start_with_other_data_leaves_the_last_fit_whole(number):
    model = of_each_kind()[number]
    model.set_params(warm_start=True)
    want = answers(model)
    targets = () if isinstance(model, FlowDensity) else (NAMES[Y],)
    if isinstance(model, NeuralODERegressor):
        targets = (X[:, 0],)
        with pytest.raises(ValueError, match=r"^y: got 1 columns with warm_start=True, wanted"):
            model.fit(X, *targets)
    with pytest.raises(ValueError, match=r"^X has 3 features, but .* is expecting 4 features"):
        model.fit(X[:, :3], *targets)
    np.testing.assert_array_equal(answers(model), want)


def test_batches():
    model = NeuralODEClassifier(
        width=6, batch_size=40, iterations_per_batch=3, max_iter=60, random_state=0
    ).fit(X, Y)
    assert model.score(X, Y) > 0.9
    whole = NeuralODEClassifier(batch_size=10**6, **SMALL).fit(X, Y)
    np.testing.assert_array_equal(whole.theta_, NeuralODEClassifier(**SMALL).fit(X, Y).theta_)


def test_an_end_by_max_iter_is_a_warning():
    with pytest.warns(ConvergenceWarning, match="max_iter reached"):
        NeuralODEClassifier(width=4, max_iter=2, random_state=0).fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        NeuralODEClassifier(width=4, tolerance=0.1, random_state=0).fit(X, Y)


def test_ctrl_c_ends_a_search_too(monkeypatch):
    from refode import training

    real = training.train

    def interrupted(*args, **kwargs):
        result = real(*args, **kwargs)
        result.status = training.INTERRUPTED
        return result

    monkeypatch.setattr(training, "train", interrupted)
    model = NeuralODEClassifier(**SMALL)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y)
    assert model.predict(X).shape == (150,)  # what was reached is there


def test_masked_arrays_are_refused():
    """scikit-learn's checks would read the numbers under the mask."""
    masked = np.ma.array(X, mask=X > 7.0)
    column = np.ma.array(Y.astype(float), mask=Y > 1)
    for model in of_each_kind():
        targets = () if isinstance(model, FlowDensity) else (Y,)
        with pytest.raises(TypeError, match="^X: got a masked array, wanted an array without"):
            clone(model).fit(masked, *targets)
        with pytest.raises(TypeError, match="^X: got a masked array"):
            model.transform(masked)
        with pytest.raises(TypeError, match="^sample_weight: got a masked array"):
            clone(model).fit(X, *targets, sample_weight=column)
        if targets:
            with pytest.raises(TypeError, match="^y: got a masked array"):
                clone(model).fit(X, column)
        else:
            with pytest.raises(TypeError, match="^X: got a masked array"):
                model.inverse_transform(masked)


# --- parameters --------------------------------------------------------------------------------
@pytest.mark.parametrize("field", ["affine", "antisymmetric", "hamiltonian", "leapfrog", "mlp"])
def test_fields_by_name(field):
    x = X[:, :3]  # an odd number, where two halves are wanted
    model = NeuralODEClassifier(field, width=3, max_iter=3, time=True, random_state=0).fit(x, Y)
    assert model.transform(x).shape == (150, 4 if field in ("hamiltonian", "leapfrog") else 3)


def test_a_field_of_ones_own_says_how_many_zeros():
    model = NeuralODEClassifier(refode.fields.Shallow(6, 5), max_iter=3, random_state=0).fit(X, Y)
    assert model.problem_.augment == 2
    assert model.transform(X).shape == (150, 6)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"field": "deep"}, "field: got 'deep'"),
        ({"field": refode.fields.Affine(3)}, "field: got one of dim 3 with 4 columns of X"),
        ({"basis": "fourier"}, "basis: got 'fourier'"),
        ({"width": 0}, "width: got 0"),
        ({"n_threads": 0}, "n_threads: got 0"),
        ({"tikhonov": -1.0}, "tikhonov: got -1"),
        ({"scheme": "rk5"}, "scheme: got 'rk5'"),
        ({"batch_size": 0}, "batch_size: got 0"),
        ({"validation_fraction": 1.0, "early_stopping": True}, "validation_fraction: got 1.0"),
        ({"n_iter_no_change": 0, "early_stopping": True}, "n_iter_no_change: got 0"),
    ],
)
def test_wrong_parameters_are_named(parameters, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        NeuralODEClassifier(**parameters).fit(X, Y)


def test_standardisation_does_not_depend_on_units():
    scale = np.array([1.0, 1024.0, 2.0**-20, 8.0])
    a = NeuralODEClassifier(**SMALL).fit(X, Y)
    b = NeuralODEClassifier(**SMALL).fit(X * scale, Y)
    np.testing.assert_array_equal(a.predict_proba(X), b.predict_proba(X * scale))


def test_no_entry_is_further_than_four():
    x = X.copy()
    x[0, 0], x[1:, 0] = 1.0, 0.0  # constant but for one sample
    model = NeuralODEClassifier(**SMALL).fit(x, Y)
    scaled = model.problem_.x_scaling.apply("x", x)
    assert np.abs(scaled[:, 0]).max() == pytest.approx(4.0)
    np.testing.assert_allclose(scaled[:, 1:].std(axis=0), 1.0)


def test_a_common_scale():
    model = NeuralODEClassifier(standardize="common", **SMALL).fit(X, Y)
    scale = model.problem_.x_scaling.scale
    assert (scale == scale[0]).all()
    assert scale[0] == pytest.approx(np.sqrt(X.var(axis=0).mean()))
    np.testing.assert_allclose(model.problem_.x_scaling.shift, X.mean(axis=0))
    with pytest.raises(ValueError, match=r"^standardize: got 'rows'"):
        model.set_params(standardize="rows").fit(X, Y)


# --- in pipelines ------------------------------------------------------------------------------
def test_names_of_features():
    pandas = pytest.importorskip("pandas")
    frame = load_iris(as_frame=True)
    model = NeuralODEClassifier(**SMALL).set_output(transform="pandas")
    features = model.fit_transform(frame.data, frame.target)
    assert isinstance(features, pandas.DataFrame)
    assert model.feature_names_in_.tolist() == list(frame.data.columns)
    assert list(features.columns) == [f"neuralodeclassifier{i}" for i in range(4)]


def test_inspection():
    model = NeuralODERegressor(**SMALL).fit(X[:, :3], X[:, 3])
    curve = partial_dependence(model, X[:, :3], [2], grid_resolution=5)["average"][0]
    assert (np.diff(curve) > 0).all()  # petals grow in both directions
    found = permutation_importance(model, X[:, :3], X[:, 3], n_repeats=2, random_state=0)
    assert found.importances_mean.argmax() == 2


def test_density_in_a_pipeline_and_a_search():
    search = GridSearchCV(
        make_pipeline(StandardScaler(), FlowDensity(width=3, max_iter=5, random_state=0)),
        {"flowdensity__transport": [0.01, 1.0]},
        cv=2,
    ).fit(X)
    assert np.isfinite(search.best_score_)


def test_grid_search_on_two_processes():
    """loky's processes find the kernels in the cache, and give the bits of one process."""
    grid, model = {"tikhonov": [1e-3, 1e-1]}, NeuralODEClassifier(**SMALL)
    alone, two = (GridSearchCV(model, grid, cv=2, n_jobs=n).fit(X, NAMES[Y]) for n in (1, 2))
    np.testing.assert_array_equal(
        alone.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"]
    )
    np.testing.assert_array_equal(alone.best_estimator_.theta_, two.best_estimator_.theta_)
    assert cross_val_score(alone.best_estimator_, X, Y, cv=3).mean() > 0.9


# --- copies ------------------------------------------------------------------------------------
def test_pickles_give_the_same_bits():
    for model in of_each_kind():
        again = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(answers(model), answers(again))
        assert repr(again.problem_) == repr(model.problem_)
        assert clone(again).get_params() == model.get_params()


def test_a_field_from_outside_is_pickled_as_it_is():
    class Own(refode.fields.Affine):
        """A class that no table of refode's knows."""

    global Outside
    Outside = Own
    Own.__qualname__ = "Outside"
    model = NeuralODEClassifier(Own(4), max_iter=3, random_state=0).fit(X, Y)
    again = pickle.loads(pickle.dumps(model))
    assert type(again.problem_.ode.field) is Own
    np.testing.assert_array_equal(answers(model), answers(again))


def test_skops_trusts_the_estimator_alone():
    io = pytest.importorskip("skops.io")
    for model in of_each_kind():
        data, kind = io.dumps(model), type(model)
        assert io.get_untrusted_types(data=data) == [f"{kind.__module__}.{kind.__name__}"]
        again = io.loads(data, trusted=[f"{kind.__module__}.{kind.__name__}"])
        np.testing.assert_array_equal(answers(model), answers(again))
