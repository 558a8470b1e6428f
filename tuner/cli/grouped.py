"""Grouped: the list of commands in a help text, in groups, one line each."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


class Grouped(TyperGroup):
    """Lists commands under the panel that each was registered with."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the groups in the order in which their first command was registered."""
        groups: dict[str, list[Any]] = {}
        for command in self.commands.values():
            groups.setdefault(getattr(command, "rich_help_panel", None) or "Commands", []).append(command)
        for title, commands in groups.items():
            room = formatter.width - 6 - max(len(command.name) for command in commands)
            with formatter.section(title):
                formatter.write_dl([(c.name, _line(c.get_short_help_str(room))) for c in commands])


def _line(text: str) -> str:
    """Return a line of a list: no full stop, unless it tells that the text was cut."""
    return text if text.endswith("...") else text.rstrip(".")
