"""check_gradient fails wrong gradients, down to the error it says it can see."""

from __future__ import annotations

import numpy as np
import pytest
import tolerances as tol
import verify_cases as cases

from refode.verify import check_gradient

FEW = [
    cases.rosenbrock,
    cases.logistic_regression,
    cases.tanh_net,
    cases.badly_scaled,
    cases.conjugating,
    cases.barrier,
]
FEW += [make for make in cases.SMOOTH if make.__name__ in ("tanh_net_real", "periodic_real")]
CLAIM = cases.SMOOTH + cases.BENT


def check(case, gradient, seed=0, **options):
    options = {"blocks": case.blocks, "print_table": False} | options
    return check_gradient(case.fun, gradient, case.x0, seed=seed, **options)


def ids(make):
    return make.__name__


@pytest.mark.parametrize("factor", [-1.0, 1.001, 0.999, 0.5, 2.0, 1 + 1e-8])
@pytest.mark.parametrize("make", FEW, ids=ids)
def test_a_wrong_factor_fails_and_is_named(make, factor):
    case = make(1)
    report = check(case, lambda x: factor * case.gradient(x), blocks=None)
    assert not report
    assert report.verdict.startswith("failed")
    assert report.relative_error == pytest.approx(abs(factor - 1), rel=1e-3)
    for row in report.directions:
        assert row.relative_error == pytest.approx(abs(factor - 1), rel=1e-2)
    if abs(factor - 1) > 1e-6:
        assert f"{factor:.6g} times the truth" in report.verdict or case.x0.size == 1


@pytest.mark.parametrize("make", CLAIM, ids=ids)
def test_the_error_it_says_it_can_see_is_seen(make):
    seed = len(make.__name__)
    case = make(seed)
    base = check(case, case.gradient, seed, blocks=None)
    assert base.passed
    for sign in (1, -1):
        factor = 1 + sign * base.smallest_detectable
        assert not check(case, lambda x, f=factor: f * case.gradient(x), seed, blocks=None)
    # and it is no idle claim: an error a hundred times smaller is not seen
    factor = 1 + base.smallest_detectable / 100
    assert check(case, lambda x: factor * case.gradient(x), seed, blocks=None)


@pytest.mark.parametrize("make", CLAIM[::3], ids=ids)
def test_an_error_of_any_shape_it_says_it_can_see_is_seen(make):
    for seed in range(2):
        case = make(seed)
        base = check(case, case.gradient, seed, blocks=None)
        error = np.random.default_rng(seed).standard_normal(case.x0.size)
        error *= base.smallest_detectable_any * base.gradient_norm / np.linalg.norm(error)
        assert not check(case, lambda x, e=error, c=case: c.gradient(x) + e, seed, blocks=None)


@pytest.mark.parametrize("make", [cases.tanh_net, cases.badly_scaled, FEW[-2]], ids=ids)
def test_a_block_off_by_what_it_says_it_can_see_is_named(make):
    case = make(2)
    base = check(case, case.gradient)
    assert base.passed
    for name, row in base.per_block.items():
        factor = np.ones(case.x0.size)
        factor[case.blocks[name]] += row.smallest_detectable
        report = check(case, lambda x, f=factor: f * case.gradient(x))
        assert not report
        assert not report.per_block[name].passed
        assert f"block '{name}'" in report.verdict


@pytest.mark.parametrize("make", FEW, ids=ids)
def test_one_wrong_entry_fails(make):
    case = make(3)
    for entry in {0, case.x0.size - 1}:
        factor = np.ones(case.x0.size)
        factor[entry] = 1.001
        assert not check(case, lambda x, f=factor: f * case.gradient(x))


@pytest.mark.parametrize("name", ["W", "b", "w", "c"])
def test_a_block_of_zeros_fails_and_is_named(name):
    case = cases.tanh_net(0)

    def gradient(x):
        g = case.gradient(x)
        g[case.blocks[name]] = 0.0
        return g

    report = check(case, gradient)
    assert not report
    assert [b for b, row in report.per_block.items() if not row.passed] == [name]


