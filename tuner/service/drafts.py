"""Drafts: study files that come as text from a browser, checked, edited field by field, and judged before they run.

Nobody vouches for such a text: it is small before it is parsed, and it may name models and data only in installed
packages, on the Hub, or under the configured roots.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tuner.errors import InputError
from tuner.spec.explain import explain
from tuner.spec.model import StudySpec
from tuner.spec.sources import HubId, resolve
from tuner.spec.yaml_tree import Place, Tree, dotted, one_line
from tuner.store import tuner_home

#: A study file has some kilobytes. What is larger is not even parsed.
MAX_BYTES = 100_000
_LINE = re.compile(r"^(\d+): (?:([a-z_][\w.\[\]]*): )?(.*)$", re.DOTALL)


@dataclass(frozen=True)
class Problem:
    """What is wrong at a line; `field` is a dotted place, empty where the text as a whole is meant."""

    line: int
    field: str
    message: str


@dataclass(frozen=True)
class Checked:
    """A text that was looked at: the study if it can run, its plain data as far as it could be read, all problems."""

    spec: StudySpec | None
    data: Mapping[str, Any]
    problems: tuple[Problem, ...]

    def at(self, *fields: str) -> str:
        """Return the messages at these fields and below them, joined; empty where all is well."""
        found = [
            p.message
            for p in self.problems
            if any(p.field == f or p.field.startswith((f + ".", f + "[")) for f in fields)
        ]
        return "; ".join(found)


def source_roots() -> list[Path]:
    """Return the folders that a browser's study may name files in: `TUNER_SOURCES`, else `sources` in the home."""
    listed = [Path(p).expanduser() for p in os.environ.get("TUNER_SOURCES", "").split(os.pathsep) if p]
    return [p.resolve() for p in listed] or [(tuner_home() / "sources").resolve()]


def check(text: str, roots: Sequence[Path] | None = None) -> Checked:
    """Return what a text amounts to. It never raises for what the text holds."""
    roots = source_roots() if roots is None else roots
    if len(text) > MAX_BYTES or len(text.encode(errors="replace")) > MAX_BYTES:
        return _broken(f"larger than {MAX_BYTES // 1000} kB, which no study file is")
    try:
        tree = Tree(text, "study")
    except (InputError, RecursionError) as error:
        return _broken(str(error).removeprefix("study:"))
    if not isinstance(tree.data, dict):
        return _broken("a study is a mapping of keys such as name, model, data and budget")
    if "base" in tree.data:
        return Checked(None, tree.data, (Problem(tree.lines.get(("base",), 1), "base", "unknown key"),))
    try:
        spec = StudySpec.model_validate({**tree.data, "base": roots[0]}, strict=True)
    except ValidationError as error:
        lines = explain(error, tree.data, lambda place: str(_line(tree, place)))
        return Checked(None, tree.data, tuple(_problem(line) for line in lines))
    problems = [
        Problem(_line(tree, place), dotted(place), one_line(message))
        for place, source in (
            (("model", "source"), spec.model.source),
            (("data", "source"), spec.data.source),
        )
        if source is not None
        and (message := refusal(source, roots, place[0] == "data" and spec.data.format == "hub"))
    ]
    return Checked(None if problems else spec, tree.data, tuple(problems))


def refusal(source: str, roots: Sequence[Path], hub_only: bool = False) -> str:
    """Return why a browser's study may not name this source, empty if it may.

    Of a path outside the roots it is not said whether it exists.
    """
    outside = (
        "only installed packages (pkg://…), Hub ids, and files under the source folders may be named here"
    )
    if "\0" in source or len(source) > 500 or "://" in source.removeprefix("pkg://"):
        return outside
    if source.startswith("pkg://"):
        return _resolved(source, roots[0])
    path = Path(source)
    if source.startswith("~") or ".." in path.parts:
        return outside
    real = (path if path.is_absolute() else roots[0] / path).resolve()
    if not any(real.is_relative_to(root) for root in roots):
        return outside  # also by a link inside a root that leads out of it
    if hub_only:
        return ""
    return _resolved(source, roots[0])


