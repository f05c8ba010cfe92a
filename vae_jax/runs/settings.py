"""Settings of a run, by group. They become flags, with their docstrings as help, and `config.json` of the run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from vae_jax.data._factor_sets import NAMES
from vae_jax.runs.choices import (
    BINARIZATIONS,
    CODE_PRIORS,
    LIKELIHOODS,
    NETWORKS,
    OBJECTIVES,
    ON_IMAGES,
    OPTIMIZERS,
    POSTERIORS,
    PRIORS,
    QUANTIZERS,
    SCHEDULES,
    WEIGHTED,
)
from vae_jax.runs.choices.loggers import LOGGERS
from vae_jax.runs.options import Processes
from vae_jax.runs.tables.settings import Table

_CAPACITY = "capacity in nats at the end of its rise, which takes the first third of the steps"


def _weight(name: str, word: str = "weight") -> dict[str, str]:
    """Help text of a weight for each objective that uses it."""
    return {choice.name: f"{word} of {choice.weighs}" for choice in OBJECTIVES if choice.weight == name}


_OF_PIXELS = "likelihood p(x | z) of a pixel"
_AUTO = "bernoulli for images of one channel, logistic for color; normal for --objective optimal_variance"
_LIKELIHOOD = LIKELIHOODS.help(_OF_PIXELS, auto=_AUTO)
# The likelihood of a table's other columns follows from their kinds.
_LIKELIHOOD_OF_DATA = LIKELIHOODS.help(
    f"{_OF_PIXELS}, or of the continuous columns of a table (normal or student_t)", auto=f"{_AUTO} and for tables"
)


@dataclasses.dataclass(frozen=True)
class Data:
    """Images, and side information about them."""

    title: ClassVar[str] = "data"

    data: str = "digits"
    """digits (5,000 of MNIST, embedded), a TFDS image dataset (mnist, ...), a .npz or .npy file, a folder, a table"""
    data_dir: str | None = None
    """folder of TFDS datasets (default: TFDS_DATA_DIR of the environment, else the folder that TFDS uses)"""
    size: Annotated[tuple[int, int] | None, tyro.conf.arg(metavar="HEIGHT WIDTH")] = None
    """size to which the pictures of a folder are resized and cropped (default: all must have the same size)"""
    stream: bool = False
    """leave the training images on disk and read each batch when it is needed, for data larger than memory"""
    binarization: Annotated[
        str, BINARIZATIONS.help("binarization of the pixels", auto="dynamic for --likelihood bernoulli, else none")
    ] = "auto"
    condition: Literal["none", "labels"] = "none"
    """side information for encoder and decoder; labels: the label of each image"""
    missing: float | None = None
    """share of the pixels to hide at random, to train a model of images with missing pixels (default: none)"""
    mask_file: str | None = None
    """.npz file with masks of missing pixels (0: missing), train and test, each of the shape of its images"""
    validation_size: int | None = None
    """training images held out to choose the best epoch (default: the validation split, else a tenth, at most 1,000)"""


@dataclasses.dataclass(frozen=True)
class Model:
    """Networks and distributions of a latent code that is one vector."""

    title: ClassVar[str] = "model"

    network: Annotated[str, NETWORKS.help("encoder and decoder")] = "mlp"
    hidden: Annotated[
        tuple[int, ...], NETWORKS.flag("hidden", "widths of the dense layers, from image to code; conv takes one")
    ] = (400,)
    channels: Annotated[
        tuple[int, ...], NETWORKS.flag("channels", "channels of the convolutions, from image to code")
    ] = (32, 64)
    residual_hidden: Annotated[int, NETWORKS.flag("residual_hidden", "channels inside a residual layer")] = 32
    residual_layers: Annotated[int, NETWORKS.flag("residual_layers", "number of residual layers in each network")] = 2
    latent_dim: int = 20
    """number of dimensions of the latent code z"""
    posterior: Annotated[str, POSTERIORS.help("posterior q(z | x)")] = "normal"
    prior: Annotated[str, PRIORS.help("prior p(z)", any_name=True)] = "normal"
    components: Annotated[int | None, PRIORS.flag("components", "number of components")] = None
    pseudo_inputs: Annotated[int | None, PRIORS.flag("pseudo_inputs", "number of pseudo-inputs")] = None
    likelihood: Annotated[str, _LIKELIHOOD_OF_DATA] = "auto"


@dataclasses.dataclass(frozen=True)
class Loss:
    """Training objective."""

    title: ClassVar[str] = "objective"

    objective: Annotated[str, ON_IMAGES.help("loss to minimize")] = "elbo"
    samples: Annotated[int | None, ON_IMAGES.flag("samples", "samples of z for each bound")] = None
    bounds: Annotated[int | None, ON_IMAGES.flag("bounds", "number of bounds that are averaged")] = None
    share: Annotated[float | None, ON_IMAGES.flag("share", "weight of the ELBO, from 0 to 1")] = None
    alpha: Annotated[float | None, ON_IMAGES.flag("alpha", "order of the Renyi divergence")] = None
    beta: Annotated[float | None, ON_IMAGES.flag("beta", _weight("beta"))] = None
    gamma: Annotated[float | None, ON_IMAGES.flag("gamma", _weight("gamma"))] = None
    lambda_: Annotated[float | None, ON_IMAGES.flag("lambda_", _weight("lambda_"), name="lambda")] = None
    free_bits: Annotated[
        float | None, ON_IMAGES.flag("free_bits", "KL in nats of each dimension of z that is not penalized")
    ] = None
    tolerance: Annotated[float | None, ON_IMAGES.flag("tolerance", "largest mean distortion in nats of an image")] = (
        None
    )
    max_capacity: Annotated[float | None, ON_IMAGES.flag("max_capacity", _CAPACITY)] = None
    kl_warm_up: int = 0
    """number of epochs over which the weight of the KL rises from 0 to 1; 0: no warm-up"""


@dataclasses.dataclass(frozen=True)
class Optimization:
    """Optimizer and learning rate."""

    title: ClassVar[str] = "optimizer"

    optimizer: Annotated[str, OPTIMIZERS.help("optimizer of optax", any_name=True)] = "adam"
    learning_rate: float = 1e-3
    """peak learning rate"""
    schedule: Annotated[str, SCHEDULES.help("schedule of the learning rate over the steps of the run")] = "constant"
    weight_decay: Annotated[float | None, OPTIMIZERS.flag("weight_decay", "decoupled weight decay")] = None
    momentum: Annotated[float | None, OPTIMIZERS.flag("momentum", "momentum (0: none)")] = None
    clip_norm: float | None = None
    """largest global norm of the gradient; a longer gradient is scaled down to it (default: no clipping)"""
    ema: float | None = None
    """decay of an exponential moving average of the weights, which is evaluated and saved (default: no average)"""


@dataclasses.dataclass(frozen=True)
class Training:
    """Epochs, batches and seeds."""

    title: ClassVar[str] = "training"
    default_batch_size: ClassVar[int] = 128

    epochs: int = 100
    """number of passes over the training images; can be changed with --resume unless --schedule or the loss uses it"""
    batch_size: int | None = None
    """number of images in each training step (default: 128, or 64 for vq_vae, or all training images if fewer)"""
    microbatches: int = 1
    """number of parts of each batch, computed one after another (gradient accumulation): less memory, same results"""
    rematerialize: bool = False
    """recompute the activations of each network for the gradient, to need less memory (GPU and TPU)"""
    precision: Literal["float32", "bfloat16"] = "float32"
    """arithmetic of the networks; parameters, densities and optimizer always use float32"""
    patience: int | None = 20
    """early stopping: number of epochs without a better validation loss after which training ends; None: no stopping"""
    seed: int = 0
    """random seed of parameters, shuffling and noise"""
    seeds: int = 1
    """number of models to train at once, in one program, with the seeds SEED, SEED + 1, ..."""

    @property
    def resolved_batch_size(self) -> int:
        """Images in each step, after the settings are resolved."""
        assert self.batch_size is not None, "resolve the settings first"
        return self.batch_size


@dataclasses.dataclass(frozen=True)
class Measuring:
    """Measurements on the test images after training."""

    title: ClassVar[str] = "evaluation"

    elbo_samples: int = 16
    """number of samples of z for each test image, for the ELBO"""
    nll_samples: int = 0
    """number of importance samples for each test image, for the log-likelihood; 0: leave it to `vae-jax evaluate`"""


@dataclasses.dataclass(frozen=True)
class Folder:
    """Run folder, and loggers of metrics."""

    title: ClassVar[str] = "run folder"

    run_dir: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """new folder for the run, or with --resume the folder to continue (default: runs/RECIPE-DATA-TIME)"""
    resume: bool = False
    """continue the run in --run-dir from its last checkpoint, with its settings"""
    accept_versions: bool = False
    """resume with other versions of vae_jax, JAX, flax, optax or NumPy than before (the last digits may differ)"""
    log: Annotated[str, LOGGERS.help("logger of the metrics beside metrics.jsonl; can be changed with --resume")] = (
        "none"
    )


@dataclasses.dataclass(frozen=True)
class Machines(Processes):
    """Devices and processes."""

    title: ClassVar[str] = "machines"

    devices: int | None = None
    """number of devices, in all processes, that share each batch (default: 1, or all devices of several processes)"""


# Settings that no result depends on: paths, and how the run is started.
PLACES = ("data_dir", *(field.name for group in (Folder, Machines) for field in dataclasses.fields(group)))


@dataclasses.dataclass(frozen=True)
class Settings(Machines, Folder, Measuring, Training, Optimization, Loss, Model, Table, Data):
    """Settings of a VAE on images, or on the rows of a table."""


@dataclasses.dataclass(frozen=True)
class LabelModel:
    """Conditional VAE and classifier, multilayer perceptrons."""

    title: ClassVar[str] = "model"

    hidden: tuple[int, ...] = (500,)
    """widths of the dense layers of encoder and decoder, from image to code"""
    latent_dim: int = 50
    """number of dimensions of the latent code z"""
    classifier_hidden: tuple[int, ...] = (500,)
    """widths of the dense layers of the classifier q(y | x)"""
    likelihood: Annotated[str, _LIKELIHOOD] = "auto"


@dataclasses.dataclass(frozen=True)
class FewLabels:
    """Labels of the training images, and the weight of the classifier."""

    title: ClassVar[str] = "labels"

    labels_per_class: int = 10
    """number of training images of each class whose label is used; all other training images have none"""
    labels_seed: int = 0
    """random seed of the choice of these images"""
    labels_per_batch: int = 10
    """number of images with a label in each batch, which may hold more of them than the data: weights make up for it"""
    alpha: float = 1.0
    """weight of the classifier's mean cross-entropy, as a share of the number of training images (0.1 in the paper)"""


