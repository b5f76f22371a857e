"""The tables `[profile.NAME]` of `batchrun.toml`, each read into a Profile, over its preset where it names one.

Every key of such a table is here; what stands around the tables is in `config.py`. docs/configuration.md describes them all.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from batchrun.backends.base import DIRECT_TRAITS, LOCAL_TRAITS, AttachMode, Traits
from batchrun.backends.credentials import KeySource, base_url_problem, is_loopback, is_openai
from batchrun.backends.presets import KEY_KEYS, PRESETS, Preset
from batchrun.configtable import ConfigTable, nearest
from batchrun.model import Json, Limits, Rates
from batchrun.profiles import DEFAULT_ACCOUNT, OPENAI_BASE_URL, BackendKind, Profile
from batchrun.windows import DEFAULT_WINDOW, is_window, is_window_rule, takes

_PROFILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
_ADDRESS_KEYS = (
    "preset",
    "base_url",
    "organization",
    "organisation",
    "project",
    "needs_key",
    "account",
    *KEY_KEYS,
)
_TRAIT_KEYS = (
    "settle_s",
    "second_settle_s",
    "poll_s",
    "refusals_final",
    "listing_echoes",
    "attach",
)
_RATE_KEYS = ("concurrency", "requests_per_minute", "tokens_per_minute", "timeout_s")
_BATCH_KEYS = (
    *("delete_remote", "live", "windows", "window", "endpoints", "file_purpose"),
    "queue_tokens",
    *_TRAIT_KEYS,
)
_SERVER_KEYS = (*_ADDRESS_KEYS, *_BATCH_KEYS, *_RATE_KEYS)
_NO_HEADER: Final = (
    "cannot be sent: it takes ASCII letters, digits and signs only. "
    "Copy it from the settings page of the service"
)


def read_profiles(
    tables: Mapping[str, dict[str, Json]],
    path: Path | None,
    environ: Mapping[str, str],
    problems: list[str],
) -> dict[str, Profile]:
    """The built-in profiles and those of `tables`, by name; what is wrong with them is added to `problems`, each with the file `path`."""
    read = {
        name: _profile(name, tables.get(name, {}), path, environ, problems)
        for name in dict.fromkeys((*map(str, BackendKind), *tables))
    }
    direct = read[BackendKind.DIRECT]
    if not tables.get(direct.name, {}).keys() & set(_ADDRESS_KEYS):
        openai = read[BackendKind.OPENAI].directly(direct.name)
        read[direct.name] = replace(openai, limits=direct.limits, rates=direct.rates)
    for profile in read.values():
        other = read.get(profile.live)
        if profile.live and (other is None or not other.traits.executes_in_process):
            problems.append(
                f"{path}: [profile.{profile.name}] has live = {profile.live!r}; "
                "it takes the name of a profile with backend = 'direct'."
            )
    return read


def _profile(
    name: str,
    table: dict[str, Json],
    path: Path | None,
    environ: Mapping[str, str],
    problems: list[str],
) -> Profile:
    """One profile from its table; what is wrong with it is added to `problems`."""
    where = f"{path}: [profile.{name}]"
    preset = _preset(where, table, problems)
    beneath = preset.beneath(table) if preset is not None else {}
    reader = ConfigTable(where, table, problems, beneath=beneath)
    preset_name = reader.text("preset")
    if not _PROFILE_NAME.fullmatch(name):
        reader.problem(
            "may not have this name. Use letters, digits, '.', '_' and '-', and no '.' at its beginning"
        )
    kind = _kind(reader, name)
    folder = path.parent if path is not None else Path()
    if kind is BackendKind.LOCAL:
        return _local(reader, name, folder)
    is_built_in = name in {BackendKind.OPENAI, BackendKind.DIRECT}
    # These variables are for OpenAI: where a preset says that it is somebody else's server, neither address nor key go by them.
    from_environ = environ if is_built_in and preset_name in {"", BackendKind.OPENAI} else {}
    base_url = reader.text("base_url")
    if base_url and (wrong := base_url_problem(base_url)):
        reader.problem(f"cannot use the base_url {wrong}")
    base_url = from_environ.get("OPENAI_BASE_URL", "").strip() or base_url
    if preset is not None and not base_url:
        example = preset.example_url or preset.table["base_url"]
        reader.problem(f"needs a base_url with preset {preset_name!r}, such as {example!r}")
    base_url = base_url or OPENAI_BASE_URL
    key = _key(reader, folder, environ)
    is_optional = not reader.boolean("needs_key", True)
    if is_optional:
        key = replace(key or KeySource(environ=environ), is_optional=True)
    elif not key and preset is not None:
        reader.problem(f"needs one of {', '.join(KEY_KEYS)} with preset {preset_name!r}")
    elif not key and (is_built_in or is_openai(base_url) or is_loopback(base_url)):
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
        rates=_rates(reader),
        account=_account(reader),
        preset=preset_name,
    )
    if kind is BackendKind.DIRECT:
        reader.end(meaningless=("model_file", *_BATCH_KEYS))
        return replace(profile, traits=DIRECT_TRAITS)
    profile = replace(
        profile,
        traits=_traits(reader),
        delete_remote=reader.boolean("delete_remote", False),
        queue_tokens=_queue_tokens(reader, table.get("queue_tokens")),
        live=reader.text("live"),
        windows=_windows(reader),
        endpoints=reader.texts("endpoints"),
        file_purpose=reader.text("file_purpose") or "batch",
    )
    profile = replace(profile, window=_window(reader, profile.windows))
    reader.end(meaningless=("model_file",))
    return profile


def _preset(where: str, table: dict[str, Json], problems: list[str]) -> Preset | None:
    name = table.get("preset")
    if name is None or (isinstance(name, str) and name in PRESETS):
        return PRESETS.get(name or "")
    problems.append(
        f"{where} has preset = {name!r}, which there is not.{nearest(str(name), PRESETS)} "
        f"Known: {', '.join(sorted(PRESETS))}."
    )
    return None


def _windows(reader: ConfigTable) -> tuple[str, ...]:
    windows = reader.texts("windows")
    for rule in windows:
        if not is_window_rule(rule):
            reader.problem(
                f"has {rule!r} in windows; it takes windows such as '24h', and '24h..7d'"
            )
    return windows


def _window(reader: ConfigTable, windows: tuple[str, ...]) -> str:
    """The window of jobs that name none: the shortest that the server is known to take, unless the profile says otherwise."""
    window = reader.text("window") or (windows[0].partition("..")[0] if windows else DEFAULT_WINDOW)
    if not is_window(window):
        reader.problem(f"has window = {window!r}; it takes a window such as '24h' or '7d'")
    elif not takes(windows, window):
        reader.problem(
            f"has window = {window!r}, which is none of its windows: {', '.join(windows)}"
        )
    return window


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
    if word and word not in built_in:
        reader.problem(f"has backend = {word!r}; it takes 'openai', 'local' or 'direct'")
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
        model_file=path_in(model_file, folder) if model_file else None,
        limits=limits,
        traits=LOCAL_TRAITS,
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


def _rates(reader: ConfigTable) -> Rates:
    normal = Rates()
    return Rates(
        concurrency=reader.integer("concurrency", normal.concurrency, least=1),
        requests_per_minute=reader.integer("requests_per_minute", normal.requests_per_minute),
        tokens_per_minute=reader.integer("tokens_per_minute", normal.tokens_per_minute),
        timeout_s=reader.integer("timeout_s", int(normal.timeout_s), least=1),
    )


def _account(reader: ConfigTable) -> str:
    name = reader.text("account") or DEFAULT_ACCOUNT
    if not _PROFILE_NAME.fullmatch(name):
        reader.problem(f"has account = {name!r}; it takes letters, digits, '.', '_' and '-'")
    return name


def _queue_tokens(reader: ConfigTable, given: Json) -> dict[str, int]:
    """A number for every model, or a table of numbers by model."""
    if not isinstance(given, dict):
        tokens = reader.integer("queue_tokens", 0)
        return {"*": tokens} if tokens else {}
    table = reader.table("queue_tokens")
    found = {model: table.integer(model, 1, least=1) for model in table.names()}
    table.end()
    return found


def _key(reader: ConfigTable, folder: Path, environ: Mapping[str, str]) -> KeySource | None:
    """Where the table says the key is; None where it says nothing."""
    variable, file = reader.text("api_key_env"), reader.text("api_key_file")
    command = reader.words("api_key_command")
    named = sum(map(bool, (variable, file, command)))
    if named > 1:
        reader.problem(f"sets more than one of {', '.join(KEY_KEYS)}. Keep one")
    if not named:
        return None
    path = path_in(file, folder) if file else None
    return KeySource(variable=variable, file=path, command=command, environ=environ)


def path_in(text: str, folder: Path) -> Path:
    """A path of the file, relative to the folder that holds the file; `~` is the user's home folder."""
    return folder / Path(text).expanduser()
