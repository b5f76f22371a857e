import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.outputs.escaping import printable


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("plain, ünïcode, 日本語, 👍", "plain, ünïcode, 日本語, 👍"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b]52;c;aGk=\x07", "\\x1b]52;c;aGk=\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("user\u202etxt.exe", "user\\u202etxt.exe"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("lone \ud800", "lone \\ud800"),
        ("C:\\new", "C:\\new"),
    ],
)
def test_controls_are_shown_and_everything_else_stays(foreign: str, shown: str) -> None:
    assert printable(foreign) == shown


@given(st.text(alphabet=st.characters()))
@pytest.mark.fault(54)
def test_no_text_keeps_a_character_that_a_terminal_obeys(text: str) -> None:
    shown = printable(text)

    assert not [c for c in shown if unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"}]
    assert not [c for c in shown if unicodedata.bidirectional(c) in _BIDI_CONTROLS]
    shown.encode()  # and it can be printed at all


@given(st.text(alphabet=st.characters()))
def test_escaping_twice_changes_nothing_more(text: str) -> None:
    assert printable(printable(text)) == printable(text)


_BIDI_CONTROLS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