@dataclasses.dataclass(frozen=True)
class LabelSettings(Machines, Folder, Measuring, Training, Optimization, FewLabels, LabelModel, Data):
    """Settings of a semi-supervised model of images, few of which have labels."""

    condition: Literal["none", "labels"] = "labels"
    """side information for encoder and decoder: labels, always"""
    epochs: int = 50
    patience: int | None = None


@dataclasses.dataclass(frozen=True)
class CodeModel:
    """Residual networks that map an image to a grid of vectors and back."""

    title: ClassVar[str] = "model"

    latent_dim: int = 32
    """number of dimensions of each vector of the codebook"""
    channels: tuple[int, ...] = (32, 64)
    """channels of the 4x4 convolutions, each of which halves the image; the last one gives the grid of codes"""
    residual_hidden: int = 32
    """channels inside a residual layer"""
    residual_layers: int = 2
    """number of residual layers in encoder and decoder each"""
    likelihood: Annotated[str, _LIKELIHOOD] = "auto"


@dataclasses.dataclass(frozen=True)
class CodeQuantizer:
    """Quantizer, which turns vectors into codes."""

    title: ClassVar[str] = "quantizer"

    quantizer: Annotated[str, QUANTIZERS.help("quantizer of the vectors")] = "ema"
    num_codes: int = 32
    """number of codes; finite_scalar uses the nearest size it has; lookup_free and spherical need a power of 2"""
    commitment: Annotated[float, QUANTIZERS.flag("commitment", "weight of the commitment loss")] = 0.25
    revival: Annotated[
        float,
        QUANTIZERS.flag(
            "revival",
            "share of the average use below which a code is replaced by a vector of the batch (0: never)",
        ),
    ] = 0.1
    k_means_images: int = 256
    """number of training images for k-means, which initializes the codes before training; 0: random codes"""


