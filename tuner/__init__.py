"""Finds the fastest combination of compression, parallelism and engine for a transformer.

>>> import tuner
>>> study = tuner.run("studies/quickstart.yaml")  # doctest: +SKIP
>>> study.pick(max_loss=0.01).export("best/")  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuner.service.api import load, run

__all__ = ["load", "run"]


def __getattr__(name: str) -> Any:
    """Import the public functions on first use: `import tuner` itself stays light (serving children do it)."""
    if name in __all__:
        from tuner.service import api

        return getattr(api, name)
    raise AttributeError(f"module 'tuner' has no attribute {name!r}")
