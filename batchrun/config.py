"""Settings: `batchrun.toml` and the environment, read into profiles. docs/configuration.md describes every key.

A profile is a backend with an address, a key, limits and what may be assumed of it. Two are built in, `openai` and `local`; a table
`[profile.NAME]` adds one or changes a built-in one. For the built-in `openai` profile the environment wins over the file.
A key is looked up when it is first needed and is never part of a repr; job files cannot set an address or a key.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from batchrun.backends.base import AttachMode, Traits
from batchrun.backends.credentials import KeySource, base_url_problem, is_loopback, is_openai
from batchrun.configtable import ConfigTable, nearest
from batchrun.errors import UsageError
from batchrun.model import Json, Limits

FILE_NAME = "batchrun.toml"
OPENAI_BASE_URL = "https://api.openai.com/v1"

_KEYS: Final = frozenset({"profile", "retention", "attach_from", "write_to"})
_KEPT_LEAST_S: Final = 86_400  # house-keeping runs once a day
_PROFILE_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_KEY_KEYS = ("api_key_env", "api_key_file", "api_key_command")
_TRAIT_KEYS = (
    "settle_s",
    "second_settle_s",
    "poll_s",
    "refusals_final",
    "listing_echoes",
    "attach",
)
_SERVER_KEYS = (
    "base_url",
    "delete_remote",
    "organization",
    "organisation",
    "project",
    *_KEY_KEYS,
    *_TRAIT_KEYS,
)
_NO_HEADER: Final = (
    "cannot be sent: it takes ASCII letters, digits and signs only. "
    "Copy it from the settings page of the service"
)
_LOCAL_TRAITS = Traits(
    settle_s=0,
    second_settle_s=0,
    poll_s=0,
    executes_in_process=True,
    attach=AttachMode.INLINE,
)


class BackendKind(StrEnum):
    """What stands behind a profile."""

    OPENAI = "openai"  # a server that speaks OpenAI's Batch API
    LOCAL = "local"  # the embedded service with the local model


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One backend, ready to be opened. `base_url`, `key`, `organization` and `project` mean nothing to a local one."""

    name: str
    kind: BackendKind = BackendKind.OPENAI
    base_url: str = OPENAI_BASE_URL
    key: KeySource = field(default_factory=KeySource)
    organization: str = ""
    project: str = ""
    model_file: Path | None = None
    limits: Limits = field(default_factory=Limits)
    traits: Traits = field(default_factory=Traits)
    delete_remote: bool = False  # files on the service go once their batch is settled


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
    """

    profiles: Mapping[str, Profile]
    path: Path | None = None
    backend: str | None = None
    retention: Retention = field(default_factory=Retention)
    attach_from: tuple[Path, ...] = ()
    write_to: tuple[Path, ...] = ()

    def profile(self, name: str) -> Profile:
        """The profile of this name. Raises UsageError with the nearest name where there is none."""
        found = self.profiles.get(name)
        if found is not None:
            return found
        if name == "direct":
            raise UsageError(
                "backend 'direct' is not in this version. Use 'openai', 'local', or a profile of "
                f"{FILE_NAME}."
            )
        where = self.path or f"a {FILE_NAME} (none was found)"
        raise UsageError(
            f"there is no backend or profile {name!r}.{nearest(name, self.profiles)} "
            f"Known: {', '.join(sorted(self.profiles))}. Add [profile.{name}] to {where}."
        )


def load_config(near: Path | None, home: Path | None, environ: Mapping[str, str]) -> Config:
    """Read the settings for a job file `near`, or for a `home`; both may be missing.

    The file is the first `batchrun.toml` upwards from the job file's folder, else upwards from the folder that holds the home.
    Raises UsageError with everything that is wrong with it.
    """
    path = None
    for start in (near, home):
        if start is not None and path is None:
            folder = start.absolute()
            path = _find(folder if start is near and folder.is_dir() else folder.parent)
    tree = _read(path) if path is not None else {}
    tables = _profile_tables(tree, path)
    problems: list[str] = []
    retention = _retention(tree, path, problems)
    attach_from = _folders("attach_from", tree, path, problems)
    write_to = _folders("write_to", tree, path, problems)
    read = {
        name: _profile(name, tables.get(name, {}), path, environ, problems)
        for name in dict.fromkeys((*map(str, BackendKind), *tables))
    }
    if problems:
        raise UsageError("\n".join(problems))
    return Config(
        profiles=read,
        path=path,
        backend=environ.get("BATCHRUN_BACKEND") or None,
        retention=retention,
        attach_from=attach_from,
        write_to=write_to,
    )


def _find(folder: Path) -> Path | None:
    """The nearest settings file upwards, but none that someone else could have planted: it may name a command to run."""
    for parent in (folder, *folder.parents):
        path = parent / FILE_NAME
        try:
            found = path.stat()
        except OSError:
            continue
        if hasattr(os, "geteuid"):
            trusted = {0, os.geteuid(), folder.stat().st_uid if folder.exists() else 0}
            if found.st_uid not in trusted or found.st_mode & 0o002:
                raise UsageError(
                    f"{path}: another user can change this file, so it is not read. "
                    "Own it and take away the others' right to write, or remove it."
                )
        return path
    return None


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
                f"{path}: unknown key {key!r}. Settings are tables named [profile.NAME], [retention], and attach_from and write_to above them."
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
    return tuple(_path(folder, path.parent) for folder in folders) if path is not None else ()


def _profile(
    name: str,
    table: dict[str, Json],
    path: Path | None,
    environ: Mapping[str, str],
    problems: list[str],
) -> Profile:
    """One profile from its table; what is wrong with it is added to `problems`."""
    reader = ConfigTable(f"{path}: [profile.{name}]", table, problems)
    if not _PROFILE_NAME.fullmatch(name) or name == "direct":
        reader.problem("may not have this name. Use letters, digits, '.', '_' and '-'")
    kind = _kind(reader, name)
    folder = path.parent if path is not None else Path()
    if kind is BackendKind.LOCAL:
        return _local(reader, name, folder)
    is_built_in = name == BackendKind.OPENAI
    from_environ = environ if is_built_in else {}
    base_url = reader.text("base_url")
    if base_url and (wrong := base_url_problem(base_url)):
        reader.problem(f"cannot use the base_url {wrong}")
    base_url = from_environ.get("OPENAI_BASE_URL", "").strip() or base_url or OPENAI_BASE_URL
    key = _key(reader, folder, environ)
    if not key and (is_built_in or is_openai(base_url) or is_loopback(base_url)):
        # A profile for a foreign server has no key by default: OpenAI's must not go there by accident.
        key = KeySource(variable="OPENAI_API_KEY", environ=environ)
    organization = _header(reader, "organization")
    organization = _header(reader, "organisation") or organization
    project = _header(reader, "project")
    problems += [
        f"{variable}: {value!r} {_NO_HEADER}."
        for variable in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID")
        if not _is_header(value := from_environ.get(variable, "").strip())
    ]
    profile = Profile(
        name=name,
        kind=kind,
        base_url=base_url.rstrip("/"),
        key=key or KeySource(),
        organization=from_environ.get("OPENAI_ORG_ID", "").strip() or organization,
        project=from_environ.get("OPENAI_PROJECT_ID", "").strip() or project,
        limits=_limits(reader),
        traits=_traits(reader),
        delete_remote=reader.boolean("delete_remote", False),
    )
    reader.end(meaningless=("model_file",))
    return profile


def _header(reader: ConfigTable, key: str) -> str:
    """A text that is sent as the value of an HTTP header."""
    value = reader.text(key)
    if not _is_header(value):
        reader.problem(f"has {key} = {value!r}, which {_NO_HEADER}")
    return value


def _is_header(value: str) -> bool:
    return value.isascii() and value.isprintable()


def _kind(reader: ConfigTable, name: str) -> BackendKind:
    built_in = {str(kind): kind for kind in BackendKind}
    word = reader.text("backend")
    if word == "direct":
        reader.problem("has backend = 'direct', which is not in this version")
    elif word and word not in built_in:
        reader.problem(f"has backend = {word!r}; it takes 'openai' or 'local'")
    kind = built_in.get(word, built_in.get(name, BackendKind.OPENAI))
    if kind is not built_in.get(name, kind):
        reader.problem(f"is built in with backend = {name!r}. Choose another name")
    return kind


def _local(reader: ConfigTable, name: str, folder: Path) -> Profile:
    model_file = reader.text("model_file")
    limits = _limits(reader)
    reader.end(meaningless=_SERVER_KEYS)
    return Profile(
        name=name,
        kind=BackendKind.LOCAL,
        base_url="",
        model_file=_path(model_file, folder) if model_file else None,
        limits=limits,
        traits=_LOCAL_TRAITS,
    )


def _traits(reader: ConfigTable) -> Traits:
    """OpenAI's where nothing is set, also on loopback: who stands behind an address is for the user to say."""
    normal = Traits()
    return Traits(
        settle_s=reader.integer("settle_s", normal.settle_s),
        second_settle_s=reader.integer("second_settle_s", normal.second_settle_s),
        refusals_final=reader.boolean("refusals_final", normal.refusals_final),
        listing_echoes=reader.boolean("listing_echoes", normal.listing_echoes),
        poll_s=reader.integer("poll_s", normal.poll_s, least=1),
        attach=_attach_mode(reader),
    )


