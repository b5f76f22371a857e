"""What is known of other servers, as data: each preset is a table of `batchrun.toml` that lies beneath the user's own.

`[profile.NAME]` with `preset = "groq"` reads as if these keys were written in it; a key that is written there wins. None of it was tried
against the real server, unless a `quirk` says so: it is what their documents and their users say, with the date on which that was read.
docs/servers.md has a section for each.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from batchrun.model import Json

KEY_KEYS: Final = ("api_key_env", "api_key_file", "api_key_command")
READ_AT: Final = "2026-11-22"  # when the sources were read


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """One server. `table`: keys of a profile and their values, as TOML would give them.

    `example_url`: what its base_url looks like, where each user has another; "" where `table` has it. `quirks`: what is different there, and
    handled, or left for the user to do. `source`: where that is from.
    """

    title: str
    table: Mapping[str, Json]
    example_url: str = ""
    quirks: tuple[str, ...] = ()
    source: str

    def beneath(self, table: Mapping[str, Json]) -> Mapping[str, Json]:
        """What counts where `table` is silent: a key from another place than the preset's stands alone."""
        has_key = any(key in table for key in KEY_KEYS)
        return {
            key: value for key, value in self.table.items() if not (has_key and key in KEY_KEYS)
        }


_CHAT: Final = "/v1/chat/completions"
_UNTRIED: Final = {"settle_s": 1_800}  # nobody has measured how late a batch appears in its listing
_NO_BATCHES: Final = "it has no Batch API: lines are sent one by one, live"

PRESETS: Final[Mapping[str, Preset]] = {
    "openai": Preset(
        title="OpenAI",
        table={
            "base_url": "https://api.openai.com/v1",
            "api_key_env": "OPENAI_API_KEY",
            "windows": ["24h"],
            "limits": {
                "request_count": 50_000,
                "input_bytes": 200_000_000,
                "embedding_inputs": 50_000,
            },
            "endpoints": [
                *("/v1/responses", _CHAT, "/v1/embeddings", "/v1/completions", "/v1/moderations"),
                *("/v1/images/generations", "/v1/images/edits", "/v1/videos"),
            ],
        },
        source="OpenAI's Batch guide, 2026",
    ),
    "azure": Preset(
        title="Azure OpenAI",
        table={
            "api_key_env": "AZURE_OPENAI_API_KEY",
            "windows": ["24h"],
            "limits": {"request_count": 100_000, "input_bytes": 200_000_000},
            "endpoints": [_CHAT, "/v1/responses"],
            **_UNTRIED,
        },
        example_url="https://RESOURCE.openai.azure.com/openai/v1",
        quirks=(
            "'model' is the name of a Global-Batch or DataZone-Batch deployment",
            "jobs do not expire: one runs on after 24 h, until it ends or is cancelled",
            "the error file may be there and empty, and counts and the endpoint may be null",
            "a failed job may still name an output file",
            "embeddings and fine-tuned models are not served in batches",
        ),
        source="Microsoft's batch how-to, 2026-03; learn.microsoft.com questions 2108663 and 2285577",
    ),
    "litellm": Preset(
        title="LiteLLM proxy",
        table={"api_key_env": "LITELLM_PROXY_API_KEY", "listing_echoes": False, **_UNTRIED},
        example_url="https://litellm.example.com/v1",
        quirks=(
            "the proxy must know which server the batch goes to, by its own settings",
            "ids are long texts in base64",
            "whether its listing shows what batchrun knows its batches by was not confirmed, so it is not relied on",
            "up to 1.94.3 a wrong parameter is answered with 500, so that the create stays in doubt",
        ),
        source="docs.litellm.ai; BerriAI/litellm #37146, #34092, #33925",
    ),
    "groq": Preset(
        title="Groq",
        table={
            "base_url": "https://api.groq.com/openai/v1",
            "api_key_env": "GROQ_API_KEY",
            "windows": ["24h..7d"],
            "endpoints": [_CHAT],
            **_UNTRIED,
        },
        quirks=("how many lines and bytes a file may have was not confirmed",),
        source="console.groq.com/docs/batch",
    ),
    "together": Preset(
        title="Together AI",
        table={
            "base_url": "https://api.together.ai/v1",
            "api_key_env": "TOGETHER_API_KEY",
            "windows": ["24h"],
            "limits": {"request_count": 50_000, "input_bytes": 100_000_000},
            "endpoints": [_CHAT],
            "file_purpose": "batch-api",
            "poll_s": 60,
            **_UNTRIED,
        },
        quirks=(
            "statuses are in capitals, and times in ISO 8601",
            "a created batch comes inside {'job': …}, and the listing is a bare list",
            "a batch has no counts, and its error is a text",
            "failed lines are {custom_id, error}",
            "that POST /files takes an upload was not confirmed: their own client uploads elsewhere",
        ),
        source="docs.together.ai (batch inference, reference of batch-create and batch-list); mozilla-ai/any-llm #1273",
    ),
    "dashscope": Preset(
        title="DashScope (Model Studio)",
        table={
            "base_url": "https://dashscope.aliyuncs.com/compatible-mode/v1",
            "api_key_env": "DASHSCOPE_API_KEY",
            "windows": ["24h..336h"],
            "limits": {"request_count": 50_000, "input_bytes": 100_000_000},
            "endpoints": [_CHAT],
            **_UNTRIED,
        },
        quirks=(
            "each region has an address and models of its own",
            "windows beyond 24h and files beyond 100 MB are told of, and were not confirmed",
        ),
        source="help.aliyun.com, OpenAI-compatible Batch",
    ),
    "vllm": Preset(
        title="vLLM",
        table={
            "backend": "direct",
            "base_url": "http://127.0.0.1:8000/v1",
            "api_key_env": "VLLM_API_KEY",
            "needs_key": False,
        },
        quirks=(
            _NO_BATCHES,
            "`vllm run-batch` reads and writes files of the same form, without a server",
        ),
        source="docs.vllm.ai, OpenAI-compatible server; run_batch.py",
    ),
    "llamacpp": Preset(
        title="llama.cpp server",
        table={
            "backend": "direct",
            "base_url": "http://127.0.0.1:8080/v1",
            "api_key_env": "LLAMA_API_KEY",
            "needs_key": False,
        },
        quirks=(_NO_BATCHES,),
        source="the README of llama-server",
    ),
    "ollama": Preset(
        title="Ollama",
        table={
            "backend": "direct",
            "base_url": "http://127.0.0.1:11434/v1",
            "api_key_env": "OLLAMA_API_KEY",
            "needs_key": False,
        },
        quirks=(_NO_BATCHES, "on this machine it ignores the key"),
        source="docs.ollama.com, OpenAI compatibility",
    ),
    "newapi": Preset(
        title="new-api",
        table={"backend": "direct"},
        example_url="https://new-api.example.com/v1",
        quirks=(_NO_BATCHES, "its documents name no variable for its key"),
        source="QuantumNous/new-api #6535, open on 2026-07-30",
    ),
}
