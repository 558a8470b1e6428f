"""A chat bundle is whole, talks by itself, and is held to what it said at export."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from tests.export.test_bundle import RUN
from tests.tiny_chat import CONTEXT, STUDY, artefact, built_artefact, bundle, content, texts
from tuner.errors import InputError, TunerError
from tuner.export.bundle import write_bundle
from tuner.export.kinds import kind_of_task
from tuner.export.manifest import check_manifest, write_manifest
from tuner.export.serving_code import with_imports
from tuner.hardware import this_host
from tuner.runtime.answering import Answer, Asked, Chat, UnanswerableError
from tuner.runtime.loader import load_session
from tuner.service.exporting import Sources, content_of
from tuner.service.verifying import verify_bundle
from tuner.spec.load import load_spec

PROGRAM = RUN.replace("predict.py", "chat.py")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return bundle(tmp_path_factory.mktemp("chat"))


def talk(bundle, *arguments, lines=b""):
    """Run chat.py as a user does, from somewhere else and with nothing of ours on the path."""
    return subprocess.run(
        [sys.executable, "-I", "-c", PROGRAM, str(bundle), *arguments],
        input=lines, capture_output=True, cwd="/", env={"PATH": os.environ["PATH"]}, timeout=60,
    )  # fmt: skip


def own_answer(bundle, question, most, system=()):
    chat = Chat.read(bundle)
    messages = [*system, {"role": "user", "content": question}]
    return "".join(chat.answer(chat.load(), chat.prompt(messages), Asked(most)))


def test_an_engine_of_others_answers_in_its_bundle(tmp_path):
    """OpenVINO GenAI: files in folders, a session that imports another, packages of its own."""
    made = write_bundle(content(tmp_path, *built_artefact(tmp_path, "openvino-genai")), tmp_path / "bundle")
    assert check_manifest(made) == []
    answered = talk(made, "the striker scored", "--max-tokens", "8")
    assert answered.returncode == 0, answered.stderr.decode()
    assert answered.stdout.decode().strip() == own_answer(made, "the striker scored", 8).strip()
    pins = {pin.split("==")[0] for pin in (made / "requirements.txt").read_text().split()}
    assert pins >= {"openvino-genai", "openvino", "numpy"}


# -- what is in it


def test_it_holds_what_it_says(whole):
    assert check_manifest(whole) == []
    described = json.loads((whole / "bundle.json").read_text())
    assert described == {"kind": "chat", "threads": 1, "replicas": 1, "context": CONTEXT,
                         "stop_token_ids": [0, 2], "generation": {}, "draft": None}  # fmt: skip
    pins = (whole / "requirements.txt").read_text().split()
    assert [pin.split("==")[0] for pin in pins] == ["jinja2", "numpy", "tokenizers"]
    assert {p.name for p in (whole / "runtime").iterdir()} == {
        f"{name}.py" for name in ("__init__", "answering", "chat", "checking", "detokenizing", "generating", "loader",
                                  "sampling", "split", "stopping", "template")}  # fmt: skip
    assert (whole / "chat_template.jinja").exists() and (whole / "tokenizer_config.json").exists()
    assert not (whole / "labels.json").exists() and not (whole / "predict.py").exists()
    readme = (whole / "README.md").read_text()
    for part in ("python chat.py", "tuner serve", "ttft_ms (ms)", "TTFT", "TPOT", "24 tokens of prompt, 8 of answer",
                 "| perplexity | 21.5 |", "A chat model as the search chose it"):  # fmt: skip
        assert part in readme


@pytest.mark.slow
def test_a_divided_model_is_divided_in_its_bundle_as_well(tmp_path):
    made, source = built_artefact(tmp_path, "torch")
    plain = content(tmp_path, made, source)
    apart = plain.candidate.parallel.model_copy(update={"tensor": 2})
    divided = replace(plain, candidate=plain.candidate.model_copy(update={"parallel": apart}))
    out = write_bundle(divided, tmp_path / "bundle")
    assert json.loads((out / "bundle.json").read_text())["tensor"] == 2
    assert (out / "runtime" / "rank.py").exists() and (out / "runtime" / "tensor_parallel.py").exists()
    said = talk(out, "--check")
    assert said.returncode == 0 and b"answered as at export" in said.stdout, said.stderr[-2000:]


def test_what_the_serving_code_imports_comes_with_it():
    found = with_imports(["predict", "torch_session", "no_such_session"])
    assert {"predict", "loader", "torch_session", "shaped"} <= found and "no_such_session" not in found
    assert "template" not in found and with_imports(["chat"]) >= {
        "answering",
        "template",
        "sampling",
        "stopping",
    }


def test_there_is_no_bundle_for_another_task():
    with pytest.raises(InputError, match="text-classification, text-generation"):
        kind_of_task("translation")


# -- one question


def test_a_question_is_answered(whole):
    done = talk(whole, "--max-tokens", "12", "what", "is", "a", "bank?")
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == own_answer(whole, "what is a bank?", 12) + "\n"


def test_a_question_on_stdin_and_an_answer_as_json(whole):
    system = {"role": "system", "content": "be brief"}
    done = talk(whole, "--max-tokens", "9", "--json", "--system", "be brief", lines="hé?\n".encode())
    found = json.loads(done.stdout)
    assert found["answer"] == own_answer(whole, "hé?", 9, [system]) and found["finish_reason"] == "length"
    assert found["usage"]["completion_tokens"] == 9


def test_a_warm_answer_is_drawn_by_its_seed(whole):
    cold, first, again, other = (
        talk(whole, "hello", "--max-tokens", "20", "--temperature", "1.5", "--seed", seed).stdout
        for seed in ("1", "2", "2", "3")
    )
    assert first == again and len({cold, first, other}) == 3


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (["word " * 3000], 1, f"do not fit into the model's {CONTEXT}"),
        ([], 1, "there is no question"),
        (["--max-tokens", "0", "x"], 2, "1 or more"),
        (["--temperature", "hot", "x"], 2, "not a number"),
    ],
)
def test_what_cannot_be_answered_is_said_in_a_line(whole, arguments, code, words):
    done = talk(whole, *arguments)
    last = done.stderr.decode().splitlines()[-1]
    assert done.returncode == code and words in last and b"Traceback" not in done.stderr and not done.stdout


# -- a conversation


class Terminal:
    """chat.py on a terminal."""

    def __init__(self, bundle, *options):
        self.process, self.end = pty.fork()
        if self.process == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.environ["TERM"] = "dumb"
            os.execv(sys.executable, [sys.executable, str(bundle / "chat.py"), *options])
        self.text, self.seen = "", 0

    def until(self, words, seconds=20):
        """Read until the words come after the last ones waited for; return what is up to them."""
        start, end = self.seen, time.monotonic() + seconds
        while words not in self.text[start:]:
            assert time.monotonic() < end, self.text
            self.hear(0.1)
        self.seen = self.text.index(words, start) + len(words)
        return self.text[start : self.seen]

    def hear(self, seconds):
        """Read what comes, if anything does within the seconds."""
        if select.select([self.end], [], [], seconds)[0]:
            self.text += os.read(self.end, 10_000).decode(errors="replace")

    def say(self, text):
        os.write(self.end, text.encode())

    def interrupt(self, words):
        """Hit Ctrl-C until the words come: in the instant before readline waits, CPython keeps it for the next key."""
        for _ in range(5):
            self.say("\x03")
            end = time.monotonic() + 2
            while words not in self.text[self.seen :] and time.monotonic() < end:
                self.hear(0.1)
            if words in self.text[self.seen :]:
                break
        self.until(words, 1)

    def code(self, seconds=20):
        """Return the exit code; a process that does not end is killed."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found, status = os.waitpid(self.process, os.WNOHANG)
            if found:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        pytest.fail(f"it did not end after {self.text!r}")


