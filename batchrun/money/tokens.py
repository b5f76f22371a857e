"""Tokens of texts, exactly as OpenAI's own tokenizers count them, and which of these a model has.

The counting is toktok's, which carries the vocabularies with it: nothing is fetched. tests/money holds it against the reference. It is only
fast for many texts at a time, and one encoding costs 33 MB and half a second the first time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Final


class Encoding(StrEnum):
    """A vocabulary, by the name that it is known by."""

    O200K = "o200k_base"
    CL100K = "cl100k_base"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenizer:
    """How a model's tokens are counted here: `margin` is how many more there may be, as a share; `note` says why, "" where the count is exact."""

    encoding: Encoding
    margin: Fraction = Fraction(0)
    note: str = ""


# The longest beginning counts. Source: tiktoken 0.14's own table, which ends with gpt-5; gpt-oss has o200k with other special tokens only.
_ENCODINGS: Final = {
    "gpt-4o": Encoding.O200K,
    "gpt-4.1": Encoding.O200K,
    "gpt-4.5": Encoding.O200K,
    "gpt-5": Encoding.O200K,
    "gpt-oss": Encoding.O200K,
    "chatgpt-4o": Encoding.O200K,
    "o1": Encoding.O200K,
    "o3": Encoding.O200K,
    "o4-mini": Encoding.O200K,
    "gpt-4": Encoding.CL100K,
    "gpt-3.5": Encoding.CL100K,
    "gpt-35": Encoding.CL100K,
    "text-embedding-": Encoding.CL100K,
    "babbage-002": Encoding.CL100K,
    "davinci-002": Encoding.CL100K,
}
# Names that OpenAI gives; of these a newer one most likely keeps the newest vocabulary.
_OPENAI_NAMES: Final = ("gpt-", "chatgpt-", "codex-", "computer-use", "omni-", "text-", "o1", "o3", "o4", "o5")  # fmt: skip
_NEARBY: Final = Fraction(1, 20)
# What Llama, Qwen, Mistral and Gemma count of a text is a tenth to a quarter apart from o200k, more in other scripts than Latin.
_FOREIGN: Final = Fraction(1, 4)


def tokenizer_of(model: str) -> Tokenizer:
    """How the tokens of this model are counted; of a fine-tuned one (`ft:BASE:…`) as those of its base."""
    name = model.lower().rpartition("/")[2].removeprefix("ft:")
    known = max((begin for begin in _ENCODINGS if name.startswith(begin)), key=len, default=None)
    if known is not None:
        return Tokenizer(encoding=_ENCODINGS[known])
    encoding = Encoding.O200K
    if name.startswith(_OPENAI_NAMES):
        note = f"the tokenizer of {model!r} is not known here: counted as its nearest family, {encoding}, within 5 %"
        return Tokenizer(encoding=encoding, margin=_NEARBY, note=note)
    note = f"{model!r} has a tokenizer of its own: counted with {encoding}, and up to 25 % more is reckoned with"
    return Tokenizer(encoding=encoding, margin=_FOREIGN, note=note)


def count_texts(texts: Sequence[str], encoding: Encoding) -> list[int]:
    """The tokens of each text, in order. What looks like a special token (`<|endoftext|>`) is text, as it is to the service."""
    import toktok

    try:
        counts: list[int] = toktok.batch_count(texts, encoding, threads=1)
    except UnicodeEncodeError:
        counts = toktok.batch_count([_whole(text) for text in texts], encoding, threads=1)
    return counts


def _whole(text: str) -> str:
    """The text with U+FFFD for half of a surrogate pair, as the reference reads it."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