@dataclasses.dataclass(frozen=True)
class CodePrior:
    """Prior over the codes, trained after the model."""

    title: ClassVar[str] = "prior over the codes"

    prior: Annotated[str, CODE_PRIORS.help("network of the prior", any_name=True)] = "transformer"
    prior_epochs: int = 8
    """number of passes over the codes of the training images, to train the prior"""
    prior_batch_size: int = 64
    """number of images in each training step of the prior"""
    prior_learning_rate: float = 1e-3
    """peak learning rate of the prior, with a cosine schedule"""
    prior_layers: int = 2
    """number of layers of the prior"""
    prior_width: int = 128
    """number of features of a transformer at each position, or of channels of a PixelCNN"""
    prior_heads: Annotated[int, CODE_PRIORS.flag("prior_heads", "number of attention heads")] = 4


@dataclasses.dataclass(frozen=True)
class CodeSettings(Machines, Folder, Measuring, Training, Optimization, CodePrior, CodeQuantizer, CodeModel, Data):
    """Settings of a VQ-VAE on images, and of the prior over its codes."""

    default_batch_size: ClassVar[int] = 64
    epochs: int = 12
    patience: int | None = None


@dataclasses.dataclass(frozen=True)
class FactorData:
    """Images whose factors are known, rendered on the device."""

    title: ClassVar[str] = "data and model"

    data: Annotated[str, tyro.conf.arg(constructor=Literal[NAMES])] = "sprites"
    """images: sprites, sprites_color, sprites_noisy and squares are rendered, dsprites is read from TFDS"""
    data_dir: str | None = None
    """folder of TFDS datasets, for dsprites (default: TFDS_DATA_DIR of the environment, else the folder of TFDS)"""
    latent_dim: int = 10
    """number of dimensions of the latent code z"""