def prompt_tokens(said):
    return json.JSONDecoder().raw_decode(said[said.index("{") :])[0]["usage"]["prompt_tokens"]


def test_a_conversation(tmp_path):
    slow = bundle(tmp_path, pause=0.01)
    terminal = Terminal(slow, "--json", "--max-tokens", "4")
    terminal.until("> ")
    counts = []
    for line in ("hello\n", "and then?\n"):
        terminal.say(line)
        found = terminal.until("}}")
        counts.append(prompt_tokens(found))
    assert counts[1] > counts[0] + 15  # the first question and its answer are part of the second prompt
    terminal.say("/new\n")
    terminal.say("hello\n")
    found = terminal.until("}}")
    assert prompt_tokens(found) == counts[0]
    terminal.say("/exit\n")
    assert terminal.code() == 0


def test_ctrl_c_stops_the_answer_and_not_the_conversation(tmp_path):
    slow = bundle(tmp_path, pause=0.05)
    terminal = Terminal(slow, "--max-tokens", "1000")
    terminal.until("> ")
    begun_answer(terminal)
    terminal.say("\x03")
    terminal.until("[stopped]", 5)
    terminal.until("> ", 5)
    terminal.interrupt("/exit or Ctrl-D")  # at the prompt it ends nothing
    terminal.say("\x04")  # though the next prompt may not be there yet
    assert terminal.code() == 0