def test_a_transposed_block_fails_and_is_named():
    case = cases.tanh_net(1)
    part = case.blocks["W"]
    d = int(np.sqrt(part.stop))
    assert d > 1

    def gradient(x):
        g = case.gradient(x)
        g[part] = g[part].reshape(d, d).T.ravel()
        return g

    report = check(case, gradient)
    assert not report
    assert [b for b, row in report.per_block.items() if not row.passed] == ["W"]


def test_a_small_block_is_not_hidden_behind_a_large_one():
    # along directions in all of x an error of 1e-3 in the small block is 1e-19 of the slope
    def fun(x):
        return 1e8 * np.sum(np.sin(x[:3])) + 1e-8 * np.sum(np.cos(x[3:]))

    def gradient(x, factor=1.0):
        return np.concatenate([1e8 * np.cos(x[:3]), -1e-8 * factor * np.sin(x[3:])])

    x0 = np.arange(1.0, 7.0)
    blocks = {"large": slice(0, 3), "small": slice(3, 6)}
    options = {"print_table": False, "blocks": blocks}
    assert check_gradient(fun, gradient, x0, **options)
    wrong = check_gradient(fun, lambda x: gradient(x, 1.001), x0, **options)
    assert not wrong
    assert "block 'small'" in wrong.verdict


def test_the_gradient_of_another_function_fails():
    case = cases.rosenbrock(0)
    assert not check(case, lambda x: 3 * x**2)
    assert not check(case, lambda x: case.gradient(x + 1e-6))


@pytest.mark.parametrize("make", FEW[:3], ids=ids)
def test_a_gradient_in_single_precision_fails(make):
    case = make(5)
    report = check(case, lambda x: case.gradient(x).astype(np.float32))
    assert not report
    assert tol.VERIFY_SINGLE_LEAST < report.relative_error < tol.VERIFY_SINGLE_MOST


def test_a_function_in_single_precision_shows_how_little_could_be_seen():
    for seed in range(10):
        case = cases.single_precision(seed)
        report = check(case, case.gradient, seed)
        assert report.noise > tol.VERIFY_SINGLE_NOISE
        assert report.smallest_detectable > tol.VERIFY_SINGLE_SEEN
        assert any("noise" in text for text in report.warnings)
        assert not check(case, lambda x, c=case: 1.1 * c.gradient(x), seed)


@pytest.mark.parametrize(("change", "order"), [(-1.0, "E2"), (0.5, "E2"), (1 + 1e-9, "Hessian")])
def test_a_wrong_hessian_fails(change, order):
    for case in (cases.rosenbrock(2), cases.real_only(cases.quadratic(2))):
        report = check(
            case,
            case.gradient,
            blocks=None,
            hessian_vector=lambda x, v, c=case: change * c.hessian_vector(x, v),
        )
        assert not report
        assert order in report.verdict
        assert not report.hessian
        assert all(row.passed for row in report.directions)


def test_the_hessian_error_it_says_it_can_see_is_seen():
    for case in (cases.rosenbrock(3), cases.real_only(cases.rosenbrock(3))):
        base = check(case, case.gradient, hessian_vector=case.hessian_vector)
        factor = 1 + base.hessian.smallest_detectable
        assert not check(
            case,
            case.gradient,
            hessian_vector=lambda x, v, c=case, f=factor: f * c.hessian_vector(x, v),
        )


def test_a_bend_at_x0_fails_and_is_named():
    x0 = np.array([0.0, 1.0, 2.0])
    report = check_gradient(lambda x: np.sum(np.abs(x)), np.sign, x0, print_table=False)
    assert not report
    assert "bends at x0" in report.verdict


def test_a_value_from_an_iteration_fails_unless_its_error_is_accepted():
    def fun(x):
        y = 1.0
        for _ in range(50):
            step = (y**3 + y - float(x @ x)) / (3 * y * y + 1)
            if abs(step) < 1e-4:
                break
            y -= step
        return y

    def gradient(x):
        return 2 * x / (3 * fun(x) ** 2 + 1)

    x0 = np.array([0.3, -1.1, 0.7])
    assert not check_gradient(fun, gradient, x0, print_table=False)
    assert check_gradient(fun, gradient, x0, rtol=1e-3, print_table=False)
