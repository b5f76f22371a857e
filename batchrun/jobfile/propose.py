"""`batchrun new`: a first job line for a data file, guessed from its columns and a few rows."""

import glob
import json
import re
from pathlib import Path

from batchrun.errors import JobFileError, Problem
from batchrun.jobfile.job import valid_name
from batchrun.jobfile.problems import Problems
from batchrun.jobfile.sources import read_items
from batchrun.model import JobSettings, JsonObject

SAMPLE_COUNT = 100
PROMPT_COLUMNS = 3
LABELS_AT_MOST = 12
ID_NAMES = frozenset({"id", "uid", "uuid", "key", "code", "sku", "number", "no"})
LABEL_NAMES = frozenset(
    {"label", "gold", "class", "category", "sentiment", "target", "answer", "expected"}
)
_WORD = re.compile(r"[A-Za-z]+")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def write_job_line(data: Path) -> JsonObject:
    """The job line that `new` proposes for a data file, its keys in the order in which they should be written.

    The id is a column named like one whose values are all different. The prompt shows the columns that hold most text, and leaves out
    one that is named like an answer; its values, if they are few, become the labels. `items` is the file's name, as seen from beside it.
    Raises JobFileError if the first items cannot be read, or there are none.
    """
    sample = _sample(data)
    names = list(dict.fromkeys(name for fields in sample for name in fields))
    id_name = next((name for name in names if _is_id(name, sample)), None)
    label_name = next((name for name in names if _words(name) & LABEL_NAMES), None)
    others = [name for name in names if name not in {id_name, label_name}]
    line: JsonObject = {"job": valid_name(data.stem), "model": "gpt-5-mini"}
    shown = _most_text(others or names, sample)
    line["prompt"] = _prompt({name: any(f.get(name) is None for f in sample) for name in shown})
    labels = _values(label_name, sample) if label_name else []
    if 2 <= len(labels) <= LABELS_AT_MOST:
        line["labels"] = labels
    line["max_output_tokens"] = 2_000
    line["items"] = data.name
    if id_name not in {None, "id"}:
        line["id"] = _gap(id_name or "")
    return line


def job_line_text(line: JsonObject) -> str:
    """A job line as it stands in a file: one line, newline included, other alphabets readable."""
    return json.dumps(line, ensure_ascii=False) + "\n"


def _sample(data: Path) -> list[JsonObject]:
    """The first items; every one has at least one field."""
    problems = Problems()
    settings = JobSettings(
        name="new", path=str(data), line=0, items=glob.escape(str(data.absolute()))
    )
    blocks = read_items(settings, problems, block_count=SAMPLE_COUNT)
    block = next((block for block in blocks if block.fields), None)
    sample = [fields for fields in (block.fields if block else ()) if fields]
    if not sample:
        nothing = Problem(path=str(data), what="no items to write a job line for")
        raise JobFileError(tuple(problems) or (nothing,))
    return sample


def _words(name: str) -> set[str]:
    """`gold_label` -> {gold, label}; `productId` and `reviewID` -> with {id}."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return {word.lower() for word in _WORD.findall(spaced)}


def _is_id(name: str, sample: list[JsonObject]) -> bool:
    values = _values(name, sample)
    return bool(_words(name) & ID_NAMES) and len(values) == len(sample)


def _values(name: str, sample: list[JsonObject]) -> list[str]:
    """The different values of a column, in order of appearance."""
    return list(dict.fromkeys(str(fields[name]) for fields in sample if fields.get(name)))


def _most_text(names: list[str], sample: list[JsonObject]) -> list[str]:
    """Up to three columns, in their own order: those with the most text, none with less than a tenth of the first one's."""
    sizes = {name: sum(map(len, _texts(name, sample))) for name in names}
    most = sorted(names, key=lambda name: -sizes[name])[:PROMPT_COLUMNS]
    return [name for name in names if name in most and sizes[name] * 10 >= sizes[most[0]]]


def _texts(name: str, sample: list[JsonObject]) -> list[str]:
    return [str(value) for fields in sample if (value := fields.get(name)) is not None]


def _prompt(lacking: dict[str, bool]) -> str:
    """`lacking`: by column, whether an item has nothing there: that would make it a bad one."""
    gaps = {name: _gap(name, 'default("")' if lacks else "") for name, lacks in lacking.items()}
    if len(gaps) == 1:
        return next(iter(gaps.values()))
    return "\n".join(f"{name}: {gap}" for name, gap in gaps.items())


def _gap(name: str, filtered: str = "") -> str:
    what = name if _IDENTIFIER.fullmatch(name) else f"item[{json.dumps(name, ensure_ascii=False)}]"
    return "{{ " + " | ".join(filter(None, (what, filtered))) + " }}"
