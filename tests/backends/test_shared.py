"""What builds of a checkpoint share: made once, with what it took, whole or not at all."""

import time

import pytest

from tuner.backends.shared import made_once, noted


def slowly(folder):
    time.sleep(0.05)
    (folder / "graph").write_text("whole")


def test_who_finds_it_made_knows_what_making_it_took(tmp_path):
    with noted() as first:
        assert (made_once(tmp_path / "onnx", slowly) / "graph").read_text() == "whole"
    with noted() as again:
        made_once(tmp_path / "onnx", slowly)
    assert first["onnx"].made and not again["onnx"].made
    assert first["onnx"].seconds == pytest.approx(again["onnx"].seconds, abs=1e-3)
    assert 0.05 <= again["onnx"].seconds < 5


def test_what_breaks_leaves_nothing_behind(tmp_path):
    def breaks(folder):
        (folder / "graph").write_text("half")
        raise OSError("no room")

    with noted() as used, pytest.raises(OSError, match="no room"):
        made_once(tmp_path / "onnx", breaks)
    assert not (tmp_path / "onnx").exists() and used == {}
    made_once(tmp_path / "onnx", slowly)  # nobody asks: nothing is noted
    assert used == {} and (tmp_path / "onnx" / "graph").read_text() == "whole"
