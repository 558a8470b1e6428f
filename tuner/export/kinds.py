"""The kinds of bundles, as data: which program a bundle carries, which serving code and files, and what it says."""

from __future__ import annotations

from dataclasses import dataclass

from tuner.errors import InputError


@dataclass(frozen=True)
class Kind:
    """One kind. Code is named by modules of tuner/runtime; what those import comes with them.

    `files` are copied from the checkpoint where it has them, `tokenizer.json` always.
    """

    name: str
    script: str
    about: str  # the script's docstring
    program: str  # module with `main(bundle) -> exit code`
    modules: tuple[str, ...]
    requirements: tuple[str, ...]  # distributions beside the engine's
    files: tuple[str, ...]
    usage: str  # of the README
    against: str  # of the README: what the figures are held against

    def source(self) -> str:
        """Return the text of the bundle's script."""
        return _SCRIPT.format(about=self.about, program=self.program)


_SCRIPT = '''"""{about}"""

import sys
from pathlib import Path

from runtime.{program} import main

if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent))
'''

CLASSIFIER = Kind(
    name="classifier",
    script="predict.py",
    about='Classify texts: python predict.py "a text", or one text a line on stdin.',
    program="predict",
    modules=("loader", "padding", "predict"),
    requirements=("numpy", "tokenizers"),
    files=(),
    usage="""pip install -r requirements.txt
python predict.py "a text"
python predict.py < texts.txt        # one text a line; --json for JSON lines
tuner serve .                        # POST /v1/classify; needs the tuner""",
    against="""`accuracy_drop` and `speedup` are against the untouched model in fp32 PyTorch eager on all cores of
that host.""",
)
CHAT = Kind(
    name="chat",
    script="chat.py",
    about='Talk to the model: python chat.py "a question", or python chat.py for a conversation.',
    program="chat",
    modules=("loader", "chat"),
    requirements=("numpy", "tokenizers", "jinja2"),
    files=("tokenizer_config.json", "chat_template.jinja", "generation_config.json"),
    usage="""pip install -r requirements.txt
python chat.py "a question"          # streams the answer; --json, --temperature, --system, --max-tokens
python chat.py                       # a conversation: /exit or Ctrl-D ends it, Ctrl-C stops an answer
python chat.py --check               # does it answer as when it was exported?
tuner serve .                        # OpenAI-compatible: POST /v1/chat/completions; needs the tuner""",
    against="""`latency_ms` is a whole answer, `ttft_ms` the time to its first token (TTFT), `tpot_ms` the time per
output token after the first (TPOT), `itl_p99_ms` the 99th percentile between two tokens (ITL), `tokens_per_s` that of
all clients together. `perplexity_increase` and `speedup` are against the untouched model in fp32 PyTorch eager on all
cores of that host; `agreement` is the share of tokens of that model's greedy answers that this one finds likeliest
too.""",
)
_OF_TASK = {"text-classification": CLASSIFIER, "text-generation": CHAT}
KINDS = {kind.name: kind for kind in _OF_TASK.values()}


def kind_of_task(task: str) -> Kind:
    """Return the kind of bundle for a study's task.

    Raises:
        InputError: there is none.
    """
    if task not in _OF_TASK:
        raise InputError(f"{task}: no bundle can be written for this task, only for {', '.join(_OF_TASK)}")
    return _OF_TASK[task]
