"""No number changes but for rounding: values and gradients against those of 83b0bc0."""

from __future__ import annotations

import pytest
import tolerances as tol
from stored_cases import CASES
from stored_values import FILE, computed, differences, stored


@pytest.fixture(scope="module")
def old():
    return stored()


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_stored(name, old):
    found = differences(computed(name), old[name])
    bits = f"{name}: bits of {sum(d.same_bits for d in found)} of {len(found)} arrays agree"
    print(bits)
    far = [str(d) for d in found if not d.within(tol.STORED)]
    assert not far, "\n".join([bits, *far])


def test_every_stored_case_is_computed_and_the_file_is_small(old):
    assert set(old) == set(CASES)
    assert FILE.stat().st_size < 300 * 1024
