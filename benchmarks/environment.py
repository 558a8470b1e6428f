"""Environment: where a benchmark ran, stored beside its figures."""

from __future__ import annotations

import importlib.metadata
from typing import Any

from tuner.hardware import this_host

_LIBRARIES = (
    "tuner",
    "torch",
    "transformers",
    "onnxruntime",
    "onnxruntime-genai",
    "openvino",
    "openvino-genai",
    "llama-cpp-python",
    "nncf",
    "optuna",
    "sqlalchemy",
    "psycopg",
    "numpy",
    "streamlit",
    "altair",
)


def environment() -> dict[str, Any]:
    """Return the host and the versions of what takes part."""
    return {**this_host().to_json(), "versions": {name: _version(name) for name in _LIBRARIES}}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
