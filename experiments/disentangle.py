"""Disentanglement: many models at once on images with known factors, measured by the field's scores.

    python -m experiments.disentangle --objective beta --betas 1 4 16 --seeds 5
    python -m experiments.disentangle --objective factor --gammas 30 --seeds 2 --steps 200

One model is trained for every weight and seed. All models are one program with one progress bar, and are resumed
together with --run-dir DIR --resume. The images are rendered on the device: `sprites`, regenerated after dSprites. On
two cores a step of one model takes 50 ms and its scores take some minutes, mostly for DCI (one with --dci-points 1000).

Source: Locatello et al. 2019 (arXiv:1811.12359) and its disentanglement_lib, for network, scores and their settings.
"""

from vae_jax.cli.train import main
from vae_jax.runs import DISENTANGLE

RECIPE = DISENTANGLE

if __name__ == "__main__":
    main(RECIPE, __doc__)
