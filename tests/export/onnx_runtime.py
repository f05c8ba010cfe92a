"""ONNX Runtime on a CPU, for tests."""

import jax
import numpy as np
import onnxruntime

from vae_jax.export import to_onnx


def session(model):
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def run(session, **inputs):
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))


def converted(function, *examples):
    """Session of a function of batches, with one example for each argument."""
    inputs = {f"input_{i}": jax.ShapeDtypeStruct(e.shape, e.dtype) for i, e in enumerate(map(np.asarray, examples))}
    return session(to_onnx(function, inputs, "tested"))
