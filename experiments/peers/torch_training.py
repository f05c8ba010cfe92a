"""Training steps in PyTorch, for experiments.benchmark; runs in an environment of its own.

    pip install torch==2.13.0

The argument is a .npz file with the workload's name, its images (uint8 `[N, H, W, C]`), the batch size and the initial
weights under vae_jax's names. The loops are hand-written: float32 tensors in memory, shuffled in every round, the loss
from logits, Adam 1e-3 with PyTorch's defaults. Contestants of mlp_vae: batches by tensor indexing ("pytorch"), by a
DataLoader, and with a compiled loss; of the convolutional workloads: eager in channels_last ("pytorch"), and compiled.
"""

import json
import math
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn
from torch.nn import functional

Arrays = dict[str, np.ndarray]


class Flat(nn.Module):
    """Flattens images `[B, C, H, W]` with channels last, the order of vae_jax's weights."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1)


class Grid(nn.Module):
    """Inverse of Flat, to a square grid with the given number of channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        side = math.isqrt(x.shape[1] // self.channels)
        return x.reshape(-1, side, side, self.channels).permute(0, 3, 1, 2)


class Residual(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.ReLU(), layers[0], nn.ReLU(), layers[1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layers(x)


def layer(arrays: Arrays, name: str, transposed: bool = False) -> nn.Module:
    """Layer with the named weights: dense `[in, out]`, or a convolution `[k, k, C, O]`, transposed if asked for."""
    kernel, bias = (torch.tensor(arrays[f"{name}/{part}"]) for part in ("kernel", "bias"))
    module: nn.Module
    if kernel.ndim == 2:
        module, weight = nn.Linear(*kernel.shape), kernel.T
    else:
        size, _, channels, features = kernel.shape
        strided = size in (2, 4)
        kwargs = {"stride": 2 if strided else 1, "padding": (size - 1) // 2}
        weight = kernel.permute(3, 2, 0, 1)
        if transposed:
            module = nn.ConvTranspose2d(features, channels, size, **kwargs)
        else:
            module = nn.Conv2d(channels, features, size, **kwargs)
    module.weight.data, module.bias.data = weight.contiguous(), bias
    return module


def chain(arrays: Arrays, network: str, names: list[str], transposed: bool = False) -> list[nn.Module]:
    """Named layers with a ReLU after each."""
    return [part for name in names for part in (layer(arrays, f"{network}/{name}", transposed), nn.ReLU())]


def networks(work: str, arrays: Arrays) -> tuple[nn.Module, nn.Module]:
    """Encoder, with mean and log-variance along axis 1 of its output, and decoder."""
    output = layer(arrays, "encoder/output"), layer(arrays, "decoder/output", transposed=True)
    if work == "mlp_vae":
        encoder = [Flat(), *chain(arrays, "encoder", ["hidden_0"]), output[0]]
        decoder = [*chain(arrays, "decoder", ["hidden_0"]), output[1], Grid(1)]
    elif work == "conv_vae":
        encoder = [*chain(arrays, "encoder", ["conv_0", "conv_1", "conv_2", "conv_3"]), Flat()]
        encoder += [*chain(arrays, "encoder", ["hidden"]), output[0]]
        channels = arrays["encoder/conv_3/kernel"].shape[-1]
        decoder = [*chain(arrays, "decoder", ["hidden", "grid"]), Grid(channels)]
        decoder += [*chain(arrays, "decoder", ["conv_0", "conv_1", "conv_2"], transposed=True), output[1]]
    else:
        residual = lambda net: [
            Residual(*(layer(arrays, f"{net}/residual/{name}_{i}") for name in ("reduce", "expand"))) for i in range(2)
        ]
        encoder = [*chain(arrays, "encoder", ["conv_0", "conv_1", "features"])]
        encoder += [*residual("encoder"), nn.ReLU(), output[0]]
        decoder = [layer(arrays, "decoder/features"), *residual("decoder"), nn.ReLU()]
        decoder += [*chain(arrays, "decoder", ["conv_0"], transposed=True), output[1]]
    return nn.Sequential(*encoder), nn.Sequential(*decoder)


class Contestant:
    """Model with its optimizer and its loss."""

    def __init__(self, work: str, arrays: Arrays, compiled: bool) -> None:
        self.encoder, self.decoder = (net.to(memory_format=torch.channels_last) for net in networks(work, arrays))
        self.bernoulli, self.binarize = work != "conv_cifar", bool(arrays["binarize"])
        self.optimizer = torch.optim.Adam([*self.encoder.parameters(), *self.decoder.parameters()], 1e-3)
        self.loss = torch.compile(self.negative_elbo) if compiled else self.negative_elbo

    def negative_elbo(self, pixels: torch.Tensor) -> torch.Tensor:
        """Negative ELBO in nats with one z per image, mean over the batch."""
        x = torch.bernoulli(pixels) if self.binarize else pixels
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        outputs = self.decoder(mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean))
        if self.bernoulli:
            distortion = functional.binary_cross_entropy_with_logits(outputs, x, reduction="sum")
        else:
            distortion = math.pi * functional.mse_loss(outputs, x, reduction="sum")
        kl = 0.5 * (log_variance.exp() - 1.0 - log_variance + mean.square()).sum()
        return (distortion + kl) / x.shape[0]

    def round(self, batches: Iterator[torch.Tensor]) -> float:
        total, count = torch.zeros(()), 0
        for batch in batches:
            self.optimizer.zero_grad()
            loss = self.loss(batch)
            loss.backward()
            self.optimizer.step()
            total, count = total + loss.detach(), count + 1
        return (total / count).item()


def main() -> None:
    arrays = dict(np.load(sys.argv[1]))
    work, batch_size = str(arrays["work"]), int(arrays["batch_size"])
    images = torch.tensor(arrays["images"]).permute(0, 3, 1, 2).float() / 255
    images = images.contiguous(memory_format=torch.channels_last)
    dataset = torch.utils.data.TensorDataset(images)

    def indexed() -> Iterator[torch.Tensor]:
        order = torch.randperm(len(images))
        return (images[indices] for indices in order.split(batch_size) if len(indices) == batch_size)

    def loaded() -> Iterator[torch.Tensor]:
        loader = torch.utils.data.DataLoader(dataset, batch_size, shuffle=True, drop_last=True)
        return (batch for (batch,) in loader)

    ways: dict[str, tuple[Contestant, Callable[[], Iterator[torch.Tensor]]]] = {
        "pytorch": (Contestant(work, arrays, False), indexed),
        "pytorch_compiled": (Contestant(work, arrays, True), indexed),
    }
    if work == "mlp_vae":
        ways["pytorch_dataloader"] = (Contestant(work, arrays, False), loaded)
    instructions = torch.backends.cpu.get_cpu_capability()
    about = {"contestants": list(ways), "versions": {"torch": torch.__version__}, "instructions": instructions}
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        contestant, batches = ways[line.strip()]
        start = time.perf_counter()
        loss = contestant.round(batches())
        print(time.perf_counter() - start, loss, flush=True)


if __name__ == "__main__":
    main()
