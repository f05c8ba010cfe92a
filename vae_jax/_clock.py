"""Time at which this process began to import the package, which imports this file first."""

import time

BEGAN = time.monotonic()
