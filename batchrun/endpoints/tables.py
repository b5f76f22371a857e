"""What each endpoint takes: the table of `parameter_table.json`, read when a body is checked and never before.

The table is data, made by `generate.py` from the SDK's types. In it a parameter is its kinds, `"string|null"`, or an object with `kinds` and,
where they are known, `values` and `fields`.
"""

import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Final

import msgspec

from batchrun.endpoints.parameters import Parameter
from batchrun.model import Json

TABLE_NAME: Final = "parameter_table.json"


@cache
def _endpoints() -> Mapping[str, Json]:
    text = pkgutil.get_data(__package__ or "", TABLE_NAME)
    assert text is not None, "the package is incomplete"
    endpoints: Mapping[str, Json] = msgspec.json.decode(text)["endpoints"]
    return endpoints


@cache
def parameters_of(url: str) -> Mapping[str, Parameter]:
    """The parameters of the endpoint at `url` by name. Raises KeyError for an endpoint that the table does not have."""
    return {name: _parameter(spelled) for name, spelled in _endpoints()[url].items()}


def _parameter(spelled: Json) -> Parameter:
    if isinstance(spelled, str):
        return Parameter(tuple(spelled.split("|")))
    fields = spelled.get("fields")
    return Parameter(
        tuple(spelled["kinds"].split("|")),
        tuple(spelled.get("values", ())),
        None if fields is None else {name: _parameter(inner) for name, inner in fields.items()},
    )
