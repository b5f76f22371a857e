"""Who signed an event: OpenAI's signatures of webhooks, checked by the SDK on the bytes as they came."""

import base64
from collections.abc import Callable, Mapping
from typing import Final

from batchrun.errors import UsageError

_PREFIX: Final = "whsec_"

# (body, headers) -> whether the holder of the secret sent exactly this, within the last five minutes.
IsSigned = Callable[[bytes, Mapping[str, str]], bool]


def signature_check(secret: str) -> IsSigned:
    """How to tell events that bear a signature made with `secret`. Raises UsageError for a secret that can be none; it is never shown."""
    import openai

    if secret.startswith(_PREFIX):
        try:
            base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except ValueError as exc:
            raise UsageError(
                f"the webhook secret is damaged: after {_PREFIX} it must be base64. Copy it again from where the webhook was made."
            ) from exc
    # Makes no call: neither key nor address is ever used.
    client = openai.OpenAI(api_key="none", base_url="http://127.0.0.1")

    def is_signed(body: bytes, headers: Mapping[str, str]) -> bool:
        try:
            client.webhooks.verify_signature(body, headers, secret=secret)
        except (ValueError, TypeError):  # wrong, too old, absent; bytes that are no text
            return False
        return True

    return is_signed
