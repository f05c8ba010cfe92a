"""Runs on images whose factors are known: many models at once, scored against the factors."""
