"""One job estimated: its requests as PREPARE makes them, counted and priced; nothing is sent and nothing of it is kept."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from batchrun.config import Config
from batchrun.errors import UnknownPrice
from batchrun.estimating.costs import Cost, Spread, cost_of, output_of, total
from batchrun.ledger.answered import Answered, answered
from batchrun.ledger.attachments import pixels_named
from batchrun.ledger.connection import Ledger
from batchrun.ledger.submissions import Submission
from batchrun.ledger.wanted import wanted_requests
from batchrun.model import JobSettings
from batchrun.money.counted import Counted
from batchrun.money.counting import CHUNK, IMAGE_URLS, RequestCounter
from batchrun.money.prices import OPENAI_URL, Mode, PriceBook
from batchrun.planning.deadline import Pace, believed, live_s
from batchrun.profiles import BackendKind, Profile
from batchrun.submitting import Prepared, Submitter
from batchrun.windows import DEFAULT_WINDOW, window_s

_VIDEOS: Final = "/v1/videos"
_MODES: Final = (Mode.BATCH, Mode.FLEX, Mode.LIVE)
FREE: Final = "runs on this machine"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEstimate:
    """What one model is asked, or would be. `input` and `input_most`: tokens as the rules count them, and the most that they can be.

    `costs` has what each mode costs. `counting` is the encoding that was counted with; `notes` say what is not exact.
    """

    model: str
    requests: int
    input: int
    input_most: int
    output: Spread
    costs: dict[Mode, Cost]
    counting: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One job, or why there is no estimate of it (`prepared.error`).

    `mode` is how its profile asks, the first of all costs; None where that costs nothing. `batches` are input files. `history` is what earlier answers of the job
    took. `window_s` is how long a batch may take, `live_s` how long the same takes line by line, as far as the rates are known.
    """

    prepared: Prepared
    mode: Mode | None = None
    batches: int = 0
    models: tuple[ModelEstimate, ...] = ()
    compared: tuple[ModelEstimate, ...] = ()
    history: Answered | None = None
    window_s: int | None = None
    live_s: int = 0
    notes: tuple[str, ...] = ()

    @property
    def requests(self) -> int:
        """How many are to be asked."""
        return sum(one.requests for one in self.models)

    @property
    def output(self) -> Spread:
        """Output tokens of all models."""
        return total(one.output for one in self.models)

    @property
    def costs(self) -> dict[Mode, Cost]:
        """What all models cost together."""
        modes = self.models[0].costs if self.models else {}
        return {mode: joined([one.costs[mode] for one in self.models]) for mode in modes}

    @property
    def unpriced(self) -> str:
        """Why what its profile asks cannot be priced, or "": a job without a price is no job without cost."""
        return self.costs[self.mode].why_not if self.mode in self.costs else ""


def joined(costs: Sequence[Cost]) -> Cost:
    """Several costs as one; unknown where one of them is."""
    why_not = next((cost.why_not for cost in costs if cost.why_not), "")
    if why_not:
        return Cost(why_not=why_not)
    sources = tuple(dict.fromkeys(source for cost in costs for source in cost.sources))
    return Cost(spread=total(cost.spread for cost in costs), sources=sources)


