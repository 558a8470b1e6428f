"""Requires: what a trial and a study need of a worker, and the words for what is missing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.service.stub import OFFERS, stub_host, stub_study
from tuner.backends.base import Offer
from tuner.candidate import Backend, Distillation, Parallel, baseline
from tuner.errors import InputError
from tuner.service.requires import (
    capabilities,
    default_worker_name,
    offers_in,
    plain_offers,
    refuse_unmeasurable,
    required,
    study_required,
    study_unmet,
    unmet,
)
from tuner.spec.model import StudySpec


def having(host=None, offers=OFFERS, **labels):
    return capabilities(host or stub_host(cores=2, memory_mb=8000), offers, labels)


def spec(**sections):
    return StudySpec.model_validate(stub_study("s", **sections))


HERE = stub_host().fingerprint
MET = {
    "engine": "openvino",
    "device": "cpu",
    "cores": 2,
    "memory_mb": 8000,
    "labels": {"zone": "lab"},
    "hardware": HERE,
}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({}, None),
        ({"hardware": None}, None),
        ({"hardware": "another"}, "the hardware that the study is bound to"),
        ({"cores": 3}, "3 cores"),
        ({"cores": None, "memory_mb": None, "labels": None}, None),
        ({"memory_mb": 8001}, "8001 MB of memory"),
        ({"labels": {"zone": "lab", "gpu": "h100"}}, "label gpu=h100"),
        ({"labels": {"zone": "hall"}}, "label zone=hall"),
        ({"engine": "tensorrt"}, "engine tensorrt@cpu"),
        ({"device": "gpu"}, "engine openvino@gpu"),
        ({"engine": None}, None),
        ({"cores": 3, "engine": "tensorrt"}, "3 cores"),
    ],
)
def test_what_is_missing_is_said_in_a_few_words(more, says):
    assert unmet({**MET, **more}, having(zone="lab")) == says


METERED = {"objectives": ["accuracy", "energy_j"]}


def test_energy_that_is_asked_for_needs_a_meter():
    bare, metered = (
        stub_host(),
        replace(stub_host(), meters=("/sys/class/powercap/intel-rapl:0/energy_uj",)),
    )
    bare = replace(bare, unmetered="the kernel shows no RAPL")
    asked = spec(**METERED)
    assert study_unmet(asked, having(bare)) == "a power meter for cpu (the kernel shows no RAPL)"
    assert study_unmet(asked, having(metered)) is None and study_unmet(spec(), having(bare)) is None
    with pytest.raises(
        InputError, match=r"objectives: energy_j cannot be measured .*: the kernel shows no RAPL"
    ):
        refuse_unmeasurable(asked, bare)
    with pytest.raises(InputError, match="constraints: energy_j"):
        refuse_unmeasurable(spec(constraints=["energy_j <= 1"]), bare)
    refuse_unmeasurable(asked, metered)
    on_npu = baseline(6, 1).model_copy(update={"backend": Backend(engine="openvino", device="npu")})
    offers = [*OFFERS, ("openvino", Offer("npu", 32))]
    assert "a power meter for npu (no meter" in unmet(required(asked, on_npu, None), having(metered, offers))


def test_costs_that_are_asked_for_need_a_price_of_the_host():
    asked = spec(objectives=["accuracy", "cost_per_million"], price={"hosts": {"stub": 1.0}})
    assert study_unmet(asked, having()) is None
    assert study_unmet(asked, having(stub_host("other"))) == "a price for host other"
    with pytest.raises(InputError, match=r"price\.hosts: no price of host other"):
        refuse_unmeasurable(asked, stub_host("other"))
    anywhere = spec(objectives=["accuracy", "cost_per_million"], price={"per_hour": 1.0})
    assert study_unmet(anywhere, having(stub_host("other"))) is None


def test_who_requires_nothing_is_met_by_everybody():
    assert unmet({}, having(offers=[])) is None


def test_an_engine_that_is_there_and_cannot_run_is_not_there():
    offers = [
        ("openvino", Offer("cpu", 32, available=False, reason="not installed")),
        ("torch", Offer("cpu", 32)),
    ]
    assert unmet({"engine": "openvino"}, having(offers=offers)) == "engine openvino@cpu"
    assert unmet({"engine": "torch"}, having(offers=offers)) is None


def test_what_a_candidate_needs():
    candidate = baseline(6, 2).model_copy(
        update={
            "distillation": Distillation(student_layers=1),
            "parallel": Parallel(threads=2, replicas=3),
            "backend": Backend(engine="openvino"),
        }
    )
    asked = spec(requires={"cores": 2, "memory_gb": 1.5, "labels": {"zone": "lab"}})
    assert required(asked, candidate, None) == {
        "engine": "openvino",
        "device": "cpu",
        "cores": 6,
        "memory_mb": 1500,
        "labels": {"zone": "lab"},
        "hardware": None,
        "task": "text-classification",
    }
    apart = {"parallel": Parallel(threads=2, tensor=2), "backend": Backend(engine="torch", device="cuda")}
    divided = required(asked, candidate.model_copy(update=apart), None)
    assert divided["cores"] == 4 and divided["gpus"] == 2
    assert unmet({"gpus": 2}, having()) == "2 GPUs" and unmet({"gpus": 2}, {**having(), "gpus": 2}) is None
    large = spec(requires={"cores": 16})
    assert (
        required(large, candidate, "h")["cores"] == 16 and required(large, candidate, "h")["hardware"] == "h"
    )
    assert study_required(spec()) == {
        "engine": "torch",
        "device": "cpu",
        "cores": 1,
        "memory_mb": 0,
        "labels": {},
        "hardware": None,
        "task": "text-classification",
    }


def test_what_a_study_lacks_of_a_worker():
    torch_only = having(offers=OFFERS[:1])
    no_torch = having(offers=OFFERS[1:])
    assert study_unmet(spec(), torch_only) is None
    assert study_unmet(spec(), no_torch) == "engine torch@cpu"  # the baseline is measured with it
    assert study_unmet(spec(requires={"labels": {"zone": "lab"}}), torch_only) == "label zone=lab"
    both = {"backend": {"engines": ["torch", "openvino"]}}
    assert study_unmet(spec(axes=both), torch_only) == "engine openvino@cpu"
    assert study_unmet(spec(axes=both), having()) is None
    for hosts in ("each", "choice"):  # other workers may have what this one lacks
        assert study_unmet(spec(axes=both, hosts=hosts), torch_only) is None
        assert study_unmet(spec(axes=both, hosts=hosts), no_torch) == "engine torch@cpu"


def test_capabilities_are_plain_data_and_come_back():
    import json

    grouped = Offer("cpu", 4, "weight-only", group_sizes=(32, 128), fixed_shape=True, tolerance=0.5)
    found = having(offers=[*OFFERS, ("onnxruntime", grouped)], zone="lab")
    assert (found["cores"], found["memory_mb"], found["labels"], found["hardware"]) == (
        2,
        8000,
        {"zone": "lab"},
        HERE,
    )
    assert offers_in(json.loads(json.dumps(found))) == [*OFFERS, ("onnxruntime", grouped)]


def test_workers_offer_together_what_one_of_them_has():
    no = Offer("cpu", 8, "static", available=False, reason="no VNNI")
    yes = Offer("cpu", 8, "static")
    torch = ("torch", Offer("cpu", 32))
    weak, strong = having(offers=[torch, ("openvino", no)]), having(offers=[("openvino", yes), torch])
    assert offers_in(weak, strong) == [torch, ("openvino", yes)]
    assert offers_in(strong, weak) == [("openvino", yes), torch]
    assert offers_in(weak, weak) == [torch, ("openvino", no)]
    assert offers_in() == [] and plain_offers([]) == []


def test_an_engine_that_classifies_may_not_generate():
    both = [
        ("torch", Offer("cpu", 32)),
        ("torch", Offer("cpu", 32, task="text-generation", kv_bits=(None, 8), methods=("rtn",))),
        ("openvino", Offer("cpu", 32)),
    ]
    able, chat = having(offers=both), {"task": "text-generation"}
    assert unmet({"engine": "torch", **chat}, able) is None
    assert unmet({"engine": "openvino", **chat}, able) == "engine openvino@cpu"
    assert unmet({"engine": "openvino"}, able) is None  # what was stored before says nothing of a task
    assert offers_in(able, task="text-generation") == both[1:2]
    assert offers_in(able) == both


def test_a_worker_without_a_name_has_its_hosts():
    import socket

    assert default_worker_name() == socket.gethostname()
