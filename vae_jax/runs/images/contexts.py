"""Side information that the model of a run takes with each image: nothing, its label, or a mask of what is observed."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.models import conditional, contexts, with_missing
from vae_jax.models._model import VAE, Example, Model


class Contexts(NamedTuple):
    """Kind of side information; by default there is none."""

    num_classes: int | None = None  # number of labels that the model takes; None: it takes no labels
    masked: bool = False  # whether the model takes the mask of the observed pixels

    def model(self, vae: VAE) -> Model:
        """Model that takes the side information, from a VAE whose networks have the sizes for it."""
        if self.masked:
            return with_missing(vae)
        return vae if self.num_classes is None else conditional(vae, contexts.labels(self.num_classes))

    def encoder_input(self, image_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the encoder's input: the image, with its mask as further channels."""
        return (*image_shape[:-1], image_shape[-1] * (1 + self.masked))

    def of(self, xs: Any, labels: Any = None, masks: Any = None) -> Any:
        """Contexts of images xs, one or a batch: None, their labels, or masks; without masks, all is observed."""
        if self.masked:
            return jnp.ones(jnp.shape(xs), bool) if masks is None else masks
        return None if self.num_classes is None else labels

    def examples(self, xs: Any, labels: Any = None, masks: Any = None) -> Any:
        """Returns xs alone if there is no side information, else an `Example` of xs and their contexts."""
        found = self.of(xs, labels, masks)
        return xs if found is None else Example(xs, found)

    def shape_of_example(self, image_shape: tuple[int, ...]) -> Any:
        """Shapes and dtypes of one preprocessed example."""
        x, label = jax.ShapeDtypeStruct(image_shape, jnp.float32), jax.ShapeDtypeStruct((), jnp.int32)
        return self.examples(x, label, jax.ShapeDtypeStruct(image_shape, jnp.bool_))
