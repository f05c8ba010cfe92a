"""What the explorer's page knows of a model: its networks as ONNX, test images with their codes, the prior.

Everything that the page shows of an image is of the image at 8 bits: x = k / 255, encoded so here and in the browser.
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
    """A model and what it makes of some images, ready for `explorer_page`."""

    title: str
    data: str  # name of the images
    facts: tuple[tuple[str, str, str], ...]  # (title, number as text, unit)
    images: np.ndarray  # uint8 [n, H, W, C]
    labels: np.ndarray | None  # int [n]
    label_names: tuple[str, ...] | None
    encoder: bytes  # ONNX: x float32 [N, H, W, C] in [0, 1], and label int32 [N] of a Conditional -> the space's code
    decoder: bytes  # ONNX: the space's code, and label int32 [N] of a Conditional -> mean float32 [N, H, W, C]
    space: VectorSpace | CodeSpace
    num_classes: int | None = None  # of the labels that a Conditional is given; None of a VAE

    def as_json(self) -> dict[str, Any]:
        """What the page reads; arrays are little-endian bytes, gzipped, in base64."""
        _, height, width, channels = self.images.shape
        return {
            "title": printable(self.title),
            "data": printable(self.data),
            "facts": [{name: printable(each) for name, each in zip(_FACT, fact, strict=True)} for fact in self.facts],
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
    """What the page needs to know of a model.

    Args:
      model: whose z is one vector, or codes on grids; a `Conditional` of labels whose z is one vector.
      params: its parameters.
      xs: `[N, H, W, C]` test images as the model sees them, in [0, 1], C 1 or 3; the first 1,000 are taken.
      title: what the model is, for the page's head: "VAE".
      data: what the images are: "digits".
      raw: uint8 `[N, H, W, C]`, the same images before binarization or noise; where given, these are shown and encoded.
      labels: `[N]` integers, if the images have any.
      label_names: of the labels from 0 on.
      facts: numbers for the page's head, ready to be shown: ("negative ELBO", "104.31", "nats per image").
      num_classes: of the labels that a `Conditional` is given, which visitors choose from; None for a VAE.
      key: PRNG key, consumed: for the draws of the prior that the browser cannot make itself.

    Raises:
      ValueError: where the images are not of one or three channels in [0, 1], or their numbers differ; or
        where z is neither one vector nor codes on grids; if a `Conditional` comes without labels of its images.
      TypeError: if a `Conditional` comes without num_classes, or a VAE with it.
    """
    images = _pixels(xs, raw)[:MAX_IMAGES]
    if labels is not None and len(labels) < len(images):
        raise ValueError(f"labels must be one for each of the {len(images)} images, got {len(labels)}")
    if num_classes is not None and labels is None:
        raise ValueError("labels must be given with num_classes: the model needs the label of each image")
    exported = functions_of(model, params, images.shape[1:], num_classes)
    functions = {function.name: function for function in exported.written}
    coded = {tensor.name for tensor in functions["encoder"].outputs}
    if not coded & {"mean", "indices"}:
        raise ValueError(
            f"model must have a z that is one vector, or codes on grids, to be explored; got {sorted(coded)}"
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
        raise ValueError(f"xs must be images [N, H, W, C] with C 1 or 3, got the shape {xs.shape}")
    if raw is None:
        if not (np.min(xs) >= 0 and np.max(xs) <= 1):
            raise ValueError(f"xs must lie in [0, 1], got numbers from {np.min(xs)} to {np.max(xs)}")
        return np.rint(np.asarray(xs, np.float32) * 255).astype(np.uint8)
    if raw.dtype != np.uint8 or raw.shape != xs.shape:
        raise ValueError(f"raw must be uint8 of the shape of xs, {xs.shape}, got {raw.dtype} {raw.shape}")
    return raw
