"""What an answer's headers say about how fast its server may be asked. Pure.

Source of the names: OpenAI's guide to rate limits; Azure, Groq, Together and others use the same, with plain numbers of seconds at times.
"""

import re
from collections.abc import Mapping
from typing import Final

_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


def span_s(text: str) -> float | None:
    """`12ms`, `1s`, `6m0s`, `2m59.56s` or a plain number of seconds; None for anything else."""
    text = text.strip()
    parts = _PART.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * _UNITS_S[unit] for number, unit in parts)
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None


def exhausted_s(headers: Mapping[str, str], *, requests: int, tokens: float) -> float:
    """How long to wait where nothing is left of a limit, until it bears `requests` more, of `tokens` together; 0.0 where something is.

    The reset is when all of the limit is there again; a part of it is there earlier, which can be told where the limit is known.
    """
    waits = [0.0]
    for kind, needed, least in (
        ("requests", float(requests), 1.0),
        ("tokens", tokens, tokens / max(requests, 1)),
    ):
        left = span_s(headers.get(f"x-ratelimit-remaining-{kind}", ""))
        reset = span_s(headers.get(f"x-ratelimit-reset-{kind}", ""))
        if left is None or reset is None or left >= max(least, 1.0):
            continue
        limit = span_s(headers.get(f"x-ratelimit-limit-{kind}", ""))
        missing = (limit or 0.0) - left
        waits.append(reset * min(1.0, needed / missing) if missing > 0 else reset)
    return max(waits)
