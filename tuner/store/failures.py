"""What goes wrong with a database, in one clear line each."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, NoSuchModuleError

from tuner.errors import InputError, TunerError
from tuner.store.home import sqlite_file

_FULL = "no space left on the disk of the database {where}; free some, or point TUNER_DB to another disk"
_UNWRITABLE = (
    "the database {where} cannot be written ({why}); point TUNER_DB or TUNER_HOME to a place of yours"
)


@contextmanager
def explained(url: URL) -> Iterator[None]:
    """Turn a database's or a disk's failure inside the block into a TunerError of one line.

    Errors that wrap such a failure (Optuna's StorageInternalError) are recognised by their cause.

    Raises:
        InputError: the database cannot be opened or written, or the file is no database.
        TunerError: the disk is full, the database is locked or broken.
    """
    try:
        yield
    except TunerError:
        raise
    except Exception as error:
        known = _explain(error, url)
        if known is None:
            raise
        raise known from error


def _explain(error: BaseException, url: URL) -> TunerError | None:
    where = str(sqlite_file(url) or url.render_as_string(hide_password=True))
    for cause in _causes(error):
        if isinstance(cause, OSError) and (found := _of_system(cause, where)):
            return found
        if isinstance(cause, DBAPIError) and (found := _of_database(str(cause.orig), where)):
            return found
        if isinstance(cause, NoSuchModuleError | ModuleNotFoundError):
            return InputError(f"TUNER_DB: no driver for {where} is installed ({cause})")
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def _of_system(error: OSError, where: str) -> TunerError | None:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TunerError(_FULL.format(where=where))
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOENT):
        return InputError(_UNWRITABLE.format(where=where, why=error.strerror))
    return None


def _of_database(message: str, where: str) -> TunerError | None:
    text = message.lower()
    if "disk is full" in text or "disk full" in text or "no space left" in text:
        return TunerError(_FULL.format(where=where))
    if "readonly database" in text or "unable to open database" in text:
        return InputError(_UNWRITABLE.format(where=where, why=message))
    if "not a database" in text or "malformed" in text:
        return InputError(f"{where}: {message}; move the file away or point TUNER_DB elsewhere")
    if "database is locked" in text:
        return TunerError(f"the database {where} is locked by another process; end it, or try again")
    if "disk i/o error" in text or "connection refused" in text or "could not connect" in text:
        return TunerError(f"the database {where} does not answer: {' '.join(message.split())}")
    return None
