"""`make bench`: the figures, measured on this machine, as one table on stdout. `--quick` leaves out the million.

Every step runs in a process of its own, in turn with the floor that it is compared with, several times; figures are medians, ratios those of
the same round. CPU decides (user and system), since it is what a busy machine disturbs least; wall time stands beside it.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.data import SCHEMA, write_items, write_job
from bench.direct import CONCURRENCY
from bench.embeddings import FLOATS
from bench.estimating import write_prose
from bench.tick import BATCHES

SMALL: Final = 100_000
LARGE: Final = 1_000_000
DIRECT: Final = 10_000
_ROUNDS: Final = {SMALL: 5, LARGE: 3}
_START_ROUNDS: Final = 11
# As the installed script does it; `python -m` would add the cost of finding the module.
_PROGRAM: Final = "import sys; from batchrun.cli import main; sys.exit(main())"
_HEAVY: Final = ("openai", "sqlite_utils", "rich", "pydantic")
_NOT_MEASURED: Final = (
    "the network and the service: result files lie in the spool, as after a download",
    "failures.jsonl, report, manifest, tables and per-item files, and the hash of results.jsonl for the manifest",
    "items from CSV, TSV and text files; templates with filters or tests; items with a body of their own",
    "submitting a job again (items that are known already), retries, and batches in which much failed",
    "`make demo` from a clean clone: time it with `time make demo`",
    "a cold page cache, and disks slower than this one",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A line of the table. `must` and `stretch` are upper bounds of `value` (None: reported only); `note` stands beside the value."""

    name: str
    value: float
    must: float | None = None
    stretch: float | None = None
    unit: str = ""
    note: str = ""

    @property
    def verdict(self) -> str:
        """`stretch`, `ok`, `MISSED`, or nothing where there is no bound."""
        if self.must is None:
            return ""
        if self.stretch is not None and self.value <= self.stretch:
            return "stretch"
        return "ok" if self.value <= self.must else "MISSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Medians over the rounds: of the ratios, and of what ours took. `best_ratio`: least CPU to least CPU, what a busy machine blurs least."""

    cpu_ratio: float
    wall_ratio: float
    best_ratio: float
    cpu_s: float
    floor_cpu_s: float
    wall_s: float
    peak_mb: float
    found: dict[str, Any]

    @property
    def note(self) -> str:
        """What the ratio came from."""
        return (
            f"CPU {self.cpu_s:.2f} s to {self.floor_cpu_s:.2f} s, best to best {self.best_ratio:.2f}x; "
            f"wall {self.wall_ratio:.2f}x, {self.wall_s:.2f} s"
        )


def run_step(step: str, folder: Path, count: int) -> dict[str, Any]:
    """One step of `bench.steps` in a process of its own."""
    return _json_of([sys.executable, "-m", "bench.steps", step, str(folder), str(count)])


def _json_of(command: Sequence[str]) -> dict[str, Any]:
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def compare(
    step: str, floor: str, folder: Path, count: int, *, rounds: int, before: Callable[[], None]
) -> Comparison:
    """Run `floor` and `step` in turn, each round in the other order; `before` makes the folder ready for both."""
    ours: list[dict[str, Any]] = []
    floors: list[dict[str, Any]] = []
    for number in range(rounds):
        before()
        pairs = [(floors, floor), (ours, step)]
        for results, name in pairs if number % 2 == 0 else reversed(pairs):
            results.append(run_step(name, folder, count))
    both = list(zip(ours, floors, strict=True))
    median = statistics.median
    return Comparison(
        cpu_ratio=median(o["cpu_s"] / f["cpu_s"] for o, f in both),
        wall_ratio=median(o["wall_s"] / f["wall_s"] for o, f in both),
        best_ratio=min(o["cpu_s"] for o in ours) / min(f["cpu_s"] for f in floors),
        cpu_s=median(o["cpu_s"] for o in ours),
        floor_cpu_s=median(f["cpu_s"] for f in floors),
        wall_s=median(o["wall_s"] for o in ours),
        peak_mb=max(o["peak_mb"] for o in ours),
        found=ours[-1],
    )


