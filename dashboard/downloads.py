"""Downloads that would not fit a page's memory: a route of the server that streams a trial's bundle.

The page gives out a ticket; the route knows nothing else. Imported once by the server, so both see the same tickets.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tuner.errors import TunerError
from tuner.service.bundling import Tickets, remove_aside, write_bundle_aside, zipped
from tuner.store import Store

TICKETS = Tickets()
PREFIX = "/download"
#: The page is a frame for nobody, sends no address on, and its content is what it says it is.
HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}


def bundle_path(study: str, trial: int) -> str:
    """Return the address under which a trial's bundle can be fetched for half an hour."""
    return f"{PREFIX}/{TICKETS.give(study, trial)}/bundle.zip"


async def bundle(request: Request) -> Response:
    """Answer with the zip, or with one line that says why not."""
    try:
        ticket = TICKETS.take(request.path_params["ticket"])
        written = await run_in_threadpool(_write, ticket.study, ticket.trial)
    except TunerError as error:
        return PlainTextResponse(
            f"{error}\n", status_code=404 if error.exit_code == 4 else 409, headers=HEADERS
        )
    except Exception:
        logging.getLogger(__name__).exception("bundle failed")
        return PlainTextResponse("the server's log says what happened\n", status_code=500, headers=HEADERS)
    name = f"{ticket.study}-trial-{ticket.trial}.zip"  # a study's name holds letters, digits and . _ - only
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_sent(written), media_type="application/zip", headers=headers)


def _write(study: str, trial: int) -> Path:
    with Store.open() as store:
        return write_bundle_aside(store, study, trial)


def _sent(written: Path) -> Iterator[bytes]:
    try:
        yield from zipped(written)
    finally:
        remove_aside(written)


ROUTES = [Route(PREFIX + "/{ticket}/bundle.zip", bundle)]
