"""Stop strings: where an answer ends, also when the string comes in several pieces."""

from __future__ import annotations

from collections.abc import Sequence


class StopStrings:
    """Watches the text of one answer; what may be the beginning of a stop string is held back."""

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = tuple(text for text in strings if text)
        self._held = ""
        self.found = False  #: the answer has ended at a stop string, which is not part of it

    def add(self, piece: str) -> str:
        """Return what of the text is certainly part of the answer. After `found` there is nothing more."""
        text = self._held + piece
        places = [place for string in self._strings if (place := text.find(string)) >= 0]
        if places:
            self.found, self._held = True, ""
            return text[: min(places)]
        kept = max((_overlap(text, string) for string in self._strings), default=0)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]

    def end(self) -> str:
        """Return what was held back: the answer is over and it was no stop string."""
        text, self._held = self._held, ""
        return text


def _overlap(text: str, string: str) -> int:
    """Return how many characters at the end of the text are a beginning of the string."""
    longest = min(len(text), len(string) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(string[:n])), 0)
