"""A trained model as files that other programs load: ONNX, StableHLO and safetensors."""

from vae_jax.export.files import FORMATS as FORMATS
from vae_jax.export.files import export as export
from vae_jax.export.onnx_convert import to_onnx as to_onnx
