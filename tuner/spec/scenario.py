"""Scenario: how requests come."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tuner.spec.section import Count, Section, wrong


class Scenario(Section):
    """MLPerf's single-stream (one request after the other), offline (all samples at hand) or server (Poisson arrivals).

    A language model's request is a prompt of `prompt_tokens`, answered with `new_tokens`, greedily; `clients` ask at
    the same time, each in a conversation of its own, and the next request comes when the last is answered.

    Offline, the documents are put in order of their length, since nobody waits for any one of them: those of a call are
    about as long as each other, and little of it is padding. What counts then is throughput.

    In the server scenario single documents come at random moments, `rate` a second on average, whether or not those
    before are answered; the 99th percentile of what they wait and compute must be within `p99_ms`. With `rate: max` the
    largest rate is looked for at which it is.
    """

    mode: Literal["single-stream", "offline", "server"] = Field(
        default="single-stream",
        description="one request after the other, all samples at hand, or requests at random moments",
    )
    batch: int = Field(default=1, ge=1, description="documents per call; offline, 32 where nothing is said")
    sequence_length: Count | Literal["data"] = Field(
        default=128, description="tokens, or `data`: its own lengths"
    )

    prompt_tokens: int = Field(
        default=64, ge=8, description="generation: tokens of the prompt, template included"
    )
    new_tokens: int = Field(default=64, ge=2, description="generation: tokens of the answer")
    clients: int = Field(default=1, ge=1, description="generation: conversations at the same time")

    rate: Annotated[float, Field(ge=1, le=1e5)] | Literal["max"] | None = Field(
        default=None, description="server: requests a second, or `max`: the largest that holds p99_ms"
    )
    p99_ms: float | None = Field(
        default=None, gt=0, description="server: bound on the 99th percentile of latency, waiting included"
    )
    wait_ms: float = Field(
        default=0.0, ge=0, description="server: how long a free replica waits for a batch to fill"
    )

    @property
    def serves(self) -> bool:
        """Say whether this is the server scenario."""
        return self.mode == "server"

    @model_validator(mode="after")
    def _whole_demand(self) -> Scenario:
        demanded = {name: getattr(self, name) for name in ("rate", "p99_ms")}
        if not self.serves:
            said = [name for name, value in demanded.items() if value is not None]
            said += ["wait_ms"] if self.wait_ms else []
            if said:
                raise wrong(said[0], f"belongs to `mode: server`, not to {self.mode}")
            return self
        for name, value in demanded.items():
            if value is None:
                raise wrong(name, "the server scenario needs `rate` (requests a second, or max) and `p99_ms`")
        if self.batch != 1:
            raise wrong(
                "batch",
                "a request is one document; how many are answered together is axes.parallel.max_batch",
            )
        if self.p99_ms is not None and self.wait_ms >= self.p99_ms:
            raise wrong(
                "wait_ms", f"to wait {self.wait_ms:g} ms leaves nothing of the {self.p99_ms:g} of p99_ms"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _many_offline(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("mode") == "offline" and "batch" not in given:
            return {**given, "batch": 32}
        return given
