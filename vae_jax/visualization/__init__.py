"""Figures of NumPy arrays and of trained models, saved as PNG; no metrics."""

from vae_jax.visualization._bounds import bounds_by_epoch as bounds_by_epoch
from vae_jax.visualization._code_usage import code_usage_curves as code_usage_curves
from vae_jax.visualization._comparison import compared_curves as compared_curves
from vae_jax.visualization._curves import training_curves as training_curves
from vae_jax.visualization._grids import image_grid as image_grid
from vae_jax.visualization._grids import images_by_label as images_by_label
from vae_jax.visualization._grids import interpolations as interpolations
from vae_jax.visualization._grids import manifold as manifold
from vae_jax.visualization._grids import reconstructions as reconstructions
from vae_jax.visualization._grids import traversal as traversal
from vae_jax.visualization._grids import with_gray as with_gray
from vae_jax.visualization._information import Part as Part
from vae_jax.visualization._information import kl_bars as kl_bars
from vae_jax.visualization._information import parts_of_a_sum as parts_of_a_sum
from vae_jax.visualization._latent import latent_scatter as latent_scatter
from vae_jax.visualization._latent import principal_components as principal_components
from vae_jax.visualization._picture_files import save_images as save_images
from vae_jax.visualization._rate_distortion import rate_distortion as rate_distortion
from vae_jax.visualization._save import save_figure as save_figure
from vae_jax.visualization._side_by_side import side_by_side as side_by_side
from vae_jax.visualization._throughput import throughput as throughput
