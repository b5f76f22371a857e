"""What the parameters of a call must look like, in the API's own terms. Pure.

Source of the limits: OpenAI's OpenAPI document (metadata, expiration policies, page sizes).
"""

from batchrun.model import Json, JsonObject
from batchrun.service.refusals import ServiceError, invalid_value, missing, wrong_type

PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
METADATA_PAIRS = 16
METADATA_KEY_CHARS = 64
METADATA_VALUE_CHARS = 512
MIN_LIFE_S = 3_600
MAX_LIFE_S = 2_592_000


def required_text(params: JsonObject, name: str) -> str:
    """A string parameter that must be there."""
    value = params.get(name)
    if value is None:
        raise missing(name)
    if not isinstance(value, str):
        raise wrong_type(name, "a string", value)
    if not value:
        raise missing(name)
    return value


def one_of(params: JsonObject, name: str, supported: tuple[str, ...]) -> str:
    """A string parameter that must be one of the supported ones."""
    value = required_text(params, name)
    if value not in supported:
        raise invalid_value(name, value, " and ".join(repr(one) for one in supported))
    return value


def metadata_of(params: JsonObject) -> dict[str, str] | None:
    """At most 16 pairs of strings, keys of at most 64 and values of at most 512 characters."""
    metadata = params.get("metadata")
    if metadata is None:
        return None
    if not isinstance(metadata, dict):
        raise wrong_type("metadata", "an object", metadata)
    if len(metadata) > METADATA_PAIRS:
        raise _above(
            "metadata", "object_above_max_properties", METADATA_PAIRS, len(metadata), "properties"
        )
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise wrong_type(f"metadata.{key}", "a string", value)
        if len(key) > METADATA_KEY_CHARS:
            raise _above(
                "metadata",
                "property_name_above_max_length",
                METADATA_KEY_CHARS,
                len(key),
                "characters",
            )
        if len(value) > METADATA_VALUE_CHARS:
            raise _above(
                f"metadata.{key}",
                "string_above_max_length",
                METADATA_VALUE_CHARS,
                len(value),
                "characters",
            )
    return metadata


def _above(param: str, code: str, limit: int, got: int, unit: str) -> ServiceError:
    message = f"Invalid '{param}': at most {limit} {unit} are allowed, got {got}."
    return ServiceError(status=400, message=message, code=code, param=param)


def life_of(policy: Json, name: str) -> int | None:
    """Seconds of an expiration policy `{"anchor": "created_at", "seconds": 3600..2592000}`; None where there is no policy."""
    if policy is None:
        return None
    if not isinstance(policy, dict):
        raise wrong_type(name, "an object", policy)
    one_of({f"{name}.anchor": policy.get("anchor")}, f"{name}.anchor", ("created_at",))
    seconds = policy.get("seconds")
    if seconds is None:
        raise missing(f"{name}.seconds")
    if type(seconds) is not int:
        raise wrong_type(f"{name}.seconds", "an integer", seconds)
    return whole_number(seconds, f"{name}.seconds", low=MIN_LIFE_S, high=MAX_LIFE_S)


def whole_number(value: int, name: str, *, low: int, high: int) -> int:
    """A number within its limits, both included."""
    if value < low or value > high:
        side = "below_min" if value < low else "above_max"
        raise ServiceError(
            status=400,
            message=f"Invalid '{name}': expected a value from {low} to {high}, got {value}.",
            code=f"integer_{side}_value",
            param=name,
        )
    return value
