"""Settings: `batchrun.toml` and the environment, read into profiles. docs/configuration.md describes every key.

Three profiles are built in, `openai`, `local` and `direct`; a table `[profile.NAME]` adds one or changes a built-in one. For the
built-in `openai` and `direct` the environment wins over the file. Every profile that sends batches to a server has a *live twin*, which
asks the same server line by line; it needs no table. A key is looked up when it is first needed and is never part of a repr; job files cannot set an address or a key.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from batchrun.configtable import ConfigTable, nearest
from batchrun.errors import UsageError
from batchrun.model import Json
from batchrun.money.limits import Budgets, Payer, Scope, read_budgets
from batchrun.money.pricetables import Entry, read_entries, read_fees
from batchrun.profiles import LIVE_SUFFIX, BackendKind, Profile
from batchrun.profiletables import path_in, read_profiles
from batchrun.settingsfile import FILE_NAME, find_settings

_KEYS: Final = frozenset(
    {"profile", "retention", "attach_from", "write_to", "price", "fee", "budget"}
)
_KEPT_LEAST_S: Final = 86_400  # house-keeping runs once a day


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """After how many seconds a tick prunes spool files and forgets items; None: never."""

    spool_s: int | None = None
    items_s: int | None = None

    @property
    def is_set(self) -> bool:
        """Whether a tick has any of it to do."""
        return self.spool_s is not None or self.items_s is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings. `path` is the file that was read, if there was one; `backend` is BATCHRUN_BACKEND, if it is set.

    `attach_from`: folders beside a job's own from which it may attach files; `write_to`: such in which it may write a database's table.
    `prices`: what the user says that models cost, by model; `fees`: picodollars of a call of a tool that the service runs, by the tool's type.
    `budgets`: what may be spent.
    """

    profiles: Mapping[str, Profile]
    path: Path | None = None
    backend: str | None = None
    retention: Retention = field(default_factory=Retention)
    attach_from: tuple[Path, ...] = ()
    write_to: tuple[Path, ...] = ()
    prices: Mapping[str, Entry] = field(default_factory=dict)
    budgets: Budgets = field(default_factory=Budgets)
    fees: Mapping[str, int] = field(default_factory=dict)

    def profile(self, name: str) -> Profile:
        """The profile of this name, or the live twin `NAME:live` of one. Raises UsageError with the nearest name where there is none."""
        found = self.find(name)
        if found is not None:
            return found
        where = self.path or f"a {FILE_NAME} (none was found)"
        of = name.removesuffix(LIVE_SUFFIX)
        if of in self.profiles:
            raise UsageError(
                f"there is no profile {name!r}: {of!r} answers line by line itself. Use {of!r}."
            )
        raise UsageError(
            f"there is no backend or profile {name!r}.{nearest(name, self.profiles)} "
            f"Known: {', '.join(sorted(self.profiles))}. Add [profile.{of}] to {where}."
        )

    def find(self, name: str) -> Profile | None:
        """As `profile`, with None where there is none."""
        found = self.profiles.get(name)
        if found is not None or not name.endswith(LIVE_SUFFIX):
            return found
        # A twin is itself, whatever `live` says today: what it was given in an earlier run is in its own folder.
        of = self.profiles.get(name.removesuffix(LIVE_SUFFIX))
        if of is None or of.traits.executes_in_process:
            return None
        return of.directly(name)

    def live_twin(self, name: str) -> str:
        """The profile that answers single items of jobs with this one: `NAME:live`, or what its `live` names; itself where it asks line by line anyway."""
        profile = self.profile(name)
        if profile.traits.executes_in_process:
            return name
        return profile.live or f"{name}{LIVE_SUFFIX}"

    def live_names(self, name: str) -> tuple[str, ...]:
        """The profiles that may have answered single items of jobs with this one, today or when its `live` was another; none where there is no such profile."""
        profile = self.find(name)
        if profile is None or profile.traits.executes_in_process:
            return ()
        return tuple(dict.fromkeys((f"{name}{LIVE_SUFFIX}", self.live_twin(name))))

    def payer(self, *, profile: str, job: str, tags: tuple[str, ...]) -> Payer | None:
        """Whose money a batch of a job takes that goes to `profile`, a twin too; None where it costs nothing, or there is no such profile any more."""
        found = self.find(profile)
        if found is None or found.kind is BackendKind.LOCAL:
            return None
        of = profile.removesuffix(LIVE_SUFFIX)
        return Payer(account=found.account, profile=of, job=job, tags=tags)

    @property
    def in_process(self) -> frozenset[str]:
        """The profiles, twins among them, whose batches' lines are executed in our own passes."""
        return frozenset(
            name if profile.traits.executes_in_process else f"{name}{LIVE_SUFFIX}"
            for name, profile in self.profiles.items()
        )


