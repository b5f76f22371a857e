"""No more file descriptors, and children: plain errors, nothing lost, and nothing of ours in anybody else's hands."""

import json
import os
import sys
from pathlib import Path

import pytest
from clikit import FAST_PROFILE, program
from misbehaving import Server, refusal
from processkit import in_process
from runnerkit import World, items


@pytest.mark.parametrize("spare", [1, 2, 3, 4, 6, 8, 12])
@pytest.mark.parametrize("step", ["submit", "collect"])
@pytest.mark.fault(41)
def test_a_process_that_may_open_few_files_ends_in_order_and_loses_nothing(
    world: World, spare: int, step: str
) -> None:
    """`spare` descriptors beside those that are open once everything is imported."""
    world.write([*items(4), *items(6, model="other")[4:]], output={"csv": True})
    if step == "collect":
        world.submit()
        world.serve()
        world.clock.advance(60)
    world.embedded.close()
    done = in_process(
        world,
        f"""
        from batchrun.errors import BatchrunError
        def step():
            if {step!r} == "submit":
                error = world.submit().error
                if error is not None:
                    raise error
            result = world.tick()
            for problem in result.problems:
                raise problem
        try:
            step()
        except (BatchrunError, OSError) as error:
            print(type(error).__name__, error)
        """,
        before=f"""
        import batchrun.outputs.writing, batchrun.backends.embedded, tempfile, secrets
        world.api()
        count = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 16
        resource.setrlimit(resource.RLIMIT_NOFILE, (count + {spare}, count + {spare}))
        """,
    )
    assert done.returncode == 0, done.stderr
    assert spare > 2 or done.stdout, "with so few it cannot do its work"
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 6}
    assert set(world.executions().values()) == {1}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no list of open files here")
@pytest.mark.fault(41)
def test_a_child_inherits_no_file_of_ours(tmp_path: Path, server: Server) -> None:
    """The command that prints the key runs while ledger and lock are open: it sees its own three streams, and no more."""
    spy = tmp_path / "spy.py"
    spy.write_text(
        "import os\n"
        "found = {n: os.path.realpath(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')}\n"
        f"open({str(tmp_path / 'seen')!r}, 'a').write(repr(found) + '\\n')\n"
        "print('sk-key')\n"
    )
    command = json.dumps([sys.executable, str(spy)])
    server.then(*[refusal(401)] * 20)
    profile = f'{FAST_PROFILE}base_url = "{server.base_url}"\napi_key_command = {command}\n'
    (tmp_path / "batchrun.toml").write_text(profile)
    job = {"job": "faq", "model": "m", "prompt": "{{ text }}"}
    (tmp_path / "faq.jsonl").write_text(f'{json.dumps(job)}\n{{"id": "a", "text": "one"}}\n')
    program("submit", "faq.jsonl", cwd=tmp_path)
    seen = (tmp_path / "seen").read_text()
    assert seen
    assert ".batchrun" not in seen
    assert "batchrun.db" not in seen
    assert os.path.realpath(tmp_path / "faq.jsonl") not in seen


@pytest.mark.fault(41)
def test_a_key_command_that_cannot_be_started_is_a_plain_error(tmp_path: Path) -> None:
    (tmp_path / "batchrun.toml").write_text(
        f'{FAST_PROFILE}api_key_command = ["{tmp_path}/no-such-program"]\n'
    )
    job = {"job": "faq", "model": "m", "prompt": "{{ text }}"}
    (tmp_path / "faq.jsonl").write_text(f'{json.dumps(job)}\n{{"id": "a", "text": "one"}}\n')
    called = program("submit", "faq.jsonl", cwd=tmp_path)
    assert called.code == 6
    assert "gave no key: No such file or directory" in called.err
