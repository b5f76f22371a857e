"""Which queue of tokens a batch goes into: by account, else by address, and for each model."""

from pathlib import Path

import pytest

from batchrun.config import load_config
from batchrun.planning.queuefacts import Queue, QueueKey
from batchrun.queues import queue_of

SETTINGS = """
[profile.openai]
queue_tokens = 900
[profile.same]
queue_tokens = 800
[profile.away]
base_url = "https://far.example/v1"
[profile.one]
account = "team"
[profile.one.queue_tokens]
"gpt-5-mini" = 50
"*" = 70
[profile.two]
account = "team"
base_url = "https://far.example/v1"
queue_tokens = 60
"""
OPENAI = "https://api.openai.com/v1"


@pytest.mark.parametrize(
    ("profile", "model", "queue"),
    [
        ("openai", "m", Queue(QueueKey(OPENAI, "m"), 800)),
        ("same", "m", Queue(QueueKey(OPENAI, "m"), 800)),
        ("away", "m", Queue(QueueKey("https://far.example/v1", "m"), None)),
        ("one", "m", Queue(QueueKey("team", "m"), 60)),
        ("two", "gpt-5-mini", Queue(QueueKey("team", "gpt-5-mini"), 50)),
        ("openai:live", "m", None),
        ("local", "m", None),
        ("gone", "m", None),
    ],
)
def test_the_queue_of_a_profile_and_a_model(
    tmp_path: Path, profile: str, model: str, queue: Queue | None
) -> None:
    (tmp_path / "batchrun.toml").write_text(SETTINGS)
    config = load_config(tmp_path, tmp_path / ".batchrun", {})
    assert queue_of(config, profile, model) == queue
