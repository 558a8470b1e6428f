"""The server: the pages of `app.py` and the route for downloads. `tuner dashboard` hands this file to Streamlit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st
from starlette.middleware import Middleware

from dashboard.downloads import ROUTES


class Guarded:
    """Adds to every answer that no other page may frame it, and that its type is what it says."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass the request on."""

        async def marked(message: Any) -> None:
            if message["type"] == "http.response.start":
                extra = [
                    (b"x-content-type-options", b"nosniff"),
                    (b"x-frame-options", b"DENY"),
                    (b"referrer-policy", b"no-referrer"),
                ]
                known = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(pair for pair in extra if pair[0] not in known)]
            await send(message)

        await self._app(scope, receive, marked if scope["type"] == "http" else send)


app = st.App(str(Path(__file__).with_name("app.py")), routes=ROUTES, middleware=[Middleware(Guarded)])
