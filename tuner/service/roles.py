"""Roles: who may only look, and who may also change something. Checked where it is done, not where it is shown."""

from __future__ import annotations

from typing import Literal

from tuner.errors import TunerError

Role = Literal["viewer", "operator"]


class NotAllowedError(TunerError):
    """The role does not permit this."""

    exit_code = 2


def require_operator(role: Role, what: str) -> None:
    """Refuse a viewer.

    Raises:
        NotAllowedError: the role is not operator.
    """
    if role != "operator":
        raise NotAllowedError(f"a viewer may not {what}; ask for the role operator")
