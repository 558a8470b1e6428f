"""A bundle's command line: labels for texts, from the command line or one a line from stdin."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from .loader import load_session
from .split import Split


class Classifier:
    """A bundle, loaded. `threads` defaults to what the configuration was measured with."""

    def __init__(self, bundle: Path, threads: int | None = None) -> None:
        described = json.loads((bundle / "bundle.json").read_text())
        self.labels: list[str] = json.loads((bundle / "labels.json").read_text(encoding="utf-8"))
        self._tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
        self._session = load_session(
            bundle / "artefact", threads or described["threads"], Split.of(described)
        )
        longest = self._session.fixed_shape[1] if self._session.fixed_shape else described["max_length"]
        self._tokenizer.enable_truncation(longest)
        self._tokenizer.no_padding()
        self._pad = int(described["pad_token_id"])
        #: Texts answered together, as when it was judged: where ranges are dynamic, answers depend on the company.
        self.batch = int(described["batch"])

    def logits(self, texts: list[str]) -> np.ndarray:
        """Return float32 logits (texts, labels)."""
        encoded = [encoding.ids or [self._pad] for encoding in self._tokenizer.encode_batch(texts)]
        longest = max(len(ids) for ids in encoded)
        ids = np.full((len(texts), longest), self._pad, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(encoded):
            ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
        # One text is one segment: an artefact that asks for segment numbers gets zeros.
        return self._session.run(
            {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        )

    def __call__(self, texts: list[str]) -> list[dict[str, Any]]:
        """Return `{"label", "probability"}` for each text."""
        if not texts:
            return []
        logits = self.logits(texts)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        best = shares.argmax(axis=1)
        return [
            {"label": self.labels[i], "probability": round(float(share[i]), 4)}
            for i, share in zip(best, shares, strict=True)
        ]


def batches(lines: Iterable[str], size: int) -> Iterator[list[str]]:
    """Yield the lines in groups. Blank ones count: the n-th answer belongs to the n-th line."""
    kept: list[str] = []
    for line in lines:
        kept.append(line.rstrip("\r\n"))
        if len(kept) == size:
            yield kept
            kept = []
    if kept:
        yield kept


def main(bundle: Path) -> int:
    """Answer the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="predict.py", description="Classify texts with this bundle.")
    parser.add_argument("text", nargs="*", help="texts; without any, one a line from stdin")
    parser.add_argument("--threads", type=_count, help="threads of the engine (default: as measured)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    asked = parser.parse_args()
    classifier = Classifier(bundle, asked.threads)
    try:
        together = 1 if sys.stdin.isatty() else classifier.batch
        for texts in batches(asked.text or _stdin(), together):
            for answer in classifier(texts):
                line = json.dumps(answer) if asked.json else f"{answer['label']}\t{answer['probability']:.4f}"
                print(line, flush=True)
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except KeyboardInterrupt:
        return 130
    return 0


def _stdin() -> Iterable[str]:
    """Return the lines of stdin as UTF-8, with what is not UTF-8 replaced; only a line feed ends a line."""
    return (line.decode("utf-8", errors="replace") for line in sys.stdin.buffer)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of threads")
    return int(text)
