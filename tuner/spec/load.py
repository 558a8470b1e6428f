"""Load: a study file and its overrides as a StudySpec, or every problem in it by file, line and field."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tuner.errors import InputError
from tuner.spec.explain import all_places, explain
from tuner.spec.model import StudySpec
from tuner.spec.nearest import did_you_mean
from tuner.spec.sources import resolve
from tuner.spec.yaml_tree import Place, Tree, dotted, one_line, read_yaml

_LEADING_FIELD = re.compile(r"^([a-z_]+(?:\.[a-z_]+)*)(?:\[\d+\])?: ")


def load_spec(path: str | Path, overrides: Iterable[str] = ()) -> StudySpec:
    """Read, check and return a study; `overrides` are a dotted place and YAML: `budget.trials=50`.

    Sources are checked as far as that needs no network: packages, local files and folders must exist.

    Raises:
        InputError: all problems found, one a line, each `file:line: field: message`.
    """
    return _File(Path(path), overrides).spec()


@contextlib.contextmanager
def errors_placed(path: str | Path, overrides: Iterable[str] = ()) -> Iterator[None]:
    """Give an InputError that begins with a field of the study (`data.label: …`) its file and line.

    Stages know the study's fields, not its lines; whoever runs them from a file wraps them in this.
    """
    try:
        yield
    except InputError as error:
        match = _LEADING_FIELD.match(str(error))
        if match is None or match[1] not in set(all_places()):
            raise
        place = tuple(match[1].split("."))
        raise InputError(f"{_File(Path(path), overrides).where(place)}: {error}") from error


class _File:
    """A parsed study file with its overrides applied, and where each value came from."""

    def __init__(self, path: Path, overrides: Iterable[str]) -> None:
        self.path, tree = path, read_yaml(path)
        if not isinstance(tree.data, dict):
            raise InputError(f"{path}:1: a study is a mapping of keys such as name, model, data and budget")
        self.data: dict[str, Any] = tree.data
        self._lines, self._set = tree.lines, dict[Place, str]()
        for override in overrides:
            self._override(override)

    def where(self, place: Place) -> str:
        """Return `file:line` of a place, or of the nearest section around it; or the override."""
        for end in range(len(place), -1, -1):
            if place[:end] in self._set:
                return self._set[place[:end]]
            if place[:end] in self._lines and end:
                return f"{self.path}:{self._lines[place[:end]]}"
        return f"{self.path}:1"

    def spec(self) -> StudySpec:
        """Return the checked study."""
        if "base" in self.data:
            raise InputError(
                f"{self.where(('base',))}: base: unknown key{did_you_mean('base', StudySpec.model_fields)}"
            )
        base = self.path.resolve().parent
        try:
            spec = StudySpec.model_validate({**self.data, "base": base}, strict=True)
        except ValidationError as error:
            raise _joined(explain(error, self.data, self.where)) from None
        problems = [f"{self.where(place)}: {dotted(place)}: {text}" for place, text in _outside(spec)]
        if problems:
            raise _joined(problems)
        return spec

    def _override(self, override: str) -> None:
        key, equals, text = override.partition("=")
        place: Place = tuple(
            int(p) if p.isdigit() else p for p in re.split(r"[.\[]", key.strip().replace("]", ""))
        )
        if not equals or "" in place:
            raise InputError(f"--set {override}: write KEY=VALUE with a dotted key, such as budget.trials=50")
        value = Tree(text, f"--set {override}").data
        _put(self.data, place, value, override)
        self._set = {at: name for at, name in self._set.items() if at[: len(place)] != place}
        self._lines = {at: line for at, line in self._lines.items() if at[: len(place)] != place}
        self._set[place] = f"--set {override}"


def _joined(problems: Iterable[str]) -> InputError:
    return InputError("\n".join(one_line(problem) for problem in problems))


def _put(data: Any, place: Place, value: Any, override: str) -> None:
    for i, part in enumerate(place):
        is_key = isinstance(data, dict) and isinstance(part, str)
        is_item = isinstance(data, list) and isinstance(part, int) and part < len(data)
        if not (is_key or is_item):
            raise InputError(f"--set {override}: {dotted(place[:i])} has no {part!r}")
        if i == len(place) - 1:
            data[part] = value
        elif is_key and data.get(part) is None:
            data[part] = {}
        data = data[part]


def _outside(spec: StudySpec) -> Iterator[tuple[Place, str]]:
    """Yield what does not fit the world outside: sources that are missing, engines nobody knows."""
    for place, source in ((("model", "source"), spec.model.source), (("data", "source"), spec.data.source)):
        is_hub_data = place[0] == "data" and spec.data.format == "hub"
        try:
            if source is not None and not is_hub_data:
                resolve(source, spec.base)
        except InputError as error:
            yield place, str(error)
    known = sorted({point.name for point in entry_points(group="tuner.backends")})
    for i, engine in enumerate(spec.axes.backend.engines or []):
        if known and engine not in known:
            yield (
                ("axes", "backend", "engines", i),
                f"unknown backend {engine!r}{did_you_mean(engine, known)}",
            )
