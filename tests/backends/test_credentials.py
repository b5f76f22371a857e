"""Keys: found late, checked, never shown; addresses: judged by their spelling."""

import sys
from pathlib import Path

import pytest

from batchrun.backends.credentials import (
    KeySource,
    base_url_problem,
    has_tiers,
    host_of,
    is_loopback,
    is_openai,
)
from batchrun.errors import AuthError

KEY = "sk-canary-0123456789abcdef"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    path.chmod(0o600)
    return path


def printing(text: str, code: int = 0) -> tuple[str, ...]:
    return (sys.executable, "-c", f"import sys; print({text!r}); sys.exit({code})")


def test_a_key_comes_from_a_variable_a_file_or_a_command(key_file: Path) -> None:
    assert KeySource(variable="K", environ={"K": f" {KEY}\n"}).reveal() == KEY
    assert KeySource(file=key_file).reveal() == KEY
    assert KeySource(command=printing(KEY)).reveal() == KEY


def test_a_key_is_looked_up_once(key_file: Path) -> None:
    source = KeySource(file=key_file)
    assert source.reveal() == KEY
    key_file.unlink()
    assert source.reveal() == KEY


@pytest.mark.fault(55)
def test_no_repr_shows_the_key_or_the_environment(key_file: Path) -> None:
    for source in (
        KeySource(variable="K", environ={"K": KEY, "OTHER": "secret"}),
        KeySource(file=key_file),
        KeySource(command=printing(KEY)),
    ):
        source.reveal()
        assert KEY not in repr(source)
        assert "secret" not in repr(source)
        assert "***" in repr(source)


def test_a_missing_variable_says_what_to_set() -> None:
    with pytest.raises(AuthError) as caught:
        KeySource(variable="OPENAI_API_KEY").reveal()
    assert str(caught.value) == (
        "no API key: set OPENAI_API_KEY (or api_key_env, api_key_file or api_key_command in "
        "batchrun.toml). `--backend local` needs none."
    )
    with pytest.raises(AuthError, match="this profile names none"):
        KeySource().reveal()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
@pytest.mark.fault(55)
def test_a_key_file_that_others_may_read_is_refused(key_file: Path, mode: int) -> None:
    key_file.chmod(mode)
    with pytest.raises(AuthError, match=f"mode {mode:04o}.*chmod 600"):
        KeySource(file=key_file).reveal()


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AuthError, match=r"gone: the API key cannot be read: No such file"):
        KeySource(file=tmp_path / "gone").reveal()


def test_a_command_that_fails_is_named_without_its_output() -> None:
    with pytest.raises(AuthError, match="ended with 3") as caught:
        KeySource(command=printing(KEY, 3)).reveal()
    assert KEY not in str(caught.value)
    with pytest.raises(AuthError, match="no-such-command' gave no key: No such file"):
        KeySource(command=("no-such-command",)).reveal()


def test_a_command_sees_the_environment_it_was_given() -> None:
    command = (sys.executable, "-c", "import os; print(os.environ['MY_KEY'])")
    assert KeySource(command=command, environ={"MY_KEY": KEY}).reveal() == KEY


@pytest.mark.parametrize("text", ["", "   ", "two words", "line\nbreak", "kéy", "a\x00b", "“sk-x”"])
def test_what_cannot_be_a_key_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(AuthError) as caught:
        KeySource(file=path).reveal()
    assert not text.strip() or text not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1",
        "https://x.openai.azure.com/openai/v1/",
        "http://localhost:8000/v1",
        "http://127.9.9.9/v1",
        "http://[::1]:8000/v1",
        "http://batch.localhost/v1",
    ],
)
def test_a_safe_address_has_no_problem(url: str) -> None:
    assert base_url_problem(url) == ""


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.openai.com",
        "https://",
        "ftp://x.example",
        "http://x.example/v1",
        "http://localhost.evil.example/v1",
        "http://169.254.169.254/latest",
        "http://[::ffff:10.0.0.1]/v1",
        "https://[::1",
        "https://x.example:port/",
        "https://x.example/v1#a",
        "https://user@x.example/v1",
        "https://x.example/\x1b",
    ],
)
@pytest.mark.fault(57)
def test_an_unsafe_address_has_one(url: str) -> None:
    assert base_url_problem(url)


@pytest.mark.parametrize(
    ("base_url", "is_so"),
    [
        ("https://api.openai.com/v1", True),
        ("https://eu.api.openai.com/v1", True),
        ("https://mine.openai.azure.com/openai/v1", True),
        ("https://mine.services.ai.azure.com/openai/v1", True),
        ("https://mine.openai.azure.com.evil.example/v1", False),
        ("https://api.groq.com/openai/v1", False),
        ("http://127.0.0.1:8000/v1", False),
    ],
)
def test_servers_whose_tiers_are_known_are_told_by_their_host(base_url: str, is_so: bool) -> None:
    assert has_tiers(base_url) is is_so


def test_hosts_are_told_apart() -> None:
    assert host_of("https://me:pw@x.example:8443/v1") == "x.example:8443"
    assert is_openai("https://eu.api.openai.com/v1")
    assert not is_openai("https://api.openai.com.evil.example/v1")
    assert not is_loopback("http://x.example")
