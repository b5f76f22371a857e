"""Attachments when a batch is cut: uploaded where that keeps input files small, once for each content, and put into the requests.

An upload has its effect before it is recorded, and outside of every transaction: a process that dies in between leaves a file that nothing
refers to, whose name bears this ledger's id (`tidying.py`), and which expires by itself. Nothing of the user's folders is opened here.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec

from batchrun.attachments.filling import filled, inlined_bytes
from batchrun.attachments.kinds import Content, Kind, kind_of
from batchrun.backends.base import AttachMode, Backend, RemoteFile
from batchrun.endpoints import endpoint_of
from batchrun.errors import LedgerError, Refused
from batchrun.ledger.attachments import content_at, contents_of
from batchrun.ledger.connection import Ledger
from batchrun.ledger.remotefiles import mark_untidy
from batchrun.ledger.states import IS_OPEN_ITEM
from batchrun.running.context import PassContext
from batchrun.running.refusing import is_for_later
from batchrun.windows import upload_life_s, window_s

log = logging.getLogger(__name__)

PURPOSES: Final = ("user_data", "vision")  # OpenAI's guides upload images as the latter
# A content that would take more than this part of an input file, in all requests of its job together, is uploaded. So 200 MB always carry
# a thousand requests with a file each; and a content that is sent more often than it takes to upload it is not sent again and again.
_SHARE: Final = 1_000
# What an upload must live on to be referred to, beside the window: a day in which the batch may wait to be sent, and a day of doubt.
_LIFE_BESIDE_S: Final = 2 * 86_400
_NOT_TAKEN: Final = frozenset({400, 404, 405, 413, 415, 422})

_IS_UNNEEDED: Final = (
    "not exists (select 1 from attached a join item_rows i on i.id = a.item "
    f"where a.digest = attachment_uploads.digest and i.{IS_OPEN_ITEM})"
)

# File ids, by digest, of what the due items in a span of numbers name at this endpoint, for (job, endpoint, span).
Uploaded = Callable[[int, str, tuple[int, int]], Mapping[bytes, str]]


def nothing_uploaded(job: int, endpoint: str, span: tuple[int, int]) -> Mapping[bytes, str]:  # noqa: ARG001
    """The `Uploaded` of those who send all as data."""
    return {}


def fill(ledger: Ledger, file: int, item: int, tail: bytes, ids: Mapping[bytes, str]) -> bytes:
    """The request as it is sent: contents by their file id where `ids` has one, else as data. Raises LedgerError where they are not to be had."""
    forms = contents_of(ledger, file, item)

    def supply(digest: bytes) -> str | tuple[bytes, str] | None:
        if (form := forms.get(digest)) is None:
            return None
        return ids.get(digest) or (content_at(ledger.home, digest, form), form)

    try:
        return filled(tail, supply)
    except msgspec.DecodeError as exc:
        raise LedgerError(
            f"item {item}: its request in the spool is damaged ({exc}). Restore the home from a backup; "
            "`batchrun verify` names the file."
        ) from exc


def uploading(ctx: PassContext, profile: str) -> Uploaded:
    """The `Uploaded` of a profile: what has to be uploaded is, once. It raises BackendError where a service cannot be reached."""
    backend = ctx.backend(profile)
    mode = backend.traits.attach
    if mode is AttachMode.INLINE or backend.traits.executes_in_process:
        return nothing_uploaded

    def uploaded(job: int, endpoint: str, span: tuple[int, int]) -> Mapping[bytes, str]:
        most = -1 if mode is AttachMode.UPLOAD else backend.limits.input_bytes // _SHARE
        attachable = endpoint_of(endpoint).attachable
        window = str(
            ctx.ledger.value("select settings ->> 'window' from jobs where id = ?", (job,))
        )
        ids: dict[bytes, str] = {}
        for content, copies in list(_contents_due(ctx.ledger, job, span)):
            can_be = attachable.get(kind_of(content.form), False)
            if can_be and copies * inlined_bytes(content) > most:
                file_id = _known(ctx, profile, content, window)
                file_id = file_id or _upload(ctx, profile, backend, content, window)
                if file_id is not None:
                    ids[content.digest] = file_id
        return ids

    return uploaded


def _contents_due(ledger: Ledger, job: int, span: tuple[int, int]) -> Iterator[tuple[Content, int]]:
    """What the due items (the table that a cut is made from) name, and how many requests of the job name it."""
    if ledger.value("select 1 from attached limit 1") is None:
        return
    for row in ledger.rows(
        "select c.digest, c.bytes, c.form, (select count(*) from attached x join request_files f on f.id = x.file "
        "where x.digest = c.digest and f.job = ?1) as copies from attachments c where c.digest in (select a.digest from due d "
        "cross join item_rows i on i.id = d.item cross join attached a on a.file = i.file and a.item = i.id where d.n between ?2 and ?3) "
        "order by c.digest",
        (job, *span),
    ):
        yield Content(row["digest"], row["bytes"], row["form"]), row["copies"]


def _known(ctx: PassContext, profile: str, content: Content, window: str) -> str | None:
    """The id of an upload that lives long enough, of this very place."""
    account = ctx.accounts[profile]
    found = ctx.ledger.value(
        "select file_id from attachment_uploads where digest = ? and profile = ? and base_url = ? and organization = ? and project = ? "
        "and expires_at >= ? and not is_forgotten order by expires_at desc limit 1",
        (
            content.digest,
            profile,
            account.base_url,
            account.organization,
            account.project,
            ctx.clock.now() + window_s(window) + _LIFE_BESIDE_S,
        ),
    )
    return None if found is None else str(found)


def _upload(
    ctx: PassContext, profile: str, backend: Backend, content: Content, window: str
) -> str | None:
    """Upload one content and record its id; None where the service does not take it: then it goes as data, and the service judges that."""
    ledger, account = ctx.ledger, ctx.accounts[profile]
    content_at(ledger.home, content.digest, content.form)  # whole, or not at all
    path = ledger.home.attachment_file(content.digest, content.form)
    with ledger.transaction():
        mark_untidy(ledger, profile, ctx.clock.now())
    life_s = upload_life_s(window)
    purpose = "vision" if kind_of(content.form) is Kind.IMAGE else "user_data"
    name = f"{upload_prefix(ledger)}{content.digest.hex()[:32]}.{content.form}"
    try:
        file = backend.upload(path, name=name, expires_after_s=life_s, purpose=purpose)
    except Refused as exc:
        if is_for_later(exc) or exc.status not in _NOT_TAKEN:
            raise
        log.warning("profile %s takes no upload of %s (%s): it goes as data", profile, name, exc)
        return None
    with ledger.transaction():
        ledger.execute(
            "insert or replace into attachment_uploads (file_id, digest, profile, base_url, organization, project, fingerprint, expires_at) "
            "values (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                file.id,
                content.digest,
                profile,
                account.base_url,
                account.organization,
                account.project,
                account.fingerprint,
                ctx.clock.now() + life_s,
            ),
        )
    log.info("uploaded attachment %s as %s", name, file.id)
    return file.id


def upload_prefix(ledger: Ledger) -> str:
    """How the names of this ledger's attachments on a service begin."""
    return f"batchrun-{ledger.meta('ledger') or ''}-"


