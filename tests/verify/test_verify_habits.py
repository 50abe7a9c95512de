"""What check_gradient says of points, functions and gradients that are not as they should be."""

from __future__ import annotations

import re

import numpy as np
import pytest

from refode.verify import check_gradient, taylor_test

X0 = np.array([0.3, -1.1, 0.7, 2.0])


def fun(x):
    return np.sum(x**4) + np.sum(np.sin(x))


def gradient(x):
    return 4 * x**3 + np.cos(x)


def check(f=fun, g=gradient, x0=X0, **options):
    return check_gradient(f, g, x0, print_table=False, **({"seed": 0} | options))


def refused(error, message):
    return pytest.raises(error, match="^" + re.escape(message))


def test_nothing_is_checked_where_the_gradient_is_zero():
    report = check(lambda x: np.sum(x**2), lambda x: 2 * x, np.zeros(3))
    assert not report
    assert report.verdict.startswith("inconclusive")
    assert report.smallest_detectable == np.inf
    assert not check(g=lambda x: 0 * x)
    assert check(g=lambda x: 0 * x).verdict.startswith("failed")


@pytest.mark.parametrize("f", [lambda x: 3.0, lambda x: 3.0 + 0 * x[0], lambda x: 3])
def test_a_zero_gradient_of_a_constant_function_passes(f):
    report = check(f, lambda x: 0 * x)
    assert report.passed
    assert any("constant" in text for text in report.warnings)
    assert not check(f, lambda x: 0 * x + 1e-3)


def test_a_block_with_a_zero_gradient_is_inconclusive_unless_fun_ignores_it():
    blocks = {"a": slice(0, 2), "b": slice(2, 4)}
    report = check(lambda x: x @ x, lambda x: 2 * x, np.array([1.0, 2, 0, 0]), blocks=blocks)
    assert not report
    assert report.verdict == "inconclusive: block 'b': its gradient is zero"

    def half(x):
        return np.concatenate([gradient(x[:2]), [0, 0]])

    report = check(lambda x: fun(x[:2]), half, blocks=blocks)
    assert report.passed
    assert any("'b' is zero, and the function does not depend" in t for t in report.warnings)
    assert report.per_block["b"].flat
    assert report.per_block["b"].smallest_detectable == np.inf


@pytest.mark.parametrize("slope", [1e-7, 1e-11])
def test_a_run_that_could_see_little_is_inconclusive(slope):
    report = check(lambda x: float(1e6 + slope * np.sum(np.sin(x))), lambda x: slope * np.cos(x))
    assert not report
    assert report.smallest_detectable > 0.01
    assert report.verdict.startswith("inconclusive")


@pytest.mark.parametrize("slope", [3e-7, 1e-7, 3e-8])
def test_a_right_gradient_never_fails_by_luck_close_to_rounding(slope):
    verdicts = [
        check(
            lambda x: float(1e6 + slope * np.sum(np.sin(x))),
            lambda x: slope * np.cos(x),
            np.random.default_rng(1000 + seed).standard_normal(5),
            seed=seed,
        ).verdict
        for seed in range(45)
    ]
    assert {verdict.split(":")[0] for verdict in verdicts} == {"inconclusive"}


@pytest.mark.parametrize("slope", [1e-5, 1e-7, 1e-8, 1e-9])
@pytest.mark.parametrize("away", [3.0, 30.0, 300.0])
def test_a_right_gradient_far_from_0_never_fails_for_what_rounding_hides(slope, away):
    # the first steps are as long as x0: far longer than the sine's waves
    verdicts = [
        check(
            lambda x: float(1e6 + slope * np.sum(np.sin(x))),
            lambda x: slope * np.cos(x),
            away + np.random.default_rng(seed).standard_normal(6),
            seed=seed,
        ).verdict
        for seed in range(15)
    ]
    assert "failed" not in {verdict.split(":")[0] for verdict in verdicts}


@pytest.mark.parametrize("size", [1e-5, 1.0])
def test_a_gradient_that_a_constant_function_has_not_fails_far_from_0(size):
    x0 = 300.0 + np.arange(6.0)
    assert check(lambda x: 1e6, lambda x: size * np.cos(x), x0).verdict.startswith("failed")


@pytest.mark.parametrize("slope", [1e-3, 1.0])
@pytest.mark.parametrize("away", [0.0, 30.0, 300.0])
def test_a_gradient_that_is_off_fails_far_from_0_too(slope, away):
    x0 = away + np.random.default_rng(0).standard_normal(6)
    report = check(
        lambda x: float(1e6 + slope * np.sum(np.sin(x))), lambda x: 1.02 * slope * np.cos(x), x0
    )
    assert report.verdict.startswith("failed: g.v is wrong along 5 of 5")


