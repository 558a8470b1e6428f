"""A virtual environment of its own for each peer: made once, its time not the peer's, but told."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers.running import last_line


class InstallError(Exception):
    """The environment could not be made; the message is the installer's last line."""


@dataclass(frozen=True)
class Environment:
    """Its interpreter, the seconds that making it took, and the versions of what is in it."""

    python: Path
    seconds: float
    versions: dict[str, str] = field(default_factory=dict)


def environment_for(requirements: Path, folder: Path) -> Environment:
    """Return the environment in `folder`, made anew where the requirements have changed.

    Raises:
        InstallError: pip found no way.
    """
    stamp, wanted, python = folder / "peer.json", requirements.read_text(), folder / "bin" / "python"
    if not stamp.exists() or json.loads(stamp.read_text())["requirements"] != wanted:
        begin = time.monotonic()
        _install(requirements, folder, python)
        seconds = time.monotonic() - begin
        found = {"requirements": wanted, "seconds": seconds, "versions": _versions(python)}
        stamp.write_text(json.dumps(found, indent=1))
    stored: dict[str, Any] = json.loads(stamp.read_text())
    return Environment(python, stored["seconds"], stored["versions"])


def _install(requirements: Path, folder: Path, python: Path) -> None:
    log = folder.parent / f"{folder.name}.pip.log"
    folder.parent.mkdir(parents=True, exist_ok=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "-q", "-r", str(requirements)]
    with log.open("w") as stream:
        for command in ([sys.executable, "-m", "venv", "--clear", str(folder)], pip):
            if subprocess.run(command, stdout=stream, stderr=stream, check=False).returncode:
                raise InstallError(last_line(log))


def _versions(python: Path) -> dict[str, str]:
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "list", "--format=json"]
    found = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    return {one["name"]: one["version"] for one in found}
