"""How a bundle is served, and within which limits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Settings of one server. Times are in seconds, sizes in bytes; `threads` None is as the bundle was measured."""

    name: str  # of the model, in requests and answers
    host: str = "127.0.0.1"
    port: int = 8000
    replicas: int = 1  # sessions, each with `threads` threads: so many requests are answered at a time
    threads: int | None = None
    queue: int = 16  # requests that may wait for a session
    timeout: float = 300.0  # of a request, waiting included
    grace: float = 30.0  # for the answers under way when told to leave
    api_key: str | None = None
    max_body: int = 1_000_000
    max_messages: int = 256
    max_texts: int = 256  # of a request to classify