def _resolved(source: str, base: Path) -> str:
    try:
        found = resolve(source, base)
    except InputError as error:
        text = str(error)
        return text.replace(str(base) + os.sep, "").replace(str(base), "the source folder")
    return "" if isinstance(found, Path | HubId) else "unknown kind of source"


def _broken(message: str) -> Checked:
    number, _, rest = message.partition(": ")
    known = number.isdigit()
    return Checked(
        None, {}, (Problem(int(number) if known else 1, "", one_line(rest if known else message)[:500]),)
    )


def _problem(line: str) -> Problem:
    found = _LINE.match(one_line(line)[:700])
    return Problem(1, "", line[:700]) if found is None else Problem(int(found[1]), found[2] or "", found[3])


def _line(tree: Tree, place: Place) -> int:
    return next(tree.lines[place[:end]] for end in range(len(place), -1, -1) if place[:end] in tree.lines)


# -- editing


def with_value(text: str, place: Sequence[str], value: Any) -> str:
    """Return the text with one field changed: in its line where it has one, comments kept; else written anew.

    None removes the field.

    Raises:
        InputError: the text is no YAML mapping.
    """
    tree = Tree(text, "study")
    if not isinstance(tree.data, dict):
        raise InputError("a study is a mapping of keys such as name, model, data and budget")
    wanted = _changed(tree.data, place, value)
    if wanted == tree.data:
        return text
    if value is not None and tuple(place) in tree.lines:
        edited = _in_line(text, tree.lines[tuple(place)], place[-1], value)
        if edited is not None and _data(edited) == wanted:
            return edited
    return dumped(wanted)


def dumped(data: Mapping[str, Any]) -> str:
    """Return plain data as YAML in the order of the data, short lists in one line."""
    return str(yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110))


def study_text(spec: Mapping[str, Any], name: str | None = None) -> str:
    """Return a stored study as a study file: what differs from the defaults, under another name if one is given."""
    full = StudySpec.model_validate({**spec, **({"name": name} if name else {})})
    return dumped(full.model_dump(mode="json", exclude_defaults=True, exclude={"base"}))


class _Dumper(yaml.SafeDumper):
    pass


def _short_lists(dumper: _Dumper, data: list[Any]) -> yaml.Node:
    flow = all(isinstance(v, str | int | float | bool | None) for v in data) and len(json.dumps(data)) < 90
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flow)


_Dumper.add_representer(list, _short_lists)


def _data(text: str) -> Any:
    try:
        return Tree(text, "study").data
    except InputError:
        return None


def _changed(data: Mapping[str, Any], place: Sequence[str], value: Any) -> dict[str, Any]:
    out, (key, *rest) = dict(data), place
    if rest:
        inner = out.get(key)
        out[key] = _changed(inner if isinstance(inner, dict) else {}, rest, value)
        if not out[key]:
            del out[key]
    elif value is None:
        out.pop(key, None)
    else:
        out[key] = value
    return out


def _in_line(text: str, number: int, key: str, value: Any) -> str | None:
    lines = text.split("\n")
    found = re.match(
        rf"^(\s*{re.escape(key)}\s*:\s+)(\[[^\]#]*\]|[^#\[{{]*?)(\s*(?:\s#.*)?)$", lines[number - 1]
    )
    if found is None or not found[2]:
        return None
    written = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, width=10_000, allow_unicode=True)
    lines[number - 1] = found[1] + written.removesuffix("\n").removesuffix("\n...") + found[3]
    return "\n".join(lines)


# -- templates


def templates() -> dict[str, str]:
    """Return the study files that the project ships, by name."""
    import tuner

    package = Path(tuner.__file__).parent
    folder = next((f for f in (package / "_studies", package.parent / "studies") if f.is_dir()), None)
    return {p.stem: p.read_text() for p in sorted(folder.glob("*.yaml"))} if folder else {}
