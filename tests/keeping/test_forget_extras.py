"""What came beside an answer is as personal as the answer: it is forgotten with it."""

from exchanges import responded, said
from forgetkit import SHE, everywhere, forget
from keepkit import CANARY
from runnerkit import NewWorld

from batchrun.model import JsonObject
from batchrun.service.responders.script import Rule


def citing(word: str) -> JsonObject:
    """An answer that has the word beside its text only."""
    summary = {"type": "summary_text", "text": f"About {word}."}
    citation = {
        "type": "url_citation",
        "start_index": 0,
        "end_index": 1,
        "url": f"https://example.org/{word}",
        "title": word,
    }
    return responded(
        {"type": "reasoning", "id": "rs_1", "summary": [summary]}, said("Yes.", citation)
    )


def test_it_is_gone_from_every_byte_once_its_items_are_forgotten(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(body=citing(CANARY))])
    world.write([{"id": SHE, "text": "?"}, {"id": "other", "text": "!"}], output={"csv": True})
    world.submit()
    world.run()
    assert CANARY.encode() in world.output("results.csv")
    forget(world, SHE, "other")
    assert everywhere(world) == []
