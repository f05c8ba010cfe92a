"""Training in a run folder, which can be interrupted and resumed."""
