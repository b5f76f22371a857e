"""The fields of an item that steer its request: `model` and `body`; and the rules for the lines of a ready Batch file."""

from collections.abc import Iterator, Mapping

from batchrun.jobfile.strict import kind_of
from batchrun.model import JobSettings, Json

RAW_KEYS = ("custom_id", "method", "url", "body")
NESTING_LIMIT = 200  # of an item's body: far beyond any request, far within what encoders follow
STREAMING_KEYS = {
    "stream": "a batch has nobody to stream to",
    "background": "a batch line is answered in the output file",
}


def check_item(fields: Mapping[str, Json], settings: JobSettings) -> str | None:
    """What is wrong with an item's own `model` and `body` (for a ready Batch file: with the request), or None. Cheap: a few look-ups."""
    if settings.is_raw:
        return _raw_fault(fields, settings)
    model = fields.get("model")
    if model is None:
        if settings.model is None:
            return "no model: neither the job line nor the item names one"
    elif type(model) is not str or not model:
        return f"'model' is {_described(model)}, not a model's name"
    body = fields.get("body")
    return None if body is None else body_fault(body)


def body_fault(body: Json) -> str | None:
    """The first thing that is wrong with the `body` of an item, or None."""
    return next((what for _, what in body_faults(body)), None)


def body_faults(body: Json) -> Iterator[tuple[str | None, str]]:
    """(key within, what is wrong) of a `body`, of a job line or an item; no key where it is all of it."""
    if type(body) is not dict:
        yield None, f"'body' is {kind_of(body)}, not an object"
        return
    if "model" in body:
        yield "model", "'model' inside 'body'; it stands beside it, since a batch has one model"
    yield from _parameter_faults(body)


def _raw_fault(fields: Mapping[str, Json], settings: JobSettings) -> str | None:
    for key in RAW_KEYS:
        if key not in fields:
            return f"no {key!r}; a line of a Batch file has {', '.join(RAW_KEYS)}"
    if fields["method"] != "POST":
        return "'method' is not 'POST'"
    if fields["url"] != settings.endpoint:
        return f"'url' is not {settings.endpoint!r}, as in the first line; a batch has one endpoint"
    body = fields["body"]
    if type(body) is not dict:
        return f"'body' is {kind_of(body)}, not an object"
    model = body.get("model")
    if type(model) is not str or not model:
        return "no model in 'body'"
    return next((what for _, what in _parameter_faults(body)), None)


def _parameter_faults(body: Mapping[str, Json]) -> Iterator[tuple[str | None, str]]:
    for key, reason in STREAMING_KEYS.items():
        # A word is none of ours: the `background` of an image is "transparent" or "opaque".
        if (value := body.get(key)) and not isinstance(value, str):
            yield key, f"{key!r} in 'body': {reason}. Remove it"
    if _is_too_deep(body):
        yield None, f"'body' is nested more than {NESTING_LIMIT} levels deep"


def _is_too_deep(value: Json) -> bool:
    level = [value]
    for _ in range(NESTING_LIMIT):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) in {dict, list}
        ]
        if not level:
            return False
    return True


def _described(value: Json) -> str:
    return "empty" if value == "" else kind_of(value)
