"""Presets: each lies beneath the user's own table, is whole, and is documented."""

import re
from pathlib import Path

import pytest

from batchrun.backends.presets import PRESETS
from batchrun.config import Config, load_config
from batchrun.errors import UsageError
from batchrun.model import Limits
from batchrun.profiles import BackendKind, Profile

SERVERS = (Path(__file__).parents[2] / "docs/servers.md").read_text("utf-8")


def config(folder: Path, text: str, **environ: str) -> Config:
    (folder / "batchrun.toml").write_text(text)
    return load_config(folder, None, environ)


def profile(folder: Path, keys: str, **environ: str) -> Profile:
    return config(folder, f"[profile.mine]\n{keys}\n", **environ).profile("mine")


SNIPPETS = re.findall(r"^```toml\n(.*?)^```", SERVERS, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_every_table_of_the_page_can_be_pasted(tmp_path: Path, snippet: str) -> None:
    named = re.findall(r"^\[profile\.(\w+)\]", snippet, re.MULTILINE)
    assert set(config(tmp_path, snippet).profiles) == {"openai", "local", "direct", *named}


def test_all_tables_of_the_page_stand_together(tmp_path: Path) -> None:
    """And together they show every preset."""
    found = config(tmp_path, "\n".join(SNIPPETS))
    assert len(SNIPPETS) == len(PRESETS) + 2
    assert {made.preset for made in found.profiles.values()} == {"", *PRESETS}


def of(name: str) -> str:
    """The shortest table with this preset."""
    preset = PRESETS[name]
    keys = {"preset": name, "base_url": preset.example_url}
    keys["api_key_env"] = "" if "api_key_env" in preset.table else "MY_KEY"
    return "".join(f'{key} = "{value}"\n' for key, value in keys.items() if value)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_makes_a_whole_profile(tmp_path: Path, name: str) -> None:
    preset = PRESETS[name]
    made = profile(tmp_path, of(name))
    assert made.preset == name
    assert made.kind == preset.table.get("backend", "openai")
    assert made.base_url == (preset.table.get("base_url") or preset.example_url)
    assert made.key.variable == preset.table.get("api_key_env", "MY_KEY")
    assert list(made.windows) == preset.table.get("windows", [])
    assert list(made.endpoints) == preset.table.get("endpoints", [])
    assert preset.source
    assert preset.title
    assert made.label == f"profile 'mine' (preset '{name}')"


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_a_section_that_says_what_is_known(name: str) -> None:
    preset = PRESETS[name]
    assert f'preset = "{name}"' in SERVERS
    for fact in (preset.title, preset.source, str(preset.table.get("api_key_env", "api_key_env"))):
        assert fact in SERVERS, fact


def test_what_is_written_wins_over_the_preset(tmp_path: Path) -> None:
    made = profile(
        tmp_path,
        'preset = "together"\nbase_url = "https://eu.example.com/v1/"\nwindows = ["24h..48h"]\n'
        "poll_s = 5\nlimits = { request_count = 10 }",
    )
    assert made.base_url == "https://eu.example.com/v1"
    assert (made.windows, made.window, made.traits.poll_s) == (("24h..48h",), "24h", 5)
    assert made.limits == Limits(request_count=10, input_bytes=100_000_000)
    assert (made.file_purpose, made.traits.settle_s) == ("batch-api", 1_800)


def test_a_key_from_another_place_stands_alone(tmp_path: Path) -> None:
    made = profile(tmp_path, 'preset = "groq"\napi_key_file = "groq.key"')
    assert (made.key.variable, made.key.file) == ("", tmp_path / "groq.key")


@pytest.mark.parametrize("name", ["openai", "direct"])
def test_openais_variables_send_no_other_servers_key_to_openai(tmp_path: Path, name: str) -> None:
    environ = {"OPENAI_BASE_URL": "https://api.openai.com/v1", "OPENAI_ORG_ID": "org-1"}
    made = config(tmp_path, f'[profile.{name}]\npreset = "groq"\n', **environ).profile(name)
    assert (made.base_url, made.organization) == ("https://api.groq.com/openai/v1", "")
    made = config(tmp_path, f'[profile.{name}]\npreset = "openai"\n', **environ).profile(name)
    assert made.organization == "org-1"


def test_a_server_with_batches_can_be_asked_line_by_line_all_the_same(tmp_path: Path) -> None:
    """What the preset says of batches means nothing then, and is no mistake of the user's."""
    made = profile(tmp_path, 'preset = "groq"\nbackend = "direct"')
    assert (made.kind, made.base_url) == (BackendKind.DIRECT, "https://api.groq.com/openai/v1")
    twin = config(tmp_path, f"[profile.mine]\n{of('groq')}").profile("mine:live")
    assert (twin.kind, twin.base_url, twin.preset) == (made.kind, made.base_url, "groq")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ('preset = "grok"', "preset = 'grok', which there is not. Did you mean 'groq'? Known: azure, "),
        ("preset = 3", "preset = 3, which there is not."),
        ('preset = "azure"', "needs a base_url with preset 'azure', such as 'https://RESOURCE.openai.azure.com/openai/v1'"),
        ('preset = "newapi"\nbase_url = "http://127.0.0.1:9/v1"', "needs one of api_key_env, api_key_file, api_key_command with preset 'newapi'"),
        ('preset = "groq"\nbase_url = ""', "needs a base_url with preset 'groq', such as 'https://api.groq.com/openai/v1'"),
        ('preset = ["groq"]', "preset = ['groq'], which there is not."),
        ('preset = "groq"\nlimits = 3', "has limits = 3; it takes a table"),
        ('preset = "groq"\nwindow = "30d"', "has window = '30d', which is none of its windows: 24h..7d"),
        ('window = "soon"', "has window = 'soon'; it takes a window such as '24h' or '7d'"),
        ('windows = ["7d..24h"]', "has '7d..24h' in windows; it takes windows such as '24h', and '24h..7d'"),
        ('windows = "24h"', "has windows = '24h'; it takes a list of texts"),
        ('preset = "groq"\nwindos = ["24h"]', "has an unknown key 'windos'. Did you mean 'windows'?"),
        ('backend = "direct"\nwindow = "24h"', "has 'window', which means nothing to this backend"),
        ('backend = "local"\npreset = "groq"', "has 'preset', which means nothing to this backend"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_the_preset_and_what_to_write(
    tmp_path: Path, keys: str, said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        profile(tmp_path, keys)
    assert said in str(caught.value)


def test_a_server_on_this_machine_needs_no_key_and_never_gets_openais(tmp_path: Path) -> None:
    made = profile(tmp_path, of("ollama"), OPENAI_API_KEY="sk-not-for-ollama")
    assert made.key.reveal() == "none"
    assert profile(tmp_path, of("ollama"), OLLAMA_API_KEY="k-1").key.reveal() == "k-1"
    bare = 'backend = "direct"\nbase_url = "http://127.0.0.1:9/v1"\nneeds_key = false'
    assert profile(tmp_path, bare, OPENAI_API_KEY="sk-not-for-it").key.reveal() == "none"


def test_the_teams_of_one_server_are_profiles_of_their_own(tmp_path: Path) -> None:
    found = config(
        tmp_path,
        '[profile.sales]\npreset = "openai"\napi_key_env = "SALES_KEY"\nproject = "proj_s"\n'
        '[profile.support]\npreset = "openai"\napi_key_env = "SUPPORT_KEY"\n',
        SALES_KEY="k-sales",
        SUPPORT_KEY="k-support",
    )
    sales, support = found.profile("sales"), found.profile("support")
    assert (sales.key.reveal(), support.key.reveal()) == ("k-sales", "k-support")
    assert (sales.project, support.project, sales.base_url) == ("proj_s", "", support.base_url)