def _link_home(source: Path, folder: Path) -> None:
    """A home like `source`: the ledger is copied, the immutable files of the spool are linked."""
    home = folder / ".batchrun"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(source, home, copy_function=os.link)
    for name in ("batchrun.db", "batchrun.db-wal", "batchrun.db-shm"):
        if (source / name).exists():
            (home / name).unlink()
            shutil.copy2(source / name, home / name)


def measure(folder: Path, count: int, rounds: int) -> dict[str, Comparison]:
    """PREPARE and COLLECT of `count` items; at the small size also with answers of 2 KB, and as the second job of a home."""
    home, prepared, ended = folder / ".batchrun", folder / "prepared", folder / "ended"
    write_items(folder / "items.jsonl", count)
    write_job(folder / "job.jsonl", folder / "items.jsonl")

    def clear() -> None:
        shutil.rmtree(home, ignore_errors=True)

    done = {
        "prepare": compare("prepare", "prepare-floor", folder, count, rounds=rounds, before=clear)
    }
    home.rename(prepared)
    for path in folder.glob("floor-*.jsonl"):
        path.unlink()
    for name, step in {"collect": "make-results", "collect-2k": "make-results-2k"}.items():
        if name == "collect-2k" and count != SMALL:
            continue
        _link_home(prepared, folder)
        run_step(step, folder, count)
        home.rename(ended)
        done[name] = compare(
            "collect",
            "collect-floor",
            folder,
            count,
            rounds=rounds,
            before=lambda: _link_home(ended, folder),
        )
        shutil.rmtree(ended)
    if count == SMALL:
        clear()
        done["second"] = compare(
            "prepare-second", "prepare-floor", folder, count, rounds=1, before=clear
        )
    clear()
    prepared.rename(home)
    return done


def figures_of_structure(folder: Path, rounds: int = _ROUNDS[SMALL]) -> list[Figure]:
    """COLLECT of answers that are JSON with a label and cite pages, and what of it is holding them to their schema."""
    folder.mkdir()
    home, ended = folder / ".batchrun", folder / "ended"
    write_items(folder / "items.jsonl", SMALL)
    write_job(folder / "job.jsonl", folder / "items.jsonl", schema=SCHEMA)
    run_step("prepare", folder, SMALL)
    run_step("make-results-structured", folder, SMALL)
    home.rename(ended)
    done = compare(
        "collect",
        "collect-floor",
        folder,
        SMALL,
        rounds=rounds,
        before=lambda: _link_home(ended, folder),
    )
    validated = [run_step("validate", folder, SMALL)["us_an_item"] for _ in range(rounds)]
    return [
        Figure(name="COLLECT 100k, JSON, labels and citations, x floor", value=done.cpu_ratio, must=2.6, note=done.note),
        Figure(name="parsing and validating a structured answer", value=statistics.median(validated), must=5, unit=" us/item"),
    ]  # fmt: skip


def figures_of_loops(small: dict[str, Comparison], large: dict[str, Comparison]) -> list[Figure]:
    """The figures of the two hot paths; `large` may be empty."""
    figures = []
    for size, done in (("100k", small), ("1M", large)):
        if not done:
            continue
        prepare, collect = done["prepare"], done["collect"]
        figures += [
            Figure(name=f"PREPARE {size}, x floor", value=prepare.cpu_ratio, must=2.6, stretch=1.8, note=prepare.note),
            Figure(name=f"COLLECT {size}, x floor", value=collect.cpu_ratio, must=2.2, stretch=1.7, note=collect.note),
            Figure(name=f"ledger before results, {size}", value=prepare.found["ledger_bytes_an_item"], must=80, stretch=65, unit=" B/item"),
        ]  # fmt: skip
    figures += [
        Figure(name="COLLECT 100k, answers of 2 KB, x floor", value=small["collect-2k"].cpu_ratio, note=small["collect-2k"].note),
        Figure(name="ledger of the second job, 100k", value=small["second"].found["ledger_bytes_an_item"], must=80, stretch=65, unit=" B/item"),
    ]  # fmt: skip
    for step, most in (("prepare", 100), ("collect", 150)):
        if large:
            peak, before = large[step].peak_mb, small[step].peak_mb
            figures += [
                Figure(name=f"{step.upper()} 1M, peak memory", value=peak, must=most, unit=" MB"),
                Figure(
                    name=f"{step.upper()}, memory 100k to 1M",
                    value=peak / before,
                    must=2,
                    unit="x",
                ),
            ]
    return figures


