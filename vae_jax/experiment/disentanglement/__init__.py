"""The disentanglement experiment: many models at once, scored against known factors."""
