"""What strict structured output asks of a schema beyond being one. A service refuses every request with a schema that breaks these rules.

Source: OpenAI's structured outputs guide, "Supported schemas" and "Limitations" (as of 2026-02): the subset of JSON Schema and its limits.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from batchrun.model import Json, JsonObject

LEVELS_MOST: Final = 10
PROPERTIES_MOST: Final = 5_000
ENUM_VALUES_MOST: Final = 1_000
CHARACTERS_MOST: Final = (
    120_000  # of property names, definition names, enum and const values together
)
LARGE_ENUM_VALUES: Final = 250
LARGE_ENUM_CHARACTERS_MOST: Final = 15_000  # of one enum with more values than that
UNSUPPORTED: Final = (
    *("allOf", "oneOf", "not", "if", "then", "else"),
    *("dependentRequired", "dependentSchemas", "patternProperties"),
)
# What says of a value what it may be; who uses what is not supported is told only that.
_KINDS: Final = frozenset({"type", "$ref", "anyOf", "enum", "const", *UNSUPPORTED})
_SCHEMAS_BY_NAME: Final = ("properties", "$defs", "definitions")
_LISTED_SCHEMAS: Final = ("anyOf", "allOf", "oneOf", "prefixItems")
_SINGLE_SCHEMAS: Final = ("items", "not", "if", "then", "else", "contains", "additionalProperties")


class Breach(NamedTuple):
    """Where a schema breaks a rule, as `$.properties.tags.items`, and which."""

    path: str
    what: str


class _Place(NamedTuple):
    path: str
    schema: JsonObject
    level: int  # objects around it
    is_value: bool = True  # it says what a value may be, which strict output wants to know


def breaches(schema: JsonObject) -> Iterator[Breach]:
    """Every breach, in the order of the schema; nothing for one that strict output takes."""
    if "anyOf" in schema:
        yield Breach("$", "'anyOf' may not stand at the root. Put it into a property")
    elif schema.get("type") != "object":
        yield Breach("$", "the root must be of type 'object'. Put what it is into a property")
    places = list(_places(schema))
    for place in places:
        yield from _in_place(place)
    yield from _in_all(places)


def _places(schema: JsonObject) -> Iterator[_Place]:
    """Every schema within, itself first, depth first and in order."""
    waiting = [_Place("$", schema, 0, is_value=False)]
    while waiting:
        place = waiting.pop()
        yield place
        level = place.level + ("properties" in place.schema)
        inner = [
            _Place(f"{place.path}.{key}.{name}", value, level)
            for key in _SCHEMAS_BY_NAME
            for name, value in _members(place.schema.get(key))
        ]
        inner += [
            _Place(f"{place.path}.{key}[{index}]", value, level, key not in UNSUPPORTED)
            for key in _LISTED_SCHEMAS
            for index, value in enumerate(_listed(place.schema.get(key)))
            if isinstance(value, dict)
        ]
        inner += [
            _Place(f"{place.path}.{key}", value, level, key == "items")
            for key in _SINGLE_SCHEMAS
            if isinstance(value := place.schema.get(key), dict)
        ]
        waiting.extend(reversed(inner))


def _in_place(place: _Place) -> Iterator[Breach]:
    path, schema = place.path, place.schema
    for key in UNSUPPORTED:
        if key in schema:
            yield Breach(path, f"{key!r} is not supported")
    kinds = schema.get("type")
    if "properties" in schema or kinds == "object" or "object" in _listed(kinds):
        if schema.get("additionalProperties") is not False:
            yield Breach(path, '"additionalProperties": false is missing')
        required = set(map(str, _listed(schema.get("required"))))
        for name, _ in _members(schema.get("properties")):
            if name not in required:
                yield Breach(
                    f"{path}.properties.{name}",
                    'it is not in \'required\'. What may be absent is of type ["…", "null"]',
                )
    is_array = kinds == "array" or "array" in _listed(kinds)
    if is_array and "items" not in schema and "prefixItems" not in schema:
        yield Breach(path, "an array without 'items'. Say what it holds")
    if place.is_value and _KINDS.isdisjoint(schema):
        yield Breach(path, "it has no 'type'. Say what it may be")
    for where, anything in _anythings(schema):
        yield Breach(path + where, f"{anything} says nothing of its 'type'. Say what it may be")
    if place.level == LEVELS_MOST and "properties" in schema:
        yield Breach(path, f"objects are nested more than {LEVELS_MOST} deep")
    values = [value for value in _listed(schema.get("enum")) if isinstance(value, str)]
    characters = sum(map(len, values))
    if len(values) > LARGE_ENUM_VALUES and characters > LARGE_ENUM_CHARACTERS_MOST:
        yield Breach(
            path,
            f"its {len(values):,} values have {characters:,} characters together, more than {LARGE_ENUM_CHARACTERS_MOST:,}",
        )


def _anythings(schema: JsonObject) -> Iterator[tuple[str, str]]:
    """Where `true` or `false` stands for a schema, which JSON Schema allows."""
    for key in _SCHEMAS_BY_NAME:
        given = schema.get(key)
        for name, value in given.items() if isinstance(given, dict) else ():
            if isinstance(value, bool):
                yield f".{key}.{name}", str(value).lower()
    if isinstance(value := schema.get("items"), bool):
        yield ".items", str(value).lower()


def _in_all(places: list[_Place]) -> Iterator[Breach]:
    names = [name for p in places for name, _ in _members(p.schema.get("properties"))]
    defined = [
        name
        for p in places
        for key in ("$defs", "definitions")
        for name, _ in _members(p.schema.get(key))
    ]
    values = [value for p in places for value in _listed(p.schema.get("enum"))]
    fixed = [p.schema["const"] for p in places if "const" in p.schema]
    characters = sum(
        len(text) for text in (*names, *defined, *values, *fixed) if isinstance(text, str)
    )
    for what, count, most in (
        ("properties", len(names), PROPERTIES_MOST),
        ("enum values", len(values), ENUM_VALUES_MOST),
        ("characters of names and values", characters, CHARACTERS_MOST),
    ):
        if count > most:
            yield Breach("$", f"{count:,} {what}, more than {most:,}")


def _members(value: Json) -> list[tuple[str, JsonObject]]:
    return (
        [(k, v) for k, v in value.items() if isinstance(v, dict)] if isinstance(value, dict) else []
    )


def _listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
