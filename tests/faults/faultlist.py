"""The catalogue of faults: what can go wrong around a batch, what batchrun does then, and which tests show it.

`python tests/faults/faultlist.py > docs/faults.md` writes the page. Tests say what they cover by `@pytest.mark.fault(7)`; test_faults.py fails
where a fault has none.
"""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parents[1]
_PAGE_HEAD: Final = """\
# Faults

What can go wrong around a batch, what batchrun does then, and the tests that show it. Written by `make docs` from
[tests/faults/faultlist.py](../tests/faults/faultlist.py) and from the marks on the tests; a fault without a test fails the build. What follows from all
this for money and answers is in [guarantees.md](guarantees.md), the exit codes are in [exit-codes.md](exit-codes.md).

"""


@dataclass(frozen=True, slots=True)
class Fault:
    """One row: what happens, and what batchrun does about it."""

    number: int
    what: str
    then: str


def _rows(text: str) -> Iterator[tuple[str, str]]:
    for line in text.strip().splitlines():
        what, then = line.split(" => ")
        yield what, then


_SECTIONS: Final = {
    "The service refuses": """
401: a wrong key => exit 6, naming where the key came from and never the key; other profiles go on, and with the right key everything does
403: no right to the model, the region or the project => as 401: exit 6 with the service's words; nothing of the batch ran, it is tried again later, and no other job waits for it
404 for a batch or a file => young: looked for again (reading lags behind writing); old: its items fail as `lost_result` and are asked again only with `--rerun-lost`, since they were probably billed
408, or a time-out after the request was sent => of a create: in doubt, looked for and never sent again blindly; of any other call: made again
409 => of a create: in doubt; of a cancel: the batch has ended and is read; of any other call: made again
413: the file is too large => the batch is cut in halves; a single request that is too large fails with the reason
429 with Retry-After => that wait is kept, seconds or a date, for an hour at most
429 without => tried again with growing, spread waits, and left to the next pass after a few tries
429 `insufficient_quota` => no rate limit: exit 6 with the service's words, not tried again in this pass; the profile sends nothing more for an hour, `status` says why
the queue of tokens is full => a free refusal: costs no attempt, and teaches how much fits; the batch waits for room, and what does not fit an empty queue is cut smaller
500, 502, 503, 504, 520 to 524 => of a create: in doubt; of any other call: made again
""",
    "The line is bad": """
connection refused, unknown host, no TLS => nothing was sent, so nothing is in doubt: tried again, then left to the next pass; exit 6 after 15 minutes
reset while sending => an upload is made again (free); a create is in doubt
reset while receiving => the part is dropped and fetched again
a body that is cut short and announces just that length => compared with the bytes that the service counted for the file, and with the final newline: fetched again, never read
a wrong or missing Content-Length => the same comparison
a body that drips => cut off below a minimum rate, and after a total time
broken compression, or a bomb => no compression is asked for; what inflates beyond the file's size is cut off
200 with HTML, or with nothing => not an answer: of a create in doubt, of any other call made again
a redirect => never followed: the key and the data go nowhere else
""",
    "The service is strange": """
an unknown status of a batch => polled on, an incident at once, a problem in every pass after two days
completed without an output file => everything failed: the error file is read; no file at all though requests were counted: given time, then `lost_result`
expired or cancelled with part of the answers => both files are read first; only the rest goes again, free of charge
counts that do not fit the lines => the lines count; what has none fails as `missing_result` and is not asked again unasked
two result lines of one custom_id => the first wins, the second is an incident
an unknown custom_id => an incident, never an output; the line stays in the spool
a result line that is no JSON object, or has no custom_id => an incident with its byte offset; the item is missing; a file with many of them is not believed
both an answer and an error, or neither; a status that is no number => the line's own error counts; a line with nothing fails as `malformed_result` and is not asked again unasked
a clock that jumps => waits that guard money count the shorter of our time and the service's; none is negative; expiry is the service's word
""",
    "This machine fails": """
the disk is full, or fails while writing => exit 7 with the path; what was being written is rolled back or dropped; room is looked for before anything is sent
fsync fails => exit 7: what was to be durable counts as not written, and is made anew by the next run
a home or folder that cannot be written => exit 7 before any call to the service
the ledger is locked by another process => waited for: a transaction up to half a minute (then exit 7), the home's lock as long as `--lock-wait` says (then exit 75)
a damaged ledger => exit 7 with SQLite's words and what to do, by the first command that meets a damaged page; `batchrun verify` reads every page; nothing is ever begun anew beside it, and the outputs that are there stay
a ledger of a newer version => exit 7; it is left as it is
SIGTERM or Ctrl-C => the transaction under way is rolled back or committed, a call under way is not waited for, nothing new is sent, exit 143 or 130; a second signal ends at once, like SIGKILL
SIGKILL or a power cut, anywhere => the next command goes on from the ledger; nothing is bought twice, lost, or half written
a closed pipe or a full disk under stdout => the work is done and recorded all the same
memory runs out => it does not depend on the size of the job; if the process dies all the same: as SIGKILL
two processes at once, or two copies of a home => one pass at a time; a copied home sends nothing
no more file descriptors or processes => a plain error or smaller files; nothing is lost; children inherit no file of ours
""",
    "The data are hard": """
NUL in a text => kept, there and back; refused in an id
lone surrogates => refused in the data with their line; in an answer replaced, never a crash
U+2028 and other line breaks inside a text => lines end at the newline and at nothing else
BOM, CRLF, no final newline, blank lines, UTF-16 => read as they are meant; UTF-16 is refused with what to do
lines of 10 MB and more => items up to 16 MB and result lines up to 64 MB are read; a longer one is a problem of its line, or an incident, and never held whole
JSON nested without end => in the data a problem of that line; in an answer a failure of that item; elsewhere in a result line an incident, and the item is missing
NaN, Infinity, 1e999 => refused in the data with their line; in an answer a failure of that item; elsewhere in a result line read over
numbers of any length => pass through digit for digit; a count of tokens that no ledger can hold is none, and costs no answer
duplicate keys => refused in the data with their line
""",
    "Someone means harm": """
an id that is no file name => per-item files are named by a safe part of it and a hash: nothing leaves its folder, no two share a name
a link or a FIFO planted where an output goes => replaced, never followed, nor is a ledger begun through one
text that a spreadsheet takes for a formula => defused in CSV; the JSON files have it as it is
text that a terminal obeys => control characters are shown, not sent, by every command, in logs and tracebacks too; files and `--json` have them as JSON spells them
the API key => only from a variable, a private file or a command; never stored, logged or shown
a home that others could read => folders 0700, files 0600, whatever the umask
an address that gives the key away => only https, or loopback; never from a job file
templates and schemas that reach out => templates see the item and nothing else, with a limit of steps and of text; schemas fetch and read nothing
""",
}


