"""YAML with places: the data of a small, trusted-by-nobody YAML file, and the line of every value in it.

Only plain data of YAML 1.2's core schema: `1e-4` is a number, `no` and `2024-01-01` are text. Duplicate keys,
custom tags, and documents that grow large through aliases are refused.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from tuner.errors import InputError

Place = tuple[str | int, ...]

MAX_BYTES = 1_000_000
MAX_VALUES = 20_000
MAX_DEPTH = 40
_PREFIX = "tag:yaml.org,2002:"
_SCALARS: list[tuple[str, str, str]] = [
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", "~nN\0"),
    ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$|^[-+]?\.(?:inf|Inf|INF)$|^\.nan$",
     "-+.0123456789"),
]  # fmt: skip


class _Loader(yaml.SafeLoader):
    """SafeLoader with the core schema's scalars, and a bound on nodes and depth while it composes."""

    _nodes = _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._nodes, self._depth = self._nodes + 1, self._depth + 1
        if self._depth > MAX_DEPTH or self._nodes > MAX_VALUES:
            problem = (
                f"nested over {MAX_DEPTH} deep" if self._depth > MAX_DEPTH else f"over {MAX_VALUES} values"
            )
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=self.peek_event().start_mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


_Loader.yaml_implicit_resolvers = {}  # its own, so that SafeLoader keeps YAML 1.1's
for _tag, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(
        _PREFIX + _tag, re.compile(_pattern), ["" if c == "\0" else c for c in _first]
    )


class Tree:
    """Parsed data, and the 1-based line of every key and item by its place, `("budget", "trials")`."""

    def __init__(self, text: str, file: str) -> None:
        self.file, self._built = file, 0
        self.lines: dict[Place, int] = {(): 1}
        root = self._compose(text)
        self.data: Any = None if root is None else self._value(root, ())

    def _compose(self, text: str) -> yaml.Node | None:
        try:
            return _Loader(text).get_single_node()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise self._error(mark.line + 1 if mark else 1, error.problem or "cannot be read") from None
        except yaml.YAMLError as error:
            raise self._error(1, f"not YAML: {str(error).splitlines()[0]}") from None

    def _value(self, node: yaml.Node, place: Place) -> Any:
        self.lines.setdefault(place, node.start_mark.line + 1)
        self._built += 1
        if self._built > MAX_VALUES or len(place) > MAX_DEPTH:
            raise self._error(node.start_mark.line + 1, f"its aliases expand to over {MAX_VALUES} values")
        if isinstance(node, yaml.MappingNode) and node.tag == _PREFIX + "map":
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode) and node.tag == _PREFIX + "seq":
            return [self._value(item, (*place, i)) for i, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        raise self._error(node.start_mark.line + 1, f"the tag {node.tag!r} is not allowed")

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key, line = self._key(key_node), key_node.start_mark.line + 1
            inner = (*place, key)
            if key in result:
                name = dotted(inner)
                raise self._error(line, f"{name}: given twice, first in line {self.lines[inner]}; remove one")
            self.lines[inner] = line
            result[key] = self._value(value_node, inner)
        return result

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._error(node.start_mark.line + 1, "a key must be plain text")
        return str(node.value)

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        kind = node.tag.removeprefix(_PREFIX)
        text: str = node.value
        try:
            if kind == "int":
                return int(text)
            if kind == "float":
                return float(text.replace(".inf", "inf").replace(".nan", "nan"))
        except ValueError:  # an explicit tag, `!!int x`, or more digits than Python takes
            raise self._error(node.start_mark.line + 1, f"{text[:40]!r} is not a number") from None
        simple: dict[Hashable, Any] = {"bool": text.lower() == "true", "null": None, "str": text}
        if kind not in simple:
            raise self._error(node.start_mark.line + 1, f"the tag {node.tag!r} is not allowed")
        return simple[kind]

    def _error(self, line: int, message: str) -> InputError:
        return InputError(one_line(f"{self.file}:{line}: {message}"))


def read_yaml(path: Path) -> Tree:
    """Parse a file of at most 1 MB.

    Raises:
        InputError: it is missing, unreadable, too large, or no such YAML; the message names file and line.
    """
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a folder, not a study file")
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES // 1_000_000} MB, which no study file is")
        return Tree(path.read_bytes().decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None


def dotted(place: Place) -> str:
    """Write a place as `axes.pruning.ffn[2]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")


def one_line(text: str) -> str:
    """Write control characters, line ends among them, as escapes: names and values come from the file."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
