"""Runs on images: training problem, models and measurements."""
