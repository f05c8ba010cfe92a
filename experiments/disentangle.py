"""Disentanglement: many models at once on images whose factors are known, scored as the field scores them.

    python -m experiments.disentangle --objective beta --betas 1 4 16 --seeds 5
    python -m experiments.disentangle --objective factor --gammas 30 --seeds 2 --steps 200

Every weight with every seed is a model; all are one program with one progress bar, and are resumed as a whole with
--run-dir DIR --resume. The images are rendered on the device: `sprites`, regenerated after dSprites. On two cores a
step of one model takes 50 ms and its scores some minutes, most of them DCI's (`--dci-points 1000` makes it one).

Source: Locatello et al. 2019 (arXiv:1811.12359) and its disentanglement_lib, for network, scores and their numbers.
"""

from vae_jax.cli.train import main
from vae_jax.runs import DISENTANGLE

RECIPE = DISENTANGLE

if __name__ == "__main__":
    main(RECIPE, __doc__)
