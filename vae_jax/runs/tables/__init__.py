"""Runs on tables: training problem, models, measurements and figures."""
