"""The support document for reading, and for pasting into a form: Markdown that is as readable when nothing renders it."""

from collections.abc import Iterator

from batchrun.model import Json, JsonObject
from batchrun.money.amounts import dollars
from batchrun.outputs.markdown import cached_words, escaped, table

_HEAD = (
    "This holds ids, times, statuses, counts and errors, and no prompts, answers, items or keys. Where an error repeated any of them, "
    "it says […]."
)
_WITHHELD = "(withheld: the request is no longer here to hold it against)"

_SUMS = {"usage": "usage of its answers", "service_usage": "usage as the service says"}


def support_markdown(found: JsonObject) -> str:
    """Markdown of a `support_document`."""
    lines = [f"# Batch support: {escaped(found['job'])}", "", _HEAD, ""]
    lines += table(("what", "value"), _head(found))
    if found["batches"]:
        lines += ["## Batches", ""]
    for batch in found["batches"]:
        lines += _batch(batch)
    if found["errors"]:
        lines += ["## Errors", ""]
    for group in found["errors"]:
        lines += _group(group)
    if found["incidents"]:
        lines += ["## Incidents", ""]
        rows = [(one["kind"], f"{one['count']:,}", one["last_at"]) for one in found["incidents"]]
        lines += table(("kind", "count", "last"), rows)
    return "\n".join(lines)


def _head(found: JsonObject) -> Iterator[tuple[str, str]]:
    software, tokens = found["software"], found["tokens"]
    yield "written", found["written_at"]
    sdk = "" if software["openai"] is None else f", openai {software['openai']}"
    yield (
        "software",
        f"batchrun {software['batchrun']}{sdk}, Python {software['python']}, {software['system']}",
    )
    for account in found["accounts"]:
        yield f"asked by {account['asked']} at", escaped(account["base_url"])
        for name in ("organization", "project"):
            if account[name]:
                yield name, escaped(account[name])
        if account["key_ends_with"]:
            yield "key ends with", escaped(account["key_ends_with"])
    yield "endpoint", escaped(found["endpoint"])
    for name in ("submitted_at", "finished_at"):
        if found[name]:
            yield name.replace("_", " "), found[name]
    counts = [f"{n:,} {name.replace('_', ' ')}" for name, n in found["counts"].items() if n]
    yield "items", ", ".join(counts)
    yield "attempts", f"{found['attempts']:,}"
    cached = cached_words(tokens["cached_tokens"], tokens["cache_write_tokens"])
    given = f"{tokens['input_tokens']:,} input ({cached})"
    made = f"{tokens['output_tokens']:,} output ({tokens['reasoning_tokens']:,} reasoning)"
    yield "tokens", f"{given}, {made}"


def _batch(batch: JsonObject) -> list[str]:
    asked = batch["request_counts"]
    rows = [
        (name.replace("_", " "), escaped(batch[name]))
        for name in ("input_file_id", "output_file_id", "error_file_id", "status", "endpoint")
        if batch[name]
    ]
    rows += [("model", escaped(batch["model"])), ("window", escaped(batch["window"]))]
    counts = [f"{n:,} {name}" for name, n in asked.items() if n is not None]
    rows.append(("requests", ", ".join([f"{batch['requests']:,} sent", *counts])))
    for name in ("usage", "service_usage"):
        if (used := batch[name]) is not None:
            tokens = f"{used['input_tokens']:,} input, {used['output_tokens']:,} output tokens"
            rows.append((_SUMS[name], tokens))
    if (cost := batch["cost"]) is not None:
        rows.append(("cost", f"{dollars(cost['picodollars'])} ({escaped(cost['prices'])})"))
    rows += [(name.replace("_", " "), at) for name, at in batch["times"].items() if at]
    rows += [
        (f"{name} here".replace("_", " "), at) for name, at in batch["seen_here"].items() if at
    ]
    rows += [("error", _said(error)) for error in batch["errors"]]
    if (call := batch["failed_call"]) is not None:
        names = [call["request_id"], call["http_status"], call["code"], call["at"]]
        rows.append(("last call that failed", " ".join(escaped(n) for n in names if n)))
    name = escaped(batch["id"]) if batch["id"] else f"without an id ({batch['state']})"
    return [f"### {name}", "", *table(("what", "value"), rows)]


def _group(group: JsonObject) -> list[str]:
    rows = [
        (
            escaped(one["request_id"] or one["line_id"] or one["answer_id"] or "-"),
            escaped(one["custom_id"]),
            escaped(one["batch_id"] or "-"),
            one["at"] or "-",
            _said(one),
        )
        for one in group["examples"]
    ]
    lines = [f"### {group['count']:,} x {escaped(group['cause'])}", ""]
    if group["count"] > len(rows):
        lines += [f"{group['first_at']} to {group['last_at']}; the latest {len(rows)}:", ""]
    return [*lines, *table(("request id", "custom_id", "batch", "at", "error"), rows)]


def _said(error: JsonObject) -> str:
    """Status, code and words of an error, as much as there is of each."""
    line: Json = error.get("line")
    words = [
        "" if line is None else f"line {line}:",
        str(error.get("http_status") or ""),
        escaped(error["code"] or error.get("type") or ""),
        f"({escaped(error['param'])})" if error["param"] else "",
        escaped(error["message"] or (_WITHHELD if error["withheld"] else "")),
    ]
    return " ".join(filter(None, words)) or "-"
