"""The table at the top of docs/endpoints.md: what a job line gives to each endpoint, what it takes, what comes back, what is refused.

`python tests/runner/endpointpage.py` writes it into the page. Nothing of it is told twice: what is built, checked and refused is asked of the
endpoints themselves, in their own words, and the kinds of answers are those of the golden results.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from batchrun.endpoints import ENDPOINTS
from batchrun.endpoints.base import Endpoint
from batchrun.endpoints.tables import parameters_of
from batchrun.model import JobSettings, Json, JsonObject

PAGE: Final = Path(__file__).parents[2] / "docs" / "endpoints.md"
GOLDEN: Final = Path(__file__).with_name("golden")
BEGIN: Final = "<!-- written by make docs -->\n"
END: Final = "<!-- end of what make docs writes -->\n"
_HEAD: Final = (
    "| | a job line gives | parameters that are checked | kinds of answers and their fields | refused, and what to use |\n"
    "|---|---|---|---|---|\n"
)
_SETTINGS: Final = JobSettings(name="j", path="j.jsonl", line=1, model="m")
# A value of each key of the job line that an endpoint may have a place for.
_GIVEN: Final[dict[str, Json]] = {
    "instructions": "i",
    "max_output_tokens": 1,
    "schema": {"type": "object"},
    "labels": ("a",),
}
# Bodies that show what an endpoint refuses; those whose parameters it has not are left out.
_WRONG: Final[tuple[JsonObject, ...]] = (
    {"stream": True},
    {"background": True},
    {"partial_images": 1},
    {"prompt": ["a", "b"]},
    {"images": ["https://example.org/a.png"]},
    {"input_reference": {}},
)
_PLAIN: Final = ("id", "status", "usage", "attempts", "model")


def table() -> str:
    """The whole table in Markdown."""
    return _HEAD + "".join(_row(endpoint) for endpoint in ENDPOINTS.values())


def page() -> str:
    """The page with the table in its place."""
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def _row(endpoint: Endpoint) -> str:
    cells = (
        f"**`{endpoint.url}`**",
        "<br>".join(_given(endpoint)),
        ", ".join(_checked(endpoint)),
        "<br>".join(_kinds(endpoint)),
        "<br>".join(_refused(endpoint)),
    )
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"


def _given(endpoint: Endpoint) -> Iterator[str]:
    """Where each key of the job line goes."""
    plain = endpoint.shape(_SETTINGS, prompt="p", instructions=None)
    yield "`model` → `model`"
    yield f"`prompt` → `{next(iter(plain))}`"
    for key, value in _GIVEN.items():
        if key in endpoint.unused_keys:
            continue
        if key == "instructions":
            built = endpoint.shape(_SETTINGS, prompt="p", instructions=str(value))
        else:
            settings = dataclasses.replace(_SETTINGS, **{key: value})
            built = endpoint.shape(settings, prompt="p", instructions=None)
        places = [f"`{name}`" for name in built if built[name] != plain.get(name)]
        yield f"`{key}` → {', '.join(places)}"
    if endpoint.attach_key is not None:
        kinds = ", ".join(kind.upper() if kind == "pdf" else kind for kind in endpoint.attachable)
        yield f"`attach` → `{endpoint.attach_key}`: {kinds}"
    yield "`body` → all others"


def _checked(endpoint: Endpoint) -> Iterator[str]:
    """The required ones first, in bold."""
    for name in endpoint.required:
        yield f"**`{name}`**"
    yield from (
        f"`{name}`" for name in parameters_of(endpoint.url) if name not in endpoint.required
    )


def _kinds(endpoint: Endpoint) -> Iterator[str]:
    """Of each golden result line: its name, what its output is, and the fields beside it."""
    seen: dict[str, list[str]] = {}
    for line in map(json.loads, _golden_lines(endpoint)):
        if line["status"] == "succeeded":
            said = f"`output` {_shape(line['output'])}"
        else:
            said = f"failed, `finish` `{line['finish']}`" if line["finish"] else "failed"
        beside = [f"`{key}`" for key in line if key not in (*_PLAIN, "output", "finish")]
        seen.setdefault(", ".join([said, *beside]), []).append(line["id"])
    for said, names in seen.items():
        yield f"{', '.join(names)}: {said}"


def _golden_lines(endpoint: Endpoint) -> Iterator[str]:
    stem = endpoint.url.strip("/").replace("/", "-")
    for name in (stem, f"{stem}-schema", f"{stem}-labels"):
        path = GOLDEN / f"{name}.jsonl"
        if path.exists():
            yield from path.read_text(encoding="utf-8").splitlines()


def _shape(output: Json) -> str:
    match output:
        case str():
            if output.startswith("https:"):
                return "link"
            return "name of a file" if output.startswith("images/") else "text"
        case dict():
            return "{" + ", ".join(f"`{key}`" for key in output) + "}"
        case list():
            return f"array: {_shape(output[0])}"
        case _:
            return "number"


def _refused(endpoint: Endpoint) -> Iterator[str]:
    """Keys of the job line that mean nothing here, parameters that cannot work in a batch, and other endpoints' names."""
    for instead, keys in _grouped(endpoint.unused_keys).items():
        yield f"{keys}: {_in_code(instead)}"
    known = parameters_of(endpoint.url)
    for body in _WRONG:
        problems = endpoint.check_body(body)[0] if body.keys() <= known.keys() else ()
        # A parameter of that name and another kind is another thing.
        if not any(" must be " in problem for problem in problems):
            yield from map(_in_code, problems)
    for right, others in _grouped(endpoint.synonyms).items():
        yield f"{others}: `{right}`"


def _grouped(pairs: Mapping[str, str]) -> dict[str, str]:
    """Each value with the names that have it."""
    found: dict[str, list[str]] = {}
    for name, value in pairs.items():
        found.setdefault(value, []).append(f"`{name}`")
    return {value: ", ".join(names) for value, names in found.items()}


def _in_code(sentence: str) -> str:
    return sentence.replace("'", "`")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
