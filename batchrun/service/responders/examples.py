"""An instance of a JSON Schema, always the same: the first of everything that the schema leaves open. Pure."""

from batchrun.model import Json, JsonObject

_DEPTH_LIMIT = 32  # a schema that demands itself has no finite instance


def example_of(schema: Json, *, root: JsonObject | None = None, depth: int = 0) -> Json:
    """The simplest instance: `const`, the first of `enum` or `anyOf`, all properties, as few array items as allowed.

    Follows `$ref` within the schema. Formats and patterns are not met; a schema that would need them gets the word "example".
    """
    if not isinstance(schema, dict) or depth > _DEPTH_LIMIT:
        return None
    root = schema if root is None else root
    if "$ref" in schema:
        return example_of(_resolve(str(schema["$ref"]), root), root=root, depth=depth + 1)
    if "const" in schema:
        return schema["const"]
    for choices in (schema.get("enum"), schema.get("examples")):
        if isinstance(choices, list) and choices:
            return choices[0]
    for keyword in ("anyOf", "oneOf", "allOf"):
        branches = schema.get(keyword)
        if isinstance(branches, list) and branches:
            return example_of(branches[0], root=root, depth=depth + 1)
    return _example_of_type(schema, root, depth)


def _example_of_type(schema: JsonObject, root: JsonObject, depth: int) -> Json:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0] if kind else "null"
    match kind:
        case "object":
            properties = schema.get("properties", {})
            return {
                name: example_of(inner, root=root, depth=depth + 1)
                for name, inner in properties.items()
            }
        case "array":
            item = schema.get("items", {"type": "string"})
            least = schema.get("minItems", 0)
            return [example_of(item, root=root, depth=depth + 1) for _ in range(least)]
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return "example"


def _resolve(reference: str, root: JsonObject) -> Json:
    found: Json = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        if step:
            key = step.replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, dict) else None
    return found
