"""Fixtures of runs, for the experiments that make some."""

from runs.conftest import in_an_empty_folder, without_figures

__all__ = ["in_an_empty_folder", "without_figures"]