def figures_of_start(folder: Path) -> list[Figure]:
    """`--help` and `status` over the home of the 100,000 items, against an empty Python.

    In a virtual environment with nothing in it, which finds the packages by PYTHONPATH: the hooks of an editable install can double what
    `python -c pass` takes, and would halve every ratio to it.
    """
    venv.create(folder / "empty", symlinks=True)
    python = str(folder / "empty" / "bin" / "python")
    commands = {
        "nothing": [python, "-c", "pass"],
        "--help": [python, "-c", _PROGRAM, "--help"],
        "status": [python, "-c", _PROGRAM, "status", "--home", str(folder / ".batchrun")],
    }
    for command in commands.values():
        _cpu_ms(command)  # compiles what was not compiled yet
    spent: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(_START_ROUNDS):
        for name, command in commands.items():
            spent[name].append(_cpu_ms(command))
    nothing = statistics.median(spent["nothing"])
    figures = []
    for name, most in (("--help", 5), ("status", 6)):
        took = statistics.median(spent[name])
        heavy = _heavy_of(commands[name])
        figures += [
            Figure(name=f"batchrun {name}, x `python -c pass`", value=took / nothing, must=most, note=f"{took:.0f} ms to {nothing:.0f} ms"),
            Figure(name=f"batchrun {name}, CPU", value=took, must=100, unit=" ms"),
            Figure(name=f"batchrun {name}, heavy imports", value=len(heavy), must=0, note=", ".join(heavy) or f"none of {', '.join(_HEAVY)}"),
        ]  # fmt: skip
    return figures