@dataclasses.dataclass(frozen=True)
class Grid:
    """Objective, and a model for every weight and seed."""

    title: ClassVar[str] = "grid"

    objective: Annotated[str, WEIGHTED.help("loss to minimize")] = "beta"
    betas: Annotated[tuple[float, ...], WEIGHTED.flag("beta", _weight("beta", "weights"))] = ()
    gammas: Annotated[tuple[float, ...], WEIGHTED.flag("gamma", _weight("gamma", "weights"))] = ()
    lambdas: Annotated[tuple[float, ...], WEIGHTED.flag("lambda_", _weight("lambda_", "weights"))] = ()
    max_capacity: Annotated[float, WEIGHTED.flag("max_capacity", _CAPACITY)] = 25.0
    changed_factors: int | None = 1
    """with --objective ada_gvae: number of factors in which a pair of images may differ; None: drawn for each pair"""
    seeds: int = 5
    """number of models for each weight; seeds differ from one another more than methods do, so take several"""
    seed: int = 0
    """random seed of the first model of each weight; the next models have SEED + 1, SEED + 2, ..."""
    steps: int = 10_000
    """number of training steps of each model (300,000 in the papers)"""
    batch_size: int = 64
    """number of images in each training step"""


@dataclasses.dataclass(frozen=True)
class Scoring:
    """Scores against the known factors."""

    title: ClassVar[str] = "scores"

    score_every: int | None = None
    """number of training steps between two scorings (default: score at the end only)"""
    points: int = 10_000
    """number of images (FactorVAE score: votes) that each score is fitted to; half as many others test it"""
    whole_table: Annotated[
        bool,
        tyro.conf.arg(
            help="encode every image, which takes minutes for each model. With --no-whole-table it takes seconds: "
            "FactorVAE and BetaVAE scores, active units and figures use at most 8 values of each factor (10,000 "
            "images), and the other scores only the images that they draw"
        ),
    ] = True
    dci_points: int | None = None
    """like --points, for DCI alone, whose boosted trees take minutes for each model with 10,000 (default: --points)"""


@dataclasses.dataclass(frozen=True)
class FactorSettings(Folder, Scoring, Optimization, Grid, FactorData):
    """Settings of a grid of models, one for each weight and seed, trained at once and scored against known factors."""

    learning_rate: float = 5e-4  # that of Burgess et al. 2018; disentanglement_lib takes 1e-4