@dataclass(slots=True)
class Estimator:
    """Estimates the jobs that a submitter prepares: `inspect` is to be its hook. `others`: models to compare with."""

    ledger: Ledger
    config: Config
    now: int
    others: tuple[str, ...] = ()
    _counter: RequestCounter | None = field(default=None, init=False)
    _history: Answered | None = field(default=None, init=False)
    _batches: int = field(default=0, init=False)

    def inspect(self, submission: Submission) -> tuple[Counted, ...]:
        """Count a submission while it can be read: by model."""
        counter = RequestCounter(
            submission.settings.endpoint, self.others, look=partial(pixels_named, self.ledger)
        )
        files = submission.intake.files.rendered()
        seen = 0
        for lines in wanted_requests(self.ledger, submission, chunk=CHUNK):
            counter.take(lines)
            seen += len(lines)
        # What is asked again goes in a batch of its own, or a few.
        is_more = seen > sum(file.request_count for file in files)
        self._batches = len(files) + is_more
        self._counter = counter
        self._history = answered(self.ledger, submission.job)
        return tuple(counter.own.values())

    def estimates(self, submitter: Submitter, files: Sequence[Path]) -> Iterator[Estimate]:
        """One for each job line, and for each file that cannot be read."""
        for prepared in submitter.prepare_files(files):
            counter, self._counter = self._counter, None
            if prepared.tally is None or counter is None or prepared.settings is None:
                yield Estimate(prepared=prepared)
            else:
                yield self._estimate(prepared, prepared.settings, counter)

    def _estimate(
        self, prepared: Prepared, settings: JobSettings, counter: RequestCounter
    ) -> Estimate:
        profile = self.config.profile(prepared.profile)
        mode = _mode_of(profile, settings)
        modes = tuple(dict.fromkeys((mode or Mode.BATCH, *_MODES)))
        models = tuple(self._of(one, profile, modes) for one in counter.own.values())
        return Estimate(
            prepared=prepared,
            mode=mode,
            batches=self._batches,
            models=models,
            compared=tuple(self._of(one, profile, modes) for one in counter.others.values()),
            history=self._history,
            window_s=(
                window_s(settings.window or DEFAULT_WINDOW)
                if profile.kind is BackendKind.OPENAI
                else None
            ),
            live_s=_live_s(profile, models),
            notes=tuple(_notes(settings, self._history, models)),
        )

    def _of(self, counted: Counted, profile: Profile, modes: Iterable[Mode]) -> ModelEstimate:
        book = PriceBook(own=self.config.prices, path=str(self.config.path or "batchrun.toml"))
        # A model on this machine costs nothing; beside it stands what OpenAI would ask, where it has one of that name.
        base_url = OPENAI_URL if profile.kind is BackendKind.LOCAL else profile.base_url
        ceiling = book.ceiling(counted.model, base_url=base_url)
        costs = {}
        for mode in modes:
            if counted.url == _VIDEOS:
                costs[mode] = Cost(
                    why_not="videos are billed by the second, which is priced nowhere here"
                )
                continue
            try:
                price = book.price(counted.model, mode, base_url=base_url, at=self.now)
            except UnknownPrice as exc:
                costs[mode] = Cost(why_not=exc.message)
                continue
            spread = cost_of(counted, ceiling, self._history, price)
            costs[mode] = Cost(spread=spread, sources=(price.source,))
        sums = counted.sums
        return ModelEstimate(
            model=counted.model,
            requests=sums.requests,
            input=sums.input,
            input_most=sums.input_most,
            output=output_of(counted, ceiling, self._history),
            costs=costs,
            counting=counted.tokenizer.encoding,
            notes=tuple(_notes_of(counted, ceiling.answer)),
        )


def _mode_of(profile: Profile, settings: JobSettings) -> Mode | None:
    if profile.kind is BackendKind.LOCAL:
        return None
    if profile.kind is BackendKind.OPENAI:
        return Mode.BATCH
    tier = settings.body.get("service_tier")
    return Mode(tier) if tier in {Mode.FLEX, Mode.PRIORITY} else Mode.LIVE


def _live_s(profile: Profile, models: Iterable[ModelEstimate]) -> int:
    found = list(models)
    requests = sum(one.requests for one in found)
    tokens = sum(one.input + (one.output.expected or 0) for one in found)
    pace = Pace(
        profile=profile.name,
        concurrency=profile.rates.concurrency,
        requests_per_minute=profile.rates.requests_per_minute,
        tokens_per_minute=profile.rates.tokens_per_minute,
        tokens_each=tokens / requests if requests else 0.0,
    )
    return live_s(requests, believed(pace, None))


def _notes_of(counted: Counted, longest: int | None) -> Iterator[str]:
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
        yield f"{sums.uncapped:,} answers have no cap: {bound}. Set 'max_output_tokens'"
    if sums.image_input:
        yield f"images are estimated by their rules, {sums.image_input:,} to {sums.image_most:,} tokens of the input"
    for what, count in sorted(sums.unseen.items()):
        yield f"{count:,} requests bring {what}, whose tokens and fees only the service knows: they are in none of the figures"


def _notes(
    settings: JobSettings, history: Answered | None, models: Sequence[ModelEstimate]
) -> Iterator[str]:
    """What holds for the whole job."""
    if any(one.output.expected for one in models):
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
