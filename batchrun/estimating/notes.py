"""What of an estimate is not exact, in sentences. Pure."""

from collections.abc import Iterator

from batchrun.ledger.answered import Answered
from batchrun.model import JobSettings
from batchrun.money.counted import Counted
from batchrun.money.counting import IMAGE_URLS


def model_notes(counted: Counted, longest: int | None) -> Iterator[str]:
    """What of a model's figures is not exact."""
    sums = counted.sums
    if counted.tokenizer.note:
        yield counted.tokenizer.note
    if sums.uncapped and counted.url in IMAGE_URLS:
        yield f"how many tokens a picture of {counted.model!r} has is not known: only what goes in is reckoned"
    elif sums.uncapped:
        bound = (
            f"the worst case takes the most that {counted.model!r} can answer, {longest:,} tokens"
            if longest is not None
            else "nothing bounds the worst case"
        )
        yield f"{sums.uncapped:,} answers have no cap: {bound}"
    if sums.image_input:
        yield f"images are estimated by their rules, {sums.image_input:,} to {sums.image_most:,} tokens of the input"
    for what, count in sorted(sums.unseen.items()):
        yield f"{count:,} requests bring {what}, whose tokens and fees only the service knows: they are in none of the figures"


def job_notes(
    settings: JobSettings, history: Answered | None, *, has_output: bool
) -> Iterator[str]:
    """What holds for the whole job."""
    if has_output:
        if history is None:
            yield "no answer of this job is here yet: expected output is guessed as half of each cap, and of 1,000 tokens at most"
        else:
            yield f"output is reckoned from {history.answers:,} answers of this job"
    if settings.canary is not None and settings.canary.is_live:
        yield "the items of the canary are asked live, and cost what live does"
    if settings.deadline is not None:
        yield "what the 'deadline' takes out of its batch costs what live does"
    if settings.rounds is not None or settings.repair is not None:
        yield "'rounds' and 'repair' ask again: the figures are those of the first request of each item"
