"""Guard: whatever goes wrong becomes one line on stderr and the right exit code."""

from __future__ import annotations

import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tuner.errors import TunerError

FAILED, USAGE, INTERRUPTED = 1, 2, 130


def guarded(call: Callable[[], Any]) -> int:
    """Run a command and return the exit code: of a TunerError its own, 2 for usage, 1 for a surprise."""
    try:
        code = call()
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except TunerError as error:
        return _say(str(error) or type(error).__name__, error.exit_code)
    except KeyboardInterrupt:
        return _say("interrupted", INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return FAILED
    except Exception as error:
        if hasattr(error, "format_message"):  # typer's own: its classes are private
            return _usage(error)
        return _say(_surprise(error), FAILED)


def _usage(error: Any) -> int:
    """Say what was wrong with the arguments, in one line; a bare `tuner` gets the help."""
    text = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":
        return _say(text, USAGE)
    context = getattr(error, "ctx", None)
    hint = f" (see `{context.command_path} --help`)" if context is not None else ""
    text = " ".join(text.replace("Value error, ", "").split())
    return _say(f"{text}{hint}", int(getattr(error, "exit_code", USAGE)))


def _surprise(error: Exception) -> str:
    first = (str(error).strip().splitlines() or ["no message"])[0]
    return f"unexpected {type(error).__name__}: {first[:300]} (details: {_log(error)})"


def _log(error: Exception) -> str:
    """Write the traceback where the user can find it, and return its path."""
    text = "".join(traceback.format_exception(error))
    name = f"error-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}.log"
    for folder in (_logs, lambda: Path(tempfile.gettempdir())):
        try:
            file = folder() / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{' '.join(sys.argv)}\n\n{text}")
            return str(file)
        except Exception:  # the surprise may be that the home, or our own package, is broken
            continue
    return "nowhere to write them"


def _logs() -> Path:
    from tuner.store.home import tuner_home

    return tuner_home() / "logs"


def _say(text: str, code: int) -> int:
    print(text, file=sys.stderr)
    return code
