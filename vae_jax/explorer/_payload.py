"""Content of the explorer's page: the networks as ONNX, test images with their latent codes, the prior.

Images are shown and encoded at 8 bits, x = k / 255, both here and in the browser.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from vae_jax.explorer._codes import CodeSpace, code_space
from vae_jax.explorer._encoding import packed_array, packed_bytes
from vae_jax.explorer._vectors import VectorSpace, vector_space
from vae_jax.export import functions_of, onnx_bytes
from vae_jax.models import VAE
from vae_jax.models._model import Model
from vae_jax.params import Params
from vae_jax.text import printable

MAX_IMAGES = 1000
_FACT = ("name", "value", "unit")


class Payload(NamedTuple):
    """A model with images and their latent codes, for `explorer_page`."""

    title: str
    data: str  # name of the images
    facts: tuple[tuple[str, str, str], ...]  # (title, number as text, unit)
    images: np.ndarray  # uint8 [n, H, W, C]
    labels: np.ndarray | None  # int [n]
    label_names: tuple[str, ...] | None
    encoder: bytes  # ONNX: x float32 [N, H, W, C] in [0, 1], and label int32 [N] of a Conditional -> the space's code
    decoder: bytes  # ONNX: the space's code, and label int32 [N] of a Conditional -> mean float32 [N, H, W, C]
    space: VectorSpace | CodeSpace
    num_classes: int | None = None  # number of labels of a Conditional; None for a VAE

    def as_json(self) -> dict[str, Any]:
        """Returns the payload as JSON; arrays are little-endian bytes, gzipped, in base64."""
        _, height, width, channels = self.images.shape
        return {
            "title": printable(self.title),
            "data": printable(self.data),
            "facts": [{name: printable(text) for name, text in zip(_FACT, fact, strict=True)} for fact in self.facts],
            "image": {"height": height, "width": width, "channels": channels},
            "images": packed_array(self.images),
            "labels": None if self.labels is None else self.labels.tolist(),
            "classes": self.num_classes,
            "labelNames": None if self.label_names is None else [printable(name) for name in self.label_names],
            "encoder": packed_bytes(self.encoder),
            "decoder": packed_bytes(self.decoder),
            "space": self.space.as_json(),
        }


def payload_of(
    model: Model,
    params: Params,
    xs: ArrayLike,
    *,
    title: str,
    data: str,
    raw: np.ndarray | None = None,
    labels: np.ndarray | Sequence[int] | None = None,
    label_names: Sequence[str] | None = None,
    facts: Sequence[tuple[str, str, str]] = (),
    num_classes: int | None = None,
    key: jax.Array,
) -> Payload:
    """Makes the payload of the explorer's page.

    Args:
      model: A VAE whose z is a vector or codes on grids; or a `Conditional` of labels whose z is a vector.
      params: Its parameters.
      xs: `[N, H, W, C]` preprocessed test images in [0, 1], C 1 or 3; the first 1,000 are used.
      title: Name of the model for the page's head, such as "VAE".
      data: Name of the images, such as "digits".
      raw: uint8 `[N, H, W, C]`, the images before binarization or noise. If given, these are shown and encoded.
      labels: `[N]` integers, if the images have labels.
      label_names: Names of the labels, from 0 on.
      facts: Texts (name, number, unit) for the page's head: ("negative ELBO", "104.31", "nats per image").
      num_classes: Number of labels of a `Conditional`, from which visitors choose; None for a VAE.
      key: PRNG key for samples of the prior that the browser cannot draw, consumed.

    Raises:
      ValueError: If the images do not have one or three channels in [0, 1], raw or labels do not match them, z is
        neither a vector nor codes on grids, or labels are missing for a `Conditional`.
      TypeError: If num_classes is None for a `Conditional`, or is given for a VAE.
    """
    images = _pixels(xs, raw)[:MAX_IMAGES]
    if labels is not None and len(labels) < len(images):
        raise ValueError(f"labels must hold one label for each of the {len(images)} images, got {len(labels)} labels")
    if num_classes is not None and labels is None:
        raise ValueError("labels must be given with num_classes: the model needs the label of each image")
    exported = functions_of(model, params, images.shape[1:], num_classes)
    functions = {function.name: function for function in exported.written}
    coded = {tensor.name for tensor in functions["encoder"].outputs}
    if not coded & {"mean", "indices"}:
        raise ValueError(
            "model must have a z that is one vector, or codes on grids, to be explored, got an encoder with outputs "
            f"{', '.join(sorted(coded))}"
        )
    shown = jnp.asarray(images, jnp.float32) / 255
    known = None if labels is None else np.asarray(labels)[: len(images)].astype(int)
    if "indices" in coded:
        assert isinstance(model, VAE)
        space: VectorSpace | CodeSpace = code_space(model, params, shown, key)
    else:
        contexts = None if num_classes is None else jnp.asarray(known, jnp.int32)
        space = vector_space(model, params, shown, key, contexts)
    return Payload(
        title=title,
        data=data,
        facts=tuple((title, text, unit) for title, text, unit in facts),
        images=images,
        labels=known,
        label_names=None if label_names is None else tuple(map(str, label_names)),
        encoder=onnx_bytes(functions["encoder"]),
        decoder=onnx_bytes(functions["decoder"]),
        space=space,
        num_classes=num_classes,
    )


def _pixels(xs: ArrayLike, raw: np.ndarray | None) -> np.ndarray:
    xs = np.asarray(xs)
    if xs.ndim != 4 or xs.shape[-1] not in (1, 3) or not len(xs):
        raise ValueError(f"xs must be images [N, H, W, C] with C 1 or 3, got shape {xs.shape}")
    if raw is None:
        if not (np.min(xs) >= 0 and np.max(xs) <= 1):
            raise ValueError(f"xs must be in [0, 1], got numbers from {np.min(xs)} to {np.max(xs)}")
        return np.rint(np.asarray(xs, np.float32) * 255).astype(np.uint8)
    if raw.dtype != np.uint8 or raw.shape != xs.shape:
        raise ValueError(f"raw must be uint8 of the shape of xs, {xs.shape}, got {raw.dtype} {raw.shape}")
    return raw
