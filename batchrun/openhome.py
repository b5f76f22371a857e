"""A home with all that it takes to work in it: backends by profile, the functions that models may call, the runner of passes."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchrun.backends.base import Backend
from batchrun.homeview import HomeView
from batchrun.model import JsonObject
from batchrun.running.context import Observer, silent
from batchrun.running.purse import Purse
from batchrun.running.runner import Runner
from batchrun.tools.offer import ToolsFile
from batchrun.tools.worker import Worker

if TYPE_CHECKING:
    from batchrun.backends.live.streaming import OnDelta


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenHome(HomeView):
    """`tools`: the functions that models may call; without them their calls wait. `on_delta` is told of answers that are asked line by line while
    they come. `open_backend` is a seam for tests.
    """

    observer: Observer = silent
    tools: ToolsFile | None = None
    on_delta: "OnDelta | None" = None
    open_backend: Callable[[str], Backend] | None = None

    def _runner(self) -> Runner:
        return Runner(
            home=self.home,
            clock=self.clock,
            open_backend=self._open,
            is_in_process=self._is_in_process,
            pace_of=self._pace_of,
            queue_of=self._queue_of,
            deletes_remote=self._deletes_remote,
            observer=self.observer,
            purse=Purse(config=self.config),
            open_tools=None if self.tools is None else self._open_tools,
        )

    @property
    def _offered(self) -> Callable[[], tuple[JsonObject, ...]] | None:
        """Asks the file of functions what it has."""
        return None if self.tools is None else self._read_tools

    def lends_nothing(self) -> bool:
        """Whether a file of functions was named, and no job here was submitted with just these. Raises JobFileError for a file that has none."""
        if self.tools is None:
            return False
        from batchrun.ledger.submissions import settings_from_json

        offered = self._read_tools()
        with self.open_for_reading() as ledger:
            return all(
                settings_from_json(row["settings"]).tools != offered
                for row in ledger.rows("select settings from jobs")
            )

    def _read_tools(self) -> tuple[JsonObject, ...]:
        with contextlib.closing(self._open_tools()) as worker:
            return worker.tools()

    def _open_tools(self) -> Worker:
        assert self.tools is not None
        hidden = {"OPENAI_API_KEY", *(p.key.variable for p in self.config.profiles.values())}
        return self.tools.open(hidden=hidden)

    def _open(self, profile: str) -> Backend:
        if self.open_backend is not None:
            return self.open_backend(profile)
        from batchrun.backends.opening import check_installed, open_backend

        check_installed(self.config.profile(profile))
        return open_backend(
            self.config.profile(profile),
            home=self.home.path,
            clock=self.clock,
            on_delta=self.on_delta,
        )

    def _deletes_remote(self, profile: str) -> bool:
        found = self.config.find(profile)
        return found is not None and found.delete_remote
