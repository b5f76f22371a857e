"""All that a service's support asks for about one job, from the ledger and the spool. Each field is chosen here: no row, line or object goes out whole."""

import platform
import sqlite3
from collections.abc import Iterator
from importlib import metadata
from typing import Final

from batchrun import __version__
from batchrun.backends.accounts import DIRECT_PREFIX, account_of
from batchrun.backends.credentials import NO_KEY
from batchrun.clock import rfc3339
from batchrun.config import Config
from batchrun.customids import custom_id, foreign_prefix, line_prefix
from batchrun.endpoints.tolerant import as_object
from batchrun.errors import AuthError
from batchrun.ledger.connection import Ledger
from batchrun.model import JobSettings, Json, JsonObject
from batchrun.outputs.evidence import result_bytes, sent_request
from batchrun.outputs.explain import OUTCOMES
from batchrun.outputs.reporting import job_report
from batchrun.outputs.rows import JobView, job_view, snapshot
from batchrun.profiles import BackendKind, Profile
from batchrun.supporting.batches import Known, support_batches, time_of
from batchrun.supporting.redacting import scrubbed, texts_in
from batchrun.supporting.resultline import exchange_of

EXAMPLES: Final = 10  # exchanges of each cause, the latest: support looks at a few
_TAIL: Final = 4  # characters of a key: as many as OpenAI's own pages show
_LONG_KEY: Final = 20  # of a shorter one four characters are too many
# Settled attempts that did not end as they should: of each item the last one, and those before it.
_ATTEMPTS: Final = (
    "item_rows i not indexed cross join {} r on r.item = i.id "
    "where i.job = ?1 and i.id >= ?2 and i.id < ?3 and r.cause is not null"
)
_COLUMNS: Final = "r.item, r.batch, r.send, r.at, r.outcome, r.cause, r.kind, r.offset, r.length"


def support_document(ledger: Ledger, config: Config, job_id: int, *, now: int) -> JsonObject:
    """The document of `batchrun support --json`; docs/support.md has its keys. Reads only; a key is looked up as for sending.

    Raises UsageError for no such job, LedgerError.
    """
    with snapshot(ledger):
        job = job_view(ledger, job_id)
        profiles = _profiles(ledger, config, job)
        keys = {name: key for name, profile in profiles.items() if (key := _key_of(profile))}
        known = Known(secrets=tuple(keys.values()), ours=tuple(_own_texts(job.settings)))
        report = job_report(ledger, job_id)
        found: JsonObject = {
            "written_at": rfc3339(now),
            "software": _software(),
            "job": job.name,
            "endpoint": job.settings.endpoint,
            "submitted_at": report["submitted_at"],
            "finished_at": report["finished_at"],
            "counts": report["counts"],
            "attempts": report["attempts"],
            "tokens": report["tokens"],
            "accounts": list(_accounts(ledger, job, profiles, keys)),
            "batches": list(support_batches(ledger, config, job, known)),
            "errors": list(_errors(ledger, job, known)),
            "incidents": _incidents(ledger, job),
        }
    return as_object(scrubbed(found, known.secrets))


def _profiles(ledger: Ledger, config: Config, job: JobView) -> dict[str, Profile]:
    """The profiles that the job was asked with, as far as they are still known."""
    rows = ledger.rows("select distinct profile from batch_rows where job = ?", (job.id,))
    names = dict.fromkeys((job.profile, *(row["profile"] for row in rows)))
    found = {name: config.find(name) for name in names}
    return {name: profile for name, profile in found.items() if profile is not None}


def _key_of(profile: Profile) -> str | None:
    """The key that is set now; None where there is none, as of a job that is looked at on another machine."""
    if profile.kind is BackendKind.LOCAL:
        return None
    try:
        key = profile.key.reveal()
    except AuthError:
        return None
    return None if key == NO_KEY else key


def _own_texts(settings: JobSettings) -> Iterator[str]:
    """What the user wrote into the job line, as far as it is sent."""
    shown: tuple[Json, ...] = (settings.instructions, settings.prompt, settings.labels)
    for value in (*shown, settings.schema, settings.body, dict(settings.metadata), settings.note):
        yield from texts_in(value)


