"""Run the tuner on this machine's GPU and write what was found: see `scripts/on_gpu.sh`.

Each step writes `STEP.json` as it goes, so that one that is cut off leaves what it had; a failed step does not keep the
others from running.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import re
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tuner.backends.base import Offer
from tuner.backends.registry import offers
from tuner.candidate import Backend, Candidate, Distillation, Parallel, Pruning, Quantization, baseline
from tuner.hardware import this_host
from tuner.measure.gpu import state

TASK = "text-classification"
LENGTH = 128
_LIBRARIES = (
    "torch",
    "torchao",
    "transformers",
    "triton",
    "numpy",
    "onnxruntime",
    "nvidia-ml-py",
    "optuna",
    "pydantic",
)
_CHECK_S = 170  # seconds for one check
_SIDE_BY_SIDE = 12  # checks and builds at the same time


class Record:
    """A step's results, written to its file after each one."""

    def __init__(self, file: Path) -> None:
        self._file, self._found = file, list[dict[str, Any]]()

    def add(self, one: dict[str, Any]) -> None:
        """Write one more result."""
        self._found.append(one)
        self._file.write_text(json.dumps(self._found, indent=1, default=str) + "\n")


def facts(asked: argparse.Namespace, record: Record) -> None:
    """Write host, cards, versions, and what is offered or why not."""
    host = this_host()
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    record.add({"host": host.to_json(), "versions": versions, "states": [state(card) for card in host.gpus]})
    for engine, offer in offers(host, TASK):
        print(
            f"{engine}@{offer.device} {offer.bits} {offer.scheme}: {'yes' if offer.available else offer.reason}"
        )
        record.add({"engine": engine, **asdict(offer)})


def sparse(asked: argparse.Namespace, record: Record) -> None:
    """Time 2:4 sparse products against dense ones in fp16: where do the kernels pay?"""
    for rows, inner, outer in ((128, 384, 1536), (4096, 384, 1536), (128, 4096, 4096), (4096, 4096, 4096)):
        one = {"rows": rows, "inner": inner, "outer": outer, **_product_ms(rows, inner, outer, asked.device)}
        print(f"2:4 {one}")
        record.add(one)


def _product_ms(rows: int, inner: int, outer: int, device: str) -> dict[str, float]:
    import torch
    from torch.sparse import to_sparse_semi_structured

    def product() -> float:
        """Time a graph of products: what the kernel takes, not what its caller takes on the processor."""
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for _ in range(3):
                torch.nn.functional.linear(given, weight)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(20):
                torch.nn.functional.linear(given, weight)
        graph.replay()
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(10):
            graph.replay()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 200

    with torch.inference_mode():
        given = torch.randn(rows, inner, dtype=torch.float16, device=device)
        pattern = torch.tensor([1, 1, 0, 0], dtype=torch.float16, device=device).repeat(outer, inner // 4)
        weight = torch.randn(outer, inner, dtype=torch.float16, device=device) * pattern
        dense_ms = product()
        weight = to_sparse_semi_structured(weight)
        return {"dense_ms": dense_ms, "sparse_ms": product()}


def conformance(asked: argparse.Namespace, record: Record) -> None:
    """Send every offer through the conformance suite, each in a process of its own, several side by side."""
    wanted = []
    for engine, offer in offers(this_host(), TASK):
        if offer.device == "cpu":
            continue  # the tests check those
        if not offer.available:
            record.add({"engine": engine, **asdict(offer), "status": "not here"})
            continue
        shapes = ["dynamic", "fixed"] if offer.fixed_shape and offer.device == asked.device else ["dynamic"]
        shapes += ["sparse"] if offer.semi_structured else []
        named = f"{engine}/{offer.bits}/{offer.scheme}"
        wanted += [(engine, offer, shape) for shape in shapes if re.search(asked.checks, f"{named}/{shape}")]
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        for one in pool.map(_checked, wanted):
            print(f"{one['engine']}@{one['device']} {one['bits']} {one['scheme']} {one['shape']}: {one['status']} "
                  f"({one['seconds']:.0f} s) {' | '.join(one['findings'])[:300]}")  # fmt: skip
            record.add(one)


def _checked(wanted: tuple[str, Offer, str]) -> dict[str, Any]:
    engine, offer, shape = wanted
    begin = time.monotonic()
    command = [
        sys.executable,
        __file__,
        "--check",
        engine,
        offer.device,
        str(offer.bits),
        offer.scheme,
    ]
    try:
        done = subprocess.run([*command, shape], capture_output=True, text=True, timeout=_CHECK_S)
        last = done.stdout.splitlines()[-1:] if done.returncode == 0 else []
        told = f"exit {done.returncode}: {' '.join(done.stderr.split())[-1500:]}"
        findings = json.loads(last[0]) if last else [told]
        status = "pass" if not findings else "fail"
    except subprocess.TimeoutExpired:
        findings, status = [f"no answer in {_CHECK_S} s"], "fail"
    seconds = time.monotonic() - begin
    return {
        "engine": engine,
        **asdict(offer),
        "shape": shape,
        "status": status,
        "findings": findings,
        "seconds": seconds,
    }


def check_one(engine: str, device: str, bits: str, scheme: str, shape: str) -> None:
    """Check one offer on a tiny model whose widths the low-bit kernels take, and print the findings."""
    from transformers import BertConfig

    from tuner.backends.conformance import check
    from tuner.backends.registry import backends

    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "backends"))
    import tiny_models

    found = (
        o
        for e, o in offers(this_host(), TASK)
        if (e, o.device, o.bits, o.scheme) == (engine, device, int(bits), scheme)
    )
    wide = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256}
    config = BertConfig(**wide, vocab_size=100, num_labels=3, max_position_embeddings=tiny_models.MAX_LENGTH)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "bert").mkdir()
        documents = tiny_models.inputs(place / "documents.npz")
        source = tiny_models.checkpoint(place / "bert", config, scale=3.0)
        if shape == "sparse":
            source = _half_zero(source, place / "sparse")
        fixed = (2, 32) if shape == "fixed" else None
        findings = check(
            backends()[engine], next(found), source, documents, place / "w", tiny_models.MAX_LENGTH, fixed
        )
    print(json.dumps(findings))


