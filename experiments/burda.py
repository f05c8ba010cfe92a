"""log p(x) of binarized MNIST: tables 1 of Burda et al. (arXiv:1509.00519) and Tomczak & Welling (arXiv:1705.07120).

    python -m experiments.burda vae --stages 7 --batch-size 100

A row trains its models for every seed in run folders under --runs, where the same command continues them, measures them
and writes a record and a figure. The table has the nll in nats, and an epoch's cost relative to `vae` (1 to 4 s):

  row         model                                          paper                     bar                    cost
  vae         VAE, 784-200-200-50, tanh                      86.76                     86.8                      1
  iwae-5      IWAE of 5 samples, the same networks           85.54                     85.6                      3
  iwae-50     IWAE of 50 samples, the same networks          84.78                     85.0                     25
  dreg        IWAE, DReG (arXiv:1810.04152), 20 samples      DReG lower by 0.2 to 0.3  the same sign 3 times  2 x 10
  two-layer   VAE of two stochastic layers, 100 and 50       85.33                     85.6                      1.3
  vamp-prior  gated 300-300-40, standard prior, VampPrior    84.50 and 82.38           a gain of 1.5          2 x 3.5

Data: 59,600 training and 400 validation images, binarized again at every read; test images binarized once (seed 1).
Stage i of the paper's 0 to 7 is 3^i epochs of Adam (eps 1e-4) at 1e-3 * 10^(-i/span) * sqrt(batch/20); the last epoch
is measured. vamp-prior: Adam 5e-4, KL warm-up of 100 epochs, patience of 50 epochs, the best epoch is measured.
"""

import dataclasses
import json
import shlex
import sys
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

from experiments.lib.paper_row import Images, Measuring, Recipe, Row, Variant
from experiments.lib.paper_table import prepare_row
from vae_jax import data, gaussian_vae, objectives
from vae_jax.cli.exits import exit_on_bad_input
from vae_jax.models import hierarchical_vae, likelihoods, output_bias, with_vamp_prior
from vae_jax.networks import Network, gated_mlp_decoder, gated_mlp_encoder, mlp_decoder, mlp_encoder
from vae_jax.training import steps_per_epoch

IMAGE, VALIDATION_IMAGES, TEST_BITS_SEED = (28, 28, 1), 400, 1
GLOROT, HE = jax.nn.initializers.glorot_uniform(), jax.nn.initializers.he_normal()


@dataclasses.dataclass(frozen=True)
class Options:
    row: tyro.conf.Positional[Literal["vae", "iwae-5", "iwae-50", "dreg", "two-layer", "vamp-prior"]]  # table row
    seeds: tuple[int, ...] | None = None  # random seeds; every model is trained for each; default: 0, for dreg 0 1 2
    stages: int = 8  # number of learning-rate stages, 1 to 8; not used by vamp-prior
    span: int = 7  # number of stages after which the learning rate has fallen to a tenth
    batch_size: int | None = None  # images per training step; default: 20, for vamp-prior 100
    epochs: int | None = None  # epochs, with one cosine schedule; default: the stages' epochs, vamp-prior: 2000
    nll_samples: int = 5000  # importance samples per test image
    test_images: int = 10_000  # number of test images to measure, from the first
    ais_images: int = 100  # number of test images, from the first, to measure by annealing too; 0: none
    runs: Path = Path("runs/burda")  # folder of the run folders of each model and seed
    docs: Path = Path("docs")  # folder to write results/burda_ROW.json and the figure images/burda_ROW.png into


def tanh_encoder(shape: tuple[int, ...], dim: int, width: int) -> Network:
    """Encoder whose outputs are the mean and log sigma, as in Burda et al.; the log-variance is twice the latter."""
    network = mlp_encoder(shape, 2 * dim, (width, width), jnp.tanh, GLOROT)
    return Network(network.init, lambda params, x: network.apply(params, x) * jnp.repeat(jnp.array([1.0, 2.0]), dim))


def tanh_decoder(dim: int, train: np.ndarray) -> Network:
    bias = output_bias(likelihoods.bernoulli, train.mean(axis=0) / 255)
    return mlp_decoder(dim, (*IMAGE, 1), (200, 200), bias, jnp.tanh, GLOROT)


def burda_recipe(options: Options, batch_size: int, steps: int) -> Recipe:
    """Recipe with stages of 3^i epochs at 10^(-i/span) of the first learning rate, or with one cosine schedule."""
    first = 1e-3 * (batch_size / 20) ** 0.5  # Malladi et al. 2022 (arXiv:2205.10287) scale eps and betas too
    if (epochs := options.epochs) is not None:
        rate = optax.cosine_decay_schedule(first, epochs * steps)
        protocol = f"{epochs} epochs, batch {batch_size}, Adam {first:.2g} to 0 by a cosine"
    else:
        ends = np.cumsum([3**i for i in range(options.stages)]).tolist()
        rates = [first * 10 ** (-i / options.span) for i in range(options.stages)]
        rate = optax.join_schedules([optax.constant_schedule(r) for r in rates], [end * steps for end in ends[:-1]])
        epochs = ends[-1]
        stages = f"{options.stages} of Burda's 8 stages ({epochs} epochs)"
        protocol = f"{stages}, batch {batch_size}, Adam {first:.2g} to {rates[-1]:.2g}"
    return Recipe(protocol, optax.adam(rate, eps=1e-4), epochs, batch_size, lambda p: p.state.params)


