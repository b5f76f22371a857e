"""Counting the tokens of a job while it is prepared, beside preparing it without: how much longer, and in how much memory.

The items are prose of this repository's documentation. Made-up words would say little: a tokenizer takes several times as long over what it has
never seen.
"""

import json
import random
from pathlib import Path
from typing import Final

from bench.data import ITEM_BYTES

_PAGES: Final = Path(__file__).parents[1] / "docs"
_AROUND: Final = 60  # bytes of an item line that are not its text
AT: Final = 1_795_305_600


def write_prose(path: Path, count: int) -> None:
    """`count` item lines of about ITEM_BYTES, each with another passage of the documentation."""
    words = " ".join(page.read_text("utf-8") for page in sorted(_PAGES.glob("*.md"))).split()
    chance = random.Random(count)
    with path.open("w", encoding="utf-8") as file:
        for n in range(count):
            start, text = chance.randrange(len(words) - ITEM_BYTES), ""
            while len(text) < ITEM_BYTES - _AROUND:
                text += f"{words[start]} "
                start += 1
            item = {"id": f"item-{n:07d}", "title": f"Entry {n}", "text": text}
            file.write(json.dumps(item, ensure_ascii=False) + "\n")


def prepare_aside(folder: Path, count: int, *, counts: bool = False) -> dict[str, object]:
    """PREPARE as `check` and `estimate` do it, kept nowhere; `counts`: with every request counted."""
    from batchrun.config import Config
    from batchrun.estimating.estimate import Estimator
    from batchrun.jobfile import load
    from batchrun.ledger.connection import open_ledger
    from batchrun.ledger.home import Home
    from batchrun.ledger.submissions import Submission
    from batchrun.model import Limits
    from batchrun.prepare import prepare
    from batchrun.takingitems import SubmitOptions

    settings = load(folder / "job.jsonl").jobs[0].settings
    assert settings is not None
    tokens: list[int] = []
    with open_ledger(Home(folder / ".batchrun"), create=True) as ledger:
        estimator = Estimator(ledger, Config(profiles={}), AT)

        def inspect(submission: Submission) -> None:
            if counts:
                tokens.append(sum(one.sums.input for one in estimator.inspect(submission)))

        tally = prepare(
            ledger,
            settings,
            profile="openai",
            outputs=str(folder / "outputs"),
            limits=Limits(),
            at=AT,
            options=SubmitOptions(),
            is_kept=False,
            inspect=inspect,
        )
    assert tally.new == count
    return {"tokens_an_item": round(tokens[0] / count, 1)} if counts else {}


def estimate(folder: Path, count: int) -> dict[str, object]:
    """The same with every request counted, loading the vocabulary included."""
    return prepare_aside(folder, count, counts=True)
