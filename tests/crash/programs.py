"""What a user does, as data: programs of whole commands over one job file, from the first submit to the last answer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from farside import Manners

JOB: Final = "reviews"
FILE: Final = "reviews.jsonl"
DAY_S: Final = 86_400
ENOUGH: Final = 400  # ticks; a program that is not done by then goes round in circles


@dataclass(frozen=True, slots=True)
class Call:
    """One command. A user whose command died gives it again, and may be told with `told` that it had come to its end."""

    words: tuple[str, ...]
    told: int = 0


@dataclass(frozen=True, slots=True)
class Until:
    """One command that waits, given again until it says that all is done."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ticks:
    """`batchrun tick` whenever something is due, until nothing ever will be: a crontab. What it asks of a person is looked up and said."""


@dataclass(frozen=True, slots=True)
class Write:
    """The job file, as it is from now on."""

    lines: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Lose:
    """The home is gone, with the ledger in it."""


@dataclass(frozen=True, slots=True)
class Pass:
    """Time passes."""

    seconds: int


Step: TypeAlias = Call | Until | Ticks | Write | Lose | Pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """`steps` in their order. `rules` script the service's answers. `is_exact`: outputs and executions are those of a run without
    trouble; where a cancel is a race by its nature, only the truth of the service and the books must agree. `has_late`: creates may
    be late; where a ledger is lost, nobody is left who knows of such a one. `forgets`: the item that is forgotten, by its number; its text,
    which must be found nowhere then, is `forgets`' own.
    """

    name: str
    steps: tuple[Step, ...]
    rules: Sequence[dict[str, Any]] = ()
    manners: Manners = field(default_factory=Manners)
    is_exact: bool = True
    has_late: bool = True
    forgets: int | None = None


def job_lines(*texts: str, **settings: Any) -> tuple[dict[str, Any], ...]:
    """A job of these texts as items i0, i1, …; every fourth wants another model, so that there are two batches."""
    head = {
        "job": JOB,
        "model": "gpt-4.1-mini",
        "prompt": "Review: {{ text }}",
        "max_output_tokens": 1000,
        "output": {"csv": True, "files": "{{ id }}.txt"},
        **settings,
    }
    other = {3: {"model": "gpt-4.1"}}
    return (
        head,
        *({"id": f"i{n}", "text": text, **other.get(n % 4, {})} for n, text in enumerate(texts)),
    )


_FIRST: Final = job_lines("text 0", "text 1", "text 2", "text 3")
PERSONAL: Final = "Jane Roe of 4 Mill Lane"  # the text of the item that a program forgets
_PERSONAL: Final = job_lines("text 0", PERSONAL, "text 2", "text 3")
_CHANGED: Final = job_lines("text 0", "text one", "text 2", "text 3", "text 4")
# Asked again by itself; refused for good; refused once, so that `retry` helps.
_RULES: Final = (
    {"prompt": "text 1$", "times": 1, "status": 500},
    {"prompt": "text 2", "status": 400},
)
_REFUSED_ONCE: Final = ({"prompt": "text 2", "times": 1, "status": 400},)

_SUBMIT: Final = Call(("submit", FILE, "--json"))
_WAIT: Final = Until(("wait", "--json"))

_DOCTOR: Final = Call(("doctor", "--write", "--json"))
_RUN: Final = ("run", FILE, "--json")

PROGRAMS: Final = (
    Program(name="crontab", steps=(Write(_FIRST), _SUBMIT, Ticks()), rules=_RULES),
    Program(
        name="run",
        steps=(Write(_FIRST), *(Call((*_RUN, "--for", "2m")),) * 2, Until(_RUN)),
        rules=_RULES,
    ),
    Program(
        name="retry",
        steps=(
            Write(_FIRST),
            _SUBMIT,
            _WAIT,
            Call(("retry", JOB, "--json")),
            _WAIT,
            Call(("results", JOB)),
        ),
        rules=_REFUSED_ONCE,
    ),
    Program(
        name="changes",
        steps=(
            Write(_FIRST),
            _SUBMIT,
            _WAIT,
            Write(_CHANGED),
            _SUBMIT,
            Ticks(),
            Call(("status", "--json")),
        ),
        rules=_RULES,
    ),
    Program(
        name="cancel",
        steps=(
            *(Write(_FIRST), _SUBMIT, Pass(100), Call(("cancel", JOB, "--yes", "--json")), Ticks()),
            *(_SUBMIT, _WAIT),
        ),
        manners=Manners(line_s=60),
        is_exact=False,
    ),
    Program(
        name="keeping",
        steps=(
            *(Write(_PERSONAL), _SUBMIT, _WAIT, Call(("verify", "--json"))),
            Call(("forget", JOB, "i1", "--yes", "--json"), told=2),
            *(Call(("forget", "--yes", "--json")), Call(("prune", "--json")), Call(("verify",))),
        ),
        rules=_RULES,
        forgets=2,
    ),
    Program(
        name="recovery",
        steps=(
            Write(_FIRST),
            _SUBMIT,
            Pass(100),
            Lose(),
            Until(("recover", FILE, "--json")),
            _SUBMIT,
            _WAIT,
        ),
        rules=_RULES,
        has_late=False,
    ),
    Program(
        name="doubt",
        steps=(*(_DOCTOR, Write(_FIRST), _SUBMIT, _DOCTOR, Ticks()),),
        rules=_RULES,
        manners=Manners(late=(20, None), is_mute=True),
    ),
)
