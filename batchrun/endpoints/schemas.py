"""The schema of a job's answers: what `build` asks the model for is what the reader checks, so both take it from here."""

from batchrun.model import JobSettings, JsonObject


def label_schema(labels: tuple[str, ...]) -> JsonObject:
    """The strict JSON Schema of a classification: {"label": one of `labels`}."""
    return {
        "type": "object",
        "properties": {"label": {"type": "string", "enum": list(labels)}},
        "required": ["label"],
        "additionalProperties": False,
    }


def schema_of(settings: JobSettings) -> JsonObject | None:
    """The schema that the answers must fit, given or made of the labels; None for plain text."""
    if settings.schema is None and settings.labels is not None:
        return label_schema(settings.labels)
    return settings.schema


def schema_name(settings: JobSettings) -> str:
    """The name that the API wants for a schema. It changes no answer, but it is part of the request hash: never change it."""
    return "answer" if settings.labels is None else "label"
