"""Reading a service's listing of batches, and whether what was read can prove that a batch is not there."""

from dataclasses import dataclass, field
from typing import Final

from batchrun.backends.base import Backend, RemoteBatch
from batchrun.errors import BackendError, Refused
from batchrun.ledger.connection import Ledger

MARGIN_S: Final = 600  # a listing is read back to this much before what is looked for
_PAGE: Final = 100
_NO_LISTING_S: Final = 3_600  # how long a listing that failed is tried only where it is needed; there are servers without one
_NO_ROUTE: Final = (404, 405, 501)
_FOREVER: Final = 2**40


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a listing showed. `server_time` is the service's clock at its first page, or None."""

    batches: tuple[RemoteBatch, ...]
    is_complete: bool
    server_time: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """The look of one pass before it creates anything with a profile.

    `blocked`: why nothing may be created, None where it may; `wait_s`: for how long. `asked`: batches whose creation was tried since
    the listing was read: of those it says nothing.
    """

    listing: Listing = Listing(batches=(), is_complete=False, server_time=None)
    blocked: str | None = None
    wait_s: int = 0
    asked: set[int] = field(default_factory=set)


def read_listing(backend: Backend, floor: int, *, pages: int | None = None) -> Listing:
    """Page through batches.list, newest first, until everything older than `floor` (the service's clock) is passed or the end is reached.

    Complete only if no id came twice, created_at never rose, and every page that said there was more was followed by one with something on
    it, and it took no more than `pages`. Raises BackendError when a page cannot be had.
    """
    seen: dict[str, RemoteBatch] = {}
    server_time: int | None = None
    after: str | None = None
    last = _FOREVER
    left = _FOREVER if pages is None else pages
    while True:
        page = backend.list_batches(after=after, limit=_PAGE)
        server_time = page.server_time if after is None else server_time
        for remote in page.batches:
            if remote.id in seen or remote.created_at > last:
                return Listing(
                    batches=tuple(seen.values()), is_complete=False, server_time=server_time
                )
            seen[remote.id] = remote
            last = remote.created_at
        if not page.batches and after is not None:  # the page before said that there was more
            return Listing(batches=tuple(seen.values()), is_complete=False, server_time=server_time)
        if not page.has_more or last < floor:
            return Listing(batches=tuple(seen.values()), is_complete=True, server_time=server_time)
        left -= 1
        if not page.batches or not left:
            return Listing(batches=tuple(seen.values()), is_complete=False, server_time=server_time)
        after = page.batches[-1].id


def failed_lately(ledger: Ledger, profile: str, now: int) -> bool:
    """Whether the listing did not work within the last hour: then it is not read where something else will do."""
    return _is_recent(ledger, f"listing_failed_at:{profile}", now)


def lacks_listing(ledger: Ledger, profile: str, now: int) -> bool:
    """Whether the service said within the last hour that it has no listing. One that was merely down then must be asked again."""
    return _is_recent(ledger, f"no_listing_at:{profile}", now)


def means_no_listing(error: BackendError) -> bool:
    """Whether this answer to a listing says that the server has none: a refusal, or no such route."""
    return isinstance(error, Refused) or error.status in _NO_ROUTE


def note_failure(ledger: Ledger, profile: str, now: int, error: BackendError) -> None:
    """Remember that it did not work, and whether the service has a listing at all."""
    names = ["listing_failed_at"] + (["no_listing_at"] if means_no_listing(error) else [])
    with ledger.transaction():
        for name in names:
            ledger.execute(
                "insert or replace into meta values (?, ?)", (f"{name}:{profile}", str(now))
            )


def _is_recent(ledger: Ledger, name: str, now: int) -> bool:
    at = ledger.meta(name)
    return at is not None and 0 <= now - int(at) < _NO_LISTING_S
