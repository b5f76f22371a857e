"""Writing to the terminal: data to stdout, the rest to stderr, and no complaint when nobody reads any more.

Lines for people are made safe here, once for all commands: services, data, models and file names have a say in them, and a terminal obeys
what it is sent. JSON and results are data, and go out as they are.

A closed stdout (`batchrun run … | head -1`) must not stop paid work: what is printed after that goes nowhere and the command ends with
its own exit code.
"""

import os
import sys
from typing import Any, TextIO


def put(text: str, *, over: str = "") -> None:
    """One line or more of what was asked for. `over`: what we ourselves tell a terminal to do, before it."""
    _write(sys.stdout, f"{over}{safe(text)}\n")


def put_part(text: str) -> None:
    """The next part of what was asked for, which need not end its line."""
    _write(sys.stdout, safe(text))


def tell(text: str) -> None:
    """One line or more for people: progress, warnings, errors."""
    _write(sys.stderr, f"{safe(text)}\n")


def safe(text: str) -> str:
    """Lines that a terminal shows and does not obey."""
    lines = text.split("\n")
    if all(line.isprintable() for line in lines):
        return text
    from batchrun.outputs.escaping import printable

    return "\n".join(map(printable, lines))


def counted(count: int, noun: str) -> str:
    """`1 item`, `2,000 items`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def put_json(value: Any) -> None:
    """One JSON document in one line, UTF-8 whatever the terminal's encoding is."""
    import json

    put_bytes(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")


def tell_json(value: Any) -> None:
    """One JSON document in one line on stderr: the form that errors have under `--json`."""
    import json

    _write(sys.stderr, json.dumps(value) + "\n")


def put_bytes(block: bytes) -> bool:
    """Data as it is; False when nobody reads it any more."""
    stream = sys.stdout
    if stream is None:  # started with a closed stdout
        return False
    try:
        stream.flush()
        stream.buffer.write(block)
        stream.buffer.flush()
    except BrokenPipeError:
        _discard(stream)
        return False
    except OSError:
        _discard(
            stream
        )  # what is still buffered would fail once more when the interpreter ends, and change the exit code
        raise
    return True


def ask(question: str) -> bool:
    """Whether the person at the terminal says yes; anything else, the end of input too, is a no."""
    _write(sys.stderr, f"{safe(question)} [y/N]: ")
    _wait_for_a_line()
    # Not `input`: it swallows a Ctrl-C that comes while it flushes.
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _wait_for_a_line() -> None:
    """Until the terminal has a line to read. `readline` alone may miss a Ctrl-C that comes in the moment before it begins to wait."""
    import contextlib
    import select
    import signal
    import socket

    with contextlib.ExitStack() as stack:
        woken, waker = map(stack.enter_context, socket.socketpair())
        waker.setblocking(False)
        stack.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(waker.fileno()))
        while not select.select([sys.stdin, woken], [], [])[0].count(sys.stdin):
            woken.recv(1)  # a signal came; one that ends the command has raised by now


def can_ask() -> bool:
    """Whether somebody is there to be asked."""
    return is_terminal(sys.stdin) and is_terminal(sys.stderr)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person is likely to look at it now."""
    return stream is not None and not stream.closed and stream.isatty()


def _write(stream: TextIO | None, text: str) -> None:
    if stream is None:
        return
    encoding = stream.encoding or "utf-8"
    try:
        # A terminal that cannot show a character shows its number.
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except BrokenPipeError:
        _discard(stream)
    except OSError:
        _discard(stream)
        raise


def _discard(stream: TextIO) -> None:
    """Let everything written from now on vanish, the interpreter's own flush at exit included."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)
