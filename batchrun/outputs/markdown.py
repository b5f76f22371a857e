"""`report.md`: the report for reading in a terminal, a mail or a browser."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from batchrun.model import Json, JsonObject
from batchrun.outputs.escaping import printable

_BATCHES_SHOWN: Final = 20
_INCIDENTS_SHOWN: Final = 10
_SHOWN_CHARACTERS: Final = 300
# What Markdown would take for its own inside a line; an underscore between letters is only an underscore.
_MEANT: Final = re.compile(r"[\\`*\[\]<>|]|(?<![^\W_])_|_(?![^\W_])|~(?=~)|(?<=~)~|&(?=#?\w+;)")


def report_markdown(report: JsonObject) -> str:
    """Markdown of a `job_report`. Foreign text is escaped twice over: for terminals and for Markdown."""
    parts = [
        _head(report),
        _failures(report["failures"]),
        _tokens(report),
        _tools(report.get("tools")),
        _batches(report["batches"]),
        _incidents(report),
    ]
    return "\n".join(line for part in parts for line in part)


def _head(report: JsonObject) -> list[str]:
    counts = report["counts"]
    profile = f" ({escaped(report['profile'])})"
    lines = [f"# {escaped(report['job'])}{profile}", "", _verdict(report), ""]
    if report["paused"]:
        lines += [f"**Paused:** {escaped(report['paused'])}", ""]
    if report["short"]:
        lines += [f"**Waits for money:** {escaped(report['short'])}", ""]
    shown = [
        (name, counts[name])
        for name in counts
        if counts[name] or name in {"items", "succeeded", "failed"}
    ]
    lines += table(
        ("items", "count"),
        [("all" if n == "items" else n.replace("_", " "), f"{c:,}") for n, c in shown],
    )
    if report["uncertain"]:
        lines.append(f"- of those that failed, sent and perhaps executed: {report['uncertain']:,}")
    if report.get("without_key"):
        lines.append(
            f"- not in the table of `output.sqlite`, without an id of their own: {report['without_key']:,}"
        )
    times = [("submitted", report["submitted_at"]), ("finished", report["finished_at"])]
    lines += [f"- {name}: {at}" for name, at in times if at]
    if report["duration_s"] is not None:
        lines.append(f"- duration: {_span(report['duration_s'])}")
    lines += _deadline(report.get("deadline"))
    lines += _shared(report.get("shared"))
    return [*lines, f"- job file: {code_span(report['job_file'])}", ""]


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _deadline(deadline: JsonObject | None) -> list[str]:
    if deadline is None:
        return []
    met = {None: "", True: ", met", False: f", missed: {deadline['why_late']}"}[deadline["met"]]
    lines = [f"- deadline: {deadline['at']}{met}"]
    if deadline["live_since"]:
        lines.append(
            f"- live since {deadline['live_since']}: {deadline['by_batch']:,} answered by batch, {deadline['live']:,} live"
        )
    return lines


def _shared(shared: JsonObject | None) -> list[str]:
    if shared is None:
        return []
    earlier = shared["from_earlier_jobs"]
    whose = f", {earlier:,} of them to one of an earlier job" if earlier else ""
    saved = shared["tokens_saved"]
    tokens = f"{saved['input_tokens']:,} input and {saved['output_tokens']:,} output tokens"
    how = "not asked, answered with the answer to an equal request"
    return [f"- {how}: {shared['items']:,}{whose}; saved {tokens}"]


def _verdict(report: JsonObject) -> str:
    counts = report["counts"]
    items = _counted(counts["items"], "item")
    if not report["complete"]:
        left = counts["pending"] + counts["in_flight"]
        return f"**Not finished:** {left:,} of {items} {'is' if counts['items'] == 1 else 'are'} still open."
    if counts["succeeded"] == counts["items"]:
        every = "the one item" if counts["items"] == 1 else f"every one of {items}"
        return f"**Done:** {every} succeeded."
    failed, cancelled = counts["failed"], counts["cancelled"]
    rest = [f"{n:,} {what}" for n, what in ((failed, "failed"), (cancelled, "cancelled")) if n]
    return f"**Finished:** {counts['succeeded']:,} of {items} succeeded, {' and '.join(rest)}."


def _failures(groups: Sequence[JsonObject]) -> list[str]:
    if not groups:
        return []
    lines = ["## Failures", ""]
    for group in groups:
        examples = ", ".join(code_span(_clipped(example)) for example in group["examples"])
        more = ", …" if group["count"] > len(group["examples"]) else ""
        lines += [
            f"### {group['count']:,} x {group['cause']}: {escaped(group['title'])}",
            "",
            f"- first: {examples}{more}",
            f"- message: {escaped(_clipped(group['message']))}",
            f"- what to do: {escaped(group['fix'])}",
            "",
            "```sh",
            printable(group["command"]),
            "```",
            "",
        ]
    return lines


def _tokens(report: JsonObject) -> list[str]:
    tokens = report["tokens"]
    rows = [
        (
            "input",
            f"{tokens['input_tokens']:,}",
            cached_words(tokens["cached_tokens"], tokens["cache_write_tokens"]),
        ),
        ("output", f"{tokens['output_tokens']:,}", f"{tokens['reasoning_tokens']:,} reasoning"),
    ]
    return [
        "## Tokens",
        "",
        *table(("tokens", "count", "of which"), rows),
        f"Over {report['attempts']:,} attempts.",
        "",
    ]


def cached_words(cached: int, written: int | None) -> str:
    """What of the input was read from the service's cache, and what was written to it, if any was."""
    return f"{cached:,} cached" + (f", {written:,} written to the cache" if written else "")


