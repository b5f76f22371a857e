"""A home: the folder `.batchrun`, where everything durable lives.

    .batchrun/  0700
      batchrun.db         the ledger
      spool/requests/     <id>.jsonl: what was or will be sent, byte for byte; never changed once its name is there
      spool/fields/       <submission>.jsonl: the items' own fields, for joined outputs
      spool/attachments/  <sha256>.<form>: what requests attach, once each, while a request that names it may be sent
      spool/results/      <batch>-output.jsonl, <batch>-error.jsonl: what came back, byte for byte
      service/            the embedded Batch service, where the local backend is used
      lock                held for one pass
      schema.lock         held while the ledger's tables are made or migrated
      .gitignore          *

Finding one: `--home`, else BATCHRUN_HOME, else the nearest `.batchrun` upwards. Only `submit` and `run` create one.
"""

import os
from pathlib import Path
from typing import NamedTuple

from batchrun.errors import LedgerError, UsageError

HOME_NAME = ".batchrun"


class Home(NamedTuple):
    """Paths of one home; nothing is opened here."""

    path: Path

    @property
    def database(self) -> Path:
        """The ledger."""
        return self.path / "batchrun.db"

    @property
    def requests(self) -> Path:
        """Immutable request files."""
        return self.path / "spool" / "requests"

    @property
    def results(self) -> Path:
        """Immutable result files."""
        return self.path / "spool" / "results"

    @property
    def lock(self) -> Path:
        """The lock file of a pass."""
        return self.path / "lock"

    @property
    def schema_lock(self) -> Path:
        """The lock file of whoever makes or migrates the ledger's tables."""
        return self.path / "schema.lock"

    @property
    def outputs(self) -> Path:
        """Where jobs' outputs go by default: beside the home."""
        return self.path.parent / "outputs"

    @property
    def has_spool(self) -> bool:
        """Whether something was sent or came back here: where the ledger is gone, this is still a home, and what it bought must not be bought again."""
        # `recover` sets the spool of a lost ledger aside under such a name, before it puts a new ledger in its place.
        return any(
            any(self.path.glob(f"spool*/{kind}/*.jsonl")) for kind in ("requests", "results")
        )

    def request_file(self, file_id: int) -> Path:
        """Where request file `file_id` is or will be."""
        return self.requests / f"{file_id}.jsonl"

    def result_file(self, batch_id: int, kind: int) -> Path:
        """Where the output (kind 0) or error file (kind 1) of our batch is or will be."""
        return self.results / f"{batch_id}-{('output', 'error')[kind]}.jsonl"

    def suspect_file(self, batch_id: int, kind: int) -> Path:
        """Where a result file is kept that could not be read, while it is downloaded once more."""
        return self.results / f"{batch_id}-{('output', 'error')[kind]}.suspect.jsonl"

    @property
    def fields(self) -> Path:
        """Original fields of items, kept where outputs join them."""
        return self.path / "spool" / "fields"

    def fields_file(self, submission_id: int) -> Path:
        """One line an item, `[item row id, {fields}]`, in input order; only where a job's outputs need more than the id."""
        return self.fields / f"{submission_id}.jsonl"

    @property
    def attachments(self) -> Path:
        """Attached contents."""
        return self.path / "spool" / "attachments"

    def attachment_file(self, digest: bytes, form: str) -> Path:
        """Where the content with this SHA-256 is or will be; `form` is one of `attachments.kinds.MEDIA`."""
        return self.attachments / f"{digest.hex()}.{form}"

    def create(self) -> None:
        """Make the folders (0700), durably, and the .gitignore; harmless where they exist. Raises LedgerError naming the folder."""
        from batchrun.ledger.spool import fsync_folder

        try:
            for folder in (
                self.path,
                self.path / "spool",
                self.requests,
                self.results,
                self.fields,
                self.attachments,
            ):
                folder.mkdir(mode=0o700, exist_ok=True)
                folder.chmod(0o700)
            # What is synced in a folder whose own name is lost with the power is lost with it: the intent of a paid batch, too.
            for folder in (self.path.parent, self.path, self.path / "spool"):
                fsync_folder(folder)
            _write_whole(self.path / ".gitignore", b"*\n")
        except OSError as exc:
            raise LedgerError(
                f"{self.path}: the home cannot be created: {exc.strerror}. "
                + (
                    "Make the folder writable, or choose another with --home."
                    if self.path.parent.is_dir()
                    else f"There is no folder {self.path.parent}: make it first."
                )
            ) from exc


def find_home(
    *, explicit: str | None, environ: str | None, near: Path | None
) -> tuple[Path | None, Path]:
    """(the home if there is one, the folder from which was searched).

    `explicit` and `environ` name a home that may not exist yet; `near` is the job file's folder, or None for the current folder.
    """
    start = (near or Path.cwd()).resolve()
    for given in (explicit, environ):
        if given:
            path = Path(given).expanduser().absolute()
            return (path if _is_home(path) else None), start
    for folder in (start, *start.parents):
        if _is_home(folder / HOME_NAME):
            return folder / HOME_NAME, start
    return None, start


def _is_home(path: Path) -> bool:
    """Whether a ledger is there, or was: whoever opens one that is gone is told how it comes back."""
    home = Home(path)
    return home.database.exists() or home.has_spool


def home_to_create(*, explicit: str | None, environ: str | None, job_file: Path) -> Path:
    """Where `submit` and `run` make a home: in the current folder if the job file lies under it, else beside the job file."""
    for given in (explicit, environ):
        if given:
            return Path(given).expanduser().absolute()
    here, folder = Path.cwd().resolve(), job_file.resolve().parent
    return (here if folder == here or here in folder.parents else folder) / HOME_NAME


def require_home(path: Path | None, start: Path, *, named: str | None = None) -> Home:
    """The home, or UsageError saying where it was looked for and how one comes to be. `named`: the home that --home or BATCHRUN_HOME named."""
    if path is None and named:
        raise UsageError(
            f"{named}: there is no batchrun home (no batchrun.db). Name another with --home or BATCHRUN_HOME, "
            "or start this one with `batchrun submit FILE` or `batchrun run FILE`."
        )
    if path is None:
        raise UsageError(
            f"no batchrun home here: looked for {HOME_NAME}/ in {start} and the folders above it. "
            "Start one with `batchrun submit FILE` or `batchrun run FILE`, or name one with --home."
        )
    return Home(path)


def machine_identity(path: Path) -> dict[str, str]:
    """What tells a home from its copy: machine id ("" where there is none, as in many containers), path and inode of the folder."""
    machine = ""
    for source in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            machine = Path(source).read_text(encoding="utf-8").strip()
        except OSError:
            continue
        if machine:
            break
    return {"machine": machine, "path": str(path.resolve()), "inode": str(path.stat().st_ino)}


def _write_whole(path: Path, content: bytes) -> None:
    """A small private file, unless it has something in it: one that a killed process left empty is filled."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        if not os.fstat(descriptor).st_size:
            os.write(descriptor, content)
    finally:
        os.close(descriptor)
