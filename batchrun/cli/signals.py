"""Ctrl-C and SIGTERM: the first ends the command in order, the second at once; the ledger survives both, and kill -9 too.

For commands that change something or tidy up. The others die of signals as any program does, and do not pay for this import.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

import click

INTERRUPTED: Final = 128 + signal.SIGINT
TERMINATED: Final = 128 + signal.SIGTERM

_stopping = threading.Event()


class Terminated(KeyboardInterrupt):
    """SIGTERM: everything that tidies up after Ctrl-C tidies up after this."""


class Stopped(Exception):
    """A signal ended the command. (click would turn a KeyboardInterrupt into an error that has forgotten which one it was.)"""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


class LongRunning(click.Command):
    """A command whose end by a signal is told, with the command that goes on."""

    def invoke(self, ctx: click.Context) -> Any:
        """As click, but a signal ends it as Stopped."""
        with stoppable():
            return super().invoke(ctx)


@contextmanager
def stoppable() -> Iterator[None]:
    """Turn the first signal into Stopped, once everything under way has been left in order."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals belong to the main thread's program
        return
    before: dict[int, Callable[..., Any] | int | None] = {
        number: signal.signal(number, _stop) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    except KeyboardInterrupt as exc:
        code = TERMINATED if isinstance(exc, Terminated) else INTERRUPTED
        raise Stopped(code) from exc
    finally:
        _stopping.clear()
        for number, handler in before.items():
            signal.signal(number, handler)


def is_stopping() -> bool:
    """Whether the first signal has come, for threads that the signal itself does not reach."""
    return _stopping.is_set()


def _stop(number: int, _frame: FrameType | None) -> None:
    _stopping.set()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, _end_at_once)
    raise Terminated if number == signal.SIGTERM else KeyboardInterrupt


def _end_at_once(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)