def _tools(tools: JsonObject | None) -> list[str]:
    if tools is None:
        return []
    line = f"tools: {_counted(tools['calls'], 'call')}, {_counted(tools['errors'], 'error')}"
    line += f", {tools['waiting']:,} waiting" if tools["waiting"] else ""
    errors = [
        f"- {code_span(_clipped(error['id']))} {code_span(error['name'])}: {escaped(_clipped(error['message']))}"
        for error in tools["first_errors"]
    ]
    return ["## Tools", "", f"{line}.", "", *errors, *[""] * bool(errors)]


def _batches(batches: Sequence[JsonObject]) -> list[str]:
    if not batches:
        return []
    shown = batches[-_BATCHES_SHOWN:]
    rows = [
        (
            str(batch["batch"]),
            code_span(batch["remote_id"]).replace("|", "\\|") if batch["remote_id"] else "-",
            escaped(batch["remote_status"] or batch["state"]),
            escaped(batch["model"]),
            f"{batch['requests']:,}",
            batch["created_at"] or "-",
            batch["ended_at"] or "-",
        )
        for batch in shown
    ]
    header = ("batch", "remote id", "status", "model", "requests", "created", "ended")
    lines = ["## Batches", "", *table(header, rows)]
    lines += [
        f"- batch {batch['batch']}: {escaped(_clipped(batch['reason']))}"
        for batch in shown
        if batch["reason"]
    ]
    if any(batch["reason"] for batch in shown):
        lines.append("")
    if len(batches) > len(shown):
        lines += [f"The latest {len(shown)} of {len(batches):,}; report.json has all.", ""]
    return lines


def _incidents(report: JsonObject) -> list[str]:
    incidents = report["incidents"][-_INCIDENTS_SHOWN:]
    if not incidents:
        return []
    lines = ["## Incidents", ""]
    for incident in incidents:
        where = "" if incident["batch"] is None else f" (batch {incident['batch']})"
        lines.append(
            f"- {incident['at']} {escaped(incident['kind'])}{where}: {escaped(_clipped(incident['message']))}"
        )
    if report["incident_count"] > len(incidents):
        lines.append(f"- the latest {len(incidents)} of {report['incident_count']:,}")
    return [*lines, ""]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table, with an empty one after it."""
    lines = [header, ["---"] * len(header), *rows]
    return [*("| " + " | ".join(line) + " |" for line in lines), ""]


def escaped(text: Json) -> str:
    """Foreign text that neither a terminal nor Markdown obeys."""
    return _MEANT.sub(r"\\\g<0>", printable(str(text)))


def code_span(text: str) -> str:
    """Foreign text as code; not for the cell of a table, which a bar would end."""
    # A code span is fenced by more backticks than it holds; a bar would end its cell, but code stands in lists only.
    shown = printable(text)
    fence = "`" * (max(map(len, re.findall("`+", shown)), default=0) + 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def _clipped(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def _span(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    parts = [f"{n} {unit}" for n, unit in ((hours, "h"), (minutes, "min"), (left, "s")) if n]
    return " ".join(parts) or "0 s"
