"""Load: clients that talk to `tuner serve` of a bundle without a pause, for a minute.

    python -m benchmarks.load BUNDLE [--clients 8] [--seconds 60] [--replicas 1] [--slots 8] [-o FILE]

Each client has a conversation of its own and reads its answers as they stream. Reported are answers, errors, time to
the first token and to the whole answer, tokens a second of all together, and the server's memory over time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.environment import environment

_RESULTS = Path(__file__).parent / "results"
_ASKED = "Explain in a few sentences what a {thing} is good for."
_THINGS = ("lighthouse", "compass", "bridge", "clock", "library", "telescope", "harbour", "vaccine")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the bundle, load it, print and write the figures; 1 if anything failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument(
        "--slots", type=int, help="answers that a session makes together (default: the server's)"
    )
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("-o", "--out", type=Path, default=_RESULTS / "chat-load.json")
    asked = parser.parse_args(arguments)
    port = _free_port()
    options = ["--port", str(port), "--replicas", str(asked.replicas), "--queue", str(2 * asked.clients)]
    options += ["--slots", str(asked.slots)] if asked.slots else []
    command = [sys.executable, "-m", "tuner.cli.main", "serve", str(asked.bundle), *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            found = asyncio.run(_load(f"http://127.0.0.1:{port}", server.pid, asked))
        finally:
            server.terminate()
    record = {"host": environment(), "when": time.strftime("%Y-%m-%d"), **found}
    asked.out.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    return int(bool(found["errors"]))


async def _load(address: str, pid: int, asked: argparse.Namespace) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=address, timeout=120) as client:
        slots = await _ready(client)
        await _ask(client, _THINGS[0], asked)  # warm-up
        memory, answers, errors = [_memory_mb(pid)], list[dict[str, float]](), list[str]()
        end = time.monotonic() + asked.seconds

        async def talk(number: int) -> None:
            while time.monotonic() < end:
                try:
                    answers.append(await _ask(client, _THINGS[number % len(_THINGS)], asked))
                except (httpx.HTTPError, ValueError) as error:
                    errors.append(f"{type(error).__name__}: {error}")

        async def watch() -> None:
            while time.monotonic() < end:
                await asyncio.sleep(1)
                memory.append(_memory_mb(pid))

        begin = time.monotonic()
        await asyncio.gather(watch(), *(talk(i) for i in range(asked.clients)))
        found = _summary(asked, answers, errors, memory, time.monotonic() - begin)
        return {"slots": slots, **found}


async def _ready(client: httpx.AsyncClient) -> int:
    """Wait for the server; return how many requests it answers at a time."""
    for _ in range(240):
        try:
            if (found := await client.get("/healthz")).status_code == 200:
                return int(found.json()["slots"])
        except httpx.HTTPError:
            pass
        await asyncio.sleep(0.25)
    raise TimeoutError("the server did not come up within a minute")


async def _ask(client: httpx.AsyncClient, thing: str, asked: argparse.Namespace) -> dict[str, float]:
    """Stream one answer; return the time to its first piece and its end in ms, and its tokens."""
    message = {"role": "user", "content": _ASKED.format(thing=thing)}
    body = {
        "model": asked.bundle.resolve().name,
        "messages": [message],
        "stream": True,
        "max_tokens": asked.tokens,
        "temperature": 0,
    }
    options = {**body, "stream_options": {"include_usage": True}}
    begin, first, used = time.perf_counter(), 0.0, 0
    async with client.stream("POST", "/v1/chat/completions", json=options) as response:
        if response.status_code != 200:
            raise ValueError(f"{response.status_code}: {(await response.aread())[:200]!r}")
        async for line in response.aiter_lines():
            if not line.startswith("data: ") or line == "data: [DONE]":
                continue
            event = json.loads(line.removeprefix("data: "))
            if not first and event["choices"] and event["choices"][0]["delta"].get("content"):
                first = time.perf_counter() - begin
            used = (event.get("usage") or {}).get("completion_tokens", used)
    return {"ttft_ms": first * 1e3, "ms": (time.perf_counter() - begin) * 1e3, "tokens": used}


def _summary(
    asked: argparse.Namespace,
    answers: list[dict[str, float]],
    errors: list[str],
    memory: list[float],
    seconds: float,
) -> dict[str, Any]:
    def spread(name: str) -> dict[str, float]:
        values = sorted(answer[name] for answer in answers)
        return {
            "p50": statistics.median(values),
            "p90": values[int(0.9 * (len(values) - 1))],
            "most": values[-1],
        }

    half = len(memory) // 2
    return {
        "clients": asked.clients,
        "replicas": asked.replicas,
        "seconds": seconds,
        "answers": len(answers),
        "errors": errors,
        "tokens_per_s": sum(answer["tokens"] for answer in answers) / seconds,
        "ttft_ms": spread("ttft_ms") if answers else None,
        "response_ms": spread("ms") if answers else None,
        "memory_mb": {"start": memory[0], "half": memory[half], "end": memory[-1], "most": max(memory)},
    }


def _memory_mb(pid: int) -> float:
    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    return sum(p.memory_info().rss for p in family if p.is_running()) / 1e6


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    raise SystemExit(main())
