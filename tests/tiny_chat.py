"""A tiny language model with all that belongs to one: checkpoint, tokenizer, template, artefacts, a chat bundle.

`checkpoint` is a real (random) Llama of transformers. Where many servers start, `artefact` is quicker: a recurrent
model of numpy as an artefact's own session, which can be told to think for a while over each token.
"""

import json
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tuner.candidate import Backend, Candidate, Distillation, Parallel
from tuner.export.bundle import BundleContent, write_bundle
from tuner.export.kinds import CHAT
from tuner.runtime.checking import check
from tuner.runtime.loader import load_session
from tuner.spec.load import load_spec

STUDY = Path(__file__).resolve().parents[1] / "studies" / "chat.yaml"

TEMPLATE = (
    "{%- for message in messages %}"
    "{%- if loop.first and message.role != 'system' %}<|im_start|>system\nYou help.<|im_end|>\n{% endif %}"
    "{%- if message.role == 'assistant' and loop.first %}{{ raise_exception('the user begins') }}{% endif %}"
    "<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}\n<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CONTEXT = 2048
WORDS = ["the striker scored and the bank lends to the system user and assistant, you help."] * 20


def tokenizer():
    """Return a byte-level BPE tokenizer of some 300 tokens."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        WORDS,
        trainers.BpeTrainer(
            vocab_size=300, special_tokens=SPECIAL, initial_alphabet=sorted(alphabet), show_progress=False
        ),
    )
    return made


def texts(folder, template=TEMPLATE):
    """Write what of a checkpoint is about text."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer().save(str(folder / "tokenizer.json"))
    config = {
        "bos_token": "<|im_start|>",
        "eos_token": {"__type": "AddedToken", "content": "<|im_end|>"},
        "model_max_length": CONTEXT,
    }
    (folder / "tokenizer_config.json").write_text(
        json.dumps({**config, "tokenizer_class": "PreTrainedTokenizerFast"})
    )
    if template:
        (folder / "chat_template.jinja").write_text(template)
    return folder


def checkpoint(folder, **sizes):
    """Write a random Llama as a causal checkpoint."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    texts(folder)
    torch.manual_seed(0)
    given = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    given["tie_word_embeddings"] = True
    config = LlamaConfig(
        vocab_size=tokenizer().get_vocab_size(), intermediate_size=64, max_position_embeddings=CONTEXT,
        bos_token_id=1, eos_token_id=2, pad_token_id=0, **{**given, **sizes},
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder, safe_serialization=True)
    (folder / "shape.json").write_text(json.dumps({"attributes": {}}))
    return folder


SESSION = '''
"""A recurrent model in numpy, for tests. `pause`: seconds over each token; `fail`: the token at which it breaks."""
import json, time
import numpy as np

class Session:
    def __init__(self, folder):
        said = json.loads((folder / "artefact.json").read_text())
        self.context, self.vocabulary = said["context"], said["vocabulary"]
        self.pause, self.fail = said.get("pause", 0.0), said.get("fail", 0)
        random = np.random.default_rng(3)
        self.rows, self.out = random.normal(size=(self.vocabulary, 24)), random.normal(size=(24, self.vocabulary))

    def stream(self, prompt, most, stop=(), choose=None):
        if len(prompt) + most > self.context:
            raise ValueError("too long")
        return self._stream(prompt, most, stop, choose)

    def _stream(self, prompt, most, stop, choose):
        state = np.zeros(24)
        for token in prompt:
            state = 0.6 * state + self.rows[token]
        for number in range(most):
            if self.pause:
                time.sleep(self.pause)
            if self.fail and number == self.fail:
                raise RuntimeError("the engine ran into a wall")
            logits = (state @ self.out).astype(np.float32)
            logits[:3] = -100.0  # it never ends by itself
            token = int(logits.argmax()) if choose is None else choose(logits)
            if token in stop:
                return
            yield token
            state = 0.6 * state + self.rows[token]

def load(folder, threads):
    return Session(folder)
'''


def artefact(folder, context=CONTEXT, **settings):
    """Write an artefact with a session of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tiny_session.py").write_text(SESSION)
    described = {
        "engine": "test", "task": "text-generation", "session": "tiny_session", "context": context, "bits": 32,
        "vocabulary": tokenizer().get_vocab_size(), "requirements": [], **settings,
    }  # fmt: skip
    (folder / "artefact.json").write_text(json.dumps(described))
    return folder


#: For a random Llama that does not repeat itself.
LIVELY = {"tie_word_embeddings": False, "initializer_range": 0.4}


def built_artefact(folder, engine, **sizes):
    """Build the random Llama in fp32 for an engine; return the artefact and its checkpoint."""
    from tuner.backends.base import BuildRequest
    from tuner.backends.registry import backends
    from tuner.candidate import Quantization

    source, made = checkpoint(folder / "source", **sizes), folder / "made"
    made.mkdir()
    request = BuildRequest(
        checkpoint=source, quantization=Quantization(bits=32), device="cpu", fixed_shape=None, max_length=64,
        calibration=folder / "none.npz", cache=folder, task="text-generation",
    )  # fmt: skip
    backends()[engine].build(request, made)
    return made, source


def estimate(value, half=0.0):
    return {"value": value, "low": value - half, "high": value + half}


def content(folder, made=None, source=None, template=TEMPLATE, host=None, generation=None, threads=1):
    """Return the content of a chat bundle: of an artefact `made` from `source`, by default the quick one."""
    made = made or artefact(folder / "artefact")
    source = source or texts(folder / "source", template)
    candidate = Candidate(
        distillation=Distillation(student_layers=2),
        parallel=Parallel(threads=threads),
        backend=Backend(engine="torch"),
    )
    metrics = {
        "perplexity": estimate(21.5, 0.5), "perplexity_increase": estimate(0.04, 0.01), "agreement": estimate(0.9),
        "latency_ms": estimate(12.5, 0.5), "ttft_ms": estimate(2.0), "tpot_ms": estimate(0.2), "size_mb": estimate(0.5),
    }  # fmt: skip
    report = {
        "study": "tiny", "trial": 3, "candidate": candidate.canonical(), "confirmed": True, "metrics": metrics,
        "search_metrics": metrics, "baseline_ms": 20.0, "spec": load_spec(STUDY).to_plain(),
        "host": host or {"cpu": "Made Up 9000", "cores": [0, 1], "os": "Linux x86_64"},
        "scenario": {"prompt_tokens": 24, "new_tokens": 8, "clients": 1},
    }  # fmt: skip
    session = load_session(made, threads)
    rows = np.random.default_rng(0).integers(3, session.vocabulary, (2, 24)).tolist()
    wanted = {"prompts": [{"prompt": row} for row in rows], "timed": {"prompt": rows[0], "new_tokens": 8}}
    answered = check(session, wanted)
    facts = {"context": session.context, "stop_token_ids": [0, 2], "generation": generation or {}}
    stored = {**wanted, "prompts": answered["prompts"]}
    return BundleContent(CHAT, made, source, candidate, report, "A chat model", facts, {"check.json": stored})


def bundle(folder, **settings):
    """Write a chat bundle with the quick artefact; the settings are the artefact's."""
    template, generation = settings.pop("template", TEMPLATE), settings.pop("generation", None)
    asked = content(folder, artefact(folder / "artefact"), template=template, generation=generation)
    artefact(folder / "artefact", **settings)  # not before: what is slow or breaks is so from now on
    return write_bundle(asked, folder / "tiny")