def _half_zero(source: Path, out: Path) -> Path:
    """Write the checkpoint with 2:4 sparse weights, so that the session holds them as such."""
    from tuner.compress.anatomy import anatomy
    from tuner.compress.checkpoint import save_checkpoint
    from tuner.compress.semi_structured import prune_2_of_4
    from tuner.runtime.shaped import load_shaped

    model = load_shaped(source)
    prune_2_of_4(model, anatomy(model.config))
    save_checkpoint(model, source, out, semi_structured=True)
    return out


def latency(asked: argparse.Namespace, record: Record) -> None:
    """Measure the encoder in every format, eager and compiled, each in turns with fp32 eager on the same device."""
    for batch in asked.batches:
        _measured(asked, record, batch)


def _measured(asked: argparse.Namespace, record: Record, batch: int) -> None:
    from tuner.measure.client import Serving
    from tuner.measure.performance import measure_together, scenario_plan
    from tuner.spec.scenario import Scenario

    with _shop(asked, batch) as (shop, ready):
        forms = list(_forms(asked, ready.layers, batch))
        print(f"batch {batch}: building {len(forms)} artefacts")
        begin = time.monotonic()
        first = baseline(ready.layers, len(this_host().cores), asked.device)
        built = _built(shop, ready, [first, *forms])
        print(f"built {len(built)} in {time.monotonic() - begin:.0f} s")
        for candidate, found in built.items():
            if isinstance(found, str):
                record.add({"batch": batch, "candidate": candidate.label(), "failed": found})
                print(f"{candidate.label()}: {found[:300]}")
        plan = scenario_plan(
            ready.data.path / "validation.npz", Scenario(batch=batch, sequence_length=LENGTH)
        )
        reference = built[first]
        if isinstance(reference, str):
            raise RuntimeError(f"no baseline: {reference}")
        with Serving(reference, first.parallel.threads, this_host().cores) as beside:
            for candidate, found in built.items():
                for replicas in (1, 2, 4) if candidate in asked.replicated else (1,):
                    if isinstance(found, str) or time.monotonic() > asked.deadline:
                        continue
                    _one(record, measure_together, (found, candidate, replicas), beside, plan, batch)


