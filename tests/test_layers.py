"""The architecture, checked: who may import whom, and where time, chance, the environment and files may be touched.

The sources are read, never imported; imports inside functions and under TYPE_CHECKING count too.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]

# From the ground up. A module belongs to the longest name here that covers it. It may import what its own name covers, and any lower
# layer; two names in one layer know nothing of each other. So job files know no ledger, the Batch service knows neither (it is a service,
# and batchrun its client), planning knows of the ledger only its tables of states, and nothing knows the command line.
LAYERS: Final[tuple[tuple[str, ...], ...]] = (
    (
        *("batchrun.errors", "batchrun.model", "batchrun.clock", "batchrun.memory"),
        *("batchrun.windows", "batchrun.money.amounts"),
        *("batchrun.requesthashes", "batchrun.bodyskeleton"),
    ),
    (
        "batchrun.ledger.states",
        "batchrun.planning.classify",
        "batchrun.planning.causes",
        "batchrun.backends.base",
        "batchrun.backends.credentials",
        "batchrun.backends.presets",
        "batchrun.outputs.escaping",
        "batchrun.configtable",
        "batchrun.settingsfile",
        "batchrun.jobfile",
        "batchrun.service",
    ),
    ("batchrun.attachments", "batchrun.profiles"),
    ("batchrun.profiletables", "batchrun.money"),
    ("batchrun.planning", "batchrun.endpoints", "batchrun.config", "batchrun.modes"),
    (
        "batchrun.backends",
        "batchrun.customids",
        "batchrun.requests",
        "batchrun.followups",
        "batchrun.tools",
    ),
    ("batchrun.ledger",),
    (
        "batchrun.affording",
        "batchrun.guards",
        "batchrun.fitting",
        "batchrun.pace",
        "batchrun.queues",
        "batchrun.baditems",
    ),
    ("batchrun.fieldsfile",),
    ("batchrun.takingitems",),
    ("batchrun.prepare", "batchrun.looking", "batchrun.limitview", "batchrun.outputs"),
    (
        "batchrun.running",
        "batchrun.submitting",
        "batchrun.verifying",
        "batchrun.doctoring",
        "batchrun.supporting",
        "batchrun.spending",
    ),
    ("batchrun.trialcosts",),
    ("batchrun.keeping", "batchrun.homeview", "batchrun.trying", "batchrun.estimating"),
    ("batchrun.homewishes", "batchrun.openhome"),
    ("batchrun.recovery",),
    ("batchrun.homecare",),
    ("batchrun.api",),
    ("batchrun.receiving",),
    ("batchrun.cli",),
    ("batchrun.testing", "batchrun.testing_backend", "batchrun.__main__"),
)
VERSION: Final = "batchrun"  # the package itself holds its version number and imports nothing: everybody may read it

# The only files that may import each of these at all: whoever else wants one of them goes through these.
OWNERS: Final = {
    "openai": "batchrun.backends.openai* batchrun.endpoints.generate",  # the latter reads its types, for developers
    "httpx2": "batchrun.backends.openai*",
    "sqlite_utils": "batchrun.ledger*",
    "tenacity": "batchrun.backends.retrying batchrun.backends.opening",
    "filelock": "batchrun.ledger.lock batchrun.service*",
    "click": "batchrun.cli*",
    "rich": "batchrun.cli*",
    # running and serving name types of it
    "starlette": "batchrun.service.http batchrun.service.running batchrun.service.serving batchrun.receiving.http",
    "uvicorn": "batchrun.service.serving batchrun.service.faults.connections",
    "xllamacpp": "batchrun.service.llama*",
    "toktok": "batchrun.money.tokens",
    "genai_prices": "batchrun.money.prices",
    "pyarrow": "batchrun.jobfile.sources.parquet batchrun.outputs.parquet",
    "time": "batchrun.clock batchrun.cli.invocation",  # the latter only turns log lines to UTC
}
# Slow to import (40 to 850 ms): inside the function that needs them, so that `batchrun --help` stays fast. The modules below are
# themselves imported by such functions only: by `serve`, and at a terminal.
HEAVY: Final = {
    *("openai", "sqlite_utils", "rich", "pydantic", "filelock", "tenacity"),
    *("starlette", "uvicorn", "xllamacpp", "jsonschema_rs", "pyarrow"),
    *("toktok", "genai_prices"),
}
HEAVY_AT_THE_TOP: Final = {
    "batchrun.service.http": "starlette",
    "batchrun.receiving.http": "starlette",
    "batchrun.cli.progress": "rich",
}

# Where the world comes in. Everything else computes from its arguments.
MAY_ROLL_DICE: Final = (
    "batchrun.backends.opening "  # jitter between tries
    "batchrun.ledger.batches batchrun.ledger.connection "  # tokens of batches, id and salt of a ledger
    "batchrun.ledger.spool batchrun.outputs.indexed "  # names of temporary files
    "batchrun.service.*"  # ids, shuffled output
)
MAY_READ_ENVIRONMENT: Final = (
    "batchrun.cli.* batchrun.service.llama.child "
    "batchrun.tools.worker"  # hands it on, but for the keys
)
MAY_TOUCH_FILES: Final = (
    "batchrun.api batchrun.openhome batchrun.config batchrun.cli.* batchrun.backends.* batchrun.service.* batchrun.testing* "
    "batchrun.jobfile.settings batchrun.jobfile.schemas batchrun.jobfile.file batchrun.jobfile.propose batchrun.jobfile.sources.* "
    "batchrun.ledger.* batchrun.keeping.* batchrun.running.collect batchrun.running.unrun batchrun.running.paying batchrun.running.queueing batchrun.running.copying batchrun.running.following batchrun.running.results batchrun.running.damaged "
    "batchrun.recovery.* "
    "batchrun.outputs.disk batchrun.outputs.indexed batchrun.outputs.fields batchrun.outputs.evidence "
    "batchrun.verifying.files batchrun.verifying.requests batchrun.verifying.outputs batchrun.doctoring.* "
    "batchrun.attachments.confined batchrun.attachments.attacher "
    "batchrun.endpoints.tables "  # its own data
    "batchrun.tools.host "  # /dev/null
    "batchrun.endpoints.generate"  # a script for developers
)
NEVER_TOUCH_FILES: Final = ("batchrun.ledger.states",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One import: `module` imports `name`; `is_at_top` when that happens as soon as `module` is imported."""

    module: str
    name: str
    line: int
    is_at_top: bool