def test_a_block_in_which_nothing_could_be_seen_is_inconclusive():
    def f(x):
        return float(1e3 + np.sum(np.sin(x[:2])) + 1e-15 * np.sum(np.sin(x[2:])))

    def g(x):
        return np.cos(x) * [1, 1, 1e-15, 1e-15]

    assert check(f, g)
    report = check(f, g, blocks={"a": slice(0, 2), "b": slice(2, 4)})
    assert report.verdict.startswith("inconclusive: block 'b': only errors above")
    assert not report


def test_values_that_are_not_finite_fail():
    report = check(lambda x: np.nan)
    assert not report
    assert "fun(x0) is nan" in report.verdict
    assert "nan" in str(report)
    report = check(g=lambda x: np.array([1.0, np.inf, np.nan, 0.0]))
    assert "2 entries of the gradient are not finite, entry 1 is inf" in report.verdict
    assert not report
    assert not check(lambda x: np.inf)


def test_steps_out_of_the_domain_are_left_out_and_noted():
    x0 = np.array([0.5, 2.0])
    for f in (
        lambda x: -np.sum(np.log(x)) if x.min() > 0 else np.nan,
        lambda x: -np.sum(np.log(x)) if x.min() > 0 else [][0] if False else 1 / 0,
        lambda x: -np.sum(np.log(x)) if x.min() > 0 else np.inf,
    ):
        report = check(f, lambda x: -1 / x, x0)
        assert report, str(report)
        assert any("not finite, or raises" in text for text in report.warnings)


def test_nothing_is_printed_but_the_table(recwarn, capsys):
    def casting(x):
        return np.sum(np.exp(300 * np.asarray(x, dtype=float)))

    report = check(casting, lambda x: 300 * np.exp(300 * x), [0.1, 0.2])
    assert report, str(report)
    assert report.method == "Richardson"
    assert not list(recwarn)
    assert capsys.readouterr() == ("", "")


def test_errors_at_x0_itself_are_raised():
    def broken(x):
        raise RuntimeError("no luck")

    with pytest.raises(RuntimeError, match="no luck"):
        check(broken)
    with pytest.raises(RuntimeError, match="no luck"):
        check(g=broken)


def test_noise_is_noted_and_limits_what_is_seen():
    rng = np.random.default_rng(0)

    def noisy(x):
        return float(fun(x)) + 1e-6 * rng.standard_normal()

    report = check(noisy)
    assert any("not deterministic" in text for text in report.warnings)
    assert 1e-8 < report.noise < 1e-4
    assert report.smallest_detectable > 1e-7
    report = check(g=lambda x: gradient(x) * (1 + 1e-3 * rng.standard_normal()))
    assert any("not deterministic" in text for text in report.warnings)
    assert not report


def test_a_gradient_or_function_that_writes_into_its_argument_fails():
    def doubled(x):
        g = gradient(x)
        x *= 2
        return g

    report = check(g=doubled)
    assert not report
    assert "gradient changes its argument in place" in report.verdict

    def shifted(x):
        value = fun(x)
        x += 1
        return value

    assert "fun changes its argument in place" in check(shifted).verdict


def test_a_reused_buffer_is_noted():
    buffer = np.zeros(4)

    def reusing(x):
        buffer[:] = gradient(x)
        return buffer

    report = check(g=reusing)
    assert report.passed
    assert any("its next call overwrites" in text for text in report.warnings)
    assert not any("overwrites" in text for text in check().warnings)


def test_a_gradient_that_is_its_argument_is_noted():
    report = check(lambda x: 0.5 * x @ x, lambda x: x)
    assert report.passed
    assert any("memory of its argument" in text for text in report.warnings)


@pytest.mark.parametrize(
    ("x0", "error", "message"),
    [
        (X0 * np.nan, ValueError, "x0: got nan at index 0, wanted finite numbers"),
        ([np.inf], ValueError, "x0: got inf at index 0"),
        ([], ValueError, "x0: got an empty array of shape (0,)"),
        (1.0, ValueError, "x0: got an array of shape ()"),
        (np.ones((2, 2)), ValueError, "x0: got an array of shape (2, 2)"),
        (X0 + 1j, TypeError, "x0: got an array of dtype complex128"),
        (["a"], TypeError, "x0: got an array of dtype <U1"),
    ],
)
def test_a_bad_x0_is_refused(x0, error, message):
    for test in (check_gradient, taylor_test):
        with refused(error, message):
            test(fun, gradient, x0)


