"""Which cases of a parametrized test the quick part keeps."""

import pytest


def quick(cases, *kept):
    """All cases for `parametrize`, those that are not `kept` marked as slow."""
    assert set(kept) <= set(cases), kept
    return [case if case in kept else pytest.param(case, marks=pytest.mark.slow) for case in cases]
