"""Section: what all parts of the study file share: strictness, and lists of choices."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

T = TypeVar("T")


def distinct(values: list[T]) -> list[T]:
    """Return the list.

    Raises:
        ValueError: a value is listed twice.
    """
    repeated = [value for i, value in enumerate(values) if value in values[:i]]
    if repeated:
        raise ValueError(f"{repeated[0]!r} is listed twice")
    return values


def wrong(field: str, message: str) -> PydanticCustomError:
    """Return an error of a whole section that names the field below it which is to be changed."""
    return PydanticCustomError("at", "{text}", {"text": message, "at": field})


Share = Annotated[float, Field(ge=0.0, lt=1.0)]
Count = Annotated[int, Field(ge=1)]
Choices = Annotated[list[T], Field(min_length=1), AfterValidator(distinct)]


class Section(BaseModel):
    """A part of the study file: unknown fields are refused, and nothing changes it later."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