def _one(
    record: Record, measure: Any, subject: tuple[Path, Candidate, int], beside: Any, plan: Any, batch: int
) -> None:
    artefact, candidate, replicas = subject
    label = f"{candidate.label()} x{replicas}"
    try:
        (taken,) = measure([(artefact, 1, replicas)], beside, plan, precision=0.02, seconds=1.5)
    except Exception as error:
        record.add({"batch": batch, "candidate": label, "failed": f"{type(error).__name__}: {error}"})
        print(f"{label}: {type(error).__name__}: {str(error)[:300]}")
        return
    plain = {k: v for k, v in taken.to_json().items() if k not in ("samples", "reference_samples")}
    record.add({"batch": batch, "candidate": label, "choice": candidate.canonical(), **plain})
    device = ((taken.gpu or {}).get("replicas") or [{}])[0].get("device_ms")
    print(f"batch {batch} {label}: {1 / taken.ratio.value:.2f} x, p50 {taken.p50_ms and taken.p50_ms.value:.3f} ms, "
          f"device {device} ms, {taken.throughput.value:.0f} samples/s, {taken.memory_mb:.0f} MB, "
          f"{taken.energy_j} J")  # fmt: skip


def _forms(asked: argparse.Namespace, layers: int, batch: int) -> Iterator[Candidate]:
    """Yield formats on the device, fixed shapes first; fp16 with dynamic ones, too: it tells what a graph is worth."""
    mine = [(e, o) for e, o in offers(this_host(), TASK) if o.device == asked.device and o.available]
    mine = [(e, o) for e, o in mine if e in asked.engines]
    for fixed in (True, False):
        for engine, offer in mine:
            half = (offer.bits, offer.scheme) == (16, "fp16")
            if (fixed and not offer.fixed_shape) or (not fixed and (not half or batch > 1)):
                continue
            group = 128 if offer.group_sizes else None
            number = Quantization(bits=offer.bits, scheme=offer.scheme, group_size=group)
            candidate = Candidate(
                distillation=Distillation(student_layers=layers),
                quantization=number,
                parallel=Parallel(),
                backend=Backend(engine=engine, device=asked.device, fixed_shape=fixed),
            )
            if offer.semi_structured and fixed:
                yield candidate.model_copy(update={"pruning": Pruning(semi_structured=True)})
            if batch == 1 and fixed and half:
                asked.replicated.add(candidate)
            yield candidate


def _built(shop: Any, ready: Any, candidates: list[Candidate]) -> dict[Candidate, Path | str]:
    """Build side by side: each thread has a process of its own that forks its jobs."""
    from dataclasses import replace

    from tuner.pipeline.building import artefact_for
    from tuner.pipeline.jobs import Jobs
    from tuner.pipeline.quiet import Quiet
    from tuner.pipeline.shaping import shaped_for

    def build(candidate: Candidate) -> tuple[Candidate, Path | str]:
        with Jobs(shop.jobs.limits, Path(tempfile.mkdtemp())) as jobs:
            mine = replace(shop, jobs=jobs, runs=[], quiet=Quiet())
            try:
                dense = candidate.is_unshaped(ready.layers)
                source = ready.teacher if dense else shaped_for(mine, ready, candidate)
                return candidate, artefact_for(mine, ready, source, candidate).path
            except Exception as error:
                return candidate, f"{type(error).__name__}: {error}"

    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        return dict(pool.map(build, dict.fromkeys(candidates)))


class _shop:  # noqa: N801 - a context manager
    """The quickstart study's workshop for one batch size, its data and teacher made ready."""

    def __init__(self, asked: argparse.Namespace, batch: int) -> None:
        self._file = study_file(asked, batch)

    def __enter__(self) -> tuple[Any, Any]:
        from tuner.pipeline.cache import Cache
        from tuner.pipeline.jobs import Jobs
        from tuner.pipeline.prepare import prepare
        from tuner.pipeline.workshop import Workshop, job_limits
        from tuner.spec.load import load_spec
        from tuner.store import tuner_home

        spec, host = load_spec(self._file), this_host()
        self._jobs = Jobs(job_limits(spec.limits, host), Path(tempfile.mkdtemp()))
        shop = Workshop(spec, Cache(tuner_home() / "cache"), self._jobs, host)
        return shop, prepare(shop)

    def __exit__(self, *_: object) -> None:
        self._jobs.close()


