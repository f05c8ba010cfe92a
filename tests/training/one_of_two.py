"""One of the processes of `test_two_processes.py`: `python -m training.one_of_two PROGRAM PORT COUNT ID DIR`."""

import importlib
import sys
from pathlib import Path

from vae_jax.runs.processes import ending_together
from vae_jax.training.distributed import start


def main(program, port, count, index, folder):
    meeting_seconds = 3 if program == "wait_for_nobody" else 15
    with ending_together("--resume goes on from the last checkpoint"):
        start(f"localhost:{port}", count, index, answer_seconds=3, meeting_seconds=meeting_seconds, heartbeat_seconds=5)
        # Not before the start: the module makes arrays.
        getattr(importlib.import_module("training.programs_of_two"), program)(folder)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]), Path(sys.argv[5]))
