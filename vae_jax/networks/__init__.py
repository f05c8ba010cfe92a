"""Networks as two pure functions; the only folder that knows a network library."""

from vae_jax.networks.code_network import CodeNetwork as CodeNetwork
from vae_jax.networks.convolutional import conv_decoder as conv_decoder
from vae_jax.networks.convolutional import conv_encoder as conv_encoder
from vae_jax.networks.convolutions import Conv as Conv
from vae_jax.networks.convolutions import ConvTranspose as ConvTranspose
from vae_jax.networks.gated_mlp import gated_mlp_decoder as gated_mlp_decoder
from vae_jax.networks.gated_mlp import gated_mlp_encoder as gated_mlp_encoder
from vae_jax.networks.gated_pixel_cnn import gated_pixel_cnn as gated_pixel_cnn
from vae_jax.networks.mlp import mlp_decoder as mlp_decoder
from vae_jax.networks.mlp import mlp_encoder as mlp_encoder
from vae_jax.networks.network import Network as Network
from vae_jax.networks.network import from_linen as from_linen
from vae_jax.networks.network import from_nnx as from_nnx
from vae_jax.networks.odd_sizes import halved as halved
from vae_jax.networks.precision import in_precision as in_precision
from vae_jax.networks.rematerialization import rematerialized as rematerialized
from vae_jax.networks.residual import pointwise as pointwise
from vae_jax.networks.residual import residual_decoder as residual_decoder
from vae_jax.networks.residual import residual_encoder as residual_encoder
from vae_jax.networks.transformer import CausalTransformer as CausalTransformer
from vae_jax.networks.transformer import bidirectional_transformer as bidirectional_transformer
from vae_jax.networks.transformer import causal_transformer as causal_transformer
