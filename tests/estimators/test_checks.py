"""scikit-learn's own checks of estimators: all of them, none left out but what is said here."""

from __future__ import annotations

import pytest

pytest.importorskip("sklearn", minversion="1.6")
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

from refode.estimators import FlowDensity, NeuralODEClassifier, NeuralODERegressor  # noqa: E402

#: Of the default ``FlowDensity`` alone: which rows are held out depends on how many there are, and
#: so do fits by repeated samples. scikit-learn expects the same of its own early stopping. Without
#: it the check is held to below.
SPLIT = {
    "check_sample_weight_equivalence_on_dense_data": "early stopping holds out a part of the rows"
}


def expected(estimator):
    """The checks that cannot hold, with the reason."""
    return SPLIT if getattr(estimator, "early_stopping", False) else {}


@parametrize_with_checks(
    [NeuralODEClassifier(), NeuralODERegressor(), FlowDensity(width=4, max_iter=20)],
    expected_failed_checks=expected,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@parametrize_with_checks(
    [
        NeuralODEClassifier("antisymmetric", augment=1, basis="legendre", early_stopping=True),
        FlowDensity(width=4, early_stopping=False, max_iter=5),
    ],
    expected_failed_checks=expected,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learns_checks_with_other_parameters(estimator, check):
    check(estimator)
