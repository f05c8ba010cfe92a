"""ONNX Runtime on a CPU, as the tests use it."""

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
    """The session of a function of batches, whose arguments have examples like these."""
    inputs = {f"input_{i}": jax.ShapeDtypeStruct(e.shape, e.dtype) for i, e in enumerate(map(np.asarray, examples))}
    return session(to_onnx(function, inputs, "tested"))
