"""One job estimated: its requests as PREPARE makes them, counted and priced; nothing is sent and nothing of it is kept."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from batchrun.config import Config
from batchrun.errors import UnknownPrice
from batchrun.estimating.advice import Advice, Instead, Spending, advice_on, smaller_names
from batchrun.estimating.costs import Cost, Spread, cost_of, output_of, total
from batchrun.estimating.notes import job_notes, model_notes
from batchrun.estimating.saving import Saving, count_unasked
from batchrun.ledger.answered import Answered, answered
from batchrun.ledger.attachments import pixels_named
from batchrun.ledger.connection import Ledger
from batchrun.ledger.submissions import Submission
from batchrun.ledger.wanted import wanted_requests
from batchrun.model import JobSettings
from batchrun.modes import mode_of
from batchrun.money.counted import Counted
from batchrun.money.counting import CHUNK, RequestCounter
from batchrun.money.price import Mode, Price
from batchrun.money.prices import OPENAI_URL, PriceBook
from batchrun.money.repeated import Repetition
from batchrun.money.tokens import count_texts
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
    took. `advice` says what would cost less. `window_s` is how long a batch may take, `live_s` how long the same takes line by line, as far as the rates are known.
    `shared`: what is saved since equal requests are asked once; `reused`: since earlier jobs have asked them.
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
    advice: tuple[Advice, ...] = ()
    shared: Saving | None = None
    reused: Saving | None = None

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A job as it is asked."""

    settings: JobSettings
    profile: Profile
    mode: Mode
    compared: tuple[ModelEstimate, ...]


@dataclass(slots=True)
class Estimator:
    """Estimates the jobs that a submitter prepares: `inspect` is to be its hook. `others`: models to compare with.

    `instead`: the name and the words of a text that could stand in place of what all requests of a job repeat.
    """

    ledger: Ledger
    config: Config
    now: int
    others: tuple[str, ...] = ()
    instead: tuple[str, str] | None = None
    _counter: RequestCounter | None = field(default=None, init=False)
    _repetition: Repetition = field(default_factory=Repetition, init=False)
    _history: Answered | None = field(default=None, init=False)
    _batches: int = field(default=0, init=False)
    _unasked: tuple[RequestCounter | None, ...] = field(default=(None, None), init=False)

    def inspect(self, submission: Submission) -> tuple[Counted, ...]:
        """Count a submission while it can be read: by model."""
        self._repetition = Repetition()
        counter = RequestCounter(
            submission.settings.endpoint,
            self.others,
            look=partial(pixels_named, self.ledger),
            repetition=self._repetition,
        )
        files = submission.intake.files.rendered()
        seen = 0
        for lines in wanted_requests(self.ledger, submission, chunk=CHUNK):
            counter.take(lines)
            seen += len(lines)
        self._unasked = tuple(
            count_unasked(self.ledger, submission, by_earlier_job=earlier)
            for earlier in (False, True)
        )
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
        mode = mode_of(profile, settings.body)
        modes = tuple(dict.fromkeys((mode or Mode.BATCH, *_MODES)))
        models = tuple(self._of(one, profile, modes) for one in counter.own.values())
        compared = tuple(self._of(one, profile, modes) for one in counter.others.values())
        advice: tuple[Advice, ...] = ()
        if mode is not None:
            asked = _Asked(settings=settings, profile=profile, mode=mode, compared=compared)
            pairs = zip(counter.own.values(), models, strict=True)
            spent = (self._spending(*pair, asked) for pair in pairs)
            advice = tuple(one for spending in spent for one in advice_on(spending))
        shared, reused = (self._saving(one, profile, modes) for one in self._unasked)
        return Estimate(
            prepared=prepared,
            mode=mode,
            batches=self._batches,
            models=models,
            compared=compared,
            history=self._history,
            window_s=(
                window_s(settings.window or DEFAULT_WINDOW)
                if profile.kind is BackendKind.OPENAI
                else None
            ),
            live_s=_live_s(profile, models),
            notes=tuple(
                job_notes(
                    settings,
                    self._history,
                    has_output=any(one.output.expected for one in models),
                )
            ),
            advice=advice,
            shared=shared,
            reused=reused,
        )

    def _saving(
        self, counter: RequestCounter | None, profile: Profile, modes: Sequence[Mode]
    ) -> Saving | None:
        if counter is None:
            return None
        models = [self._of(one, profile, modes) for one in counter.own.values()]
        return Saving(
            requests=sum(one.requests for one in models),
            costs={mode: joined([one.costs[mode] for one in models]) for mode in modes},
        )

    def _spending(self, counted: Counted, estimate: ModelEstimate, asked: _Asked) -> Spending:
        """What there is to give advice on, of one model."""
        encoding, mode = counted.tokenizer.encoding, asked.mode
        instead = None
        if self.instead is not None:
            name, text = self.instead
            instead = Instead(name=name, tokens=sum(count_texts([text], encoding)))
        others = [(one.model, one.costs[mode].spread.expected) for one in asked.compared]
        # Each model counts images in its own way: what smaller ones of the family would cost is not known then.
        if not others and not counted.sums.image_input:
            others = list(self._smaller(counted, asked.profile, mode))
        return Spending(
            settings=asked.settings,
            counted=counted,
            repeated=tuple(one.counted(encoding) for one in self._repetition.of(counted.model)),
            price=self._price(counted.model, asked.profile, mode),
            ceiling=self._book.ceiling(counted.model, base_url=_base_url(asked.profile)),
            history=self._history,
            expected=estimate.costs[mode].spread.expected,
            others=[(name, cost) for name, cost in others if cost is not None],
            instead=instead,
        )

    def _smaller(
        self, counted: Counted, profile: Profile, mode: Mode
    ) -> Iterator[tuple[str, int | None]]:
        """What smaller models of the same family would cost, which count as it does."""
        base_url = _base_url(profile)
        for name in smaller_names(counted.model):
            if not self._book.names(name, base_url=base_url):
                continue
            price = self._price(name, profile, mode)
            if price is not None:
                ceiling = self._book.ceiling(name, base_url=base_url)
                yield name, cost_of(counted, ceiling, self._history, price).expected

    def _price(self, model: str, profile: Profile, mode: Mode) -> Price | None:
        try:
            return self._book.price(model, mode, base_url=_base_url(profile), at=self.now)
        except UnknownPrice:
            return None

    @property
    def _book(self) -> PriceBook:
        return PriceBook(own=self.config.prices, path=str(self.config.path or "batchrun.toml"))

    def _of(self, counted: Counted, profile: Profile, modes: Iterable[Mode]) -> ModelEstimate:
        book, base_url = self._book, _base_url(profile)
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
            notes=tuple(model_notes(counted, ceiling.answer)),
        )


def _base_url(profile: Profile) -> str:
    """A model on this machine costs nothing; beside it stands what OpenAI would ask, where it has one of that name."""
    return OPENAI_URL if profile.kind is BackendKind.LOCAL else profile.base_url


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
