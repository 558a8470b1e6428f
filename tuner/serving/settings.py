"""How a bundle is served, and within which limits."""

from __future__ import annotations

from dataclasses import dataclass

#: Conversations that share a session where its engine can, and the bundle was measured with one alone.
SLOTS = 8


@dataclass(frozen=True)
class Settings:
    """Settings of one server. Times are in seconds, sizes in bytes.

    `threads` None is as the bundle was measured; so is `slots`, or SLOTS where that was one conversation alone.
    """

    name: str  # of the model, in requests and answers
    host: str = "127.0.0.1"
    port: int = 8000
    replicas: int = 1  # sessions, each with `threads` threads
    threads: int | None = None
    queue: int = 16  # requests that may wait for a slot
    timeout: float = 300.0  # of a request, waiting included
    grace: float = 30.0  # for the answers under way when told to leave
    api_key: str | None = None
    max_body: int = 1_000_000
    max_messages: int = 256
    max_texts: int = 256  # of a request to classify
    slots: int | None = None  # requests that a session answers together, where its engine can
