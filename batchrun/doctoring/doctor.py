"""The whole examination, in the order in which things depend on each other."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from batchrun.backends.opening import open_backend
from batchrun.clock import Clock
from batchrun.config import Config
from batchrun.doctoring.diagnosis import Area, Diagnosis, Level
from batchrun.doctoring.machine import proxies, python_version, sqlite_version
from batchrun.doctoring.places import (
    file_system,
    free_bytes,
    lock,
    locks_work,
    private,
    space,
    writable,
)
from batchrun.doctoring.service import (
    Patient,
    examine_models,
    examine_service,
    examine_settings,
    try_writing,
)
from batchrun.doctoring.standing import examine_ledger, examine_limits, used_profiles
from batchrun.errors import LedgerError
from batchrun.ledger.connection import Ledger, open_for_reading
from batchrun.ledger.home import Home
from batchrun.ledger.snapshot import MeansOf, no_means
from batchrun.looking import worst_exit_code
from batchrun.profiles import BackendKind

_DEFAULT: Final = ("openai",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What to examine. `home`: None where there is none yet; then `folder` is where one would be.

    `profiles`: those to look at; none: those of the home's jobs, else `openai`. `is_offline` asks no service; `is_writing` lets each
    upload a tiny file and delete it again. `means_of`: what jobs may spend.
    """

    home: Home | None
    folder: Path
    config: Config
    clock: Clock
    environ: Mapping[str, str]
    profiles: Sequence[str] = ()
    means_of: MeansOf = no_means
    is_offline: bool = False
    is_writing: bool = False


def examine(wanted: Examination) -> Iterator[Diagnosis]:
    """One diagnosis after the other, as they are made. Raises UsageError for a profile that there is not, before the first."""
    named = [wanted.config.profile(name) for name in wanted.profiles]
    return _examined(wanted, [profile.name for profile in named])


def exit_code(diagnoses: Sequence[Diagnosis]) -> int:
    """0 where nothing failed, else that of the most urgent failure."""
    return worst_exit_code([found.exit_code for found in diagnoses if found.exit_code])


def _examined(wanted: Examination, profiles: Sequence[str]) -> Iterator[Diagnosis]:
    yield python_version()
    yield sqlite_version()
    yield proxies(wanted.environ)
    with ExitStack() as stack:
        ledger: Ledger | None = None
        yield from _place(wanted)
        if wanted.home is not None:
            try:
                ledger = stack.enter_context(open_for_reading(wanted.home))
                yield from examine_ledger(
                    ledger,
                    wanted.clock.now(),
                    in_process=wanted.config.in_process,
                    means_of=wanted.means_of,
                )
                yield from examine_limits(ledger, wanted.config.budgets)
                profiles = profiles or used_profiles(ledger)
            except LedgerError as exc:
                # Its own words end with what to do: another thing for a ledger that is gone than for one of a newer batchrun.
                yield Diagnosis(area=Area.HOME, name="ledger", level=Level.FAIL, what=str(exc))
                ledger = None
        for name in profiles or _DEFAULT:
            yield from _profile(wanted, name, ledger)


def _place(wanted: Examination) -> Iterator[Diagnosis]:
    folder = wanted.folder
    if wanted.home is None:
        yield Diagnosis(
            area=Area.HOME,
            name="home",
            level=Level.WARN,
            what=f"there is none yet; one would be made in {folder}",
            fix="batchrun submit FILE, or batchrun run FILE",
        )
    else:
        yield Diagnosis(area=Area.HOME, name="home", level=Level.OK, what=str(folder))
        yield private(wanted.home)
    probe = writable(folder)
    yield probe
    if probe.level is Level.OK:
        yield locks_work(folder)
        if wanted.home is not None:
            yield lock(wanted.home)
    yield file_system(folder)
    yield space(free_bytes(folder), folder)


def _profile(wanted: Examination, name: str, ledger: Ledger | None) -> Iterator[Diagnosis]:
    profile = wanted.config.find(name)
    if profile is None:
        yield Diagnosis(
            area=Area.SERVICE,
            name="profile",
            level=Level.FAIL,
            what="jobs of this home use it, and the settings do not have it",
            fix=f"Add [profile.{name}] to {wanted.config.path or 'batchrun.toml'}.",
            profile=name,
        )
        return
    backend = open_backend(profile, home=wanted.folder, clock=wanted.clock, is_patient=False)
    patient = Patient(profile=profile, backend=backend, ledger=ledger, now=wanted.clock.now())
    try:
        is_well = True
        for found in examine_settings(patient):
            is_well = is_well and found.level is not Level.FAIL
            yield found
        if wanted.is_offline or not is_well or profile.kind is BackendKind.LOCAL:
            return
        if profile.kind is BackendKind.DIRECT:
            yield examine_models(patient, wanted.clock)
            return
        for found in examine_service(patient):
            is_well = is_well and found.level is not Level.FAIL
            yield found
        if wanted.is_writing and is_well:
            yield try_writing(patient)
    finally:
        backend.close()
