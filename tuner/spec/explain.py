"""Explain: what pydantic found wrong with a study, as lines of `file:line: field: message`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tuner.spec.model import StudySpec
from tuner.spec.nearest import did_you_mean, nearest
from tuner.spec.yaml_tree import Place, dotted

#: Pydantic's own wording where it speaks of Python rather than of the file.
_WORDING = {
    "missing": "required, and not given",
    "dict_type": "should be a section with keys of its own",
    "model_type": "should be a section with keys of its own",
    "list_type": "should be a list",
}


def explain(error: ValidationError, data: Any, where: Callable[[Place], str]) -> list[str]:
    """Return one line for each field that is wrong; `where(place)` names the file and line of a place."""
    messages: dict[Place, list[str]] = {}
    details = [(detail, _place(detail, data)) for detail in error.errors(include_url=False)]
    meant = {guess for detail, place in details if (guess := _meant(detail, place)) is not None}
    for detail, place in details:
        if detail["type"] == "missing" and place in meant:
            continue  # it is there, under a misspelt name
        messages.setdefault(place, []).append(_message(detail, place))
    lines = [(where(place), f"{_named(place)}{_joined(texts)}") for place, texts in messages.items()]
    return [f"{at}: {text}" for at, text in sorted(lines, key=lambda line: _line_number(line[0]))]


def _meant(detail: ErrorDetails, place: Place) -> Place | None:
    """Return the place that an unknown key was probably meant for."""
    section = section_at(place[:-1]) if detail["type"] == "extra_forbidden" else None
    guess = nearest(str(place[-1]), list(fields(section)), cutoff=0.7) if section else None
    return (*place[:-1], guess) if guess else None


def _line_number(at: str) -> int:
    number = at.rpartition(":")[2]
    return int(number) if number.isdigit() else 0  # overrides come first


def _named(place: Place) -> str:
    return f"{dotted(place)}: " if place else ""


def _joined(texts: list[str]) -> str:
    """Join what each member of a union wanted: `should be an integer, or 'data'`."""
    distinct = list(dict.fromkeys(texts))
    wanted, given = [text.partition(", not ")[0] for text in distinct], distinct[-1].partition(", not ")[1:]
    return (
        distinct[0]
        if len(distinct) == 1
        else " or ".join(_tail(i, w) for i, w in enumerate(wanted)) + "".join(given)
    )


def _tail(index: int, wanted: str) -> str:
    return wanted.removeprefix("should be ") if index else wanted


def _place(detail: ErrorDetails, data: Any) -> Place:
    """Return the place in the file: pydantic's, less names of union members, plus the field at fault."""
    place: list[str | int] = []
    for part in detail["loc"]:
        known = isinstance(data, dict) and part in data
        listed = isinstance(data, list) and isinstance(part, int) and part < len(data)
        if not (known or listed):
            place += [part] if detail["type"] == "missing" else []
            break
        place.append(part)
        data = data[part]
    at = detail.get("ctx", {}).get("at", "")
    return (*place, *at.split(".")) if at else tuple(place)


def _message(detail: ErrorDetails, place: Place) -> str:
    kind, value = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return _unknown_key(place)
    if kind in _WORDING:
        return _WORDING[kind]
    if kind == "string_pattern_mismatch":
        return f"{value!r} may only hold letters, digits and . _ - (at most 100, and no . in front)"
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if kind == "literal_error" and isinstance(value, str):
        known = [part.strip("' ") for part in detail["ctx"]["expected"].replace(" or ", ",").split(",")]
        guess = nearest(value, known)
        return f"{message}, not {value!r}" + (f" (did you mean {guess!r}?)" if guess else "")
    is_plain = isinstance(value, str | int | float | bool) or value is None
    return f"{message}, not {_yaml(value)}" if is_plain and kind not in ("value_error", "at") else message


def _yaml(value: Any) -> str:
    return (
        {None: "null", True: "true", False: "false"}.get(value, repr(value))
        if _is_word(value)
        else repr(value)
    )


def _is_word(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _unknown_key(place: Place) -> str:
    section, name = section_at(place[:-1]), str(place[-1])
    here = list(fields(section)) if section else []
    guess = nearest(name, here, cutoff=0.7)
    elsewhere = [] if guess else [path for path in all_places() if path.split(".")[-1] == name]
    if elsewhere:
        return f"unknown key (did you mean {elsewhere[0]!r}?)"
    return f"unknown key{did_you_mean(name, here)}"


def fields(section: type[BaseModel]) -> Iterator[str]:
    """Yield the keys of a section that a file may have."""
    yield from (name for name, field in section.model_fields.items() if not field.exclude)


def section_at(place: Place) -> type[BaseModel] | None:
    """Return the model of the section at a place, or None where there is none."""
    section: type[BaseModel] | None = StudySpec
    for part in place:
        field = section.model_fields.get(str(part)) if section else None
        section = _model_of(field.annotation) if field else None
    return section


def all_places(section: type[BaseModel] = StudySpec, prefix: str = "") -> Iterator[str]:
    """Yield the dotted path of every key that a study file may have."""
    for name in fields(section):
        yield prefix + name
        inner = _model_of(section.model_fields[name].annotation)
        if inner:
            yield from all_places(inner, f"{prefix}{name}.")


def _model_of(annotation: Any) -> type[BaseModel] | None:
    if get_origin(annotation) in (Annotated, Union, UnionType):
        return next((m for a in get_args(annotation) if (m := _model_of(a))), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
