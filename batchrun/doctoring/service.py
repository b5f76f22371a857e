"""The service behind a profile: address, key, and what it answers to calls that change nothing.

One page of the listing says most of it: whether the server can be reached, takes the key, has a Batch API, what time it has, and whether
its listing shows what batchrun needs to find a batch again. Each call is made once, without retries: the doctor says what is, now.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from batchrun.backends.base import Backend, BatchPage
from batchrun.backends.credentials import NO_KEY, base_url_problem, is_loopback
from batchrun.backends.presets import PRESETS, READ_AT
from batchrun.clock import Clock
from batchrun.doctoring.diagnosis import Area, Diagnosis, Level
from batchrun.errors import AuthError, BackendError, NotFound
from batchrun.ledger.batches import open_accounts
from batchrun.ledger.connection import Ledger
from batchrun.ledger.origins import is_missing_here
from batchrun.model import TOKEN_KEY
from batchrun.profiles import BackendKind, Profile, without_batches

SKEW_MOST_S: Final = 60
_PAGE: Final = 20
_NO_FILE: Final = (
    "file-batchrun-doctor"  # an id that no service gives: only the kind of refusal matters
)
_TRIAL: Final = b'{"custom_id":"doctor","method":"POST","url":"/v1/responses","body":{}}\n'
_TRIAL_EXPIRES_S: Final = 14 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """A profile to be looked at. `ledger` is the home's, where there is one; `now` is this machine's time."""

    profile: Profile
    backend: Backend
    ledger: Ledger | None
    now: int

    def diagnosis(self, name: str, level: Level, what: str, fix: str = "") -> Diagnosis:
        """One of this profile."""
        return Diagnosis(
            area=Area.SERVICE, name=name, level=level, what=what, fix=fix, profile=self.profile.name
        )


def examine_settings(patient: Patient) -> Iterator[Diagnosis]:
    """What can be told without the network; of a local profile that is all."""
    profile = patient.profile
    if profile.kind is BackendKind.LOCAL:
        yield _local_model(patient)
        return
    if profile.preset:
        yield _preset(patient)
    wrong = base_url_problem(profile.base_url)
    if wrong:
        yield patient.diagnosis(
            "base-url",
            Level.FAIL,
            f"batchrun does not use the base_url {wrong}",
            f"Set base_url of [profile.{profile.name}] in batchrun.toml, or OPENAI_BASE_URL.",
        )
    else:
        kind = "this machine" if is_loopback(profile.base_url) else "over https"
        yield patient.diagnosis("base-url", Level.OK, f"{profile.base_url} ({kind})")
    try:
        key = profile.key.reveal()
    except AuthError as exc:
        yield patient.diagnosis("key", Level.FAIL, str(exc), _key_fix(profile))
        return
    source = profile.key.describe()
    unset = f" ({source} is not set)" if profile.key.variable else ""
    found = f"none, and this profile needs none{unset}" if key == NO_KEY else f"from {source}"
    yield patient.diagnosis("key", Level.OK, found)
    if patient.ledger is not None and not wrong:
        yield _account(patient, patient.ledger)


def examine_service(patient: Patient) -> Iterator[Diagnosis]:
    """What the service answers, read-only; nothing more is asked where the first answer says that nothing works."""
    backend = patient.backend
    try:
        page = backend.list_batches(after=None, limit=_PAGE)
    except BackendError as exc:
        yield _refusal(patient, exc)
        return
    yield patient.diagnosis("batches", Level.OK, "reached, authenticated, and it lists batches")
    yield _clock(patient, page)
    yield _listing(patient, page)
    if patient.ledger is not None:
        yield _unknown_batches(patient, patient.ledger, page)
    yield _files(patient, page)


def examine_models(patient: Patient, clock: Clock) -> Diagnosis:
    """What the server of a direct profile answers to the one call that is free everywhere."""
    from batchrun.backends.opening import live_responder

    responder = live_responder(patient.profile, clock)
    try:
        models = responder.models()
    except BackendError as exc:
        return _refusal(patient, exc)
    finally:
        responder.close()
    listed = (
        f"models that it lists: {len(models):,}"
        if models
        else "it lists no models (check base_url if it should)"
    )
    return patient.diagnosis("models", Level.OK, f"reached; {listed}")


def try_writing(patient: Patient) -> Diagnosis:
    """Upload a file of one line and delete it again: the two calls that cost nothing, and on which sending and fencing stand."""
    with tempfile.TemporaryDirectory(prefix="batchrun-doctor-") as folder:
        path = Path(folder) / "doctor.jsonl"
        path.write_bytes(_TRIAL)
        try:
            file = patient.backend.upload(
                path, name="batchrun-doctor.jsonl", expires_after_s=_TRIAL_EXPIRES_S
            )
        except BackendError as exc:
            return patient.diagnosis(
                "write", Level.FAIL, str(exc), "Let the key write files: permission Files, Write."
            )
    try:
        is_deleted = patient.backend.delete_file(file.id)
    except BackendError as exc:
        return patient.diagnosis(
            "write", Level.FAIL, f"{file.id} was uploaded, and cannot be deleted: {exc}",
            "Let the key delete files: without that a lost answer to a creation stays in doubt.",
        )  # fmt: skip
    if not is_deleted:
        return patient.diagnosis(
            "write", Level.WARN, f"{file.id} was uploaded; the service does not confirm that it is deleted",
            "A creation without an answer stays in doubt here, until `batchrun resolve BATCH`.",
        )  # fmt: skip
    return patient.diagnosis("write", Level.OK, "a file was uploaded, and deleted again")


def _local_model(patient: Patient) -> Diagnosis:
    from batchrun.backends.opening import check_installed

    try:
        check_installed(patient.profile)
    except BackendError as exc:
        return patient.diagnosis("model", Level.FAIL, str(exc), "pip install 'batchrun[local]'")
    return patient.diagnosis("model", Level.OK, "engine and model are installed")


def _preset(patient: Patient) -> Diagnosis:
    preset = PRESETS[patient.profile.preset]
    what = f"{preset.title}, as read on {READ_AT} in {preset.source}"
    return patient.diagnosis("preset", Level.OK, "; ".join((what, *preset.quirks)))


def _key_fix(profile: Profile) -> str:
    if profile.key.variable:
        return f"export {profile.key.variable}=…"
    if profile.key.file is not None:
        return f"chmod 600 {profile.key.file}"
    return f"Set api_key_env, api_key_file or api_key_command of [profile.{profile.name}] in batchrun.toml."


def _account(patient: Patient, ledger: Ledger) -> Diagnosis:
    """Whether the profile still means the account that has the open batches."""
    account = patient.backend.account(bytes.fromhex(ledger.meta("salt") or ""))
    others = [theirs for theirs in open_accounts(ledger, patient.profile.name) if theirs != account]
    for theirs in others:
        if theirs.place != account.place:
            return patient.diagnosis(
                "account",
                Level.FAIL,
                f"open batches are at {theirs.base_url} (organization {theirs.organization!r}, project {theirs.project!r}), "
                "and the profile means another place now",
                "Restore the old settings until those batches have ended, or give the new place a profile of its own.",
            )
    if others:
        return patient.diagnosis(
            "account",
            Level.WARN,
            "the key has changed since the open batches were made",
            "Nothing, if it is a key of the same project: the next pass proves that.",
        )
    return patient.diagnosis("account", Level.OK, "open batches, if any, belong to this account")


def _refusal(patient: Patient, exc: BackendError) -> Diagnosis:
    """What a listing that was refused says."""
    if isinstance(exc, AuthError) and exc.status == 403:
        return patient.diagnosis(
            "permissions", Level.FAIL, str(exc), "Let the key read and write batches and files."
        )
    if isinstance(exc, AuthError):
        return patient.diagnosis("authenticated", Level.FAIL, str(exc), _key_fix(patient.profile))
    if isinstance(exc, NotFound) or exc.status in (404, 405, 501):
        return patient.diagnosis(
            "batch-support",
            Level.FAIL,
            str(exc),
            _no_route_fix(patient.profile),
        )
    name = "reachable" if exc.status is None else "answers"
    path = "models" if patient.profile.kind is BackendKind.DIRECT else "batches"
    return patient.diagnosis(
        name, Level.FAIL, str(exc), f"curl -sS -o /dev/null {patient.profile.base_url}/{path}"
    )


def _no_route_fix(profile: Profile) -> str:
    config = f"[profile.{profile.name}] in batchrun.toml"
    if profile.kind is BackendKind.DIRECT:
        return f"Set base_url of {config} to the address of the API (it usually ends in /v1)."
    return f"Set base_url of {config} to a server with a Batch API (it usually ends in /v1). {without_batches(profile)}"


def _clock(patient: Patient, page: BatchPage) -> Diagnosis:
    if page.server_time is None:
        return patient.diagnosis(
            "clock", Level.UNKNOWN, "the service does not say what time it has"
        )
    skew = patient.now - page.server_time
    if abs(skew) <= SKEW_MOST_S:
        return patient.diagnosis("clock", Level.OK, f"{abs(skew)} s apart from the service's")
    word = "ahead of" if skew > 0 else "behind"
    return patient.diagnosis(
        "clock",
        Level.WARN,
        f"this machine is {abs(skew):,} s {word} the service",
        "sudo timedatectl set-ntp true",
    )


def _listing(patient: Patient, page: BatchPage) -> Diagnosis:
    """Whether a batch that was created without an answer could be found again."""
    created = [batch.created_at for batch in page.batches]
    if created != sorted(created, reverse=True):
        return patient.diagnosis(
            "listing",
            Level.WARN,
            "it is not newest first, so that it never proves that a batch does not exist",
            "After a creation without an answer: `batchrun resolve BATCH`.",
        )
    if patient.ledger is None:
        return patient.diagnosis("listing", Level.UNKNOWN, "no batch of ours is known yet")
    ours = {row["remote_id"] for row in patient.ledger.rows("select remote_id from batch_rows")}
    shown = [batch for batch in page.batches if batch.id in ours]
    if not shown:
        return patient.diagnosis("listing", Level.UNKNOWN, "no batch of ours is on its first page")
    if any(TOKEN_KEY in batch.metadata or batch.input_file_id for batch in shown):
        return patient.diagnosis(
            "listing", Level.OK, "newest first, and it shows by what we know our batches"
        )
    if not patient.profile.traits.listing_echoes:
        return patient.diagnosis(
            "listing", Level.OK, "it shows neither metadata nor input files, as the profile says"
        )
    return patient.diagnosis(
        "listing",
        Level.FAIL,
        "it shows neither metadata nor input files: what was created without an answer would be taken for absent",
        f"Set listing_echoes = false in [profile.{patient.profile.name}] of batchrun.toml.",
    )


def _unknown_batches(patient: Patient, ledger: Ledger, page: BatchPage) -> Diagnosis:
    """Whether the service lists batches of this ledger that it does not know; the newest stand on the first page, and an older copy lacks those."""
    missing = [b.id for b in page.batches if is_missing_here(ledger, b.id, b.metadata)]
    if not missing:
        return patient.diagnosis(
            "unknown-batches", Level.OK, "the ledger knows all of its batches on the first page"
        )
    more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
    return patient.diagnosis(
        "unknown-batches",
        Level.WARN,
        f"the service has {missing[0]}{more} of this ledger, which does not know it: this ledger is older than the service",
        f"batchrun recover FILE... --backend {patient.profile.name} --home {ledger.home.path}",
    )


def _files(patient: Patient, page: BatchPage) -> Diagnosis:
    """Whether the key may read files; that of a batch which is there, or one that is not: then a typed 404 is the right answer."""
    wanted = next((b.input_file_id for b in page.batches if b.input_file_id), _NO_FILE)
    try:
        patient.backend.get_file(wanted)
    except NotFound:
        pass  # it may look, and there is none (any more)
    except AuthError as exc:
        return patient.diagnosis("files", Level.FAIL, str(exc), "Let the key read and write files.")
    except BackendError as exc:
        if exc.status == 400:
            return patient.diagnosis("files", Level.OK, "the key may read files")
        return patient.diagnosis(
            "files", Level.WARN, str(exc), "Run `batchrun doctor` again in a minute."
        )
    return patient.diagnosis("files", Level.OK, "the key may read files")
