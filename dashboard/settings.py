"""Settings under which the dashboard runs: closed to the outside, quiet, and in its own colours.

Plain data: the command line reads it before Streamlit is imported.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

#: Streamlit's own options, for every start.
PRODUCTION: dict[str, str] = {
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "server.maxUploadSize": "1",  # MB; nothing is uploaded, the YAML is pasted
    "server.maxMessageSize": "50",
    "server.enableStaticServing": "false",
    "server.enableXsrfProtection": "true",
    "browser.gatherUsageStats": "false",
    "client.showErrorDetails": "none",
    "client.toolbarMode": "viewer",
    "runner.magicEnabled": "false",
    "runner.fastReruns": "true",
    "logger.level": "warning",
}
_FONT = "sans-serif"
THEME: dict[str, str] = {
    "theme.font": _FONT,
    "theme.baseRadius": "6px",
    "theme.baseFontSize": "15",
    "theme.metricValueFontSize": "1.4rem",
    "theme.paddingTop": "1.2rem",
    "theme.paddingBottom": "2rem",
    "theme.light.primaryColor": "#0B63B0",
    "theme.light.backgroundColor": "#FFFFFF",
    "theme.light.secondaryBackgroundColor": "#F3F5F8",
    "theme.light.textColor": "#1F2933",
    "theme.light.borderColor": "#D9DFE6",
    "theme.dark.primaryColor": "#2F86D0",  # white is read on it, and it on the ground
    "theme.dark.linkColor": "#5BB8F0",
    "theme.dark.backgroundColor": "#0E1117",
    "theme.dark.secondaryBackgroundColor": "#1A1F29",
    "theme.dark.textColor": "#E8EAED",
    "theme.dark.borderColor": "#323A46",
}


def options(host: str, port: int, names: Iterable[str] = ()) -> dict[str, str]:
    """Return all options for one address; `names` are host names under which a browser may ask for it."""
    allowed = list(dict.fromkeys([host, "localhost", "127.0.0.1", *names]))
    listed = " ".join(allowed)  # the environment separates by spaces
    bound = {"server.address": host, "server.port": str(port), "server.allowedHosts": listed}
    return {
        **PRODUCTION,
        **THEME,
        **bound,
        "browser.serverAddress": "localhost" if host == "127.0.0.1" else host,
    }


def environment(found: dict[str, str]) -> dict[str, str]:
    """Return options as environment variables: `server.maxUploadSize` becomes `STREAMLIT_SERVER_MAX_UPLOAD_SIZE`."""
    return {_variable(name): value for name, value in found.items()}


def _variable(name: str) -> str:
    snake = "".join(f"_{c}" if c.isupper() else "_" if c == "." else c for c in name)
    return f"STREAMLIT_{snake.upper()}"


def script() -> str:
    """Return the file that Streamlit runs."""
    return str(Path(__file__).with_name("server.py"))
