"""From a decoded job line to `JobSettings`: files inlined, paths absolute, labels turned into a schema, and all that is wrong at once."""

import glob
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from batchrun.errors import JobFileError, Problem
from batchrun.jobfile.items import body_faults
from batchrun.jobfile.job import validate_job_line
from batchrun.jobfile.lines import BOM
from batchrun.jobfile.problems import Fault, shown
from batchrun.jobfile.schemas import (
    label_faults,
    label_schema,
    read_schema,
    schema_faults,
    strictness_faults,
)
from batchrun.jobfile.sinks import output_faults, output_settings
from batchrun.jobfile.sources import unsupported_source
from batchrun.jobfile.template import Where, compile_template
from batchrun.model import (
    TOKEN_KEY,
    Allowance,
    CanarySettings,
    JobSettings,
    JsonObject,
    RepairSettings,
    SqliteQuery,
)
from batchrun.money.amounts import picodollars

METADATA_PAIRS = 10  # of the service's 16; the others are batchrun's own
METADATA_KEY_CHARACTERS = 64
METADATA_VALUE_CHARACTERS = 512

T = TypeVar("T")


class SettingsReader:
    """Reads one job line. `problems` holds what is wrong with it, in the order of the checks, and `spoilt` the keys that it is wrong with."""

    def __init__(self, line: JsonObject, path: Path, number: int) -> None:
        self._line = line
        self._path = path
        self._number = number
        self._folder = path.absolute().parent
        self.problems: list[Problem] = []
        self.spoilt: set[str] = set()

    def read(self) -> JobSettings:
        """The settings: to be sent only if there are no `problems`. Else they are what is left without these, so that it can be judged too."""
        for key, fault in validate_job_line(self._line):
            self._add(key, fault)
        return self._build({k: v for k, v in self._line.items() if k not in self.spoilt})

    def _build(self, good: JsonObject) -> JobSettings:
        """Check every key that has the right type, whatever is wrong with the others."""
        name = good.get("job", "")
        if name in {".", ".."}:
            self._add(
                "job", Fault(f"'job' must not be {name!r}", "It names a folder of the outputs.")
            )
        endpoint = good.get("endpoint", "/v1/responses")
        labels = good.get("labels")
        output = output_settings(good.get("output") or {}, self._folder)
        self._check_template("id", good.get("id"))
        self._check_template("output", output.files)
        for fault in output_faults(output, endpoint):
            self._add("output", fault)
        body = self._body(good.get("body", {}))
        metadata = good.get("metadata", {})
        self._check_metadata(metadata)
        return JobSettings(
            name=name,
            path=str(self._path.resolve()),
            line=self._number,
            endpoint=endpoint,
            model=good.get("model"),
            instructions=self._text("instructions", good),
            prompt=self._text("prompt", good),
            labels=None if labels is None else tuple(labels),
            schema=self._schema(good),
            strict=good.get("strict", True),
            body=body,
            body_unchecked=good.get("body_unchecked", False),
            attach=self._attach(good.get("attach")),
            max_output_tokens=good.get("max_output_tokens"),
            items=self._items(good.get("items")),
            id=good.get("id"),
            missing=good.get("missing", "drop"),
            bad_items=good.get("bad_items", 0),
            max_new=good.get("max_new"),
            window=good.get("window"),
            deadline=good.get("deadline"),
            attempts=good.get("attempts", 3),
            uncertain=good.get("uncertain", "fail"),
            repair=self._repair(good),
            rounds=good.get("rounds"),
            canary=_canary(good.get("canary")),
            dedupe=good.get("dedupe"),
            cache=good.get("cache", False),
            tags=tuple(dict.fromkeys(good.get("tags", ()))),
            budget=_budget(good.get("budget")),
            profile=good.get("backend", "openai"),
            output=output,
            metadata=metadata,
            note=good.get("note"),
        )

    def _body(self, body: JsonObject) -> JsonObject:
        """The parameters that are not refused by themselves."""
        faults = list(body_faults(body))
        for _, what in faults:
            self._add("body", Fault(what))
        wrong = {key for key, _ in faults}
        return {} if None in wrong else {k: v for k, v in body.items() if k not in wrong}

    def _add(self, key: str, fault: Fault) -> None:
        self.spoilt.add(key)
        self.problems.append(fault.at(shown(self._path), self._number))

    def _tried(self, key: str, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except Fault as fault:
            self._add(key, fault)
            return None

    def _check_template(self, key: str, text: str | None) -> None:
        if text is None:
            return
        try:
            compile_template(text, where=Where(path=shown(self._path), line=self._number, key=key))
        except JobFileError as error:
            self.spoilt.add(key)
            self.problems.extend(error.problems)

    def _text(self, key: str, good: JsonObject) -> str | None:
        """A template given inline or as {"file": path}, compiled once to see that it can be."""
        value: str | dict[str, str] | None = good.get(key)
        if isinstance(value, dict):
            name = value["file"]
            value = self._tried(
                key, lambda: _read_text(self._folder / name, f"{key} file {name!r}")
            )
        self._check_template(key, value)
        return None if key in self.spoilt else value

    def _attach(self, given: str | list[str] | None) -> tuple[str, ...] | None:
        if given is None:
            return None
        templates = (given,) if isinstance(given, str) else tuple(given)
        for text in templates:
            self._check_template("attach", text)
        return None if "attach" in self.spoilt else templates

    def _schema(self, good: JsonObject) -> JsonObject | None:
        labels, given = good.get("labels"), good.get("schema")
        if labels is not None and given is not None:
            self._add(
                "schema",
                Fault("both 'labels' and 'schema'", "Labels build a schema: keep one of them."),
            )
            return None
        schema, faults = None, []
        is_strict = good.get("strict", True)
        if labels is not None:
            schema = label_schema(labels)
            faults = list(label_faults(labels))
            if is_strict and not faults:
                faults = list(strictness_faults(schema, "labels"))
        elif given is not None:
            schema = self._tried("schema", lambda: read_schema(given, self._folder))
            faults = [] if schema is None else list(schema_faults(schema, is_strict=is_strict))
        for fault in faults:
            self._add("schema", fault)
        # In the place of one that cannot be judged any further, one that is sound.
        return label_schema(["a", "b"]) if {"schema", "labels"} & self.spoilt else schema

    def _repair(self, good: JsonObject) -> RepairSettings | None:
        """Refuses what would never come to anything."""
        if (given := good.get("repair")) is None:
            return None
        repair = RepairSettings(
            attempts=given.get("attempts", 0),
            model=given.get("model"),
            max_output_tokens=given.get("max_output_tokens"),
        )
        cap = good.get("max_output_tokens")
        if repair == RepairSettings():
            self._add(
                "repair",
                Fault("'repair' asks for nothing", 'Say how often: {"attempts": 2}, or remove it.'),
            )
        if cap is not None and (repair.max_output_tokens or cap + 1) <= cap:
            self._add(
                "repair",
                Fault(
                    f"'repair' allows {repair.max_output_tokens} tokens, no more than the first cap of {cap}",
                    "Allow more, or remove it.",
                ),
            )
        return repair

    def _items(self, items: str | dict[str, str] | None) -> str | SqliteQuery | None:
        if items is None:
            return None
        if isinstance(items, dict):
            path = os.path.normpath(self._folder / items["sqlite"])
            return SqliteQuery(sqlite=path, query=items["query"])
        if fault := unsupported_source(items):
            self._add("items", fault)
        folder = str(self._folder)
        # The folder's own name is no glob, whatever it contains.
        base = glob.escape(folder) if glob.has_magic(items) else folder
        return os.path.normpath(os.path.join(base, items))  # noqa: PTH118 - Path drops what globs need

    def _check_metadata(self, metadata: dict[str, str]) -> None:
        if len(metadata) > METADATA_PAIRS:
            self._add(
                "metadata",
                Fault(f"'metadata' has {len(metadata)} pairs, more than {METADATA_PAIRS}"),
            )
        for key, value in metadata.items():
            if key.startswith(TOKEN_KEY):
                self._add(
                    "metadata", Fault(f"metadata key {key!r} is reserved", "Use another name.")
                )
            if not 0 < len(key) <= METADATA_KEY_CHARACTERS:
                self._add(
                    "metadata",
                    Fault(
                        f"metadata key {key!r} is not 1 to {METADATA_KEY_CHARACTERS} characters long"
                    ),
                )
            if len(value) > METADATA_VALUE_CHARACTERS:
                self._add(
                    "metadata",
                    Fault(
                        f"metadata {key!r} is longer than {METADATA_VALUE_CHARACTERS} characters"
                    ),
                )


def _canary(given: JsonObject | None) -> CanarySettings | None:
    if given is None:
        return None
    shares = {key: value for key, value in given.items() if key != "live"}
    return CanarySettings(**shares, is_live=given.get("live", False))


def _budget(given: JsonObject | float | None) -> Allowance | None:
    """Dollars as people write them, exactly: a number alone is for the whole life of the job."""
    if given is None:
        return None
    amounts = given if isinstance(given, dict) else {"total": given}
    return Allowance(**{key: picodollars(Decimal(repr(n))) for key, n in amounts.items()})


def _read_text(path: Path, name: str) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Fault(f"{name}: {error.strerror}", "It is relative to the job file.") from None
    try:
        return data.removeprefix(BOM).decode()
    except UnicodeDecodeError as error:
        raise Fault(
            f"{name}: invalid UTF-8 at offset {error.start}", "Save the file as UTF-8."
        ) from None
