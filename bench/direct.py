"""A direct profile over many short requests: `python -m bench.direct FOLDER COUNT` prints one JSON object.

The server is another process (`server.py`), which takes `LATENCY_S` for each answer and hardly any CPU. Measured is what lies between the first
request and the last answer: the requests themselves, what is committed before each and after it, and the files that are written at the end.
"""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from batchrun.backends.credentials import KeySource
from batchrun.backends.opening import open_backend
from batchrun.clock import SystemClock
from batchrun.model import Limits, Rates
from batchrun.profiles import Profile

CONCURRENCY: Final = 32
LATENCY_S: Final = 0.05
_KEY: Final = KeySource(variable="KEY", environ={"KEY": "no-key-is-needed"})
_SLICE_S: Final = 5.0


def answer_all(folder: Path, count: int, latency_s: float = LATENCY_S) -> dict[str, object]:
    """Send `count` requests through a new direct backend in `folder`: seconds and memory in all, and how many were answered."""
    command = [sys.executable, str(Path(__file__).with_name("server.py")), str(latency_s)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        profile = Profile(
            name="bench",
            base_url=f"http://127.0.0.1:{int(server.stdout.readline())}/v1",
            key=_KEY,
            limits=Limits(request_count=count),
            rates=Rates(concurrency=CONCURRENCY),
        ).directly("bench:live")
        backend = open_backend(profile, home=folder, clock=SystemClock())
        path = folder / "requests.jsonl"
        with path.open("w", encoding="utf-8") as file:
            file.writelines(_line(number) for number in range(count))
        uploaded = backend.upload(path, name="requests.jsonl", expires_after_s=None)
        batch = backend.create(
            input_file_id=uploaded.id,
            endpoint="/v1/chat/completions",
            window="24h",
            metadata={},
        )
        began, cpu = time.perf_counter(), time.process_time()
        while backend.work(_SLICE_S):
            pass
        wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
        batch = backend.retrieve(batch.id)
        backend.close()
        server.communicate()
    return {
        "wall_s": round(wall_s, 3),
        "ideal_s": round(latency_s * count / CONCURRENCY, 3),
        "cpu_us_a_request": round(cpu_s / count * 1e6),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "answered": batch.completed_count,
    }


def _line(number: int) -> str:
    messages = [{"role": "user", "content": f"Is this review good or bad? Number {number}."}]
    return (
        json.dumps(
            {
                "custom_id": str(number),
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"model": "bench", "messages": messages, "max_tokens": 5},
            }
        )
        + "\n"
    )


if __name__ == "__main__":
    print(json.dumps(answer_all(Path(sys.argv[1]), int(sys.argv[2]))))
    os._exit(0)
