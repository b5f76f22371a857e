"""The price of a batch that was settled: the one that it was made at, else what the tables of today say for the day on which it was created."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from batchrun.config import Config
from batchrun.errors import UnknownPrice
from batchrun.model import JobSettings
from batchrun.modes import mode_of
from batchrun.money.frozen import thawed
from batchrun.money.price import Mode, Price
from batchrun.money.prices import PriceBook
from batchrun.profiles import LIVE_SUFFIX

FREE: Final = "this machine"
_VIDEOS: Final = "/v1/videos"
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be priced: a model at a server (`base_url`: where it was sent), `at` a moment, for a job."""

    profile: str
    model: str
    endpoint: str
    base_url: str
    at: int
    settings: JobSettings


class Priced(NamedTuple):
    """A price, or why there is none; and the live price of the same, to compare with. `mode` None: on this machine."""

    mode: Mode | None
    price: Price | None = None
    live: Price | None = None
    why_not: str = ""

    @property
    def prices(self) -> str:
        """The table and its day."""
        if self.mode is None:
            return FREE
        return "" if self.price is None else self.price.source

    @property
    def live_prices(self) -> str:
        """The same of the live price."""
        return "" if self.live is None else self.live.source


_Found = tuple[Price | None, str]


@dataclass(slots=True)
class Pricing:
    """Prices by what was asked, each looked up once a day."""

    config: Config
    _known: dict[tuple[str, Mode, str, int], _Found] = field(default_factory=dict)
    _thawed: dict[str, Price] = field(default_factory=dict)

    def of(self, asked: Asked, *, frozen: str | None) -> Priced:
        """The price of one batch; `frozen`: the one that it was made at."""
        profile = self.config.find(asked.profile)
        if profile is None:
            # It is in the settings no more. Where it sent to is in the ledger; how, its name says.
            is_live = asked.profile.endswith(LIVE_SUFFIX)
            mode: Mode | None = Mode.LIVE if is_live else Mode.BATCH
        else:
            mode = mode_of(profile, asked.settings.body)
        base_url = asked.base_url if profile is None else profile.base_url
        if frozen is not None:
            if frozen not in self._thawed:
                self._thawed[frozen] = thawed(frozen)
            price = self._thawed[frozen]
            mode = price.mode
        elif mode is None:
            return Priced(None)
        elif asked.endpoint == _VIDEOS:
            return Priced(
                mode, why_not="videos are billed by the second, which is priced nowhere here"
            )
        else:
            found, why_not = self._listed(asked, mode, base_url)
            if found is None:
                return Priced(mode, why_not=why_not)
            price = found
        live = price if mode is Mode.LIVE else self._listed(asked, Mode.LIVE, base_url)[0]
        return Priced(mode, price, live)

    def _listed(self, asked: Asked, mode: Mode, base_url: str) -> _Found:
        key = (asked.model, mode, base_url, asked.at // _DAY_S)
        if key not in self._known:
            self._known[key] = self._look_up(asked, mode, base_url)
        return self._known[key]

    def _look_up(self, asked: Asked, mode: Mode, base_url: str) -> _Found:
        book = PriceBook(own=self.config.prices, path=str(self.config.path or "batchrun.toml"))
        try:
            return book.price(asked.model, mode, base_url=base_url, at=asked.at), ""
        except UnknownPrice as exc:
            return None, exc.message
