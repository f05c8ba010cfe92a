"""Selection of the cases of a parametrized test that run in the quick part."""

import pytest


def quick(cases, *selected):
    """Cases for `parametrize`; all but the selected ones are marked as slow."""
    assert set(selected) <= set(cases), selected
    return [case if case in selected else pytest.param(case, marks=pytest.mark.slow) for case in cases]
