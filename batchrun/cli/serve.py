"""`batchrun serve`: the Batch service over HTTP, to rehearse a night or to test any client of the Batch API."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.options import shared
from batchrun.cli.printing import put, put_json, tell

if TYPE_CHECKING:
    from batchrun.service.responders.base import Responder

KEY_VARIABLE = "BATCHRUN_SERVE_KEY"


@click.command(short_help="Serve the Batch API on this machine, for rehearsals.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8765,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--data",
    metavar="DIR",
    default=".batchrun-serve",
    show_default=True,
    help="Folder for files, batches and answers; served again, it goes on.",
)
@click.option("--model", metavar="FILE.gguf", help="Answer with this model.")
@click.option("--script", metavar="FILE", help="Answer from a script of rules instead of a model.")
@click.option(
    "--faults",
    metavar="FILE",
    help="Let go wrong what this fault script says (TOML or JSON), to rehearse a bad night.",
)
@click.option(
    "--api-key-env",
    metavar="NAME",
    default=KEY_VARIABLE,
    show_default=True,
    help="Environment variable that holds the key which clients must send.",
)
@click.option("--allow-remote", is_flag=True, help="Allow a --host that other machines can reach.")
@shared("json")
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    host: str,
    port: int,
    data: str,
    model: str | None,
    script: str | None,
    faults: str | None,
    api_key_env: str,
    allow_remote: bool,
) -> int:
    """Serve files, batches and the synchronous endpoints of the OpenAI API, answered by a model on this machine or by a script.

    Prints the base_url, and serves until Ctrl-C. Point any client at it, this one too: set OPENAI_BASE_URL to that address and
    OPENAI_API_KEY to the same key.
    """
    from batchrun.errors import UsageError

    if model is not None and script is not None:
        raise UsageError("--model and --script contradict each other. Keep one.")
    key = os.environ.get(api_key_env, "").strip()
    if not key:
        raise UsageError(
            f"no key: set {api_key_env} to any text that clients will send as their API key."
        )
    require_packages("serve")
    from batchrun.service.faults.script import read_faults
    from batchrun.service.running import serve

    faulty = None if faults is None else read_faults(Path(faults))

    def announce(base_url: str) -> None:
        if invocation.is_json:
            put_json({"base_url": base_url, "data": str(Path(data).absolute())})
            return
        put(base_url)
        tell(f"Serving {Path(data).absolute()}; Ctrl-C ends it.")
        for number, fault in enumerate(faulty.named.values() if faulty else (), 1):
            tell(f"Fault {number}, {fault}")

    serve(
        host=host,
        port=port,
        data=Path(data),
        responder=_responder(invocation, model, script, Path(data)),
        api_key=key,
        allow_remote=allow_remote,
        clock=invocation.clock,
        script=faulty,
        announce=announce,
    )
    return 0


def _responder(
    invocation: Invocation, model: str | None, script: str | None, data: Path
) -> "Responder":
    if script is not None:
        from batchrun.service.responders.scripted import ScriptedResponder

        # Served again, it goes on: with the counts of its rules, too.
        return ScriptedResponder.from_file(
            Path(script), clock=invocation.clock, seen=data / "script-seen"
        )
    from batchrun.errors import BackendError
    from batchrun.service.llama.discovery import find_model
    from batchrun.service.responders.llama import LlamaResponder

    # What is missing is told now, not by the first request.
    try:
        found = find_model(None if model is None else Path(model))
    except BackendError as exc:
        raise BackendError(
            f"{str(exc).rstrip('.')}. A service needs no model that answers from --script FILE."
        ) from exc
    return LlamaResponder(found)


def require_packages(command: str) -> None:
    """Raises UsageError where what an HTTP server needs is not installed."""
    from importlib.util import find_spec

    from batchrun.errors import UsageError

    if any(find_spec(name) is None for name in ("starlette", "uvicorn", "python_multipart")):
        raise UsageError(f"{command} needs more packages. Run: pip install 'batchrun[serve]'")