def _cpu_ms(command: Sequence[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    null = subprocess.DEVNULL
    subprocess.run(command, env=_environ(), check=False, stdout=null, stderr=null)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def _environ() -> dict[str, str]:
    # As it is installed: with compiled modules beside the sources, whatever this shell says of writing them.
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return {**env, "PYTHONPATH": os.pathsep.join((str(Path.cwd()), sysconfig.get_path("purelib")))}


def _heavy_of(command: Sequence[str]) -> list[str]:
    traced = [command[0], "-X", "importtime", *command[1:]]
    done = subprocess.run(traced, env=_environ(), capture_output=True, check=False, text=True)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    return [name for name in _HEAVY if name in loaded]


def figure_of_tick(folder: Path) -> Figure:
    """Calls of one tick over 200 batches in flight."""
    folder.mkdir()
    found = _json_of([sys.executable, "-m", "bench.tick", str(folder)])
    names = ", ".join(f"{n} {name}" for name, n in found["by_name"].items())
    return Figure(
        name=f"one tick over {BATCHES} batches in flight",
        value=found["calls"],
        must=3,
        stretch=2,
        unit=" calls",
        note=names,
    )


def figures_of_direct(folder: Path) -> list[Figure]:
    """Many short requests to a server that takes 50 ms for each: how much longer than that, and whether memory grows with their number."""
    folder.mkdir()
    found = {}
    for count in (DIRECT // 5, DIRECT):
        place = folder / str(count)
        place.mkdir()
        found[count] = _json_of([sys.executable, "-m", "bench.direct", str(place), str(count)])
    few, many = found.values()
    note = f"{CONCURRENCY} at once, {many['wall_s']:.1f} s to {many['ideal_s']:.1f} s, CPU {many['cpu_us_a_request'] / 1000:.2f} ms/request"
    return [
        Figure(name=f"{DIRECT:,} requests directly, x latency x N / at once", value=many["wall_s"] / many["ideal_s"], must=1.3, note=note),
        Figure(name="direct, memory 2,000 to 10,000 requests", value=many["peak_mb"] / few["peak_mb"], must=1.2, unit="x", note=f"{many['peak_mb']:.0f} MB"),
    ]  # fmt: skip


def figures_of_embeddings(folder: Path) -> list[Figure]:
    """Embeddings of 1,536 floats into the files that programs load."""
    folder.mkdir()
    run_step("make-embeddings", folder, SMALL)
    figures = []
    for step, name, most in (
        ("embeddings-parquet", "to Parquet", 300),
        ("embeddings-npy", "to .npy", None),
    ):
        found = run_step(step, folder, SMALL)
        note = f"CPU {found['cpu_s']:.1f} s, wall {found['wall_s']:.1f} s, {found['bytes_an_item']:,} B/item"
        figures.append(
            Figure(
                name=f"100k embeddings of {FLOATS:,} floats {name}, peak memory",
                value=found["peak_mb"],
                must=most,
                unit=" MB",
                note=note,
            )
        )
    shutil.rmtree(folder)
    return figures


def figures_of_counting(folder: Path, count: int, rounds: int) -> list[Figure]:
    """PREPARE with all tokens counted, against PREPARE without. At 100,000 half a second of it is loading the vocabulary."""
    folder.mkdir()
    write_prose(folder / "items.jsonl", count)
    write_job(folder / "job.jsonl", folder / "items.jsonl")
    done = compare(
        "estimate",
        "prepare-aside",
        folder,
        count,
        rounds=rounds,
        before=lambda: shutil.rmtree(folder / ".batchrun", ignore_errors=True),
    )
    shutil.rmtree(folder)
    is_large = count == LARGE
    name = "1M" if is_large else "100k"
    note = f"{done.found['tokens_an_item']} tokens/item; {done.note}"
    return [
        Figure(name=f"tokens counted, {name}, x PREPARE without", value=done.cpu_ratio, must=1.5 if is_large else None, note=note),
        Figure(name=f"tokens counted, {name}, peak memory", value=done.peak_mb, must=200, unit=" MB"),
    ]  # fmt: skip


def table(figures: Sequence[Figure]) -> str:
    """The figures as text, aligned."""
    rows = [("figure", "must", "stretch", "reached", "verdict", "")]
    rows += [
        (
            figure.name,
            _shown(figure.must),
            _shown(figure.stretch),
            f"{figure.value:.3g}{figure.unit}",
            figure.verdict,
            figure.note,
        )
        for figure in figures
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _shown(bound: float | None) -> str:
    return "" if bound is None else f"{bound:g}"


def main() -> None:
    """Measure everything and print the table, then what it says nothing about."""
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=main.__doc__)
    parser.add_argument("--quick", action="store_true", help="100,000 items only")
    parser.add_argument("--folder", type=Path, help="where to work: about 8 GB, 1 GB with --quick")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="batchrun-bench-", dir=chosen.folder) as name:
        folder = Path(name)
        done: dict[int, dict[str, Comparison]] = {SMALL: {}, LARGE: {}}
        for count in [SMALL] if chosen.quick else [SMALL, LARGE]:
            print(f"{count:,} items …", file=sys.stderr)
            (folder / str(count)).mkdir()
            done[count] = measure(folder / str(count), count, _ROUNDS[count])
        print("tokens …", file=sys.stderr)
        counted = [
            figure
            for count in ([SMALL] if chosen.quick else [SMALL, LARGE])
            for figure in figures_of_counting(folder / f"tokens-{count}", count, _ROUNDS[count])
        ]
        print("start-up and polling …", file=sys.stderr)
        figures = figures_of_loops(done[SMALL], done[LARGE])
        figures += counted
        figures += figures_of_structure(folder / "structured")
        figures += figures_of_start(folder / str(SMALL))
        figures.append(figure_of_tick(folder / "tick"))
        figures += figures_of_direct(folder / "direct")
        print("embeddings …", file=sys.stderr)
        figures += figures_of_embeddings(folder / "embeddings")
    print(table(figures))
    print("\nNot measured:")
    for what in (*(["a million items (--quick)"] if chosen.quick else []), *_NOT_MEASURED):
        print(f"* {what}")


if __name__ == "__main__":
    main()
