"""Tiny real ONNX artefacts for the measuring tests, and sessions that misbehave."""

import json

import numpy as np

from benchmarks.artefacts import stack


def onnx_artefact(folder, layers=4, width=128):
    """Write a real ONNX artefact."""
    return stack(folder, layers, width)


def session_artefact(folder, source):
    """Write an artefact whose session is this Python source: how a third-party engine would bring its own."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "own_session.py").write_text(source)
    return describe(folder, "own_session")


def describe(folder, session, **more):
    record = {
        "engine": "test",
        "device": "cpu",
        "bits": 32,
        "session": session,
        "fixed_shape": None,
        "requirements": [],
        **more,
    }
    (folder / "artefact.json").write_text(json.dumps(record))
    return folder


def documents(file, count=24, length=20):
    """Write an encoded split with labels, of documents of differing lengths."""
    rng = np.random.default_rng(0)
    mask = (np.arange(length) < rng.integers(3, length + 1, (count, 1))).astype(np.int64)
    ids = rng.integers(1, 100, (count, length)) * mask
    np.savez(file, input_ids=ids, attention_mask=mask, labels=rng.integers(0, 3, count))
    return file


SESSION = """
import os, signal, sys, time
import numpy as np

class Session:
    inputs = ["input_ids", "attention_mask"]
    fixed_shape = None
    def run(self, inputs):
        {body}
        return np.zeros((len(inputs["input_ids"]), 3), dtype=np.float32)

def load(directory, threads):
    {load}
    return Session()
"""


def misbehaving(folder, body="pass", load="pass"):
    return session_artefact(folder, SESSION.format(body=body, load=load))
