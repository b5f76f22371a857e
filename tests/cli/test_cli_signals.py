"""Signals inside one process: what the first one raises, what the second one does."""

import os
import signal
import threading

import pytest

from batchrun.cli.signals import Stopped, Terminated, stoppable


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "sigterm"]
)
@pytest.mark.fault(36)
def test_the_first_signal_ends_in_order(number: signal.Signals, code: int) -> None:
    with pytest.raises(Stopped) as stopped, stoppable():
        signal.raise_signal(number)
    assert stopped.value.exit_code == code


@pytest.mark.fault(36)
def test_the_second_signal_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)

    def work() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        finally:  # what takes too long to tidy up
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Stopped), stoppable():
        work()
    assert codes == [143]


def test_handlers_are_given_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with stoppable():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_whoever_tidies_up_after_ctrl_c_tidies_up_after_sigterm() -> None:
    assert issubclass(Terminated, KeyboardInterrupt)


def test_other_threads_leave_signals_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def work() -> None:
        with stoppable():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
