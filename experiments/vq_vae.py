"""VQ-VAE (van den Oord et al. 2017): codes from a codebook, and a prior over the grid of codes.

    python -m experiments.vq_vae
    python -m experiments.vq_vae --data mnist --epochs 20 --prior-layers 4 --prior-width 256
    python -m experiments.vq_vae --data cifar10 --channels 64 128 --num-codes 512 --latent-dim 64 --epochs 10

The first command trains both stages in two to three minutes on two cores. --quantizer selects another quantizer. In the
summary, `bits_per_code` is the cost of a code under the prior, `unigram_bits_per_code` its cost without context, and
`bits_per_dim` the bound log p(x | z) + log p(z) in bits per dimension.
"""

from vae_jax.cli.train import main
from vae_jax.runs import VQ_VAE

RECIPE = VQ_VAE

if __name__ == "__main__":
    main(RECIPE, __doc__)
