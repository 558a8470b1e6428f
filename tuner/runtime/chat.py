"""A bundle's command line: one question, or a conversation on a terminal."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .answering import Answer, Asked, Chat, Message, UnanswerableError
from .checking import check, differences
from .generating import GeneratingSession
from .template import TemplateRefusedError

INTERRUPTED = 130
_HELP = "/exit or Ctrl-D ends the conversation, /new begins another, Ctrl-C stops an answer"


def main(bundle: Path) -> int:
    """Answer the command line; return the exit code: 1 what cannot be answered, 2 bad usage, 130 Ctrl-C."""
    asked = _parser().parse_args()
    try:
        chat = Chat.read(bundle)
        session = chat.load(asked.threads)
        if asked.check:
            return _check(bundle, session, asked.json)
        if asked.question or not sys.stdin.isatty():
            return _once(chat, session, asked)
        return Conversation(chat, session, asked).run()
    except (UnanswerableError, TemplateRefusedError) as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED


class Conversation:
    """Questions from a terminal, each answered in the light of the earlier ones."""

    def __init__(self, chat: Chat, session: GeneratingSession, asked: argparse.Namespace) -> None:
        self._chat, self._session, self._asked = chat, session, asked
        self._messages = opening(asked.system)

    def run(self) -> int:
        """Answer until there are no more questions; return the exit code."""
        print(_HELP, file=sys.stderr)
        with _typing_ahead():
            while (question := _question()) not in (None, "/exit"):
                if question == "/new":
                    self._messages = opening(self._asked.system)
                elif question:
                    self._turn(question)
        return 0

    def _turn(self, question: str) -> None:
        messages = [*self._messages, {"role": "user", "content": question}]
        said: list[str] = []
        try:
            answer = reply(self._chat, self._session, messages, self._asked)
            for piece in shown(answer, self._asked.json):
                said.append(piece)
        except KeyboardInterrupt:
            print(" [stopped]", flush=True)
        except UnanswerableError as error:
            print(f"{error} (/new begins another conversation)", file=sys.stderr)
            return
        self._messages = [*messages, {"role": "assistant", "content": "".join(said)}]


def reply(
    chat: Chat, session: GeneratingSession, messages: list[Message], asked: argparse.Namespace
) -> Answer:
    """Return the answer to the messages. A model without a template goes on with the text of the last one.

    Raises:
        UnanswerableError: they do not fit into the context.
        TemplateRefusedError: the template refuses them.
    """
    prompt = chat.prompt(messages) if chat.template else chat.encode(str(messages[-1]["content"]))
    most = min(asked.max_tokens, chat.room(prompt, None))
    sampling = chat.sampling.changed(temperature=asked.temperature, seed=asked.seed)
    return chat.answer(session, prompt, Asked(most, sampling))


def shown(answer: Answer, as_json: bool) -> Iterator[str]:
    """Yield the answer's pieces, each after it was printed; as JSON the whole answer is one line at its end."""
    said = []
    for piece in answer:
        said.append(piece)
        if not as_json:
            print(piece, end="", flush=True)
        yield piece
    whole = {"answer": "".join(said), "finish_reason": answer.finish, "usage": answer.usage()}
    print(json.dumps(whole, ensure_ascii=False) if as_json else "", flush=True)


def opening(system: str | None) -> list[Message]:
    """Return the messages with which a conversation begins."""
    return [{"role": "system", "content": system}] if system else []


def _once(chat: Chat, session: GeneratingSession, asked: argparse.Namespace) -> int:
    question = " ".join(asked.question) or sys.stdin.buffer.read().decode("utf-8", errors="replace").strip()
    if not question:
        raise UnanswerableError('there is no question: python chat.py "a question", or one on stdin')
    messages = [*opening(asked.system), {"role": "user", "content": question}]
    for _ in shown(reply(chat, session, messages, asked), asked.json):
        pass
    return 0


def _check(bundle: Path, session: GeneratingSession, as_json: bool) -> int:
    """Say if the artefact answers as at export; return 1 if not."""
    stored = json.loads((bundle / "check.json").read_text())
    found = check(session, stored)
    wrong = differences(stored["prompts"], found["prompts"])
    if as_json:
        print(json.dumps({**found, "differences": wrong}))
    else:
        print("\n".join(wrong) or f"all {len(found['prompts'])} check prompts are answered as at export")
    return 1 if wrong else 0


@contextlib.contextmanager
def _typing_ahead() -> Iterator[None]:
    """Keep the keys that are hit between two prompts, Ctrl-D among them, for the next one; Ctrl-C stays what it is.

    In a terminal's usual mode Ctrl-D is no key but the end of the input, and a prompt of readline that begins only
    after it was hit does not see it.
    """
    try:
        import readline  # noqa: F401 — line editing and history
        import termios
    except ImportError:  # lines are the terminal's own, and Ctrl-D waits by itself
        yield
        return
    if not sys.stdout.isatty():  # and so they are here
        yield
        return
    before, keys = termios.tcgetattr(0), termios.tcgetattr(0)
    keys[3] &= ~termios.ICANON
    termios.tcsetattr(0, termios.TCSADRAIN, keys)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


def _question() -> str | None:
    """Return the next line of the terminal, empty after Ctrl-C, None at its end."""
    try:
        return input("> ").strip()
    except EOFError:
        print()
        return None
    except KeyboardInterrupt:
        print(f"\n{_HELP}", file=sys.stderr)
        return ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="chat.py", description="Talk to the model of this bundle.")
    parser.add_argument("question", nargs="*", help="without one: stdin, or a conversation on a terminal")
    parser.add_argument("--max-tokens", type=_count, default=512, help="longest answer (default: 512)")
    parser.add_argument("--temperature", type=_warmth, help="0: the likeliest tokens (default: the model's)")
    parser.add_argument("--seed", type=int, help="draws the same tokens again")
    parser.add_argument("--system", help="what the model is told before the conversation")
    parser.add_argument("--threads", type=_count, help="threads of the engine (default: as measured)")
    parser.add_argument("--json", action="store_true", help="one JSON object for each answer")
    parser.add_argument("--check", action="store_true", help="does it answer as when it was exported?")
    return parser


def _count(text: str) -> int:
    return int(_checked(text, text.isdigit() and int(text) >= 1, "a number of 1 or more"))


def _warmth(text: str) -> float:
    try:
        return float(_checked(text, 0 <= float(text) <= 2, "between 0 and 2"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def _checked(text: str, good: bool, wanted: str) -> Any:
    if not good:
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
    return text
