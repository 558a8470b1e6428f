"""Ways to draft in speculative decoding, as a study file names them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

_NAMES = "^(none|lookup|student-[1-9][0-9]*)$"


def _known(name: str) -> str:
    if re.fullmatch(_NAMES, name) is None:
        raise ValueError(f"{name!r} is no draft: none, lookup or student-N, a student of N layers")
    return name


Draft = Annotated[str, AfterValidator(_known), WithJsonSchema({"type": "string", "pattern": _NAMES})]
