"""Does an artefact answer as it did when it was exported? Its greedy tokens for stored prompts, and what they take.

`check.json` holds `prompts`: a list of {prompt: token ids, tokens: the greedy answer at export}, and `timed`:
{prompt, new_tokens}, a request of the size that was measured.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .generating import GeneratingSession
from .loader import load_session

NEW_TOKENS = 16
_REPEATS = 3


def check(session: GeneratingSession, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return `{context, prompts: [{prompt, tokens}], seconds: [of each timed answer]}`, as the session answers now.

    No token stops an answer: all are as long as at export.
    """
    prompts = [[int(token) for token in stored["prompt"]] for stored in wanted["prompts"]]
    found = [{"prompt": prompt, "tokens": list(session.stream(prompt, NEW_TOKENS))} for prompt in prompts]
    timed = wanted.get("timed")
    return {
        "context": session.context,
        "prompts": found,
        "seconds": [_seconds(session, timed) for _ in range(_REPEATS)] if timed else [],
    }


def differences(stored: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each prompt whose greedy answer is another than the stored one."""
    lines = []
    for number, (before, after) in enumerate(zip(stored, now, strict=True), 1):
        pairs = list(zip(before["tokens"], after["tokens"], strict=False))
        same = next((i for i, (a, b) in enumerate(pairs) if a != b), len(pairs))
        if before["tokens"] != after["tokens"]:
            lines.append(
                f"check prompt {number}: the first {same} of {len(before['tokens'])} greedy tokens are as at "
                "export, the next is another"
            )
    return lines


def _seconds(session: GeneratingSession, timed: Mapping[str, Any]) -> float:
    start = time.perf_counter()
    for _ in session.stream(timed["prompt"], int(timed["new_tokens"])):
        pass
    return time.perf_counter() - start


def main(artefact: Path, threads: int, draft: str = "") -> None:
    """Read what is wanted from stdin and write what an artefact answers to stdout, as JSON."""
    session = load_session(artefact, threads)
    if draft:
        session.draft = draft
    print(json.dumps(check(session, json.load(sys.stdin))))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
