"""Faults injected into small runs: kills, damages, failing disks, and bad input."""
