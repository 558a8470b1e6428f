"""The command line: exit codes, one line for each error, JSON alone on stdout, and a quick start."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest
import typer
from madeup import int8, store_chat, store_study

from tests.store.claims import coordinate
from tuner.cli.ship import share
from tuner.service.api import load
from tuner.spec.schema import front_schema, study_schema
from tuner.store import Store

ROOT = Path(__file__).resolve().parents[2]


def command(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "tuner.cli.main", *map(str, arguments)],
        capture_output=True, text=True, timeout=60, cwd=ROOT, **options,
    )  # fmt: skip


def test_help_is_quick_and_imports_nothing_heavy():
    code = (
        "import sys; from tuner.cli.main import main; main(['--help']);"
        "heavy = {'torch', 'transformers', 'optuna', 'sqlalchemy', 'pandas', 'numpy', 'pydantic'};"
        "sys.exit(str(sorted(heavy & set(sys.modules))) if heavy & set(sys.modules) else 0)"
    )
    took = []
    for _ in range(3):
        begin = time.monotonic()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
        took.append(time.monotonic() - begin)
        assert done.returncode == 0, done.stderr
    assert "export" in done.stdout and done.stderr == ""
    assert min(took) < 0.5


@pytest.mark.parametrize(
    "arguments, code, says",
    [
        (["frnt"], 2, "'front'"),
        (["front"], 2, "Missing argument"),
        (["run", "no-such.yaml"], 2, "no-such.yaml: no such file"),
        (["run", "x.yaml", "--timeout", "soon"], 2, "no time span"),
        (["run", "x.yaml", "--trials", "0"], 2, "--trials"),
        (["validate", "studies/first-steps.yaml", "--set", "budget.trails=1"], 2, "did you mean 'trials'?"),
        (["export", "x"], 2, "--output"),
        (["export", "x", "-o", "d", "--pick", "best"], 2, "'knee'"),
        (["export", "x", "-o", "d", "--pick", "knee", "--trial", "1"], 2, "--trial already names"),
        (["front", "nothing"], 4, "nothing"),
        (["show", "nothing", "1"], 4, "nothing"),
        (["verify", "/no/such/bundle"], 4, "/no/such/bundle"),
    ],
)
def test_each_error_is_one_line_and_its_exit_code(tuner, monkeypatch, arguments, code, says):
    monkeypatch.chdir(ROOT)
    found, out, err = tuner(*arguments)
    assert (found, out) == (code, "")
    assert says in err and err.count("\n") == 1 and "Traceback" not in err


def test_a_bare_command_shows_the_help_and_fails(tuner):
    code, out, err = tuner()
    assert (code, out) == (2, "") and "Commands:" in err


def test_a_broken_database_is_one_line(tuner, home):
    store_study(f"sqlite:///{home}/tuner.db")
    (home / "tuner.db").write_bytes(b"this is no database at all" * 500)
    code, out, err = tuner("list")
    assert (code, out) == (2, "") and "tuner.db: file is not a database" in err and err.count("\n") == 1


def test_an_unexpected_exception_names_its_log(home, capsys):
    from tuner.cli.guard import guarded

    def broken():
        raise ZeroDivisionError("first line\nsecond line")

    assert guarded(broken) == 1
    err = capsys.readouterr().err
    assert err.startswith("unexpected ZeroDivisionError: first line (details: ") and err.count("\n") == 1
    log = Path(err.rstrip().removesuffix(")").split("details: ")[1])
    assert log.is_relative_to(home) and "in broken" in log.read_text()


def test_front_as_json_is_json_alone_and_fits_its_schema(home):
    store_study(f"sqlite:///{home}/tuner.db")
    done = command("front", "made-up", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    front = json.loads(done.stdout)
    jsonschema.validate(front, front_schema())
    assert [p["trial"] for p in front] == [3, 2, 1, 0]  # the fastest first
    assert all(p["on_front"] and p["confirmed"] for p in front)
    assert front[0]["metrics"]["speedup"]["value"] == pytest.approx(29.0)  # confirmed, not the search's 30
    assert front[0]["metrics"]["energy_j"] is None


def test_front_of_everything_and_where(tuner, home):
    store_study(f"sqlite:///{home}/tuner.db")
    _, out, _ = tuner("front", "made-up", "--all", "--json")
    everything = json.loads(out)
    jsonschema.validate(everything, front_schema())
    assert [p["trial"] for p in everything if not p["on_front"]] == [4, 5]
    assert [p["standing"] for p in everything] == ["front", "front", "front", "front", None, "tied"]
    assert [p["rivals"] for p in everything] == [[3, 2], [3, 2], [3], [], [], [3, 2]]
    _, out, _ = tuner("front", "made-up", "--json", "--where", "latency_ms<=5 and accuracy_drop<=0.006")
    assert [p["trial"] for p in json.loads(out)] == [2]
    code, out, err = tuner("front", "made-up", "--json", "--where", "latency_ms < 0.1")
    assert (code, json.loads(out)) == (3, []) and err.count("\n") == 1
    code, out, err = tuner("front", "made-up", "--where", "latncy < 1")
    assert (code, out) == (2, "") and "did you mean 'latency_ms'?" in err


def test_the_table_is_plain_without_a_terminal_and_shows_what_was_lost(tuner, home):
    store_study(f"sqlite:///{home}/tuner.db")
    code, out, _ = tuner("front", "made-up")
    lines = out.splitlines()
    assert code == 0 and "\x1b" not in out and "confirmed on the test split" in lines[0]
    fastest = next(line for line in lines if line.startswith("3 "))
    assert "29.0x" in fastest and "94.1 ±2.0" in fastest and "accuracy -0.2 pt, latency +3%" in fastest
    assert next(line for line in lines if line.startswith("0 ")).endswith("baseline")
    assert next(line for line in lines if line.startswith("1 ")).endswith("whole model")


def test_a_language_models_front_is_told_in_perplexity_and_tokens(tuner, home):
    store_chat(f"sqlite:///{home}/tuner.db")
    code, out, _ = tuner("front", "chat")
    heads = "perplexity  more %  agreement %  response ms  speedup  TTFT ms  TPOT ms  tokens/s"
    lines = {line.split()[0]: " ".join(line.split()) for line in out.splitlines() if line}
    assert code == 0 and heads.split() == lines["trial"].split()[6:19]
    assert "4 weight-only rtn g32" in lines["2"] and "21.4 ±0.4 7.1 ±1.0 85.8 ±5.0" in lines["2"]
    assert "9.20x" in lines["2"] and "perplexity +1.0 %, latency -2%" in lines["2"]
    assert lines["0"].endswith("baseline") and lines["1"].endswith("whole model") and "3" not in lines
    code, out, _ = tuner("front", "chat", "--where", "perplexity_increase <= 3%", "--json")
    front = json.loads(out)
    jsonschema.validate(front, front_schema())
    assert [p["trial"] for p in front] == [1, 0] and "accuracy" not in front[0]["metrics"]
    _, out, _ = tuner("show", "chat", "2")
    assert "perplexity  " in out and "perplexity ()" not in out and "ttft_ms (ms)" in out
    _, out, _ = tuner("show", "chat", "4", "--json")
    assert json.loads(out)["metrics"]["perplexity"] is None  # it failed, and is told like the others


def test_a_language_models_floor_is_said(tuner):
    code, out, _ = tuner("validate", ROOT / "studies" / "chat.yaml")
    assert code == 0 and "must meet: perplexity_increase <= 0.10 and agreement >= 0.25" in out


@pytest.mark.parametrize("said", ["3%", "0.03", " 3 % "])
def test_a_loss_may_be_said_in_per_cent(said):
    assert share(said) == pytest.approx(0.03)


@pytest.mark.parametrize("said", ["3", "-1%", "little", "%", "nan"])
def test_what_is_no_share_is_refused(said):
    with pytest.raises(typer.BadParameter, match="is no share"):
        share(said)


def test_a_constraint_nobody_meets_ends_with_3_and_names_the_nearest(tuner, home):
    store_study(f"sqlite:///{home}/tuner.db", "strict", ["latency_ms <= 0.001"])
    code, out, err = tuner("front", "strict")
    assert (code, out) == (3, "") and err.count("\n") == 1
    assert (
        "none of 6 measured trials meets latency_ms <= 0.001; the nearest is trial 4 with latency_ms 1.5"
        in err
    )


def test_the_table_says_who_is_tied_and_whose_place_is_owed_to_noise(tuner, home):
    store_study(f"sqlite:///{home}/tuner.db")
    _, out, err = tuner("front", "made-up")
    assert "tied" not in out
    assert "2 (perhaps beaten by 3), 1 (perhaps beaten by 3, 2), 0 (perhaps beaten by 3, 2)" in err
    assert "1 more tied with the front" in err and "tuner front made-up --all" in err
    _, out, err = tuner("front", "made-up", "--all")
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert lines["5"].endswith("tied") and lines["4"].endswith("misses a constraint")
    assert lines["1"].endswith("whole model") and "more tied" not in err


@pytest.mark.parametrize(
    ("trial", "said"),
    [
        ("3", "complete, on the front"),
        ("2", "complete, on the front, though trial 3 may beat it, within the noise"),
        ("5", "complete, tied with the front: trials 3 and 2 may beat it, within the noise"),
        ("4", "complete, misses a constraint"),
        ("6", "failed"),
    ],
)
def test_show_begins_with_how_a_trial_stands(tuner, home, trial, said):
    store_study(f"sqlite:///{home}/tuner.db")
    _, out, _ = tuner("show", "made-up", trial)
    assert out.splitlines()[0] == f"made-up, trial {trial}: {said}"


def test_a_table_of_the_front_has_the_standing_of_each_point(home):
    store_study(f"sqlite:///{home}/tuner.db")
    found = load("made-up").front()
    assert list(found["trial"]) == [3, 2, 1, 0] and set(found["standing"]) == {"front"}


def test_show_gives_all_there_is(tuner, home):
    store_study(f"sqlite:///{home}/tuner.db")
    code, out, _ = tuner("show", "made-up", "2", "--json")
    shown = json.loads(out)
    assert code == 0 and shown["state"] == "complete" and shown["stages"][0]["name"] == "build"
    assert shown["search_metrics"]["speedup"]["value"] == pytest.approx(15)
    assert shown["metrics"]["speedup"]["value"] == pytest.approx(14)
    _, out, _ = tuner("show", "made-up", "6")
    assert "out-of-memory: took 9000 MB" in out and "last line" in out
    assert tuner("show", "made-up", "99")[0] == 4


def test_show_tells_what_differs_from_the_baseline(tuner, home):
    store_study(f"sqlite:///{home}/tuner.db")
    changed = json.loads(tuner("show", "made-up", "2", "--json")[1])["differs_from_baseline"]
    assert changed["distillation.student_layers"] == {"baseline": 6, "trial": 2}
    assert set(changed) == {
        "distillation.student_layers", "quantization.bits", "quantization.scheme", "backend.engine",
    }  # fmt: skip
    lines = tuner("show", "made-up", "2")[1].splitlines()
    assert "distillation: student_layers 2 (baseline 6)" in lines
    assert "parallel: threads 2, replicas 1" in lines  # the same as the baseline's: nothing to say
    _, out, _ = tuner("show", "made-up", "0")
    assert "this is the baseline" in out and "(baseline " not in out


def test_show_without_a_measured_baseline_claims_no_difference(tuner, home):
    spec = {"name": "young", "metric": "accuracy", "objectives": ["accuracy"], "constraints": []}
    with Store.open() as store:
        store.new_trial(coordinate(store, store.create_study(spec)), 0, int8(2))
    code, out, _ = tuner("show", "young", "0", "--json")
    assert code == 0 and json.loads(out)["differs_from_baseline"] is None
    assert "(baseline " not in tuner("show", "young", "0")[1]


def test_list(tuner, home):
    assert tuner("list")[0] == 0
    store_study(f"sqlite:///{home}/tuner.db")
    _, out, _ = tuner("list", "--json")
    (summary,) = json.loads(out)
    assert (summary["measured"], summary["failed"], summary["on_front"], summary["confirmed"]) == (
        6,
        1,
        4,
        True,
    )
    assert summary["best_speedup"] == pytest.approx(29.0)
    _, out, _ = tuner("list")
    assert "made-up" in out and "29.0x" in out


def test_backends_names_a_reason_for_each_no(tuner):
    code, out, _ = tuner("backends", "--json")
    offers = json.loads(out)["backends"]
    assert code == 0 and {"torch", "torch-compile", "onnxruntime", "openvino"} <= {
        o["engine"] for o in offers
    }
    assert all(o["reason"] for o in offers if not o["available"])
    assert any(o["available"] for o in offers)


def test_validate(tuner, tmp_path):
    code, out, _ = tuner("validate", ROOT / "studies/first-steps.yaml", "--json")
    assert code == 0 and json.loads(out)["valid"] is True
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: x\nmodle: {}\nbudget: {trials: 0}\n")
    code, out, err = tuner("validate", bad, "--json")
    answer = json.loads(out)
    assert code == 2 and answer["valid"] is False and answer["problems"] == err.splitlines()
    assert any(line.startswith(f"{bad}:2: modle: ") for line in answer["problems"])


def test_schema(tuner):
    assert json.loads(tuner("schema")[1]) == {"study": study_schema(), "front": front_schema()}
    assert json.loads(tuner("schema", "front")[1]) == front_schema()


def test_db(tuner, home):
    code, out, _ = tuner("db", "current", "--json")
    assert code == 0 and json.loads(out)["revision"] is None
    code, out, _ = tuner("db", "upgrade", "--json")
    assert code == 0 and json.loads(out)["before"] is None
    now = json.loads(tuner("db", "current", "--json")[1])
    assert now["up_to_date"] is True and now["revision"] == now["needed"]


def test_a_reader_that_stops_is_no_error_of_ours(home):
    store_study(f"sqlite:///{home}/tuner.db")
    shell = f"{sys.executable} -m tuner.cli.main front made-up --json | head -n 1"
    done = subprocess.run(shell, shell=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "[\n" and done.stderr == ""


def test_an_interrupt_ends_with_130(home):
    code = (
        "import signal, sys, time\nfrom tuner.cli.guard import guarded\n"
        # A test run in the background starts its children with the signal ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def wait():\n print('ready', flush=True)\n time.sleep(30)\nsys.exit(guarded(wait))"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, text=True
    )
    assert child.stdout.readline() == "ready\n"
    os.kill(child.pid, signal.SIGINT)
    _, err = child.communicate(timeout=20)
    assert (child.returncode, err) == (130, "interrupted\n")


@pytest.mark.parametrize(
    "text, value", [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("1.5 min", 90)]
)
def test_time_spans(text, value):
    from tuner.cli.run import seconds

    assert seconds(text) == value
