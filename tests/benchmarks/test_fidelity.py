"""The fidelity benchmark runs and stores what it prints (its numbers are for `make bench`)."""

import json

import pytest

from benchmarks import fidelity
from benchmarks.artefacts import stack


def test_quick_run(tmp_path, monkeypatch, capsys):
    tiny = fidelity.Setting(repeats=2, artefacts=2, precision=0.5, seconds=0.2)
    monkeypatch.setattr(fidelity, "QUICK", tiny)
    monkeypatch.setattr("sys.argv", ["fidelity", "--quick", "-o", str(tmp_path / "found.json")])
    fidelity.main()
    stored = json.loads((tmp_path / "found.json").read_text())
    assert len(stored["repeatability"]["raw_ms"]) == 2
    assert stored["host"]["fingerprint"]
    assert "rank correlation of 2 artefacts" in capsys.readouterr().out


def test_given_artefacts_are_those_measured(tmp_path):
    given = [stack(tmp_path / name, layers, 256) for name, layers in (("light", 2), ("heavy", 40))]
    found = fidelity.run(fidelity.Setting(repeats=2, precision=0.5, seconds=0.5), given)
    assert found["ranking"]["artefacts"] == ["light", "heavy"]
    assert found["ranking"]["corrected"] == pytest.approx(1.0)


def test_one_artefact_has_no_rank(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["fidelity", "--artefacts", "one"])
    with pytest.raises(SystemExit):
        fidelity.main()
    assert "two or more" in capsys.readouterr().err
