"""`make fuzz`: the tests of this folder, round after round with another seed, for as many seconds as asked for (60).

Ends with 1 at the first round that fails; its seed is printed, and `--hypothesis-seed` repeats it.
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parent


def main(seconds: float) -> int:
    """Rounds until the time is up; a round that has begun is finished."""
    end, rounds = time.monotonic() + seconds, 0
    environ = {name: value for name, value in os.environ.items() if name != "CI"}
    while time.monotonic() < end:
        seed = random.getrandbits(32)
        words = ["-m", "pytest", "-q", "-x", f"--hypothesis-seed={seed}", str(FOLDER)]
        done = subprocess.run(
            [sys.executable, *words], env=environ, capture_output=True, text=True, check=False
        )
        rounds += 1
        if done.returncode:
            sys.stdout.write(f"{done.stdout}{done.stderr}seed {seed}: found something\n")
            return 1
    sys.stdout.write(f"{rounds} rounds, nothing found\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0))
