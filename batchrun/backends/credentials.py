"""Where a key comes from and where it may go: looked up late, kept out of every repr, sent nowhere in the clear.

`KeySource` is a promise of a key. Building one touches nothing; `reveal` reads the variable or the file, or runs the command, once.
"""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from batchrun.errors import AuthError

NO_KEY = "none"  # something must be sent: clients and servers take an empty one for a mistake
COMMAND_TIMEOUT_S = 120  # password managers ask for a finger or a passphrase

# Of a resource there. Source: Microsoft's reference of the v1 API.
_AZURE: Final = (".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com")


@dataclass(slots=True, kw_only=True)
class KeySource:
    """A variable of `environ`, a file of mode 0600, or a command that prints the key; or none of them.

    `is_optional`: the server wants no key; where the variable is not set, or nothing is named, `NO_KEY` goes in its place.
    """

    variable: str = ""
    file: Path | None = None
    command: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_optional: bool = False
    _key: str = field(default="", init=False, repr=False, compare=False)

    def __repr__(self) -> str:
        return f"KeySource({self.describe()}, '***')"

    def describe(self) -> str:
        """What a message calls this source."""
        if self.variable:
            return self.variable
        if self.file is not None:
            return f"the file {self.file}"
        if self.command:
            return f"the command {self.command[0]!r}"
        return "no source"

    def reveal(self) -> str:
        """The key. Raises AuthError saying what to set where there is none, or where it cannot be a key."""
        if not self._key:
            self._key = self._checked(self._found())
        return self._key

    def _found(self) -> str:
        if self.variable:
            key = self.environ.get(self.variable, "").strip()
            if key or self.is_optional:
                return key or NO_KEY
            local = (
                " (or api_key_env, api_key_file or api_key_command in batchrun.toml). "
                "`--backend local` needs none."
            )
            raise AuthError(f"no API key: set {self.variable}{local}")
        if self.file is not None:
            return self._from_file(self.file)
        if self.command:
            return self._from_command()
        if self.is_optional:
            return NO_KEY
        raise AuthError(
            "no API key: this profile names none. Set api_key_env, api_key_file or api_key_command "
            "in its table of batchrun.toml. `--backend local` needs none."
        )

    def _from_file(self, file: Path) -> str:
        try:
            with file.open("rb") as opened:
                mode = os.fstat(opened.fileno()).st_mode
                if os.name == "posix" and mode & 0o077:
                    raise AuthError(
                        f"{file}: others may read this key (mode {mode & 0o777:04o}). "
                        f"Run: chmod 600 {file}"
                    )
                return opened.read(65_536).decode("utf-8", "replace").strip()
        except OSError as error:
            raise AuthError(
                f"{file}: the API key cannot be read: {error.strerror}. Create it with mode 0600."
            ) from error

    def _from_command(self) -> str:
        """Run the command; what it prints besides the key goes to stderr and is shown to the user, not to us."""
        try:
            done = subprocess.run(  # noqa: S603  # the user's own command, from a file that only the user can write; no shell
                self.command,
                stdout=subprocess.PIPE,
                timeout=COMMAND_TIMEOUT_S,
                check=False,
                env=dict(self.environ) or None,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            why = error.strerror if isinstance(error, OSError) else "it did not end in time"
            raise AuthError(
                f"api_key_command {self.command[0]!r} gave no key: {why}. Try it in a shell."
            ) from None
        if done.returncode:
            raise AuthError(
                f"api_key_command {self.command[0]!r} ended with {done.returncode}. Try it in a shell."
            )
        return done.stdout.decode("utf-8", "replace").strip()

    def _checked(self, key: str) -> str:
        if not key:
            raise AuthError(f"the API key from {self.describe()} is empty.")
        if not key.isascii() or not key.isprintable() or " " in key:
            raise AuthError(
                f"the API key from {self.describe()} holds a space, a line break or a character that no key has. "
                "Copy it again, alone."
            )
        return key


def base_url_problem(base_url: str) -> str:
    """What is wrong with an address, quoted and with what to do; "" where nothing is."""
    try:
        parts = urlsplit(base_url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"{base_url!r}: {error}"
    if "@" in parts.netloc:
        return "that holds a user or password. Name the key with api_key_env instead"
    if parts.scheme not in {"http", "https"} or not host or not base_url.isprintable():
        return f"{base_url!r}. It looks like https://api.openai.com/v1"
    if parts.query or parts.fragment:
        return f"{base_url!r}: it may have no '?' or '#' part"
    if parts.scheme == "http" and not is_loopback(base_url):
        return f"{base_url!r}: the key would travel in the clear. Use https, or http to this machine only"
    return ""


def host_of(base_url: str) -> str:
    """`https://api.openai.com/v1` -> `api.openai.com`, with the port where one is given."""
    return urlsplit(base_url).netloc.rpartition("@")[2]


def is_loopback(base_url: str) -> bool:
    """Whether the address is this machine's own, by its spelling: nothing is looked up."""
    host = urlsplit(base_url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_openai(base_url: str) -> bool:
    """Whether the address is OpenAI's own, in any region."""
    host = urlsplit(base_url).hostname or ""
    return host == "api.openai.com" or host.endswith(".api.openai.com")


def has_tiers(base_url: str) -> bool:
    """Whether the server is one whose `service_tier` decides about the price: OpenAI's own, or Azure's. Of any other nobody knows whether it takes that parameter."""
    host = urlsplit(base_url).hostname or ""
    return is_openai(base_url) or host.endswith(_AZURE)