@cache
def sources() -> dict[str, ast.Module]:
    """Every module of the package, by dotted name."""
    found = {}
    for path in sorted((ROOT / "batchrun").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text("utf-8"), str(path))
    return found


def late_nodes(tree: ast.Module) -> set[ast.AST]:
    """Everything in functions and under TYPE_CHECKING: not run when the module is imported."""
    late: set[ast.AST] = set()
    for node in ast.walk(tree):
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if is_function or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)):
            late.update(ast.walk(node))
    return late


def imports_of(module: str, tree: ast.Module) -> Iterator[Import]:
    late = late_nodes(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: a relative import"
            # `from package import module` is an import of that module.
            names = [
                full if (full := f"{node.module}.{alias.name}") in sources() else str(node.module)
                for alias in node.names
            ]
        else:
            continue
        for name in names:
            yield Import(module=module, name=name, line=node.lineno, is_at_top=node not in late)


@cache
def all_imports() -> tuple[Import, ...]:
    return tuple(found for module, tree in sources().items() for found in imports_of(module, tree))


def is_covered(module: str, patterns: str) -> bool:
    """Whether a pattern names the module, or its beginning where it ends in `*`."""
    return any(
        module == pattern or (pattern.endswith("*") and module.startswith(pattern.rstrip("*.")))
        for pattern in patterns.split()
    )


def place_of(module: str) -> tuple[int, str] | None:
    """Number of the layer, and the name in it that covers the module."""
    covering = [
        (len(name), number, name)
        for number, names in enumerate(LAYERS)
        for name in names
        if module == name or module.startswith(f"{name}.")
    ]
    if not covering:
        return None
    _, number, name = max(covering)
    return number, name


def backward(arrow: Import) -> bool:
    """Whether an import within the package runs against the layers."""
    if arrow.name == VERSION:
        return False
    source, target = place_of(arrow.module), place_of(arrow.name)
    assert source is not None, f"{arrow.module} has no layer"
    assert target is not None, f"{arrow.name} has no layer"
    return source != target and target[0] >= source[0]


def test_every_module_has_a_layer() -> None:
    assert [name for name in sources() if name != VERSION and place_of(name) is None] == []


def test_every_layer_has_a_module() -> None:
    empty = [
        name
        for names in LAYERS
        for name in names
        if name not in {p[1] for p in map(place_of, sources()) if p}
    ]
    assert empty == []


def test_no_arrow_runs_backwards() -> None:
    inside = [i for i in all_imports() if i.name == VERSION or i.name.startswith("batchrun.")]
    assert [f"{i.module}:{i.line} imports {i.name}" for i in inside if backward(i)] == []


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("batchrun.planning.plan", "batchrun.ledger.connection"),
        ("batchrun.service.executor", "batchrun.ledger.states"),
        ("batchrun.jobfile.items", "batchrun.endpoints.base"),
        ("batchrun.endpoints.responses", "batchrun.ledger.items"),
        ("batchrun.running.collect", "batchrun.api"),
        ("batchrun.api", "batchrun.cli.main"),
    ],
)
def test_an_arrow_that_would_spoil_the_design_is_seen(module: str, name: str) -> None:
    assert backward(Import(module=module, name=name, line=1, is_at_top=True))


