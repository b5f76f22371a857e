"""Tables of prices as people write them, in TOML: the user's `[price."MODEL"]`, and our own file for what genai-prices lacks.

Rates are dollars a million tokens, as price lists give them. docs/configuration.md describes the keys.
"""

import pkgutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Final, NamedTuple

from batchrun.configtable import ConfigTable, nearest
from batchrun.model import Json
from batchrun.money.amounts import picodollars

_FILE: Final = "prices.toml"
_MODES: Final = ("batch", "flex", "priority")  # tables within a model's own; its own rates are live
_LIVE: Final = "live"
# Tools that OpenAI runs, of which dated names begin so. Source: the SDK's types of tools for /v1/responses.
_TOOLS: Final = (
    "web_search", "file_search", "code_interpreter", "image_generation", "computer", "mcp", "shell", "local_shell", "apply_patch", "tool_search",
)  # fmt: skip
_TABLES: Final = frozenset({*_MODES, "long"})
_WITHOUT_OUTPUT: Final = ("embed", "rerank", "moderation")


class RateRow(NamedTuple):
    """Rates in dollars a million tokens; None: not said."""

    input: Decimal | None = None
    output: Decimal | None = None
    cached_input: Decimal | None = None
    cache_write: Decimal | None = None
    image_input: Decimal | None = None
    image_output: Decimal | None = None
    audio_input: Decimal | None = None
    audio_output: Decimal | None = None


class RateCard(NamedTuple):
    """The rates of one mode. `tiers`, in rising order, are those of requests with more input tokens than a number."""

    row: RateRow
    tiers: tuple[tuple[int, RateRow], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a table says of a model: rates by mode (batch, flex, live, priority), when they were looked up, and its bounds in tokens."""

    cards: Mapping[str, RateCard] = field(default_factory=dict)
    dated: str = ""
    max_output_tokens: int | None = None
    context_tokens: int | None = None


def entry_of(entries: Mapping[str, Entry], model: str) -> Entry | None:
    """The entry of a model: by its name, else by the longest beginning that an entry ending in `*` gives."""
    if model in entries:
        return entries[model]
    begins = [n for n in entries if n.endswith("*") and model.startswith(n[:-1])]
    return entries[max(begins, key=len)] if begins else None


def read_entries(tables: Json, where: str, problems: list[str]) -> dict[str, Entry]:
    """The tables under [price], by model; what is wrong with them is added to `problems`. `where` is the file."""
    if not isinstance(tables, dict) or not all(isinstance(t, dict) for t in tables.values()):
        problems.append(f"{where}: 'price' holds tables only. Write [price.\"MODEL\"].")
        return {}
    found = {}
    for model, table in tables.items():
        if (whole := _unquoted(model, table)) is not None:
            problems.append(
                f'{where}: [price.{whole}] has a dot in its name. Quote it: [price."{whole}"].'
            )
            continue
        reader = ConfigTable(f'{where}: [price."{model}"]', table, problems)
        found[model] = _entry(model, reader, table)
    return found


def answers_nothing(model: str) -> bool:
    """Whether this is, by its name, a model whose answers have no tokens that are billed: a list has no rate for them."""
    return any(word in model.lower() for word in _WITHOUT_OUTPUT)


def _unquoted(model: str, table: dict[str, Json]) -> str | None:
    """The name that TOML took apart at its dots, or None: `[price.gpt-4.1]` is the table '1' in the table 'gpt-4'."""
    for key, value in table.items():
        if isinstance(value, dict) and key not in _TABLES and not nearest(key, _TABLES):
            name = f"{model}.{key}"
            return _unquoted(name, value) or name
    return None


def read_fees(table: Json, where: str, problems: list[str]) -> dict[str, int]:
    """The table [fee], dollars of a call of each hosted tool, in picodollars; what is wrong with it is added to `problems`."""
    if not isinstance(table, dict):
        problems.append(f"{where}: 'fee' is a table. Write [fee].")
        return {}
    reader = ConfigTable(f"{where}: [fee]", table, problems)
    # Other servers have tools of their own: only what is nearly one of OpenAI's is taken to be meant for it.
    problems += [
        f"{where}: [fee] has {tool!r}, which is no known tool.{meant}"
        for tool in table
        if not tool.startswith(_TOOLS) and (meant := nearest(tool, _TOOLS))
    ]
    fees = {tool: reader.amount(tool) for tool in table}
    return {tool: picodollars(fee) for tool, fee in fees.items() if fee is not None}


def _entry(model: str, reader: ConfigTable, table: Mapping[str, Json]) -> Entry:
    cards = {}
    live = _card(reader)
    if live != RateCard(RateRow()):
        cards[_LIVE] = live
        _check_whole(model, live, reader)
    for mode in _MODES:
        inner = reader.table(mode)
        card = _card(inner)
        inner.end()
        if mode in table:
            cards[mode] = card
            _check_whole(model, card, inner)
    entry = Entry(
        cards=cards,
        dated=reader.day("date"),
        max_output_tokens=reader.integer("max_output_tokens", 0) or None,
        context_tokens=reader.integer("context_tokens", 0) or None,
    )
    reader.end()
    return entry


def _check_whole(model: str, card: RateCard, reader: ConfigTable) -> None:
    if card.row.input is None or (card.row.output is None and not answers_nothing(model)):
        reader.problem("needs both 'input' and 'output'; what is not billed is 0")


def _card(reader: ConfigTable) -> RateCard:
    row = _row(reader)
    long = reader.table("long")
    above, dearer = long.integer("above", 0), _row(long)
    long.end()
    if above:
        # What the tier does not say costs as it does below it.
        pairs = zip(dearer, row, strict=True)
        return RateCard(row, ((above, RateRow(*(a if a is not None else b for a, b in pairs))),))
    if dearer != RateRow():
        long.problem("needs 'above', the input tokens of a request from which on it holds")
    return RateCard(row)


def _row(reader: ConfigTable) -> RateRow:
    return RateRow(**{key: reader.amount(key) for key in RateRow._fields})


@cache
def builtin_entries() -> Mapping[str, Entry]:
    """Our own file; each entry dated by the day on which the file was checked, where it has no other."""
    data = pkgutil.get_data(__package__ or "", _FILE)
    assert data is not None, "the package is incomplete"
    tree = tomllib.loads(data.decode())
    problems: list[str] = []
    entries = read_entries(tree["price"], _FILE, problems)
    assert not problems, problems
    return entries
