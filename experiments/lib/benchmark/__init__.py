"""Benchmark of this library's workloads, against the floor of their matrix products and against other libraries."""
