"""Meaningless command lines: each must end with exit code 2 and a message of what would be right, and leave no file.

Flags that make a run small precede the wrong flag, so that a command that does not refuse it ends soon.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

_VAE = "--run-dir {new} --epochs 1 --hidden 4 --latent-dim 2 --elbo-samples 1"
_CODES = (
    "--run-dir {new} --epochs 1 --channels 4 --latent-dim 2 --num-codes 4 --residual-hidden 4 --residual-layers 1 "
    "--prior-epochs 1 --prior-width 8 --prior-layers 1 --prior-heads 1"
)
_FACTORS = "--run-dir {new} --data squares --steps 10 --seeds 1 --latent-dim 2 --points 100 --no-whole-table"
_HUGE, _BEYOND = "1000000000000", "1" + 400 * "0"


class BadCommand(NamedTuple):
    """Arguments of `vae-jax`, and the text that stderr must contain."""

    command: str
    expected: str

    def arguments(self, run: Path, new: Path) -> list[str]:
        """Arguments with the folder of a finished VAE for {run} and an unused path for {new}."""
        return [word.format(run=run, new=new) for word in self.command.split()]


def _of(command: str, *refused: tuple[str, str]) -> list[BadCommand]:
    return [BadCommand(f"{command} {flags}", expected) for flags, expected in refused]


BAD_COMMANDS: list[BadCommand] = [
    *_of(
        f"train vae {_VAE}",
        ("--condition weather", "--condition must be one of none, labels, got weather"),
        ("--condition labels --data digits --stream", "--stream reads images without their labels, which --condition"),
    ),
    *_of(
        f"train vae {_VAE}",
        ("--latent-dim 0", "--latent-dim must be at least 1, got 0"),
        ("--latent-dim -1", "--latent-dim must be at least 1, got -1"),
        (f"--latent-dim {_HUGE}", f"--latent-dim must be at most 1,000,000, got {_HUGE}"),
        (f"--latent-dim {_BEYOND}", "--latent-dim must be at most 1,000,000, got 1000"),
        ("--latent-dim 1000000 --hidden 1000000", "of memory: give smaller numbers"),
        ("--latent-dim nan", "--latent-dim must be a whole number, got nan"),
        ("--latent-dim 2.5", "--latent-dim must be a whole number, got 2.5"),
        ("--latent-dim", "--latent-dim needs a value"),
        ("--hidden 0", "--hidden must be at least 1 each, got 0"),
        (f"--hidden 4 {_HUGE}", f"--hidden must be at most 1,000,000 each, got 4 {_HUGE}"),
        ("--network conv --hidden 4 4", "--network conv has one dense layer: give one width to --hidden, got 2"),
        ("--network conv --channels 0", "--channels must be at least 1 each, got 0"),
        (f"--network conv --channels {_HUGE}", "--channels must be at most 100,000 each"),
        ("--epochs 0", "--epochs must be at least 1, got 0"),
        ("--epochs -3", "--epochs must be at least 1, got -3"),
        (f"--epochs {_HUGE}", f"--epochs must be at most 500,000, got {_HUGE}"),
        ("--epochs 400000 --seeds 2", "--epochs must give at most 500,000 rows of metrics"),
        ("--batch-size 0", "--batch-size must be at least 1, got 0"),
        ("--batch-size 1000000", "--batch-size 1000000 is larger than the 3600 training images"),
        ("--microbatches 0", "--microbatches must be at least 1, got 0"),
        ("--microbatches 3", "--microbatches must divide --batch-size 128, got 3"),
        ("--learning-rate nan", "--learning-rate must be a finite number, got nan"),
        ("--learning-rate inf", "--learning-rate must be a finite number, got inf"),
        ("--learning-rate 1e400", "--learning-rate must be a finite number, got inf"),
        ("--learning-rate -1", "--learning-rate must be a number above 0, got -1.0"),
        ("--learning-rate 0", "--learning-rate must be a number above 0, got 0.0"),
        ("--learning-rate 1e-300", "--learning-rate must be a number above 0, got 1e-300"),
        ("--learning-rate 1e39", "--learning-rate must be at most 1e+30, got 1e+39"),
        ("--patience 0", "--patience must be at least 1, got 0"),
        ("--validation-size 0", "--validation-size must be at least 1, got 0"),
        ("--validation-size 4000", "--validation-size must be between 1 and 3999 (train has 4000), got 4000"),
        ("--elbo-samples 0", "--elbo-samples must be at least 1, got 0"),
        (f"--elbo-samples {_HUGE}", "--elbo-samples must be at most 1,000,000"),
        ("--nll-samples -1", "--nll-samples must be at least 0, got -1"),
        (f"--nll-samples {_HUGE}", "--nll-samples must be at most 10,000,000"),
        ("--seed -1", "--seed must be at least 0, got -1"),
        ("--seed 4294967296", "--seed must be at most 4,294,967,295, got 4294967296"),
        ("--seed 4294967295", "--seed must be between 0 and 2**32 - 2, got 4294967295"),
        ("--seeds 0", "--seeds must be at least 1, got 0"),
        (f"--seeds {_HUGE}", f"--seeds must be at most 10,000, got {_HUGE}"),
        ("--seeds 10000 --hidden 100000", "of memory: give smaller numbers"),
        ("--devices 0", "--devices must be at least 1, got 0"),
        ("--devices -1", "--devices must be at least 1, got -1"),
        ("--devices 1000", "--devices 1000"),
        ("--num-processes 2", "must be given together"),
        ("--process-id 0", "must be given together"),
        ("--coordinator localhost:1 --num-processes 0 --process-id 0", "--num-processes must be at least 1, got 0"),
        ("--coordinator localhost:1 --num-processes 2 --process-id -1", "--process-id must be at least 0, got -1"),
        ("--likelihood poisson", "student_t, got poisson"),
        ("--binarization static --likelihood normal", "--likelihood normal: give --likelihood bernoulli, or"),
        ("--log paper", "paper"),
        ("--schedule up", "up"),
        ("--momentum 0.9", "--momentum"),
        ("--resume", "must be the folder of a run"),
        ("--run-dir /proc/none", "--run-dir /proc/none cannot be written"),
    ),
    BadCommand("train vae --resume", "--resume requires --run-dir"),
    BadCommand(f"train vae {_VAE} --run-dir {{run}}", "already holds a run: give another folder"),
    *_of(
        f"train beta_vae {_VAE}",
        ("--beta nan", "--beta must be a finite number, got nan"),
        ("--beta -1", "--beta must be at least 0, got -1.0"),
        ("--beta inf", "--beta must be a finite number, got inf"),
        ("--objective renyi --alpha inf", "--alpha must be a finite number, got inf"),
        ("--beta 1e31", "--beta must be at most 1e+30, got 1e+31"),
    ),
    *_of(
        f"train vq_vae {_CODES}",
        ("--num-codes 0", "--num-codes must be at least 1, got 0"),
        (f"--num-codes {_HUGE}", f"--num-codes must be at most 1,048,576, got {_HUGE}"),
        (
            "--num-codes 6 --quantizer lookup_free",
            "--num-codes must be a power of 2 for --quantizer lookup_free and spherical, got 6",
        ),
        ("--latent-dim 3 --quantizer product", "--latent-dim must be even for --quantizer product"),
        ("--commitment nan", "--commitment must be a finite number, got nan"),
        ("--commitment -0.5", "--commitment must be at least 0, got -0.5"),
        ("--revival 2", "--revival must be at most 1, got 2.0"),
        ("--k-means-images -1", "--k-means-images must be at least 0, got -1"),
        ("--residual-hidden 0", "--residual-hidden must be at least 1, got 0"),
        (f"--residual-hidden {_HUGE}", "--residual-hidden must be at most 100,000"),
        ("--residual-layers -1", "--residual-layers must be at least 0, got -1"),
        (f"--residual-layers {_HUGE}", "--residual-layers must be at most 1,000"),
        ("--channels -4", "--channels must be at least 1 each, got -4"),
        ("--prior-epochs 0", "--prior-epochs must be at least 1, got 0"),
        ("--prior-batch-size 0", "--prior-batch-size must be at least 1, got 0"),
        ("--prior-learning-rate inf", "--prior-learning-rate must be a finite number, got inf"),
        ("--prior-layers 0", "--prior-layers must be at least 1, got 0"),
        (f"--prior-width {_HUGE}", "--prior-width must be at most 100,000"),
        ("--prior-width 100000 --prior-layers 20", "of memory: give smaller numbers"),
        ("--prior-heads 3", "--prior-heads must divide --prior-width 8, got 3"),
        ("--microbatches 2", "--microbatches must be 1 for this objective, which needs the batch as a whole, got 2"),
    ),
    *_of(
        f"train disentangle {_FACTORS}",
        ("--betas nan", "--betas must be a finite number each, got nan"),
        ("--betas -1 2", "--betas must be at least 0 each, got -1.0 2.0"),
        ("--betas 1 1", "--betas must be different numbers, got 1.0 1.0"),
        ("--points 10", "--points must be at least 100, got 10"),
        (f"--points {_HUGE}", f"--points must be at most 10,000,000, got {_HUGE}"),
        ("--dci-points 1", "--dci-points must be at least 100, got 1"),
        ("--steps 0", "--steps must be at least 1, got 0"),
        (f"--steps {_HUGE}", "--steps must be at most 2,147,483,647"),
        ("--steps 100003", "--steps must have a divisor between 10 and 100"),
        ("--score-every 3", "--score-every must divide --steps 10, got 3"),
        ("--steps 1000000 --score-every 1", "--score-every must be at least 1000, got 1"),
        (f"--seeds {_HUGE}", "--seeds must be at most 10,000"),
        ("--batch-size 1", "--batch-size must be at least 2, got 1"),
        ("--latent-dim 1", "--latent-dim must be at least 2, got 1"),
        (f"--latent-dim {_HUGE}", "--latent-dim must be at most 1,000,000"),
        ("--latent-dim 1000000 --points 1000001 --seeds 1000", "of memory: give smaller numbers"),
        ("--learning-rate nan", "--learning-rate must be a finite number, got nan"),
        ("--max-capacity -1", "--max-capacity must be at least 0, got -1.0"),
        ("--changed-factors 0", "--changed-factors must be at least 1, got 0"),
        ("--changed-factors 99", "--changed-factors must be between 1 and"),
        ("--data mnist", "squares, dsprites, got mnist"),
        ("--objective factor --gammas -1", "--gammas must be at least 0 each, got -1.0"),
        ("--lambdas 1", "--lambdas requires --objective dip_i, dip_ii, info or wae, but --objective is beta"),
        ("--objective iwae", "ada_gvae, got iwae"),
    ),
    *_of(
        "evaluate {run}",
        ("--nll-samples -1", "--nll-samples must be at least 0, got -1"),
        (f"--nll-samples {_HUGE}", "--nll-samples must be at most 10,000,000"),
        ("--surgery-points 0", "--surgery-points must be at least 1, got 0"),
        ("--ais-images -1", "--ais-images must be at least 0, got -1"),
        ("--ais-images 100000", "--ais-images must be at most the 1000 test images, got 100000"),
        ("--ais-chains 0", "--ais-chains must be at least 1, got 0"),
        (f"--ais-temperatures {_HUGE}", "--ais-temperatures must be at most 10,000,000"),
        ("--seed 7", "--seed must be one of the seeds of RUN"),
        ("--points 200", "--points requires --metrics disentanglement"),
        ("--metrics disentanglement --ais-chains 3", "--ais-chains belongs to the likelihood, but RUN"),
        ("--metrics disentanglement", "need data with known factors"),
        ("--metrics disentanglement --points 5", "--points must be at least 100, got 5"),
    ),
    *_of(
        "encode {run}",
        ("--batch-size 0", "--batch-size must be at least 1, got 0"),
        ("--output {new}.txt", "--output must end in .csv, .npz, .parquet"),
        ("photo.png --output {new}.csv", "DATA photo.png: expected an image file that can be read"),
        ("--process-id 0", "must be given together"),
    ),
    *_of(
        "score {run}",
        ("--elbo-samples 0", "--elbo-samples must be at least 1, got 0"),
        ("--nll-samples -1", "--nll-samples must be at least 0, got -1"),
        (f"--nll-samples {_HUGE}", "--nll-samples must be at most 10,000,000"),
    ),
    *_of(
        "sample {run}",
        ("--files {run}", "--files must be a new or empty folder"),
        ("--count 0", "--count must be at least 1, got 0"),
        (f"--count {_HUGE}", f"--count must be at most 10,000,000, got {_HUGE}"),
        ("--random-seed -1", "--random-seed must be at least 0, got -1"),
        ("--seed 7", "--seed must be one of the seeds of RUN"),
        ("--weight nan", "--weight must be a finite number, got nan"),
        ("--weight 2", "--weight chooses a model of a run with a grid of weights"),
        ("--output {new}.jpg", "--output must end in .png"),
    ),
    *_of(
        "traverse {run} --output {new}.png",
        ("--span nan", "--span must be a finite number, got nan"),
        ("--span 0", "--span must be a number above 0, got 0.0"),
        ("--steps 1", "--steps must be between 2 and 101, got 1"),
        (f"--steps {_HUGE}", "--steps must be"),
        ("--image 100000", "the number of a test image from 0 to 999, got 100000"),
    ),
    BadCommand("interpolate {run} 0 1 --steps 1 --output {new}.png", "--steps must be between 2 and 101, got 1"),
    BadCommand("interpolate {run} 0 none.png --output {new}.png", "A or B must be a picture file"),
    BadCommand("reconstruct {run} -1 --output {new}.png", "-1"),
    BadCommand("explore {run} --port -1", "--port must be at least 0, got -1"),
    BadCommand("explore {run} --port 70000", "--port must be at most 65,535, got 70000"),
    BadCommand("explore {run} --export {new}.txt", "--export must be a file to write that ends in .html"),
    BadCommand("export {run} --format pickle --output {new}", "pickle"),
    BadCommand("doctor --seconds nan", "--seconds must be a finite number, got nan"),
    BadCommand("doctor --seconds 0", "--seconds must be a number above 0, got 0.0"),
    BadCommand(f"doctor --seconds {_HUGE}", "--seconds must be at most 3,600"),
    BadCommand("compare {run}", "RUN: give the folders of two runs or more, got 1"),
    BadCommand("compare {run} {run}", "RUN: give each folder only once"),
    BadCommand("show {new}", "RUN must be the folder of a run"),
    BadCommand("list {new}", "FOLDER must be a folder with runs in it"),
    BadCommand("report {new}", "RUN must be the folder of a run"),
    BadCommand("train", "give one of the commands vae, beta_vae"),
    BadCommand("train gan", "unknown argument: gan; the commands are vae, beta_vae"),
    BadCommand("fly", "unknown argument: fly; the commands are train, list"),
]
