"""Errors a user can act on: one clear line each, and the exit code that the command line ends with."""

from __future__ import annotations


class TunerError(Exception):
    """Base of all errors shown without a traceback. The message is one line that names the remedy."""

    exit_code = 1


class InputError(TunerError):
    """The user's input (study file, data, model, option) cannot be used."""

    exit_code = 2


class NoFeasibleTrialError(TunerError):
    """A study finished and no trial meets its constraints."""

    exit_code = 3


class NotFoundError(TunerError):
    """A study, trial or bundle of that name does not exist."""

    exit_code = 4


class UnsupportedError(TunerError):
    """An engine, device or model family cannot do what a candidate asks for; the message is the reason."""


class BuildError(TunerError):
    """An artefact could not be built, or does not agree with its source model."""


class StoreError(TunerError):
    """The database cannot be used: its disk is full, or it is broken."""


class StoreUnavailableError(StoreError):
    """The database does not answer now, or gave way to another writer: the same call may succeed later."""


class LeaseLostError(TunerError):
    """The lease under which something was to be written is another's by now: the write is refused."""


class JobError(TunerError):
    """A child process failed. `kind` is one of error, out-of-memory, time-limit, signal, disk-full."""

    def __init__(self, kind: str, reason: str, log_tail: str = "") -> None:
        super().__init__(f"{kind}: {reason}")
        self.kind, self.reason, self.log_tail = kind, reason, log_tail

    def __reduce__(self) -> tuple[type[JobError], tuple[str, str, str]]:
        return type(self), (self.kind, self.reason, self.log_tail)  # it may come from another process
