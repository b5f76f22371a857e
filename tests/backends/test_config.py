"""batchrun.toml and the environment: what is found where, what wins, and what each mistake says."""

import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from batchrun.backends.base import DIRECT_TRAITS, AttachMode, Traits
from batchrun.backends.embedded import EmbeddedBackend
from batchrun.backends.opening import open_backend, service_folder
from batchrun.config import Config, load_config
from batchrun.errors import BackendError, UsageError
from batchrun.model import Limits, Rates
from batchrun.profiles import BackendKind
from batchrun.profiletables import _SERVER_KEYS as SERVER_KEYS
from batchrun.testing import ManualClock

KEY = "sk-canary-0123456789abcdef"

Load = Callable[..., Config]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Write the settings file and load it for a job file beside it."""

    def write_and_load(text: str = "", **environ: str) -> Config:
        (tmp_path / "batchrun.toml").write_text(text, encoding="utf-8")
        return load_config(tmp_path / "job.jsonl", None, environ)

    return write_and_load


def mistakes(load: Load, text: str) -> str:
    with pytest.raises(UsageError) as caught:
        load(text)
    return str(caught.value)


def test_without_a_file_there_are_the_three_built_in_profiles() -> None:
    config = load_config(None, None, {})
    assert set(config.profiles) == {"openai", "local", "direct"}
    openai, local = config.profile("openai"), config.profile("local")
    assert (openai.kind, local.kind) == (BackendKind.OPENAI, BackendKind.LOCAL)
    assert openai.base_url == "https://api.openai.com/v1"
    assert openai.traits == Traits(settle_s=900, second_settle_s=3600)
    assert (local.traits.settle_s, local.traits.executes_in_process) == (0, True)
    assert openai.limits == Limits()
    assert config.path is None


def test_the_environment_shapes_the_built_in_profile_and_empty_counts_as_unset() -> None:
    environ = {
        "OPENAI_BASE_URL": "https://proxy.example/v1/",
        "OPENAI_ORG_ID": "org-1",
        "OPENAI_PROJECT_ID": "proj-1",
        "OPENAI_API_KEY": KEY,
        "BATCHRUN_BACKEND": "local",
    }
    config = load_config(None, None, environ)
    profile = config.profile("openai")
    assert profile.base_url == "https://proxy.example/v1"
    assert (profile.organization, profile.project) == ("org-1", "proj-1")
    assert profile.key.reveal() == KEY
    assert config.backend == "local"
    empty = load_config(None, None, dict.fromkeys(environ, ""))
    assert empty.profile("openai").base_url == "https://api.openai.com/v1"
    assert empty.profile("openai").organization == ""
    assert empty.backend is None


def test_a_table_changes_the_built_in_profile_but_the_environment_wins(load: Load) -> None:
    text = '[profile.openai]\nbase_url = "https://eu.api.openai.com/v1"\nproject = "p"'
    assert load(text).profile("openai").base_url == "https://eu.api.openai.com/v1"
    config = load(text, OPENAI_BASE_URL="https://x.example", OPENAI_PROJECT_ID="q")
    assert config.profile("openai").base_url == "https://x.example"
    assert config.profile("openai").project == "q"


def test_a_profile_of_ones_own_takes_nothing_from_the_variables_of_openai(load: Load) -> None:
    config = load(
        '[profile.groq]\nbase_url = "https://api.groq.example/v1"\napi_key_env = "GROQ_KEY"',
        OPENAI_BASE_URL="https://x.example",
        OPENAI_ORG_ID="org-1",
        OPENAI_API_KEY=KEY,
        GROQ_KEY="gsk-1",
    )
    profile = config.profile("groq")
    assert profile.base_url == "https://api.groq.example/v1"
    assert profile.organization == ""
    assert profile.key.reveal() == "gsk-1"


def test_every_key_of_a_table_is_read(load: Load, tmp_path: Path) -> None:
    config = load(
        """
        [profile.work]
        backend = "openai"
        base_url = "https://llm.example/v1/"
        api_key_file = "key.txt"
        organisation = "org"
        project = "proj"
        settle_s = 1
        second_settle_s = 2
        poll_s = 3
        refusals_final = false
        listing_echoes = false
        [profile.work.limits]
        request_count = 4
        input_bytes = 5
        embedding_inputs = 6
        [profile.big]
        backend = "local"
        model_file = "models/big.gguf"
        limits = {request_count = 7}
        """
    )
    work, big = config.profile("work"), config.profile("big")
    assert work.base_url == "https://llm.example/v1"
    assert work.key.file == tmp_path / "key.txt"
    assert (work.organization, work.project) == ("org", "proj")
    assert work.limits == Limits(request_count=4, input_bytes=5, embedding_inputs=6)
    assert work.traits == Traits(
        settle_s=1, second_settle_s=2, poll_s=3, refusals_final=False, listing_echoes=False
    )
    assert big.kind is BackendKind.LOCAL
    assert big.model_file == tmp_path / "models/big.gguf"
    assert big.limits == Limits(request_count=7)


def test_a_loopback_address_keeps_the_waits_of_openai_unless_told_otherwise(load: Load) -> None:
    config = load(
        '[profile.a]\nbase_url = "http://localhost:8000/v1"\n'
        '[profile.b]\nbase_url = "http://[::1]:8000/v1"\nsettle_s = 0\nsecond_settle_s = 0'
    )
    assert config.profile("a").traits == Traits()
    assert config.profile("b").traits == Traits(settle_s=0, second_settle_s=0)


def test_the_built_in_direct_profile_asks_the_server_of_openai(load: Load) -> None:
    text = (
        '[profile.openai]\nproject = "p"\n[profile.direct]\nconcurrency = 8\ntokens_per_minute = 9'
    )
    config = load(text, OPENAI_BASE_URL="https://x.example", OPENAI_API_KEY=KEY)
    direct = config.profile("direct")
    assert (direct.kind, direct.base_url) == (BackendKind.DIRECT, "https://x.example")
    assert (direct.project, direct.key.reveal()) == ("p", KEY)
    assert direct.rates == Rates(concurrency=8, tokens_per_minute=9)
    assert direct.traits == DIRECT_TRAITS
    own = load('[profile.direct]\nbase_url = "https://other.example"\napi_key_env = "K"', K="k-1")
    assert own.profile("direct").base_url == "https://other.example"
    assert own.profile("direct").key.reveal() == "k-1"


def test_every_profile_with_batches_has_a_live_twin(load: Load) -> None:
    config = load(
        """
        [profile.work]
        base_url = "https://llm.example/v1"
        api_key_env = "K"
        organization = "org"
        requests_per_minute = 60
        timeout_s = 5
        delete_remote = true
        [profile.other]
        live = "near"
        [profile.near]
        backend = "direct"
        base_url = "http://localhost:8000/v1"
        """,
        K="k-1",
    )
    assert config.live_twin("work") == "work:live"
    twin = config.profile("work:live")
    assert (twin.name, twin.kind, twin.traits) == ("work:live", BackendKind.DIRECT, DIRECT_TRAITS)
    assert (twin.base_url, twin.organization) == ("https://llm.example/v1", "org")
    assert (twin.key.reveal(), twin.delete_remote) == ("k-1", False)
    assert twin.rates == Rates(requests_per_minute=60, timeout_s=5)
    assert config.live_twin("other") == "near"
    assert [config.live_twin(name) for name in ("near", "local", "direct")] == [
        *("near", "local", "direct")
    ]
    assert config.in_process == {
        *("local", "direct", "near", "openai:live", "work:live", "other:live")
    }
    assert config.find("local:live") is None


def test_each_direct_profile_has_a_folder_of_its_own(load: Load, tmp_path: Path) -> None:
    config = load()
    folders = {
        name: service_folder(tmp_path, config.profile(name))
        for name in ("local", "direct", "openai:live")
    }
    assert folders == {
        "local": tmp_path / "service",
        "direct": tmp_path / "direct" / "direct",
        "openai:live": tmp_path / "direct" / "openai@live",
    }


def test_the_file_is_found_upwards_from_the_job_file(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / "batchrun.toml").write_text('[profile.far]\nbackend = "local"')
    assert load_config(deep / "job.jsonl", None, {}).path == tmp_path / "batchrun.toml"
    (tmp_path / "a" / "batchrun.toml").write_text('[profile.near]\nbackend = "local"')
    assert load_config(deep / "job.jsonl", None, {}).path == tmp_path / "a" / "batchrun.toml"
    assert load_config(deep, None, {}).path == tmp_path / "a" / "batchrun.toml"


def test_without_one_by_the_job_file_it_is_found_beside_the_home(tmp_path: Path) -> None:
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    for folder in (project, elsewhere):
        folder.mkdir()
    (project / "batchrun.toml").write_text("")
    home = project / ".batchrun"
    assert load_config(elsewhere / "job.jsonl", home, {}).path == project / "batchrun.toml"
    assert load_config(None, home, {}).path == project / "batchrun.toml"
    assert load_config(elsewhere / "job.jsonl", None, {}).path is None


@pytest.mark.skipif(os.name != "posix", reason="owners and modes are POSIX")
def test_a_file_that_others_can_change_is_not_read(load: Load, tmp_path: Path) -> None:
    load('[profile.x]\napi_key_command = "id"')
    (tmp_path / "batchrun.toml").chmod(0o666)
    with pytest.raises(UsageError, match="another user can change this file"):
        load_config(tmp_path / "job.jsonl", None, {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[profile.x", "not TOML: Expected"),
        ("[profile.x]\nsettle_s 3", "not TOML: .*line 2"),
        ("[profiles.x]", "unknown key 'profiles'"),
        ("profile = 3", "'profile' holds tables only"),
        ("[profile]\nx = 3", "'profile' holds tables only"),
        (
            "[profile.x]\nsetle_s = 3",
            r"\[profile\.x\] has an unknown key 'setle_s'\. Did you mean 'settle_s'\?",
        ),
        ("[profile.x]\nzzz = 3", r"unknown key 'zzz'\.$"),
        (
            "[profile.x.limits]\nrequests = 3",
            r"\[profile\.x\.limits\] has an unknown key 'requests'",
        ),
        ("[profile.x]\nlimits = 3", "it takes a table"),
        ("[profile.x.limits]\ninput_bytes = 0", "it takes a whole number from 1"),
        ("[profile.x]\nsettle_s = -1", "settle_s = -1; it takes a whole number from 0"),
        ("[profile.x]\nsettle_s = true", "it takes a whole number from 0"),
        ("[profile.x]\npoll_s = 0", "it takes a whole number from 1"),
        ("[profile.x]\nrefusals_final = 1", "it takes true or false"),
        ("[profile.x]\nbase_url = 3", "it takes a line of text"),
        ('[profile.x]\nproject = "a\\nb"', "it takes a line of text"),
        ('[profile.x]\nbackend = "azure"', "it takes 'openai', 'local' or 'direct'"),
        ("[profile.'..']", "may not have this name"),
        ("[profile.'openai:live']", "may not have this name"),
        ('[profile.direct]\nbackend = "openai"', "built in with backend = 'direct'"),
        ("[profile.direct]\nsettle_s = 1", "means nothing to this backend"),
        ("[profile.x]\nconcurrency = 0", "it takes a whole number from 1"),
        ('[profile.x]\nlive = "y"', "it takes the name of a profile with backend = 'direct'"),
        ('[profile.x]\nlive = "openai"', "it takes the name of a profile with backend = 'direct'"),
        ('[profile."a b"]', "may not have this name"),
        ('[profile.local]\nbackend = "openai"', "built in with backend = 'local'"),
        ('[profile.local]\nbase_url = "https://x.example"', "means nothing to this backend"),
        ('[profile.openai]\nmodel_file = "x.gguf"', "means nothing to this backend"),
        ('[profile.x]\napi_key_env = "A"\napi_key_file = "B"', "more than one of"),
        ('[profile.x]\napi_key_command = "a \'b"', "cannot be split"),
        ("[profile.x]\napi_key_command = [1]", "it takes a command"),
        ('[profile.x]\nbase_url = "http://api.groq.example/v1"', "in the clear"),
        ('[profile.x]\nbase_url = "api.groq.example/v1"', "looks like https://"),
        ('[profile.x]\nbase_url = "https://x.example/v1?a=1"', "no '\\?' or '#' part"),
        ('[profile.x]\nbase_url = "https://x.example:99999/v1"', "[Pp]ort"),
    ],
)
def test_a_mistake_is_named_with_its_table(
    load: Load, tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        load(text)
    assert str(caught.value).startswith(f"{tmp_path / 'batchrun.toml'}: ")


def test_all_mistakes_are_reported_at_once(load: Load) -> None:
    said = mistakes(load, "[profile.x]\nsettle_s = -1\nzzz = 1\n[profile.y]\nbase_url = 3")
    assert len(said.splitlines()) == 3


@pytest.mark.fault(57)
def test_a_password_in_an_address_is_refused_and_not_repeated(load: Load) -> None:
    said = mistakes(load, '[profile.x]\nbase_url = "https://me:hunter2@x.example/v1"')
    assert "holds a user or password" in said
    assert "hunter2" not in said


def test_a_file_that_is_not_utf8_or_not_a_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "batchrun.toml"
    path.write_bytes(b"# \xff\n")
    with pytest.raises(UsageError, match="not UTF-8 at byte 2"):
        load_config(tmp_path / "job.jsonl", None, {})
    path.unlink()
    path.mkdir()
    with pytest.raises(UsageError, match="Make it readable"):
        load_config(tmp_path / "job.jsonl", None, {})


def test_a_bad_address_in_the_environment_does_not_keep_other_profiles_from_working() -> None:
    config = load_config(None, None, {"OPENAI_BASE_URL": "nonsense"})
    assert config.profile("local").kind is BackendKind.LOCAL


def test_an_unknown_profile_is_named_with_the_nearest_known_one(load: Load) -> None:
    with pytest.raises(
        UsageError, match=r"no backend or profile 'opnai'\. Did you mean 'openai'\?"
    ):
        load().profile("opnai")
    with pytest.raises(UsageError, match=r"'opnai:live'\..* Add \[profile\.opnai\] to"):
        load().profile("opnai:live")
    with pytest.raises(UsageError, match=r"'direct' answers line by line itself\. Use 'direct'"):
        load().profile("direct:live")


def test_a_profile_shows_no_key(load: Load) -> None:
    config = load("[profile.x]", OPENAI_API_KEY=KEY)
    config.profile("openai").key.reveal()
    assert KEY not in repr(config)
    assert "KeySource(OPENAI_API_KEY, '***')" in repr(config)


def test_opening_a_profile_makes_no_connection_and_looks_for_no_key(
    load: Load, tmp_path: Path
) -> None:
    config = load('[profile.x]\napi_key_file = "gone"')
    for name, kind in (
        ("x", "RetryingBackend(OpenAIBackend("),
        ("local", "<batchrun"),
        ("x:live", "<batchrun"),
    ):
        backend = open_backend(config.profile(name), home=tmp_path / "home", clock=ManualClock())
        assert repr(backend).startswith(kind)
        assert backend.traits.executes_in_process is (name != "x")
        backend.close()
    assert not (tmp_path / "home").exists()


def test_the_local_profile_answers_with_its_own_model_file(load: Load, tmp_path: Path) -> None:
    profile = load('[profile.x]\nbackend = "local"\nmodel_file = "my.gguf"').profile("x")
    backend = open_backend(profile, home=tmp_path / "home", clock=ManualClock())
    assert isinstance(backend, EmbeddedBackend)
    with pytest.raises(BackendError, match=r"my\.gguf"):
        backend.service.respond("/v1/responses", {"model": "any", "input": "hello"})
    backend.close()


def test_waits_between_tries_go_through_the_clock(tmp_path: Path) -> None:
    environ = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    clock = ManualClock()
    start = clock.now()
    profile = load_config(None, None, environ).profile("openai")
    backend = open_backend(profile, home=tmp_path, clock=clock)
    with pytest.raises(Exception, match="cannot be reached"):
        backend.retrieve("batch_1")
    assert clock.now() - start >= 4
    backend.close()


def test_every_key_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    for key in (*SERVER_KEYS, "backend", "model_file", "limits", "OPENAI_BASE_URL"):
        assert f"`{key}`" in page
    for limit in fields(Limits):
        assert f"`{limit.name}`" in page


def test_the_example_of_the_documentation_is_read(load: Load) -> None:
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    example = page.split("```toml\n")[1].split("```")[0]
    profiles = load(example).profiles
    assert set(profiles) == {*("openai", "local", "direct", "groq", "azure", "nearby", "bigger")}
    assert profiles["azure"].key.describe() == "the command 'az-key'"


@pytest.mark.parametrize("key", ["organization", "organisation", "project"])
def test_what_goes_into_a_header_is_ascii(load: Load, key: str) -> None:
    told = mistakes(load, f'[profile.openai]\n{key} = "proj_日本"\n')
    assert f"[profile.openai] has {key} = 'proj_日本', which cannot be sent" in told


@pytest.mark.parametrize("variable", ["OPENAI_ORG_ID", "OPENAI_PROJECT_ID"])
def test_what_the_environment_puts_into_a_header_is_ascii(load: Load, variable: str) -> None:
    with pytest.raises(UsageError, match=f"^{variable}: 'é' cannot be sent") as caught:
        load("", **{variable: "é"})
    assert caught.value.exit_code == 2


def test_a_profile_says_how_attachments_travel(load: Load) -> None:
    assert load("").profile("openai").traits.attach is AttachMode.AUTO
    config = load('[profile.openai]\nattach = "upload"\n[profile.local]\n')
    assert config.profile("openai").traits.attach is AttachMode.UPLOAD
    assert config.profile("local").traits.attach is AttachMode.INLINE
    told = mistakes(load, '[profile.openai]\nattach = "fax"\n')
    assert "has attach = 'fax'; it takes 'inline', 'upload' or 'auto'" in told


@pytest.mark.parametrize("name", ["attach_from", "write_to"])
def test_folders_of_jobs_are_relative_to_the_file(load: Load, tmp_path: Path, name: str) -> None:
    assert getattr(load(""), name) == ()
    found = getattr(load(f'{name} = ["scans", "/data/manuals"]\n'), name)
    assert found == (tmp_path / "scans", Path("/data/manuals"))
    for wrong in ('"scans"', "[7]", '[""]'):
        told = mistakes(load, f"{name} = {wrong}\n")
        assert f"'{name}' is a list of folders" in told


def test_fees_of_tools_are_read_as_amounts(load: Load) -> None:
    assert load("").fees == {}
    found = load("[fee]\nweb_search = 0.01\nmine = 0\n").fees
    assert found == {"web_search": 10 * 10**9, "mine": 0}
    told = mistakes(load, '[fee]\nweb_search = "1 cent"\n')
    assert "[fee] has web_search = '1 cent'; it takes a number from 0" in told
    assert "'fee' is a table" in mistakes(load, "fee = 3\n")
