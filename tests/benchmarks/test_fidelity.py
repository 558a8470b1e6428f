"""The fidelity benchmark runs and stores what it prints (its numbers are for `make bench`)."""

import json

from benchmarks import fidelity


def test_quick_run(tmp_path, monkeypatch, capsys):
    tiny = fidelity.Setting(repeats=2, artefacts=2, precision=0.5, seconds=0.2)
    monkeypatch.setattr(fidelity, "QUICK", tiny)
    monkeypatch.setattr("sys.argv", ["fidelity", "--quick", "-o", str(tmp_path / "found.json")])
    fidelity.main()
    stored = json.loads((tmp_path / "found.json").read_text())
    assert len(stored["repeatability"]["raw_ms"]) == 2
    assert stored["host"]["fingerprint"]
    assert "rank correlation of 2 artefacts" in capsys.readouterr().out