def make_row(options: Options, train: np.ndarray) -> Row:
    """Models and recipe of the row."""
    batch_size = {"vamp-prior": 100}.get(options.row, 20) if options.batch_size is None else options.batch_size
    steps = steps_per_epoch(len(train), batch_size)
    if options.row == "vamp-prior":
        epochs = options.epochs or 2000
        protocol = f"batch {batch_size}, Adam 5e-4, KL warm-up of 100 epochs, best epoch of at most {epochs}"
        recipe = Recipe(protocol, optax.adam(5e-4), epochs, batch_size, lambda p: p.best_params, patience=50)
        warm_up = objectives.scheduled(objectives.sampled_beta_vae_loss, objectives.linear(100 * steps))
        decoder = gated_mlp_decoder(40, (*IMAGE, 1), kernel_init=HE)
        model = gaussian_vae(gated_mlp_encoder(IMAGE, 80, kernel_init=HE), decoder, 40)
        standard = Variant("gated", "standard prior", model, warm_up, 84.50)
        vamp = Variant("gated-vamp", "VampPrior of 500", with_vamp_prior(model, 500, IMAGE), warm_up, 82.38)
        return Row("Gated VAE, 784-300-300-40, two priors", (standard, vamp), recipe, -1.5)
    recipe = burda_recipe(options, batch_size, steps)
    if options.row == "two-layer":
        encoders = tanh_encoder(IMAGE, 100, 200), tanh_encoder((100,), 50, 100)
        model = hierarchical_vae(encoders, [tanh_encoder((50,), 100, 100)], tanh_decoder(100, train), 50)
        vae = Variant("two-layer", "VAE", model, objectives.negative_sampled_elbo, 85.33, 85.6)
        return Row("Two stochastic layers, 784-200-200-100 and 100-100-100-50, tanh", (vae,), recipe)
    model = gaussian_vae(tanh_encoder(IMAGE, 50, 200), tanh_decoder(50, train), 50)
    if options.row == "dreg":
        iwae = Variant("iwae-20", "IWAE gradient, 20 samples", model, objectives.negative_iwae(20))
        dreg = Variant("dreg-20", "DReG gradient, 20 samples", model, objectives.negative_dreg(20))
        return Row("DReG and IWAE, 784-200-200-50, tanh", (iwae, dreg), recipe, 0.0)
    variant = {
        "vae": Variant("vae", "VAE", model, objectives.negative_elbo, 86.76, 86.8, 19),
        "iwae-5": Variant("iwae-5", "IWAE, 5 samples", model, objectives.negative_iwae(5), 85.54, 85.6),
        "iwae-50": Variant("iwae-50", "IWAE, 50 samples", model, objectives.negative_iwae(50), 84.78, 85.0, 25),
    }[options.row]
    return Row(f"{variant.claim}, 784-200-200-50, tanh", (variant,), recipe)


def record_name(options: Options) -> str:
    """Name of the record, different for every schedule, so that no record overwrites another's."""
    schedule = f"_span_{options.span}" * (options.span != 7) if options.epochs is None else "_cosine"
    return f"burda_{options.row}{schedule * (options.row != 'vamp-prior')}".replace("-", "_")


def main(options: Options) -> None:
    with exit_on_bad_input():
        for name, most in {"stages": 8, "span": 99, "epochs": 10**6, "test_images": 10_000}.items():
            if (value := getattr(options, name)) is not None and not 1 <= value <= most:
                raise ValueError(f"--{name.replace('_', '-')} must be between 1 and {most:,}, got {value}")
        images = data.load_images("mnist")
        train, validation = images.train[:-VALIDATION_IMAGES], images.train[-VALIDATION_IMAGES:]
        test = data.static_binarization(images.test, TEST_BITS_SEED)[: options.test_images]
        run = prepare_row(
            make_row(options, train),
            Images(train, validation, data.scale(jax.random.key(0), test)),
            data.binarize,
            Measuring(options.nll_samples, min(options.ais_images, len(test))),
            seeds=options.seeds or ((0, 1, 2) if options.row == "dreg" else (0,)),
            runs=options.runs,
            docs=options.docs,
            name=record_name(options),
            command=shlex.join(["python", "-m", "experiments.burda", *sys.argv[1:]]),
        )
    print(json.dumps(dataclasses.asdict(run())))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__, prog="python -m experiments.burda"))