def begun_answer(terminal):
    """Ask, and wait for the first letters."""
    terminal.say("hello\n")
    terminal.until("hello\r\n")
    while not terminal.text[terminal.seen :]:
        terminal.hear(20)


def test_ctrl_d_in_the_middle_of_an_answer_ends_the_conversation_after_it(tmp_path):
    slow = bundle(tmp_path, pause=0.02)
    terminal = Terminal(slow, "--max-tokens", "20")
    terminal.until("> ")
    begun_answer(terminal)
    terminal.say("\x04")
    assert terminal.code() == 0


# -- the session's side


def test_who_stops_iterating_leaves_the_session_ready(whole):
    chat = Chat.read(whole)
    session, prompt = chat.load(), chat.encode("the bank")
    answer = chat.answer(session, prompt, Asked(30))
    assert next(iter(answer)) and answer.finish is None
    answer.pieces.close()
    after = chat.answer(session, prompt, Asked(5))
    text = "".join(after)
    assert isinstance(after, Answer) and text and after.finish == "length" and after.completion_tokens == 5


def test_nobody_wants_it_any_more(whole):
    chat = Chat.read(whole)
    asked = iter([False, False, True])
    answer = chat.answer(chat.load(), chat.encode("the"), Asked(30), gone=lambda: next(asked))
    assert list(answer) is not None and answer.finish == "cancelled" and answer.completion_tokens == 2


def test_the_room_of_the_context(whole):
    chat = Chat.read(whole)
    assert chat.room([5] * 2000, None) == 48 and chat.room([5] * 2000, 48) == 48
    for prompt, most, too_long in (([5] * 2000, 49, True), ([5] * CONTEXT, None, True), ([], 1, False)):
        with pytest.raises(UnanswerableError) as caught:
            chat.room(prompt, most)
        assert caught.value.too_long is too_long and "\n" not in str(caught.value)


# -- from a study


def encoded(folder):
    """Write what is kept of a study's data that a bundle is made from."""
    folder.mkdir()
    rows = np.random.default_rng(1).integers(3, 200, (5, 12))
    np.savez(folder / "prompts.npz", measure=rows, validation=rows, test=rows)
    meta = {"stop_token_ids": [2], "generation": {"temperature": 0.2, "do_sample": True}, "chat": True}
    (folder / "meta.json").write_text(json.dumps(meta))
    return rows


