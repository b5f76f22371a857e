import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchrun.outputs.names import NAME_LIMIT_BYTES, distinct_name, is_ours, safe_name

FOREIGN = st.text(alphabet=st.characters(), max_size=400)


@pytest.mark.parametrize("name", ["a1.md", "A-b_c.2.json", "0", "log-20260101.txt", "communism.md"])
def test_a_plain_name_stays_as_it_is(name: str) -> None:
    assert safe_name(name) == name


@given(FOREIGN)
@example("../../etc/passwd")
@example("/etc/passwd")
@example("..")
@example("")
@example("nul\x00byte")
@example("x" * 300 + ".md")
@example("あ" * 300)
@example("CON")
@example("nul.txt")
@example("COM1.md")
@example("aux ")
@example("dot.")
@example("-rf")
@example(".hidden")
@example("\ud800.md")
@pytest.mark.fault(51)
def test_no_text_gives_a_name_that_leaves_its_folder_or_that_a_file_system_refuses(
    text: str,
) -> None:
    name = safe_name(text)

    assert name.isascii()
    assert 1 <= len(name) <= NAME_LIMIT_BYTES
    assert not set(name) & set('/\\\x00:*?"<>| ')
    assert name not in {".", ".."}
    assert not name.startswith((".", "-", "~"))
    assert not name.endswith((".", " "))
    assert name.split(".")[0].split("~")[0].lower() not in _DEVICES
    assert is_ours(name)


@given(FOREIGN, FOREIGN)
@example("é", "e\u0301")
@example("a/b", "a%2Fb")
@example("x" * 300 + "1", "x" * 300 + "2")
@pytest.mark.fault(51)
def test_two_texts_never_share_a_name(one: str, other: str) -> None:
    if one != other:
        assert safe_name(one) != safe_name(other)


@pytest.mark.fault(51)
def test_the_two_forms_of_an_accent_give_names_that_no_file_system_makes_one() -> None:
    one, other = (safe_name(unicodedata.normalize(form, "café.md")) for form in ("NFC", "NFD"))

    assert one != other
    assert unicodedata.normalize("NFC", one) != unicodedata.normalize("NFC", other)


def test_a_changed_name_keeps_its_extension_and_what_can_be_read_of_it() -> None:
    name = safe_name("sub/article one.md")

    assert name.startswith("sub%2Farticle%20one~")
    assert name.endswith(".md")


@given(st.text("Ab~%.", min_size=1, max_size=8), st.text(min_size=1, max_size=8))
def test_a_name_made_distinct_is_never_an_unchanged_one(text: str, item_id: str) -> None:
    name = distinct_name(safe_name(text), item_id)

    assert safe_name(name) != name
    assert is_ours(name)


@pytest.mark.parametrize("name", ["", "..", "a/b", "../x", ".part", "x" * 201, "ü", "a b"])
def test_a_name_from_a_doctored_index_is_not_taken_for_ours(name: str) -> None:
    assert not is_ours(name)


_DEVICES = {"con", "prn", "aux", "nul", "com1", "lpt9"}
