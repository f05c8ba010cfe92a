"""Fixtures for experiments that make runs."""

from runs.conftest import in_an_empty_folder, without_figures

__all__ = ["in_an_empty_folder", "without_figures"]