def test_the_content_of_a_bundle_is_what_the_artefact_says(tmp_path):
    rows = encoded(tmp_path / "data")
    made, source = artefact(tmp_path / "made"), texts(tmp_path / "source")
    spec = load_spec(STUDY).to_plain()
    plain = content(tmp_path)
    found = content_of(Sources(made, tmp_path / "data", source), plain.candidate, spec, plain.report)
    check = found.more["check.json"]
    assert [stored["prompt"] for stored in check["prompts"]] == rows[:3].tolist()
    session = load_session(made, 1)
    assert [s["tokens"] for s in check["prompts"]] == [list(session.stream(r, 16)) for r in rows[:3].tolist()]
    assert check["timed"] == {"prompt": rows[0].tolist(), "new_tokens": 64}
    assert found.facts == {"context": CONTEXT, "stop_token_ids": [2],
                           "generation": {"temperature": 0.2, "do_sample": True}}  # fmt: skip
    whole = write_bundle(found, tmp_path / "bundle")
    assert Chat.read(whole).sampling.temperature == 0.2 and talk(whole, "--check").returncode == 0


def test_an_artefact_that_does_not_answer_makes_no_bundle(tmp_path):
    encoded(tmp_path / "data")
    made, source = artefact(tmp_path / "made", fail=2), texts(tmp_path / "source")
    plain = content(tmp_path)
    with pytest.raises(TunerError, match=r"the artefact failed: .*ran into a wall"):
        content_of(Sources(made, tmp_path / "data", source), plain.candidate, load_spec(STUDY).to_plain(), {})


# -- verify


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A bundle that was exported on this host."""
    monkeypatch.setenv("TUNER_HOME", str(tmp_path / "home"))
    host = this_host()
    plain = {"fingerprint": host.fingerprint, "cpu": host.cpu, "cores": list(host.cores), "os": host.os}
    return write_bundle(content(tmp_path, host=plain), tmp_path / "bundle")


def test_a_bundle_answers_as_at_export(here):
    found = verify_bundle(here)
    assert found["ok"] and found["files"] == [] and "beside the baseline" in found["notes"][0]
    tokens, latency = found["claims"]
    assert tokens["metric"] == "greedy_tokens" and tokens["holds"] is True
    assert latency["metric"] == "latency_ms" and latency["holds"] is None
    assert latency["claimed"]["value"] == 12.5 and 0 < latency["measured"]["value"] < 1000
    assert talk(here, "--check").stdout == b"all 2 check prompts are answered as at export\n"


def changed(bundle):
    """Let the model think otherwise, with a manifest that agrees."""
    session = bundle / "artefact" / "tiny_session.py"
    session.write_text(session.read_text().replace("default_rng(3)", "default_rng(4)"))
    write_manifest(bundle)


def test_a_bundle_that_answers_otherwise_does_not_hold(here):
    changed(here)
    found = verify_bundle(here)
    assert not found["ok"] and found["claims"][0]["holds"] is False
    assert "check prompt 1: the first 0 of 16 greedy tokens" in found["notes"][0]
    done = talk(here, "--check")
    assert done.returncode == 1 and b"check prompt 2" in done.stdout


def test_no_bytecode_stands_for_an_artefacts_own_session(here):
    session = here / "artefact" / "tiny_session.py"
    before = session.stat()
    load_session(here / "artefact", 1)
    changed(here)  # to a source of the same length
    os.utime(session, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not verify_bundle(here)["ok"]
    assert not (here / "artefact" / "__pycache__").exists()


def test_on_another_host_other_tokens_are_no_broken_claim(whole, tmp_path, monkeypatch):
    other = write_bundle(content(tmp_path), tmp_path / "bundle")
    changed(other)
    found = verify_bundle(other)
    assert (
        found["ok"]
        and found["claims"][0]["holds"] is None
        and "measured on another host than claimed" in found["notes"]
    )


def test_a_checkpoint_without_what_is_optional(tmp_path):
    source = texts(tmp_path / "source", None)
    (source / "tokenizer_config.json").unlink()
    made = write_bundle(content(tmp_path, artefact(tmp_path / "made"), source), tmp_path / "bundle")
    assert not (made / "chat_template.jinja").exists() and not (made / "tokenizer_config.json").exists()
    done = talk(made, "--max-tokens", "4", "the bank")  # it goes on with the text
    assert done.returncode == 0 and done.stdout.strip(), done.stderr
