"""What the runtime does without transformers is what transformers does."""

import numpy as np
import pytest

from tests.tiny_chat import TEMPLATE, texts, tokenizer
from tuner.runtime.sampling import nucleus
from tuner.runtime.template import ChatTemplate

TOKENIZER = tokenizer()
MESSAGES = [{"role": "user", "content": "a & b < 'c' é 😀"}, {"role": "assistant", "content": "d"},
            {"role": "user", "content": "e"}]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        TEMPLATE,
        "{{ bos_token }}{% for m in messages %}\n   {% if loop.index > 9 %}{% break %}{% endif %}\n"
        "[{{ m | tojson }}] {{ m.content | trim }}{{ eos_token }}\n{% endfor %}",
        "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}{{ tools is none }}",
        "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}"
        "{{ messages | tojson(indent=2) }}{{ strftime_now('%Y') }}",
    ],
)
def test_a_template_is_rendered_as_transformers_does(tmp_path, text):
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(texts(tmp_path, text))
    expected = theirs.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=True)
    ours = ChatTemplate.read(tmp_path).render(MESSAGES)
    assert ours == expected
    tokens = theirs.apply_chat_template(MESSAGES, add_generation_prompt=True)["input_ids"]
    assert TOKENIZER.encode(ours, add_special_tokens=False).ids == tokens


def test_the_nucleus_is_that_of_transformers():
    import torch
    from transformers import TopKLogitsWarper, TopPLogitsWarper

    random = np.random.default_rng(0)
    for top_k, top_p in [(0, 0.9), (40, 0.9), (7, 1.0), (0, 0.3)]:
        logits = random.normal(scale=3, size=2000)
        scores = torch.from_numpy(logits)[None]
        scores = TopKLogitsWarper(top_k)(None, scores) if top_k else scores
        scores = TopPLogitsWarper(top_p)(None, scores) if top_p < 1 else scores
        assert set(nucleus(logits, top_k, top_p)[0]) == set(
            torch.isfinite(scores[0]).nonzero()[:, 0].tolist()
        )
