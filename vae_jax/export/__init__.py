"""Export of a trained model to files for other programs: ONNX, StableHLO and safetensors."""

from vae_jax.export._files import FORMATS as FORMATS
from vae_jax.export._files import check_can_write as check_can_write
from vae_jax.export._files import export as export
from vae_jax.export._files import onnx_bytes as onnx_bytes
from vae_jax.export._functions import Function as Function
from vae_jax.export._functions import Functions as Functions
from vae_jax.export._functions import Tensor as Tensor
from vae_jax.export._functions import functions_of as functions_of
from vae_jax.export._manifest import verify as verify
from vae_jax.export._onnx_convert import to_onnx as to_onnx
from vae_jax.export._stablehlo import to_stablehlo as to_stablehlo
