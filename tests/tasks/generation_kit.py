"""A small byte-level tokenizer with a chat template, as chat models have, and news to go with it."""

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from tuner.spec.model import StudySpec
from tuner.tasks.documents import Documents, Split

LABELS = ["rain", "long distance running"]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>"]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_SENTENCE = "it rained all day in the north – “très” wet, said Zoë; runners ran on and on 42 km 195 …"
_WORDS = _SENTENCE.split()


def text(number: int, words: int) -> str:
    return "\n\n".join(
        [" ".join(_WORDS[(number * 7 + i * i) % len(_WORDS)] for i in range(words)), "It is over."]
    )


def news(lengths=(3, 20, 60, 120), each: int = 12, labels=LABELS) -> Documents:
    """Documents of these numbers of words, in turn."""
    splits = {}
    for s, name in enumerate(("train", "validation", "test")):
        texts = [text(100 * s + i, lengths[i % len(lengths)]) for i in range(each)]
        splits[name] = Split(texts, [i % len(labels) if labels else -1 for i in range(each)])
    return Documents(labels, splits)


def write_tokenizer(folder: Path, chat: bool = True, start: str | None = None) -> Path:
    """A folder with a tokenizer; `start`: a token that it puts before every text."""
    coder = Tokenizer(models.BPE())
    coder.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    coder.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    coder.train_from_iterator([text(i, 50) for i in range(20)], trainer)
    if start is not None:
        ids = [(start, coder.token_to_id(start))]
        coder.post_processor = processors.TemplateProcessing(single=f"{start} $A", special_tokens=ids)
    coder.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text(
        json.dumps({"eos_token_id": [0, 2], "temperature": 0.2, "bos_token_id": 1})
    )
    if chat:
        (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


def study(**sections) -> StudySpec:
    given = {
        "name": "t",
        "task": "text-generation",
        "model": {"source": "x", "max_length": 64},
        "data": {"source": "x.csv"},
        "scenario": {"prompt_tokens": 80, "new_tokens": 8},
        "asked": {"documents": 8, "prompts": 3, "questions": 6},
        "budget": {"trials": 1},
    }
    return StudySpec.model_validate({**given, **sections})