def load_config(near: Path | None, home: Path | None, environ: Mapping[str, str]) -> Config:
    """Read the settings for a job file `near`, or for a `home`; both may be missing.

    The file is the first `batchrun.toml` upwards from the job file's folder, else upwards from the folder that holds the home.
    Where that is not the file of the home, the limits of the home's hold all the same: it is what it spends. Raises UsageError with everything
    that is wrong with it.
    """
    path = find_settings(near, home)
    tree = _read(path) if path is not None else {}
    tables = _profile_tables(tree, path)
    problems: list[str] = []
    retention = _retention(tree, path, problems)
    attach_from = _folders("attach_from", tree, path, problems)
    write_to = _folders("write_to", tree, path, problems)
    prices = read_entries(tree.get("price", {}), str(path), problems)
    budgets = read_budgets(tree.get("budget", {}), str(path), problems)
    fees = read_fees(tree.get("fee", {}), str(path), problems)
    read = read_profiles(tables, path, environ, problems)
    problems += _limits_for_nobody(budgets, read, path)
    of_home = find_settings(None, home)
    if of_home is not None and of_home != path:
        theirs = read_budgets(_read(of_home).get("budget", {}), str(of_home), problems)
        budgets = budgets.under(theirs, str(of_home))
    if problems:
        raise UsageError("\n".join(problems))
    return Config(
        profiles=read,
        path=path,
        backend=environ.get("BATCHRUN_BACKEND") or None,
        retention=retention,
        attach_from=attach_from,
        write_to=write_to,
        prices=prices,
        budgets=budgets,
        fees=fees,
    )


def _read(path: Path) -> dict[str, Json]:
    """Everything in the file, by the names of its tables."""
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}. Make it readable, or remove it.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 at byte {error.start}. Save it as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: not TOML: {error}.") from error
    for key in tree:
        if key not in _KEYS:
            raise UsageError(
                f"{path}: unknown key {key!r}. Settings are tables named [profile.NAME], [price.MODEL], [fee], [budget], [retention], and attach_from and write_to above them."
            )
    return tree


def _profile_tables(tree: dict[str, Json], path: Path | None) -> dict[str, Json]:
    """The tables under [profile], by name."""
    tables = tree.get("profile", {})
    if not isinstance(tables, dict) or not all(isinstance(t, dict) for t in tables.values()):
        raise UsageError(f"{path}: 'profile' holds tables only. Write [profile.NAME].")
    return tables


def _retention(tree: dict[str, Json], path: Path | None, problems: list[str]) -> Retention:
    """How long things are kept, from the table [retention]."""
    table = tree.get("retention", {})
    if not isinstance(table, dict):
        problems.append(f"{path}: 'retention' is a table. Write [retention].")
        return Retention()
    reader = ConfigTable(f"{path}: [retention]", table, problems)
    found = Retention(
        spool_s=reader.duration_s("spool", least=_KEPT_LEAST_S),
        items_s=reader.duration_s("items", least=_KEPT_LEAST_S),
    )
    reader.end()
    return found


def _folders(
    name: str, tree: dict[str, Json], path: Path | None, problems: list[str]
) -> tuple[Path, ...]:
    """The folders of a list at the top of the file; a job's own folder is always one of them besides."""
    folders = tree.get(name, [])
    if not isinstance(folders, list) or not all(isinstance(f, str) and f for f in folders):
        problems.append(f'{path}: {name!r} is a list of folders, such as ["scans"].')
        return ()
    return tuple(path_in(folder, path.parent) for folder in folders) if path is not None else ()


def _limits_for_nobody(
    budgets: Budgets, profiles: Mapping[str, Profile], path: Path | None
) -> Iterator[str]:
    """Limits of profiles and accounts that there are not would hold nothing. Tags and jobs are known only when they come."""
    known = {
        Scope.PROFILE: set(profiles),
        Scope.ACCOUNT: {profile.account for profile in profiles.values()},
    }
    for scope, names in known.items():
        for name in budgets.named.get(scope, {}):
            if name not in names:
                yield (
                    f"{path}: [budget.{scope}.{name}] is for no {scope} that there is.{nearest(name, names)} "
                    f"Known: {', '.join(sorted(names))}."
                )
