"""The worlds of the core's tests, and what its pure tests know of sound readings."""

import sys
from pathlib import Path

for folder in ("runner", "pure"):
    sys.path.insert(1, str(Path(__file__).parents[1] / folder))