def _attach_mode(reader: ConfigTable) -> AttachMode:
    word = reader.text("attach") or AttachMode.AUTO
    if word in set(AttachMode):
        return AttachMode(word)
    reader.problem(f"has attach = {word!r}; it takes 'inline', 'upload' or 'auto'")
    return AttachMode.AUTO


def _limits(reader: ConfigTable) -> Limits:
    normal, table = Limits(), reader.table("limits")
    limits = Limits(
        request_count=table.integer("request_count", normal.request_count, least=1),
        input_bytes=table.integer("input_bytes", normal.input_bytes, least=1),
        embedding_inputs=table.integer("embedding_inputs", normal.embedding_inputs, least=1),
    )
    table.end()
    return limits


def _key(reader: ConfigTable, folder: Path, environ: Mapping[str, str]) -> KeySource | None:
    """Where the table says the key is; None where it says nothing."""
    variable, file = reader.text("api_key_env"), reader.text("api_key_file")
    command = reader.words("api_key_command")
    named = sum(map(bool, (variable, file, command)))
    if named > 1:
        reader.problem(f"sets more than one of {', '.join(_KEY_KEYS)}. Keep one")
    if not named:
        return None
    path = _path(file, folder) if file else None
    return KeySource(variable=variable, file=path, command=command, environ=environ)


def _path(text: str, folder: Path) -> Path:
    """A path of the file, relative to the folder that holds the file; `~` is the user's home folder."""
    return folder / Path(text).expanduser()
