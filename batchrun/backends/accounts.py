"""Whose batches and lines a profile's are: its address, organisation and project, and a fingerprint of its key."""

import hashlib

from batchrun.backends.credentials import base_url_problem
from batchrun.errors import AuthError
from batchrun.model import Account
from batchrun.profiles import BackendKind, Profile

DIRECT_PREFIX = "direct:"  # before the base_url, where batches are in our own folder and only their lines go to the server

EMBEDDED_URL = "embedded:"  # in place of a base_url, where the model runs in our own process


def addresses_of(profile: Profile) -> tuple[str, ...]:
    """The base_urls that batches bear whose answers come from the server of this profile, asked by batch or line by line."""
    if profile.kind is BackendKind.LOCAL:
        return (EMBEDDED_URL,)
    base_url = profile.base_url.rstrip("/")
    return base_url, DIRECT_PREFIX + base_url


def key_of(profile: Profile) -> str:
    """The key, unless it would travel where it must not. Raises AuthError."""
    if wrong := base_url_problem(profile.base_url):
        raise AuthError(f"profile {profile.name!r} cannot use the base_url {wrong}.")
    return profile.key.reveal()


def account_of(profile: Profile, salt: bytes) -> Account:
    """The account as profile and key give it; the fingerprint is 16 hex digits of BLAKE2b, keyed with `salt`. Raises AuthError."""
    digest = hashlib.blake2b(key_of(profile).encode(), digest_size=8, key=salt[:64])
    prefix = DIRECT_PREFIX if profile.kind is BackendKind.DIRECT else ""
    return Account(
        base_url=prefix + profile.base_url.rstrip("/"),
        organization=profile.organization,
        project=profile.project,
        fingerprint=digest.hexdigest(),
    )