def is_orphaned_upload(ledger: Ledger, file: RemoteFile) -> bool:
    """Whether a file on a service is an attachment of this ledger that its uploader did not live to record."""
    return file.filename.startswith(upload_prefix(ledger)) and not ledger.value(
        "select 1 from attachment_uploads where file_id = ?", (file.id,)
    )


def drop_expired(ctx: PassContext) -> None:
    """Let go of uploads that the service has let go of."""
    with ctx.ledger.transaction():
        ctx.ledger.execute(
            f"delete from attachment_uploads where expires_at <= ? and {_IS_UNNEEDED}",
            (ctx.clock.now(),),
        )


def unneeded_uploads(ctx: PassContext, profile: str) -> list[str]:
    """Uploads that no request names which may still run, or be sent; those of another place than the profile means now are left to expire."""
    account = ctx.accounts[profile]
    rows = ctx.ledger.rows(
        "select file_id from attachment_uploads where profile = ? and base_url = ? and organization = ? and project = ? "
        f"and {_IS_UNNEEDED}",
        (profile, account.base_url, account.organization, account.project),
    )
    return [row["file_id"] for row in rows]


def has_needed_uploads(ctx: PassContext, profile: str) -> bool:
    """Whether there are uploads that open items need."""
    return bool(
        ctx.ledger.value(
            f"select 1 from attachment_uploads where profile = ? and not ({_IS_UNNEEDED}) limit 1",
            (profile,),
        )
    )
