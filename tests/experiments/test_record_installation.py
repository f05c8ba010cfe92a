"""Tests of experiments.record_installation: the packages that one requirement alone needs, and the claims."""

from experiments.record_installation import Installation, brought_by, claims_of, installed_requirements


class Package:
    def __init__(self, *requires):
        self.requires = list(requires)


PACKAGES = {
    "vae-jax": Package("jax>=0.8", "Tensor_Store[fast]>=1", "pytest; extra == 'test'", "missing"),
    "jax": Package("numpy", "jaxlib>=0.8; python_version >= '3'"),
    "tensor-store": Package("numpy", "fsspec; extra == 'fast'", "slow; extra == 'slow'"),
    "jaxlib": Package(),
    "fsspec": Package("jaxlib"),
    "numpy": Package(),
    "pytest": Package(),
    "slow": Package(),
}


def test_a_requirement_brings_what_no_other_one_needs():
    assert installed_requirements(PACKAGES, "tensor-store", ("fast",)) == {("numpy", ()), ("fsspec", ())}
    assert brought_by(PACKAGES) == {"jax": ["jax"], "tensor-store": ["fsspec", "tensor-store"]}


def test_the_claims_count_packages_and_add_their_sizes():
    installation = Installation("3.11.7", 60.0, 30.0, -108.0, {"jax": 20.5, "numpy": 70.0}, {})
    assert {claim.claim: claim.mean for claim in claims_of(installation)} == {
        "Python 3.11: time of pip install": 60.0,
        "Python 3.11: packages besides vae_jax": 2,
        "Python 3.11: disk space of these packages": 90.5,
        "Python 3.11: time of the first training with the default settings": 30.0,
        "Python 3.11: test ELBO of the first training": -108.0,
    }
