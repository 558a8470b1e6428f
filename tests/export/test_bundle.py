"""A bundle is written whole or not at all, and answers by itself."""

import json
import os
import resource
import subprocess
import sys

import pytest
import yaml

from tuner.candidate import Candidate
from tuner.errors import InputError, NotFoundError, TunerError
from tuner.export.bundle import check_target, write_bundle
from tuner.export.manifest import check_manifest
from tuner.service.verifying import verify_bundle


def predict(bundle, *arguments, lines=None, cwd="/"):
    """Run predict.py as a user does, from somewhere else and with nothing of ours on the path."""
    environment = {"PATH": os.environ["PATH"]}
    return subprocess.run(
        [sys.executable, "-I", "-c", RUN, str(bundle), *arguments],
        input=lines, capture_output=True, cwd=cwd, env=environment, timeout=60,
    )  # fmt: skip


#: `python predict.py` with the tuner's own folder off the path: a bundle must not need it.
RUN = """
import runpy, sys
bundle = sys.argv[1]
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tuner", "torch", "transformers", "optuna"):
            raise ImportError(f"a bundle must not import {name}")
sys.meta_path.insert(0, Refuse())
sys.path.insert(0, bundle)
sys.argv = [bundle + "/predict.py", *sys.argv[2:]]
runpy.run_path(bundle + "/predict.py", run_name="__main__")
"""


def test_a_text_gets_its_label_and_probability(content, tmp_path):
    bundle = write_bundle(content, tmp_path / "bundle")
    done = predict(bundle, "goal match")
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == "sport\t0.9933\n"  # 1 / (1 + exp(-5))


def test_the_command_of_the_readme_works_as_it_is_written(content, tmp_path):
    bundle = write_bundle(content, tmp_path / "bundle")
    command = [sys.executable, "predict.py", "bank"]
    done = subprocess.run(command, cwd=bundle, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("business\t"), done.stderr
    assert check_manifest(bundle) == []  # running it leaves nothing behind that counts


def test_each_line_of_stdin_gets_one_answer_in_order(content, tmp_path):
    bundle = write_bundle(content, tmp_path / "bundle")
    texts = [
        "goal",
        "bank loan",
        "",
        "match \xe4\u2028 match",
    ] * 10  # more lines than one batch, one of them blank
    lines = "\n".join(texts).encode() + b"\n\xff\xfe bank\n"
    done = predict(bundle, "--json", lines=lines)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == 41 and set(found[0]) == {"label", "probability"}
    answered = [
        f["label"] for i, f in enumerate(found) if i % 4 != 2
    ]  # a blank line is answered, with anything
    assert answered == ["sport", "business", "sport"] * 10 + ["business"]


def test_texts_longer_than_the_model_takes_are_cut(content, tmp_path):
    bundle = write_bundle(content, tmp_path / "bundle")
    long = " ".join(["goal"] + ["zzz"] * 7 + ["bank"] * 50)  # the artefact takes 8 tokens
    assert predict(bundle, long).stdout.startswith(b"sport\t")


def test_a_session_that_travels_with_its_artefact_serves_its_fixed_shape(fixed, tmp_path):
    bundle = write_bundle(fixed, tmp_path / "bundle")
    done = predict(bundle, lines=b"goal\nbank bank\nloan\nmatch zz zz zz bank bank\n")
    labels = [line.split(b"\t")[0] for line in done.stdout.splitlines()]
    assert labels == [b"sport", b"business", b"business", b"sport"], done.stderr


def test_a_bundle_holds_what_it_says(content, tmp_path):
    bundle = write_bundle(content, tmp_path / "bundle")
    assert json.loads((bundle / "labels.json").read_text()) == ["sport", "business"]
    stored = Candidate.model_validate(yaml.safe_load((bundle / "config.yaml").read_text()))
    assert stored == content.candidate
    pins = (bundle / "requirements.txt").read_text().split()
    assert [p.split("==")[0] for p in pins] == ["numpy", "onnxruntime", "tokenizers"]
    assert json.loads((bundle / "report.json").read_text())["trial"] == 7
    readme = (bundle / "README.md").read_text()
    for part in (
        "Made Up 9000",
        "0.951",
        "0.931 to 0.971",
        "0.9632",
        "confirmed on the test split",
        "128 tokens",
    ):
        assert part in readme
    assert not (bundle / "artefact" / "entry.json").exists()
    assert {p.name for p in (bundle / "runtime").iterdir()} == {
        "__init__.py", "loader.py", "padding.py", "predict.py", "split.py", "onnxruntime_session.py",
    }  # fmt: skip


def test_sha256sum_itself_accepts_the_manifest(content, tmp_path):
    bundle = write_bundle(content, tmp_path / "bundle")
    done = subprocess.run(["sha256sum", "-c", "--strict", "MANIFEST.sha256"], cwd=bundle, capture_output=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "tamper, expected",
    [
        (lambda b: (b / "artefact/model.onnx").write_bytes(b"x"), "artefact/model.onnx: changed"),
        (lambda b: (b / "labels.json").unlink(), "labels.json: missing"),
        (lambda b: (b / "runtime/extra.py").write_text("import os"), "runtime/extra.py: not in the manifest"),
    ],
)
def test_tampering_is_found_and_the_bundle_is_not_run(content, tmp_path, tamper, expected):
    bundle = write_bundle(content, tmp_path / "bundle")
    tamper(bundle)
    found = verify_bundle(bundle)
    assert found["files"] == [expected] and found["ok"] is False


def test_verify_of_nothing(tmp_path):
    with pytest.raises(NotFoundError, match="no bundle there"):
        verify_bundle(tmp_path)


def test_a_target_with_something_in_it_is_refused_and_left_alone(content, tmp_path):
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="is not empty"):
        write_bundle(content, target)
    assert [p.name for p in target.iterdir()] == ["mine.txt"]


def test_an_empty_directory_is_taken(content, tmp_path):
    (tmp_path / "bundle").mkdir()
    assert check_manifest(write_bundle(content, tmp_path / "bundle")) == []


def test_a_target_that_cannot_be_written_is_refused_in_one_line(content, tmp_path):
    (tmp_path / "file").write_text("")
    for target in (tmp_path / "file", tmp_path / "file" / "bundle"):
        with pytest.raises(InputError) as caught:
            check_target(target)
        assert "\n" not in str(caught.value) and str(target) in str(caught.value)
        with pytest.raises(InputError):
            write_bundle(content, target)


def test_a_write_that_fails_leaves_nothing(content, tmp_path):
    (content.artefact / "weights.bin").write_bytes(b"0" * 3_000_000)
    child = os.fork()  # a limit on file sizes cannot be taken back, so a child takes it
    if child == 0:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        try:
            write_bundle(content, tmp_path / "bundle")
        except TunerError as error:
            os._exit(7 if "\n" not in str(error) and "cannot be written" in str(error) else 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert sorted(p.name for p in tmp_path.iterdir()) == ["artefact", "tokens"]


def test_a_full_disk_is_named(content, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        (content.artefact / "weights.bin").write_bytes(os.urandom(200_000))
        with pytest.raises(TunerError, match="no space left on the disk; nothing was written"):
            write_bundle(content, small / "bundle")
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)
