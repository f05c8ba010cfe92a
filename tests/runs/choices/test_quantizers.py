import math

import pytest

from vae_jax.runs import CodeSettings
from vae_jax.runs.choices import QUANTIZERS
from vae_jax.runs.choices.quantizers import levels_near


@pytest.mark.parametrize("name", QUANTIZERS.names)
def test_every_quantizer_has_its_codes_of_the_asked_length(name):
    quantizer = QUANTIZERS.build(CodeSettings(quantizer=name, num_codes=64, latent_dim=8), 8)
    assert quantizer.dim == 8
    parts = 2 if name in ("residual", "product") else 1
    assert quantizer.num_codes == (40 if name == "finite_scalar" else 64,) * parts


def test_levels_are_the_nearest_of_the_papers():
    assert [math.prod(levels_near(k)) for k in (16, 256, 512, 1024, 4096)] == [15, 240, 512, 1000, 4375]
