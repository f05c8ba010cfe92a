"""Training in a run folder: begun, stopped, resumed, kept."""
