"""What the `vae-jax` command can do, a file for each kind of thing.

A command is a dataclass of options and `prepare(options)`, which checks all that can be checked, writes nothing, and
returns the work that is left. Bad input is a ValueError of `prepare`.
"""