def faults() -> dict[str, list[Fault]]:
    """The catalogue by section; numbers run through it from 1."""
    found: dict[str, list[Fault]] = {}
    number = 0
    for section, text in _SECTIONS.items():
        found[section] = []
        for what, then in _rows(text):
            number += 1
            found[section].append(Fault(number, what, then))
    return found


def marked() -> dict[int, list[str]]:
    """Fault -> its tests as `path::name`, sorted; read from the sources, so that skipping or selecting changes nothing."""
    found: dict[int, set[str]] = defaultdict(set)
    for path in sorted(TESTS.rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        tables = _tables(tree)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for decorator in node.decorator_list:
                    for number in _numbers(decorator, tables):
                        found[number].add(f"{path.relative_to(TESTS).as_posix()}::{node.name}")
    return {number: sorted(tests) for number, tests in sorted(found.items())}


def _tables(tree: ast.Module) -> dict[str, ast.expr]:
    """What a module gives names to: a table of cases may stand above the test that is run over it."""
    return {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _numbers(decorator: ast.expr, tables: dict[str, ast.expr]) -> Iterator[int]:
    """The arguments of every `pytest.mark.fault(...)` in a decorator, also inside `parametrize` and in the tables that it names."""
    for node in ast.walk(decorator):
        match node:
            case ast.Name(id=name) if name in tables:
                yield from _numbers(tables[name], {})
            case ast.Call(func=ast.Attribute(attr="fault"), args=arguments):
                for argument in arguments:
                    number = ast.literal_eval(argument)
                    assert isinstance(number, int), "faults are named by their numbers"
                    yield number


def page() -> str:
    """docs/faults.md."""
    tests = marked()
    parts = [_PAGE_HEAD]
    for section, rows in faults().items():
        parts.append(
            f"## {section}\n\n| | what happens | what batchrun does | shown by |\n|---|---|---|---|\n"
        )
        for row in rows:
            shown = "<br>".join(
                f"[{_sentence(test)}](../tests/{test.partition('::')[0]})"
                for test in tests.get(row.number, ())
            )
            parts.append(f"| {row.number} | {row.what} | {row.then} | {shown} |\n")
        parts.append("\n")
    return "".join(parts).rstrip("\n") + "\n"


def _sentence(test: str) -> str:
    return test.partition("::test_")[2].replace("_", " ")


if __name__ == "__main__":
    sys.stdout.write(page())
