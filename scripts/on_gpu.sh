#!/bin/sh
# What only a machine with a GPU can tell: every format through the conformance suite, latencies, a small study.
#   scripts/on_gpu.sh OUT [options of scripts/on_gpu.py]
# Needs python3 (3.11 or newer) with torch (CUDA), transformers, numpy, pandas, pyarrow, scipy, scikit-learn, psutil,
# py-cpuinfo, matplotlib, onnx, onnxruntime, onnxscript, nvidia-ml-py, filelock, pyyaml, rich, typer; no network. What
# else there must be lies in .whl/ and .gpu/, put there by scripts/pack_for_gpu.py (its WHEELS are the list).
set -eu
out=${1:?usage: scripts/on_gpu.sh OUT [options]}
shift
cd "$(dirname "$0")/.."
mkdir -p "$out"
out=$(cd "$out" && pwd)
site=$(mktemp -d)
if ls .whl/*.whl >/dev/null 2>&1; then
    "${PYTHON:-python3}" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$site" .whl/*.whl
fi
# The tuner is not installed: its engines are found through entry points, which need a distribution.
"${PYTHON:-python3}" - "$site" <<'END'
import pathlib, sys, tomllib
project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]
info = pathlib.Path(sys.argv[1]) / f"tuner-{project['version']}.dist-info"
info.mkdir(parents=True)
(info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tuner\nVersion: {project['version']}\n")
groups = project["entry-points"].items()
lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()) for group, points in groups]
(info / "entry_points.txt").write_text("\n".join(lines))
END
export PYTHONPATH="$PWD:$site" PYTHONUNBUFFERED=1 TUNER_HOME="$site/home" TUNER_QUIET="$site/quiet"
"${PYTHON:-python3}" scripts/on_gpu.py "$out" "$@" 2>&1 | tee "$out/log.txt"
