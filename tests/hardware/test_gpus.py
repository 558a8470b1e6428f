"""The GPUs of a host: as the driver lists them, as CUDA_VISIBLE_DEVICES leaves them, and none where there are none."""

import dataclasses

import pytest

from tuner import gpus as looking
from tuner.gpus import Gpu, parsed, visible
from tuner.hardware import this_host

#: `nvidia-smi --query-gpu=index,uuid,name,memory.total,compute_cap,driver_version --format=csv,noheader,nounits`
ANSWER = """\
0, GPU-7a5b3c1e-0f4d-4a9e-8c55-1d2e3f4a5b6c, NVIDIA H100 80GB HBM3, 81559, 9.0, 580.159.04
1, GPU-91d0c2aa-77f1-4e2b-9b1a-aabbccddeeff, NVIDIA A10G, 23028, 8.6, 580.159.04
"""
H100, A10 = parsed(ANSWER)


def test_what_the_driver_lists():
    assert (
        Gpu(
            0, "GPU-7a5b3c1e-0f4d-4a9e-8c55-1d2e3f4a5b6c", "NVIDIA H100 80GB HBM3", 85521, "9.0", "580.159.04"
        )
        == H100
    )
    assert (A10.index, A10.memory_mb) == (1, 24147)


@pytest.mark.parametrize("answer", ["NVIDIA-SMI has failed because it couldn't communicate", "0, GPU-1, x"])
def test_what_is_no_list_is_refused(answer):
    with pytest.raises(ValueError):
        parsed(answer)


def test_capabilities_are_compared_as_numbers():
    assert H100.has("8.9")
    assert not A10.has("8.9")
    assert dataclasses.replace(H100, capability="10.0").has("9.0")


@pytest.mark.parametrize(
    ("setting", "kept"),
    [
        (None, (H100, A10)),
        ("", ()),
        ("-1", ()),
        ("1", (A10,)),
        ("1,0", (A10, H100)),
        ("1,7,0", (A10,)),  # as CUDA does: the first unknown one ends the list
        ("GPU-7a5b", (H100,)),
    ],
)
def test_visible_cards(setting, kept):
    assert visible([H100, A10], setting) == kept


def test_a_host_without_any_has_none(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert looking.gpus() == ()


def test_nvidia_smi_is_asked_where_the_library_is_not(monkeypatch, tmp_path):
    def absent():
        raise ImportError("pynvml")

    smi = tmp_path / "nvidia-smi"
    smi.write_text(f"#!/bin/sh\ncat <<'END'\n{ANSWER}END\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(looking, "nvml", absent)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert looking.gpus() == (H100, A10)


def test_gpus_are_part_of_the_fingerprint_and_their_driver_is_not():
    bare = dataclasses.replace(this_host(), gpus=())
    one = dataclasses.replace(bare, gpus=(H100,))
    renewed = dataclasses.replace(bare, gpus=(dataclasses.replace(H100, driver="600.1"),))
    assert len({bare.fingerprint, one.fingerprint, dataclasses.replace(bare, gpus=(A10,)).fingerprint}) == 3
    assert one.fingerprint == renewed.fingerprint
    assert one.to_json()["gpus"][0]["name"] == "NVIDIA H100 80GB HBM3"


def test_a_host_without_gpu_keeps_the_fingerprint_it_had():
    host = dataclasses.replace(
        this_host(), cpu="a cpu", cores=(0, 1), flags=("avx2",), memory_mb=8000, os="Linux x86_64", gpus=()
    )
    assert host.fingerprint == "827fdfc54b17bd93"
