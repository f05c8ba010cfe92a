"""Objectives that adapt a number from batch to batch and keep it in the buffers of the model."""