@pytest.mark.parametrize(
    ("f", "g", "error", "message"),
    [
        (3, gradient, TypeError, "fun: got 3 (int), wanted a callable"),
        (fun, None, TypeError, "gradient: got None (NoneType), wanted a callable"),
        (fun, False, TypeError, "gradient: got False (bool), wanted a callable"),
        (fun, True, TypeError, "fun: returned float64, wanted (value, gradient)"),
        (lambda x: x, gradient, ValueError, "fun: returned an array of shape (4,), wanted a"),
        (lambda x: None, gradient, TypeError, "fun: returned NoneType of dtype object"),
        (lambda x: 1j, gradient, TypeError, "fun: returned complex of dtype complex128"),
        (fun, lambda x: 1.0, ValueError, "gradient: returned an array of shape (), wanted (4,)"),
        (fun, lambda x: x[:, None], ValueError, "gradient: returned an array of shape (4, 1)"),
        (fun, lambda x: x[1:], ValueError, "gradient: returned an array of shape (3,)"),
        (fun, lambda x: None, TypeError, "gradient: returned NoneType of dtype object"),
        (fun, lambda x: x + 1j, TypeError, "gradient: returned ndarray of dtype complex128"),
        (fun, lambda x: [[1], [2, 3]], TypeError, "gradient: returned a ragged list"),
    ],
)
def test_what_is_no_function_or_gradient_is_refused(f, g, error, message):
    for test in (check_gradient, taylor_test):
        with refused(error, message):
            test(f, g, X0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_directions": 0}, ValueError, "n_directions: got 0"),
        ({"n_directions": 2.0}, TypeError, "n_directions: got 2.0 (float)"),
        ({"seed": -1}, ValueError, "seed: got -1"),
        ({"rtol": -1.0}, ValueError, "rtol: got -1.0"),
        ({"rtol": np.nan}, ValueError, "rtol: got nan"),
        ({"complex_step": "maybe"}, ValueError, "complex_step: got 'maybe', wanted 'auto', True"),
        ({"complex_step": 1}, ValueError, "complex_step: got 1"),
        ({"hessian_vector": 1}, TypeError, "hessian_vector: got 1 (int), wanted a callable"),
        (
            {"hessian_vector": lambda x, v: v[1:]},
            ValueError,
            "hessian_vector: returned an array of shape (3,)",
        ),
    ],
)
def test_bad_options_are_refused(options, error, message):
    with refused(error, message):
        check(**options)


def test_the_complex_step_is_refused_where_fun_does_not_allow_it():
    with refused(TypeError, "fun: does not carry complex input through"):
        check(lambda x: float(fun(x)), complex_step=True)


@pytest.mark.parametrize(
    ("blocks", "error", "message"),
    [
        (
            {"a": slice(0, 3), "b": slice(2, 4)},
            ValueError,
            "blocks: got entry 2 in both 'a' and 'b'",
        ),
        ({"a": [0, 0, 1, 2, 3]}, ValueError, "blocks: got entry 0 in both 'a' and 'a'"),
        ({"a": slice(0, 2)}, ValueError, "blocks: got no block for 2 entries, 2 the first"),
        ({}, ValueError, "blocks: got no block for 4 entries"),
        ({"a": slice(0, 4), "b": []}, ValueError, "blocks['b']: got no entries"),
        ({"a": [0, 9]}, ValueError, "blocks['a']: index 9 is out of bounds"),
        ({"a": 3}, TypeError, "blocks['a']: got int, wanted a slice or an integer array"),
        ({"a": [0.0]}, TypeError, "blocks['a']: got an array of dtype float64"),
        ({"a": np.ones(4, bool)}, TypeError, "blocks['a']: got an array of dtype bool"),
        ([slice(0, 4)], TypeError, "blocks: got list, wanted a mapping"),
    ],
)
def test_bad_blocks_are_refused(blocks, error, message):
    with refused(error, message):
        check(blocks=blocks)


def test_a_bad_direction_is_refused():
    with refused(ValueError, "direction: got zeros"):
        taylor_test(fun, gradient, X0, np.zeros(4))
    with refused(ValueError, "direction: got an array of shape (3,)"):
        taylor_test(fun, gradient, X0, np.ones(3))
    with refused(ValueError, "fun, gradient: got values at x0 that are not finite"):
        taylor_test(lambda x: np.nan, gradient, X0)
