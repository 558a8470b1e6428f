"""`tuner serve`: a bundle behind HTTP, on this machine unless somebody insists."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuner.cli.dashboard import is_local
from tuner.cli.worker import LogFormat

if TYPE_CHECKING:
    from tuner.serving.settings import Settings


def serve(
    bundle: Annotated[Path, typer.Argument(help="directory of a bundle", show_default=False)],
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="port to listen on; 0 for any")] = 8000,
    name: Annotated[str | None, typer.Option(help="the model's name (default: the directory's)")] = None,
    replicas: Annotated[
        int | None, typer.Option(min=1, help="sessions, each with threads of its own (default: as measured)")
    ] = None,
    slots: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=64,
            help="answers that a session makes together, where its engine can (default: as measured with several "
            "clients, else 8, or 1 where it drafts)",
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="of each session (default: as measured)")] = None,
    queue: Annotated[int, typer.Option(min=0, help="requests that may wait; beyond it: 429")] = 16,
    timeout: Annotated[float, typer.Option(min=0.1, help="seconds of a request, waiting included")] = 300.0,
    grace: Annotated[int, typer.Option(min=0, help="seconds to finish answers when told to leave")] = 30,
    api_key: Annotated[
        str | None,
        typer.Option(envvar="TUNER_API_KEY", help="clients must send it (better by the environment)"),
    ] = None,
    allow_public: Annotated[
        bool, typer.Option("--allow-public", help="let others in without a key; better set one")
    ] = False,
    log_format: Annotated[
        LogFormat, typer.Option(help="lines on stderr: for people, or JSON")
    ] = LogFormat.text,
) -> None:
    """Serve a bundle over HTTP, a chat model as OpenAI does.

    Chat bundles answer /v1/chat/completions and /v1/completions, classifiers /v1/classify. SIGTERM or Ctrl-C takes no
    more requests and finishes the answers under way; a second Ctrl-C ends at once.
    """
    import json

    from tuner.errors import InputError
    from tuner.serving.settings import Settings

    if api_key is not None and not api_key.strip():
        raise typer.BadParameter("--api-key: is empty; leave it out, or set TUNER_API_KEY to a key")
    if not is_local(host) and api_key is None and not allow_public:
        raise InputError(
            f"--host {host}: others could reach it and nobody would need a key; set TUNER_API_KEY, or insist with "
            "--allow-public"
        )
    if replicas is None:
        try:
            replicas = int(json.loads((bundle / "bundle.json").read_text()).get("replicas", 1))
        except (OSError, ValueError):
            replicas = 1  # what is wrong with the bundle is said where it is opened
    settings = Settings(
        name or bundle.resolve().name,
        host,
        port,
        replicas,
        threads,
        queue,
        timeout,
        grace,
        api_key,
        slots=slots,
    )
    _run(bundle, settings, log_format)


def _run(bundle: Path, settings: Settings, log_format: LogFormat) -> None:
    import signal

    from tuner.cli.guard import INTERRUPTED
    from tuner.cli.output import note, working
    from tuner.errors import InputError

    try:
        from tuner.serving.logs import log_to_stderr
        from tuner.serving.server import serve as listen
    except ImportError as error:
        raise InputError(
            f"the server is not installed ({error}); install it with: pip install 'tuner[serve]'"
        ) from None
    log_to_stderr(log_format.value)
    with working():
        told = listen(
            bundle, settings, lambda at: note(f"tuner serve: {settings.name} on {at}/v1  (Ctrl-C ends it)")
        )
    if told == signal.SIGINT:
        raise typer.Exit(INTERRUPTED)
