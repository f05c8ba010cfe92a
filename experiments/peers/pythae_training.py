"""pythae's own trainer on the workload mlp_vae, for experiments.benchmark; runs in an environment of its own.

    pip install torch==2.13.0 pythae==0.1.2

The argument is a .npz file with the images (uint8 `[N, 28, 28, 1]`), the batch size and the initial weights. The timed
function is the trainer's `train_step`, one pass over its DataLoader; the additions of `train` (progress bars, copies of
the best model, checkpoints) are left out. The model binarizes each batch in one line that pythae does not have.
"""

import contextlib
import json
import logging
import sys
import tempfile
import time
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from pythae.data.datasets import BaseDataset, DatasetOutput
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch_likelihood import Decoder, Encoder, load


class BinarizedVAE(VAE):
    def forward(self, inputs: DatasetOutput, **kwargs: Any) -> ModelOutput:
        return super().forward(DatasetOutput(data=torch.bernoulli(inputs["data"])), **kwargs)


def main() -> None:
    logging.disable(logging.CRITICAL)
    arrays = dict(np.load(sys.argv[1]))
    encoder, decoder = Encoder(), Decoder()
    load(encoder, arrays, "encoder")
    load(decoder, arrays, "decoder")
    model = BinarizedVAE(VAEConfig(input_dim=(1, 28, 28), latent_dim=20, reconstruction_loss="bce"), encoder, decoder)
    images = torch.tensor(arrays["images"]).permute(0, 3, 1, 2).float() / 255
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        config = BaseTrainerConfig(
            output_dir=folder, per_device_train_batch_size=int(arrays["batch_size"]), learning_rate=1e-3, no_cuda=True
        )
        trainer = BaseTrainer(model, BaseDataset(images, torch.zeros(len(images))), training_config=config)
        trainer.prepare_training()
    versions = {name: version(name) for name in ("torch", "pythae")}
    print(json.dumps({"contestants": ["pythae"], "versions": versions}), flush=True)
    for epoch, _ in enumerate(sys.stdin):
        with contextlib.redirect_stdout(sys.stderr):
            start = time.perf_counter()
            loss = trainer.train_step(epoch + 1)
            seconds = time.perf_counter() - start
        print(seconds, float(loss), flush=True)


if __name__ == "__main__":
    main()
