"""Importance sampling in PyTorch, for experiments.likelihood_speed; runs in an environment of its own.

    pip install torch==2.13.0 pythae==0.1.2

The argument is a .npz file with the weights of a trained 784-400-20 VAE and the images. The script prints its versions
and its vector instructions; then, for every line on stdin ("pytorch" or "pythae"), it measures once and prints the
seconds and the mean nll in nats.
"""

import json
import math
import sys
import time
from importlib.metadata import version

import numpy as np
import torch
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder


class Encoder(BaseEncoder):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.output = torch.nn.Linear(784, 400), torch.nn.Linear(400, 40)

    def forward(self, x: torch.Tensor) -> ModelOutput:
        mean, log_variance = self.output(torch.relu(self.hidden(x.reshape(-1, 784)))).chunk(2, dim=-1)
        return ModelOutput(embedding=mean, log_covariance=log_variance)


class Decoder(BaseDecoder):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.output = torch.nn.Linear(20, 400), torch.nn.Linear(400, 784)

    def logits(self, z: torch.Tensor) -> torch.Tensor:
        return self.output(torch.relu(self.hidden(z)))

    def forward(self, z: torch.Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=torch.sigmoid(self.logits(z)).reshape(-1, 1, 28, 28))


def load(module: torch.nn.Module, arrays: dict[str, np.ndarray], name: str) -> None:
    """Loads the weights `[inputs, outputs]` and biases of vae_jax's layers hidden_0 and output."""
    for ours, theirs in (("hidden_0", module.hidden), ("output", module.output)):
        theirs.weight.data = torch.tensor(arrays[f"{name}/{ours}/kernel"].T.copy())
        theirs.bias.data = torch.tensor(arrays[f"{name}/{ours}/bias"])


@torch.inference_mode()
def hand_written(encoder: Encoder, decoder: Decoder, xs: torch.Tensor, num_samples: int) -> float:
    """Estimates the mean nll with one image and all its samples at a time, from logits and a matrix-vector product."""
    posterior, estimates = encoder(xs), []
    for x, mean, log_variance in zip(xs.reshape(-1, 784), posterior.embedding, posterior.log_covariance, strict=True):
        noise = torch.randn(num_samples, 20)
        z = mean + torch.exp(0.5 * log_variance) * noise
        logits = decoder.logits(z)
        log_likelihood = logits @ x - torch.nn.functional.softplus(logits).sum(-1)
        log_ratio = 0.5 * (noise.square() + log_variance - z.square()).sum(-1)  # log p(z) - log q(z | x)
        estimates.append(torch.logsumexp(log_likelihood + log_ratio, 0) - math.log(num_samples))
    return -torch.stack(estimates).mean().item()


def main() -> None:
    arrays = dict(np.load(sys.argv[1]))
    xs, num_samples = torch.tensor(arrays["xs"]).reshape(-1, 1, 28, 28), int(arrays["num_samples"])
    encoder, decoder = Encoder(), Decoder()
    load(encoder, arrays, "encoder")
    load(decoder, arrays, "decoder")
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=20, reconstruction_loss="bce")
    pythae = VAE(config, encoder, decoder).eval()
    contestants = {
        "pytorch": lambda: hand_written(encoder, decoder, xs, num_samples),
        "pythae": lambda: -float(pythae.get_nll(xs, n_samples=num_samples)),  # get_nll returns log p(x)
    }
    versions = {name: version(name) for name in ("torch", "pythae")}
    about = {"contestants": list(contestants), "versions": versions}
    print(json.dumps(about | {"instructions": torch.backends.cpu.get_cpu_capability()}), flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        nll = contestants[line.strip()]()
        print(time.perf_counter() - start, nll, flush=True)


if __name__ == "__main__":
    main()