def study_file(asked: argparse.Namespace, batch: int = 1) -> Path:
    """Write the quickstart study with the packed model, on the device asked for; return its path."""
    import yaml

    plain = yaml.safe_load(Path("studies/quickstart.yaml").read_text())
    if Path(".gpu/model").is_dir():
        plain["model"] = {"source": str(Path(".gpu/model").resolve()), "max_length": LENGTH}
    plain["name"] = f"on-{asked.device}-{batch}"
    plain["scenario"]["batch"] = batch
    plain["axes"]["distillation"] = {"student_layers": asked.layers}
    if asked.layers == [6]:  # nothing is trained: formats only
        plain["axes"]["pruning"] = {"heads": [0.0], "ffn": [0.0]}
    plain["axes"]["quantization"] = {
        "bits": [32, 16, 8, 4],
        "schemes": ["weight-only", "fp8", "dynamic"],
        "group_size": [128],
    }
    plain["recover"] |= {"steps": 150, "seconds": 12}
    plain["measure"] = {"precision": 0.03, "seconds": 2}
    return _written(plain, asked, [False, True])


def chat_file(asked: argparse.Namespace) -> Path:
    """Write the chat study with the packed model, on the device asked for; return its path."""
    import yaml

    plain = yaml.safe_load(Path("studies/chat.yaml").read_text())
    model = Path(tempfile.mkdtemp()) / "model.gguf"
    model.write_bytes(b"".join(Path(half, "half").read_bytes() for half in (".chat1", ".chat2")))
    plain |= {"name": f"chat-on-{asked.device}", "model": plain["model"] | {"source": str(model)}}
    plain["axes"]["distillation"] = {"student_layers": [30]}
    plain["axes"]["quantization"] = {"bits": [32, 16, 8, 4], "schemes": ["weight-only"], "group_size": [128]}
    plain["measure"] = {"precision": 0.05, "seconds": 2}
    return _written(plain, asked, [False])


def _written(plain: dict[str, Any], asked: argparse.Namespace, fixed_shape: list[bool]) -> Path:
    """Write a study with the engines, the device and the budget asked for; return its path."""
    import yaml

    backend = {"engines": list(asked.engines), "devices": [asked.device], "fixed_shape": fixed_shape}
    plain["axes"] |= {"backend": backend, "parallel": {"threads": [1], "replicas": [1]}}
    plain["budget"] = {"trials": asked.trials, "minutes": asked.minutes}
    file = Path(tempfile.mkdtemp()) / "study.yaml"
    file.write_text(yaml.safe_dump(plain))
    return file


def chat(asked: argparse.Namespace, record: Record) -> None:
    """Run the chat study on the device."""
    _run(chat_file(asked), record)


def study(asked: argparse.Namespace, record: Record) -> None:
    """Run a real study on the device, as `tuner run` does."""
    _run(study_file(asked), record)


def _run(file: Path, record: Record) -> None:
    import tuner

    def told(event: Any) -> None:
        print(f"{event.kind}: {event.message}"[:300])

    handle = tuner.run(file, on_event=told)
    record.add({"state": handle.state, "baseline_ms": handle.baseline_ms, "host": handle.host})
    for row in handle.rows:
        record.add({"row": str(row)[:3000], "candidate": row.candidate.label()})
        print(row.candidate.label(), row.state, row.reason or "")
    print(handle.front.to_string())
    record.add({"front": handle.front.to_dict(orient="records")})


STEPS = {
    "facts": facts,
    "sparse": sparse,
    "conformance": conformance,
    "latency": latency,
    "study": study,
    "chat": chat,
}


def main() -> int:
    """Run the steps; return 1 if one of them failed as a whole."""
    if sys.argv[1:2] == ["--check"]:
        check_one(*sys.argv[2:])
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default=",".join(STEPS), help="steps, separated by commas")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--engines", nargs="+", default=["torch", "torch-compile"])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--layers", type=int, nargs="+", default=[1, 2, 6])
    parser.add_argument(
        "--checks", default="", help="only those of ENGINE/BITS/SCHEME/SHAPE that match this pattern"
    )
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument(
        "--seconds", type=float, default=560, help="no new measurement is begun after so many"
    )
    asked = parser.parse_args()
    asked.deadline, asked.replicated, failed = time.monotonic() + asked.seconds, set(), False
    for name in asked.only.split(","):
        begin = time.monotonic()
        print(f"== {name}")
        try:
            STEPS[name](asked, Record(asked.out / f"{name}.json"))
        except Exception:
            traceback.print_exc()
            failed = True
        print(f"== {name} took {time.monotonic() - begin:.0f} s")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
