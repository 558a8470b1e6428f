"""What a peer is given, and what it hands back: plain files, so that each may live in an environment of its own.

Runs there, hence the standard library only. `run.py INPUTS OUT SECONDS`: INPUTS holds `model/` (a Hugging Face
folder), `train.jsonl` and `validation.jsonl` of {text, label}, and `inputs.json`; OUT gets a folder an artefact and
`manifest.json`, written anew after each, for what is there when the time is up counts.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Peer:
    """The two folders of the command line. `shape` is (batch, tokens) of the calls that will be timed."""

    def __init__(self) -> None:
        self.inputs, self.out = Path(sys.argv[1]), Path(sys.argv[2])
        self._end = time.monotonic() + float(sys.argv[3])
        said = json.loads((self.inputs / "inputs.json").read_text())
        self.model = str(self.inputs / "model")
        self.max_length: int = said["max_length"]
        self.labels: list[str] = said["labels"]
        self.cores: int = said["cores"]
        self.bf16: bool = said["bf16"]
        self.vnni: bool = said["vnni"]
        self.shape: tuple[int, int] = (said["batch"], said["sequence_length"])
        self._record: dict[str, list[dict[str, Any]]] = {"artefacts": [], "failures": []}

    def split(self, name: str) -> tuple[list[str], list[int]]:
        """Return texts and the indices of their labels; of `train` or `validation`, for no peer sees the test split."""
        rows = [json.loads(line) for line in (self.inputs / f"{name}.jsonl").open(encoding="utf-8")]
        return [row["text"] for row in rows], [self.labels.index(row["label"]) for row in rows]

    def seconds_left(self) -> float:
        """Return the seconds until this process is killed."""
        return self._end - time.monotonic()

    def folder(self, name: str) -> Path:
        """Return a new folder for an artefact."""
        (self.out / name).mkdir(parents=True)
        return self.out / name

    def made(self, label: str, kind: str, file: Path, **more: Any) -> None:
        """Hand back an artefact.

        `kind` is onnx, openvino, aoti or torch-compile; `more` may hold `fixed_shape`, `settings` (how the engine is
        to run it), and the peer's own `accuracy` (a share) and `latency_ms`.
        """
        where = str(Path(file).relative_to(self.out))
        self._record["artefacts"].append({"label": label, "kind": kind, "file": where, **more})
        self._write()

    @contextmanager
    def attempt(self, label: str) -> Iterator[None]:
        """Note an error that ends a variant, and go on with the next one."""
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            line = " ".join(f"{type(error).__name__}: {error}".split())[:400]
            self._record["failures"].append({"label": label, "error": line})
            self._write()

    def _write(self) -> None:
        partial = self.out / "manifest.part"
        partial.write_text(json.dumps(self._record, indent=1))
        partial.rename(self.out / "manifest.json")