def _software() -> JsonObject:
    try:
        sdk = metadata.version("openai")
    except metadata.PackageNotFoundError:
        sdk = None
    return {
        "batchrun": __version__,
        "openai": sdk,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _accounts(
    ledger: Ledger, job: JobView, profiles: dict[str, Profile], keys: dict[str, str]
) -> Iterator[JsonObject]:
    """Where the job was asked. The end of the key is told only where the key that is set now is the one that was used then."""
    salt = bytes.fromhex(ledger.meta("salt") or "")
    for row in ledger.rows(
        "select distinct profile, base_url, organization, project, fingerprint from batch_rows "
        "where job = ? and base_url is not null order by 1, 2",
        (job.id,),
    ):
        key, profile = keys.get(row["profile"]), profiles.get(row["profile"])
        tail = None
        if key and profile and account_of(profile, salt).fingerprint == row["fingerprint"]:
            tail = key[-_TAIL:] if len(key) >= _LONG_KEY else None
        yield {
            "profile": row["profile"],
            "base_url": row["base_url"].removeprefix(DIRECT_PREFIX),
            "asked": "live" if row["base_url"].startswith(DIRECT_PREFIX) else "batch",
            "organization": row["organization"] or None,
            "project": row["project"] or None,
            "key_ends_with": tail,
        }


def _errors(ledger: Ledger, job: JobView, known: Known) -> Iterator[JsonObject]:
    """Attempts that did not end well, by cause, the most first; of each a few with all that the service calls them by."""
    span = (job.id, job.first_item, job.end_item)
    both = " union all ".join(
        f"select {_COLUMNS} from {_ATTEMPTS.format(table)}" for table in ("result_rows", "history")
    )
    groups = list(
        ledger.rows(
            f"select cause, count(*) as n, min(at) as since, max(at) as until from ({both}) "
            "group by cause order by n desc, cause",
            span,
        )
    )
    for group in groups:
        latest = ledger.rows(
            f"select e.*, k.key, a.custom_id as sent_as, b.remote_id, b.request_file from ({both}) e "
            "join item_rows k on k.id = e.item join batch_rows b on b.id = e.batch "
            "left join asked_as a on a.batch = e.batch and a.item = e.item "
            "where e.cause = ?4 order by e.at desc, e.item desc limit ?5",
            (*span, group["cause"], EXAMPLES),
        )
        yield {
            "cause": group["cause"],
            "count": group["n"],
            "first_at": time_of(group["since"]),
            "last_at": time_of(group["until"]),
            "examples": [_example(ledger, row, known) for row in latest],
        }


def _example(ledger: Ledger, row: sqlite3.Row, known: Known) -> JsonObject:
    name = row["sent_as"] or custom_id(row["item"], row["send"], row["key"])
    prefix = foreign_prefix(name) if row["sent_as"] else line_prefix(name)
    request = sent_request(ledger.home.request_file(row["request_file"]), prefix)
    line = result_bytes(ledger, row["batch"], row["kind"], row["offset"], row["length"])
    found = exchange_of(line, request, ours=known.ours, secrets=known.secrets)
    return {
        "custom_id": name,
        "batch_id": row["remote_id"],
        "request_id": found.request_id,
        "line_id": found.line_id,
        "answer_id": found.answer_id,
        "at": time_of(row["at"]),
        "outcome": OUTCOMES[row["outcome"]],
        "http_status": found.status,
        "model": found.model,
        "code": found.code,
        "type": found.kind,
        "param": found.param,
        "message": found.message,
        "withheld": found.is_withheld,
    }


def _incidents(ledger: Ledger, job: JobView) -> list[JsonObject]:
    """What must not be and was, by its kind: what it says is for the user, and may hold what was sent."""
    return [
        {"kind": row["kind"], "count": row["n"], "last_at": time_of(row["last"])}
        for row in ledger.rows(
            "select kind, count(*) as n, max(at) as last from incidents where job = ? group by kind order by kind",
            (job.id,),
        )
    ]
