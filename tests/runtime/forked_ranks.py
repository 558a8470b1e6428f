"""Ranks forked from a process that has torch already: `python -m tests.runtime.forked_ranks FOLDER < cases`.

What `Ranks` starts by itself takes seconds to import; forked, a group of four is there at once. Each case is a line
`{"family", "sizes", "bits", "tensor", "pipeline"}`; the answer is a JSON line `{"off", "same", "parts"}`: the largest
difference of logits from the undivided model's, whether the greedy answers and best labels are the same, and how many
bytes of weights each rank holds, by those of the whole.
"""

import argparse
import faulthandler
import json
import os
import sys
import traceback
from multiprocessing import Pipe
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tests.backends.tiny_models import FAMILIES, MAX_LENGTH, checkpoint
from tuner.backends.base import BuildRequest
from tuner.backends.torch_eager import TorchBackend
from tuner.candidate import Quantization
from tuner.runtime import rank
from tuner.runtime.loader import load_session

PROMPT = list(range(3, 25))
_PATIENCE = 60  # seconds until a rank that hangs says where


def artefact(folder, family, sizes, bits):
    """Build a tiny random model of a family for the engine torch."""
    source, made = folder / "source", folder / "made"
    made.mkdir(parents=True)
    causal = family not in FAMILIES
    if causal:
        source.mkdir()
        torch.manual_seed(0)
        given = {
            "hidden_size": 32,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
        }
        given |= {
            "intermediate_size": 64,
            "vocab_size": 96,
            "max_position_embeddings": 64,
            "tie_word_embeddings": True,
        }
        config = AutoConfig.for_model(family, **{**given, **sizes})
        model = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(6.0 if parameter.dim() > 1 else 1.0)
        model.save_pretrained(source)
        (source / "shape.json").write_text(json.dumps({"attributes": {}}))
    else:
        config = type(FAMILIES[family])(**{**FAMILIES[family].to_dict(), **sizes})
        checkpoint(source, config)
    request = BuildRequest(
        checkpoint=source, quantization=Quantization(bits=bits), device="cpu", fixed_shape=None, max_length=MAX_LENGTH,
        calibration=folder / "none.npz", cache=folder, task="text-generation" if causal else "text-classification",
    )  # fmt: skip
    TorchBackend().build(request, made)
    return made


def batch():
    """Return eight documents of differing lengths, whose padding must not count."""
    rng = np.random.default_rng(0)
    mask = (np.arange(20) < rng.integers(3, 21, (8, 1))).astype(np.int64)
    return {"input_ids": rng.integers(1, 90, (8, 20)) * mask, "attention_mask": mask}


def answers(duty):
    """Return logits and greedy choices: of a classifier of batches of eight and one, of a language model of a chat."""
    if not hasattr(duty._session, "score"):
        logits = [duty.run(batch()), duty.run({name: rows[:1] for name, rows in batch().items()})]
        return np.concatenate(logits), [int(i) for part in logits for i in part.argmax(1)]
    found, tokens, last = [], [], PROMPT
    for step in range(8):
        found.append(duty.read(last, step == 0))
        last = [int(found[-1].argmax())]
        tokens += last
    taken, likeliest = duty.score(np.array(PROMPT))
    return np.concatenate([*found, taken]), [*tokens, *likeliest.tolist()]


def weights(session):
    """Return the bytes of a model's weights."""
    held = {p.data_ptr(): p.numel() * p.element_size() for p in session._model.parameters()}
    return sum(held.values())


def one(made, number, case, pipe):
    """Be one rank, or the whole model."""
    asked = argparse.Namespace(artefact=made, rank=number, threads=1, cores="", **case)
    alone = case["tensor"] * case["pipeline"] == 1
    session = load_session(made, 1) if alone else rank._session(asked, pipe)
    logits, chosen = answers(rank.Duty(session))
    pipe.send((logits, chosen, weights(session)))
    pipe.recv()


def group(made, tensor, pipeline):
    """Fork the ranks of an artefact, and return what each of them says."""
    pipes, children = [Pipe() for _ in range(tensor * pipeline)], []
    for number, (_, theirs) in enumerate(pipes):
        if (child := os.fork()) == 0:
            faulthandler.dump_traceback_later(_PATIENCE, exit=True)
            try:
                one(made, number, {"tensor": tensor, "pipeline": pipeline}, theirs)
            except BaseException as error:
                traceback.print_exc()
                theirs.send(f"{type(error).__name__}: {error}")
            os._exit(0)
        children.append(child)
    if len(pipes) > 1:
        port = heard(pipes[0][0])
        for ours, _ in pipes[1:]:
            ours.send(port[2])
    said = [heard(ours) for ours, _ in pipes]
    for ours, _ in pipes:
        ours.send(None)
    for child in children:
        os.waitpid(child, 0)
    return said


def heard(pipe):
    assert pipe.poll(_PATIENCE + 10), "a rank does not answer"
    return pipe.recv()


def main():
    """Answer the cases of stdin."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    for number, line in enumerate(sys.stdin):
        case = json.loads(line)
        made = artefact(Path(sys.argv[1]) / str(number), case["family"], case["sizes"], case["bits"])
        ((logits, chosen, whole),) = group(made, 1, 1)
        said = group(made, case["tensor"], case["pipeline"])
        if isinstance(said[0], str):
            print(json.dumps({"refused": said[0]}), flush=True)
            continue
        off = max(float(np.abs(found - logits).max()) for found, _, _ in said)
        same = all(found == chosen for _, found, _ in said)
        parts = [held / whole for _, _, held in said]
        print(json.dumps({"off": off, "same": same, "parts": parts}), flush=True)


if __name__ == "__main__":
    main()
