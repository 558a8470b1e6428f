"""Text from tokens as they come: what is not yet whole UTF-8 is held back until it is."""

from __future__ import annotations

from tokenizers import Tokenizer

_BROKEN = "\ufffd"


class Detokenizer:
    """Turns the tokens of one answer into pieces of text; special tokens have none.

    A byte-level token may be part of a character, and some decoders treat a token by its place (a space at the
    beginning is none). So a piece is what the last few tokens say more than they said without the newest ones, and it
    is given when it does not end within a character. The pieces together are the text of all tokens.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._tokens: list[
            int
        ] = []  # since the piece before the last: the context in which the next are read
        self._known = 0  # how many of them are given already

    def add(self, token: int) -> str:
        """Return the text that the token makes whole, which may be none."""
        self._tokens.append(token)
        text = self._more()
        if not text or text.endswith(_BROKEN):
            return ""
        self._tokens, self._known = self._tokens[self._known :], len(self._tokens) - self._known
        return text

    def end(self) -> str:
        """Return what was held back, with a replacement sign for what never became a character."""
        text = self._more()
        self._known = len(self._tokens)
        return text

    def _more(self) -> str:
        before = self._text(self._tokens[: self._known])
        return self._text(self._tokens)[len(before) :]

    def _text(self, tokens: list[int]) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True)) if tokens else ""