def test_no_two_modules_import_each_other() -> None:
    """No cycle as modules are imported: any module can be imported first."""
    graph: dict[str, set[str]] = {module: set() for module in sources()}
    for found in all_imports():
        if found.is_at_top and found.name in graph and found.name != found.module:
            graph[found.module].add(found.name)
    while leaves := {module for module, targets in graph.items() if not targets & graph.keys()}:
        for module in leaves:
            del graph[module]
    assert sorted(graph) == []


@pytest.mark.parametrize("package", sorted(OWNERS))
def test_a_package_is_imported_by_its_owners_only(package: str) -> None:
    strangers = [
        f"{i.module}:{i.line}"
        for i in all_imports()
        if i.name.partition(".")[0] == package and not is_covered(i.module, OWNERS[package])
    ]
    assert strangers == []


def test_heavy_packages_are_imported_where_they_are_needed() -> None:
    early = [
        f"{i.module}:{i.line} imports {i.name}"
        for i in all_imports()
        if i.is_at_top
        and (package := i.name.partition(".")[0]) in HEAVY
        and HEAVY_AT_THE_TOP.get(i.module) != package
    ]
    assert early == []


def test_modules_that_load_slowly_are_themselves_imported_late() -> None:
    early = [i.module for i in all_imports() if i.is_at_top and i.name in HEAVY_AT_THE_TOP]
    assert early == []


def calls(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """(name of a called function or method, its line)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield node.func.id, node.lineno
            elif isinstance(node.func, ast.Attribute):
                yield node.func.attr, node.lineno


def attributes(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """(`name.attribute`, its line)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}", node.lineno


def test_time_is_read_from_the_clock_only() -> None:
    readers = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
    found = [
        f"{module}:{line} {name}"
        for module, tree in sources().items()
        for name, line in attributes(tree)
        if name in readers
    ]
    assert found == []


def test_a_database_is_opened_by_the_ledger_and_the_service_each_its_own_and_users_by_two() -> None:
    openers = {
        module
        for module, tree in sources().items()
        for name, _ in attributes(tree)
        if name == "sqlite3.connect"
    }
    own = {"batchrun.ledger.connection", "batchrun.service.store"}
    assert openers == own | {"batchrun.jobfile.sources.sqlite", "batchrun.outputs.database"}


def test_chance_has_few_doors() -> None:
    found = [
        f"{i.module}:{i.line}"
        for i in all_imports()
        if i.name in {"random", "secrets", "uuid"} and not is_covered(i.module, MAY_ROLL_DICE)
    ]
    assert found == []


def test_the_environment_is_read_at_the_door() -> None:
    found = [
        f"{module}:{line} {name}"
        for module, tree in sources().items()
        for name, line in attributes(tree)
        if name in {"os.environ", "os.getenv"} and not is_covered(module, MAY_READ_ENVIRONMENT)
    ]
    assert found == []


def test_files_are_touched_where_files_are_the_matter() -> None:
    touching = {
        "open",
        "read_text",
        "read_bytes",
        "write_text",
        "write_bytes",
        "unlink",
        "mkdir",
        "rename",
    }
    found = [
        f"{module}:{line} {name}()"
        for module, tree in sources().items()
        for name, line in calls(tree)
        if name in touching
        and (module in NEVER_TOUCH_FILES or not is_covered(module, MAY_TOUCH_FILES))
    ]
    assert found == []
