"""numpyro's SVI on the workload mlp_vae, for experiments.benchmark; runs in an environment of its own.

    pip install numpyro==0.22.0

The argument is a .npz file with the images (uint8 `[N, 28, 28, 1]`), the batch size and the initial weights. As in
numpyro's VAE example, a whole epoch is one jitted loop over `svi.update`, shuffling and dynamic binarization included;
the KL divergence is in closed form (TraceMeanField_ELBO), and the likelihood takes logits.
"""

import json
import sys
import time
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from numpyro import distributions as dist
from numpyro.infer import SVI, TraceMeanField_ELBO


def perceptron(weights: dict, name: str, x: jax.Array) -> jax.Array:
    hidden = jax.nn.relu(x @ weights[f"{name}/hidden_0/kernel"] + weights[f"{name}/hidden_0/bias"])
    return hidden @ weights[f"{name}/output/kernel"] + weights[f"{name}/output/bias"]


def main() -> None:
    arrays = dict(np.load(sys.argv[1]))
    batch_size = int(arrays["batch_size"])
    images = jnp.asarray(arrays["images"]).reshape(-1, 784)
    steps = len(images) // batch_size
    initial = {name: jnp.asarray(a) for name, a in arrays.items() if name.startswith(("encoder/", "decoder/"))}

    def params() -> dict:
        return {name: numpyro.param(name, value) for name, value in initial.items()}

    def model(x: jax.Array) -> None:
        weights = params()
        with numpyro.plate("batch", batch_size):
            z = numpyro.sample("z", dist.Normal(0.0, 1.0).expand([20]).to_event(1))
            numpyro.sample("x", dist.Bernoulli(logits=perceptron(weights, "decoder", z)).to_event(1), obs=x)

    def guide(x: jax.Array) -> None:
        mean, log_variance = jnp.split(perceptron(params(), "encoder", x), 2, axis=-1)
        with numpyro.plate("batch", batch_size):
            numpyro.sample("z", dist.Normal(mean, jnp.exp(0.5 * log_variance)).to_event(1))

    svi = SVI(model, guide, numpyro.optim.Adam(1e-3), TraceMeanField_ELBO())

    @jax.jit
    def epoch(state: Any, key: jax.Array, images: jax.Array) -> tuple[Any, jax.Array]:
        order_key, bits_key = jax.random.split(key)
        order = jax.random.permutation(order_key, len(images))[: steps * batch_size].reshape(steps, batch_size)

        def body(i: int, carry: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
            state, total = carry
            pixels = images[order[i]].astype(jnp.float32) / 255
            x = jax.random.bernoulli(jax.random.fold_in(bits_key, i), pixels).astype(jnp.float32)
            state, loss = svi.update(state, x)
            return state, total + loss / batch_size

        state, total = jax.lax.fori_loop(0, steps, body, (state, jnp.zeros(())))
        return state, total / steps

    state = jax.jit(svi.init)(jax.random.key(0), jnp.zeros((batch_size, 784)))
    versions = {"numpyro": version("numpyro"), "jax of numpyro": version("jax")}
    print(json.dumps({"contestants": ["numpyro"], "versions": versions}), flush=True)
    for turn, _ in enumerate(sys.stdin):
        start = time.perf_counter()
        state, loss = epoch(state, jax.random.fold_in(jax.random.key(1), turn), images)
        loss = float(loss)
        print(time.perf_counter() - start, loss, flush=True)


if __name__ == "__main__":
    main()
