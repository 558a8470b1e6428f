"""Column types: UTC times, and arrays of floats or booleans as compressed bytes."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Double, LargeBinary
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime, stored as naive UTC: SQLite keeps no zone."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to naive UTC; a naive value is refused, nobody knows its zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time without a zone: {value}")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert back to an aware UTC datetime."""
        return None if value is None else value.replace(tzinfo=UTC)


class Samples(TypeDecorator[Sequence[float]]):
    """A one-dimensional float array: zlib over little-endian float64, exact and host independent."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: Sequence[float] | None, dialect: Dialect) -> bytes | None:
        """Compress."""
        import numpy as np

        return None if value is None else zlib.compress(np.asarray(value, dtype="<f8").tobytes())

    def process_result_value(self, value: Any | None, dialect: Dialect) -> tuple[float, ...] | None:
        """Return the numbers as a tuple of floats."""
        import numpy as np  # here: lists of studies read no samples, and are there at once

        return None if value is None else tuple(np.frombuffer(zlib.decompress(value), dtype="<f8").tolist())


class Flags(TypeDecorator[Sequence[bool]]):
    """A list of booleans (which documents were answered right): zlib over its length and packed bits."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: Sequence[bool] | None, dialect: Dialect) -> bytes | None:
        """Compress."""
        if value is None:
            return None
        import numpy as np

        bits = np.asarray(value, dtype=bool)
        return zlib.compress(len(bits).to_bytes(8, "little") + np.packbits(bits).tobytes())

    def process_result_value(self, value: Any | None, dialect: Dialect) -> tuple[bool, ...] | None:
        """Return the booleans as a tuple."""
        if value is None:
            return None
        import numpy as np

        raw = zlib.decompress(value)
        count = int.from_bytes(raw[:8], "little")
        return tuple(np.unpackbits(np.frombuffer(raw[8:], dtype=np.uint8), count=count).astype(bool).tolist())


def strict_json(value: Any) -> str:
    """Serialise a JSON column with null for what is not finite: NaN is no JSON, PostgreSQL refuses it."""
    return json.dumps(_finite(value), sort_keys=True, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def plain(text: str | None, most: int | None = None) -> str | None:
    """Return text that every database takes: no NUL, no lone surrogates, at most so long; None where none is left."""
    if not text:
        return None
    return text.replace("\x00", "").encode(errors="replace").decode()[:most] or None


def now() -> datetime:
    """Return the present time, aware, in UTC."""
    return datetime.now(UTC)


class clock(FunctionElement[float]):  # noqa: N801 - an SQL function is written in small letters
    """The database's own time, in seconds since 1970: leases must not depend on the clocks of the hosts."""

    type = Double()
    inherit_cache = True


@compiles(clock, "sqlite")
def _sqlite_clock(element: clock, compiler: Any, **_: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(clock, "postgresql")
def _postgresql_clock(element: clock, compiler: Any, **_: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"
