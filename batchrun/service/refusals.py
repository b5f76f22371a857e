"""The one way in which the service says no: OpenAI's error object, with the HTTP status it travels under.

Raised by the service and by responders alike; `http.py` turns it into an answer, the executor into a line of the error
file, `backends/embedded.py` into the errors of `batchrun.errors`.
"""

from dataclasses import dataclass
from typing import ClassVar

from batchrun.errors import BatchrunError
from batchrun.model import JsonObject


@dataclass
class ServiceError(BatchrunError):
    """A refusal: `status` is HTTP's; `type`, `param` and `code` are spelled as the API spells them."""

    exit_code: ClassVar[int] = 6
    status: int
    message: str
    code: str | None = None
    param: str | None = None
    type: str = "invalid_request_error"

    def __str__(self) -> str:
        return self.message

    @property
    def body(self) -> JsonObject:
        """The JSON object of an HTTP error answer."""
        return error_body(self.message, type=self.type, param=self.param, code=self.code)


def error_body(
    message: str,
    *,
    type: str,  # noqa: A002 - the wire's word
    param: str | None = None,
    code: str | None = None,
) -> JsonObject:
    """The body of an HTTP error: `{"error": {"message", "type", "param", "code"}}`."""
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def missing(param: str) -> ServiceError:
    """A parameter that must be there is not."""
    return ServiceError(
        status=400,
        message=f"Missing required parameter: '{param}'.",
        code="missing_required_parameter",
        param=param,
    )


def wrong_type(param: str, wanted: str, got: object) -> ServiceError:
    """A parameter has another JSON type than `wanted` (an English noun phrase, as in "a string")."""
    return ServiceError(
        status=400,
        message=f"Invalid type for '{param}': expected {wanted}, but got {json_type(got)} instead.",
        code="invalid_type",
        param=param,
    )


def invalid_value(param: str, got: object, supported: str) -> ServiceError:
    """A parameter has a value outside `supported` (a list or a range, in English)."""
    return ServiceError(
        status=400,
        message=f"Invalid value: {got!r}. Supported values are: {supported}.",
        code="invalid_value",
        param=param,
    )


def json_type(value: object) -> str:
    """What JSON calls the type of a decoded value, with its article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list() | tuple():
            return "an array"
        case _:
            return "an object"
