"""`tuner dashboard`: the pages in a browser, on this machine unless somebody insists."""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import sys
from typing import Annotated

import typer

_LEAST_SECRET = 16  # characters of a cookie's secret
_NAMES = "TUNER_DASHBOARD_HOSTS"  # host names under which browsers may ask for it, separated by commas


def dashboard(
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="port to listen on")] = 8501,
    allow_public: Annotated[
        bool,
        typer.Option(
            "--allow-public",
            help="let others in without a login, as viewers; better configure OIDC (secrets.toml)",
        ),
    ] = False,
) -> None:
    """Open the dashboard in a browser.

    Launch studies, watch their fronts grow, choose a point, export it. It listens on this machine only. For others,
    configure an OIDC login of Streamlit's (`[auth]` in secrets.toml) and name who may change things in
    TUNER_DASHBOARD_OPERATORS, mail addresses separated by commas.
    """
    from tuner.cli.output import note
    from tuner.errors import InputError

    try:
        import click
        from streamlit.web import cli as streamlit

        from dashboard import settings
    except ImportError:
        raise InputError(
            "the dashboard is not installed; install it with: pip install 'tuner[dashboard]'"
        ) from None
    if has_login() and importlib.util.find_spec("authlib") is None:
        raise InputError(
            "a login is configured, but nobody could sign in: install it with: pip install 'tuner[dashboard]'"
        )
    public = not is_local(host)
    if public and not has_login() and not allow_public:
        raise InputError(
            f"--host {host}: others could reach it and nobody would have to sign in; configure an OIDC login "
            f"([auth] in .streamlit/secrets.toml, with redirect_uri and a cookie_secret of {_LEAST_SECRET} "
            "characters or more), or insist with --allow-public"
        )
    if public and not has_login():
        os.environ["TUNER_DASHBOARD_ROLE"] = "viewer"
    names = [name.strip() for name in os.environ.get(_NAMES, "").split(",") if name.strip()]
    os.environ.update(settings.environment(settings.options(host, port, names)))
    note(f"tuner dashboard: http://{'localhost' if is_local(host) else host}:{port}  (Ctrl-C ends it)")
    try:
        sys.exit(streamlit.main(["run", settings.script()], prog_name="streamlit", standalone_mode=False))
    except click.Abort:  # Ctrl-C, after which Streamlit has ended itself
        sys.exit(130)


def is_local(host: str) -> bool:
    """Say whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def has_login() -> bool:
    """Say whether an OIDC login is configured, where Streamlit looks for it.

    One whose cookies could be guessed is none: who knows the secret is whoever they like.
    """
    import tomllib
    from pathlib import Path

    for folder in (Path.cwd(), Path.home()):
        try:
            found = tomllib.loads((folder / ".streamlit" / "secrets.toml").read_text())
        except (OSError, ValueError):
            continue
        auth = found.get("auth") or {}
        if len(str(auth.get("cookie_secret", ""))) >= _LEAST_SECRET and auth.get("redirect_uri"):
            return True
    return False
