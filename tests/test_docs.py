"""The programs of the pages in docs/, run as they stand."""

import re
from pathlib import Path

import numpy as np
import pytest

DOCS = Path(__file__).parents[1] / "docs"


def programs(page):
    return re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_programs_on_disentanglement():
    images, scores = ({}, {})
    for program, left in zip(programs("disentanglement.md"), (images, scores), strict=True):
        exec(compile(program, "disentanglement.md", "exec"), left)
    assert images["image"].shape == (64, 64) and 0 < np.asarray(images["between"]).mean() < 0.2
    assert images["images"].shape == (64, 64, 64, 1) and images["pairs"].shape == (32, 2, 64, 64, 1)
    # The bins alone take it to 0.90, and what noise seems to tell of 2,000 images a little further.
    assert 0.8 < scores["scores"]["mig"] < 0.9 and scores["scores"]["factor_vae_score"] == 1.0
