"""Patience: a database that restarts, or is another writer's for the moment, costs time and no result."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_exponential_jitter

from tuner.errors import StoreUnavailableError
from tuner.store.failures import raced

if TYPE_CHECKING:
    from tuner.store.store import Store

P = ParamSpec("P")
T = TypeVar("T")

#: How long one call goes on trying. Read at each call, so that a test may shorten it.
PATIENCE_SECONDS = 60.0
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 2.0  # seconds; doubled from try to try
_RACES = 5  # a key that is taken so often in a row is not a race but a mistake
_TOLD_AT = 5  # the try from which on a person should know why nothing moves

_log = logging.getLogger(__name__)


def retried(method: Callable[P, T]) -> Callable[P, T]:
    """Run a repository's method again, whole, while the database does not answer.

    A connection that is lost while a transaction commits leaves open whether it did: a method that writes must
    come to the same end when it ran before.

    Raises:
        StoreUnavailableError: it still does not answer after `PATIENCE_SECONDS`.
    """

    @functools.wraps(method)
    def patient(*args: P.args, **kwargs: P.kwargs) -> T:
        return _retrying()(method, *args, **kwargs)

    return patient


def patiently(store: Store, call: Callable[[], T]) -> T:
    """Return `call()`, inside `store.guard()` and run again like a `retried` method: for Optuna's calls.

    >>> patiently(store, lambda: study.tell(0, values, skip_if_finished=True))  # doctest: +SKIP

    Raises:
        InputError, TunerError: as for the store's own methods.
    """

    def guarded() -> T:
        with store.guard():
            return call()

    return _retrying()(guarded)


def _retrying() -> Retrying:
    return Retrying(
        retry=retry_if_exception(_may_succeed_later),
        stop=_stop,
        wait=wait_exponential_jitter(_FIRST_WAIT, _LONGEST_WAIT, jitter=_FIRST_WAIT),
        before_sleep=_tell,
        reraise=True,
    )


def _may_succeed_later(error: BaseException) -> bool:
    return isinstance(error, StoreUnavailableError) or raced(error)


def _stop(state: RetryCallState) -> bool:
    error = state.outcome.exception() if state.outcome else None
    if error is not None and raced(error):
        return state.attempt_number >= _RACES
    return stop_after_delay(PATIENCE_SECONDS)(state)


def _tell(state: RetryCallState) -> None:
    if state.attempt_number == _TOLD_AT and state.outcome:
        _log.warning("%s; trying again for up to %.0f s", state.outcome.exception(), PATIENCE_SECONDS)
