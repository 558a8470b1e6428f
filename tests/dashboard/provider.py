"""A small OpenID provider on this machine: signs in at once whoever `person` says, by the book otherwise."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT, SECRET = "tuner-dashboard", "only-for-tests"


@dataclass
class Provider:
    """Its address, who signs in next, and what was asked of it."""

    port: int
    person: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    _codes: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from joserfc.jwk import RSAKey

        self._key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def app(self) -> Starlette:
        routes = {
            "/.well-known/openid-configuration": self._configuration,
            "/authorize": self._authorize,
            "/token": self._token,
            "/jwks": self._keys,
        }
        return Starlette(routes=[Route(path, call, methods=["GET", "POST"]) for path, call in routes.items()])

    async def _configuration(self, request: Request) -> Response:
        ends = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "jwks"}
        return JSONResponse(
            {
                "issuer": self.issuer,
                **{name: f"{self.issuer}/{path}" for name, path in ends.items()},
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    async def _authorize(self, request: Request) -> Response:
        asked = request.query_params
        self.asked.append(asked["scope"])
        assert asked["client_id"] == CLIENT and asked["response_type"] == "code"
        if not self.person:
            return RedirectResponse(
                f"{asked['redirect_uri']}?{urlencode({'error': 'access_denied', 'state': asked['state']})}"
            )
        code = secrets.token_urlsafe(16)
        self._codes[code] = {"nonce": asked.get("nonce"), **self.person}
        return RedirectResponse(
            f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"
        )

    async def _token(self, request: Request) -> Response:
        from joserfc import jwt

        form = await request.form()
        claims = self._codes.pop(str(form["code"]))  # a code is good for once
        now = int(time.time())
        claims |= {"iss": self.issuer, "aud": CLIENT, "sub": "person-1", "iat": now, "exp": now + 300}
        signed = jwt.encode({"alg": "RS256", "kid": "one"}, claims, self._key)
        return JSONResponse(
            {"access_token": "opaque", "token_type": "Bearer", "id_token": signed, "expires_in": 300}
        )

    async def _keys(self, request: Request) -> Response:
        return JSONResponse({"keys": [self._key.as_dict(private=False)]})


@contextlib.contextmanager
def provided(port: int) -> Iterator[Provider]:
    """Run a provider beside the test."""
    provider = Provider(port)
    server = uvicorn.Server(uvicorn.Config(provider.app(), host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.05)
        yield provider
    finally:
        server.should_exit = True
        thread.join(10)


def secrets_toml(provider: Provider, dashboard_port: int) -> str:
    """Return what an administrator would write into `.streamlit/secrets.toml`."""
    return (
        f'[auth]\nredirect_uri = "http://127.0.0.1:{dashboard_port}/oauth2callback"\n'
        f'cookie_secret = "{secrets.token_urlsafe(32)}"\n'
        f'client_id = "{CLIENT}"\nclient_secret = "{SECRET}"\n'
        f'server_metadata_url = "{provider.issuer}/.well-known/openid-configuration"\n'
    )
