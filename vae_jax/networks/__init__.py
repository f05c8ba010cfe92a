"""Networks as pairs of pure functions; the only package that imports a network library."""

from vae_jax.networks._code_network import CodeNetwork as CodeNetwork
from vae_jax.networks._convolutional import conv_decoder as conv_decoder
from vae_jax.networks._convolutional import conv_encoder as conv_encoder
from vae_jax.networks._convolutions import Conv as Conv
from vae_jax.networks._convolutions import ConvTranspose as ConvTranspose
from vae_jax.networks._gated_mlp import gated_mlp_decoder as gated_mlp_decoder
from vae_jax.networks._gated_mlp import gated_mlp_encoder as gated_mlp_encoder
from vae_jax.networks._gated_pixel_cnn import gated_pixel_cnn as gated_pixel_cnn
from vae_jax.networks._mlp import mlp_decoder as mlp_decoder
from vae_jax.networks._mlp import mlp_encoder as mlp_encoder
from vae_jax.networks._network import Network as Network
from vae_jax.networks._network import from_linen as from_linen
from vae_jax.networks._network import from_nnx as from_nnx
from vae_jax.networks._network import with_context as with_context
from vae_jax.networks._odd_sizes import halved as halved
from vae_jax.networks._precision import in_precision as in_precision
from vae_jax.networks._rematerialization import rematerialized as rematerialized
from vae_jax.networks._residual import pointwise as pointwise
from vae_jax.networks._residual import residual_decoder as residual_decoder
from vae_jax.networks._residual import residual_encoder as residual_encoder
from vae_jax.networks._resnet import resnet_decoder as resnet_decoder
from vae_jax.networks._resnet import resnet_encoder as resnet_encoder
from vae_jax.networks._transformer import CausalTransformer as CausalTransformer
from vae_jax.networks._transformer import bidirectional_transformer as bidirectional_transformer
from vae_jax.networks._transformer import causal_transformer as causal_transformer
