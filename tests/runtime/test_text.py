"""From messages to tokens, and from tokens back to text: template, detokenizer, stop strings."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from tests.tiny_chat import tokenizer
from tuner.runtime.detokenizing import Detokenizer
from tuner.runtime.stopping import StopStrings
from tuner.runtime.template import ChatTemplate, TemplateRefusedError, special_tokens

TOKENIZER = tokenizer()
MESSAGES = [{"role": "user", "content": "a & b < 'c' é 😀"}, {"role": "assistant", "content": "d"},
            {"role": "user", "content": "e"}]  # fmt: skip


# -- template


def test_a_template_of_the_tokenizers_configuration(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": "{{ messages[0].content }}!"}')
    assert ChatTemplate.read(tmp_path).render([{"role": "user", "content": "x"}]) == "x!"
    (tmp_path / "tokenizer_config.json").write_text("{}")
    assert ChatTemplate.read(tmp_path) is None


@pytest.mark.parametrize(
    "text, why",
    [
        ("{{ raise_exception('no system prompt') }}", "refuses these messages: no system prompt"),
        ("{{ messages.append(1) }}", "refuses these messages: .*unsafe"),
        ("{{ ''.__class__.__mro__ }}", "refuses these messages: .*unsafe"),
        ("{{ messages[0].content + 1 }}", "refuses these messages"),
    ],
)
def test_what_a_template_refuses_is_one_line(text, why):
    with pytest.raises(TemplateRefusedError, match=why) as caught:
        ChatTemplate(text, {}).render(MESSAGES)
    assert "\n" not in str(caught.value)


def test_a_template_that_is_none():
    with pytest.raises(TemplateRefusedError, match="cannot be read"):
        ChatTemplate("{% for %}", {})


def test_special_tokens_in_both_forms():
    config = {"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": False}, "pad_token": None}
    assert special_tokens(config) == {"bos_token": "<s>", "eos_token": "</s>"}


# -- detokenizer


def pieces(tokens, tokenizer=TOKENIZER):
    decoding = Detokenizer(tokenizer)
    return [decoding.add(token) for token in tokens] + [decoding.end()]


def test_a_character_comes_when_it_is_whole():
    tokens = TOKENIZER.encode("é😀", add_special_tokens=False).ids
    assert len(tokens) == 6
    assert pieces(tokens) == ["", "é", "", "", "", "😀", ""]


def test_special_tokens_have_no_text():
    tokens = TOKENIZER.encode("the<|im_end|>the").ids
    assert "".join(pieces(tokens)) == "thethe" and 2 in tokens


@given(st.text(max_size=40))
def test_the_pieces_are_the_text(text):
    tokens = TOKENIZER.encode(text, add_special_tokens=False).ids
    assert "".join(pieces(tokens)) == text


@settings(max_examples=300)
@given(st.lists(st.integers(0, 299), max_size=60))
def test_the_pieces_of_any_tokens_are_their_text(tokens):
    """Also of those that are no characters: a random model says such things."""
    tokens = [token for token in tokens if token < TOKENIZER.get_vocab_size()]
    found = pieces(tokens)
    assert "".join(found) == TOKENIZER.decode(tokens, skip_special_tokens=True)
    assert not any(piece.endswith("\ufffd") for piece in found[:-1])


def test_a_decoder_that_looks_at_the_place_of_a_token():
    words = {"▁the": 0, "▁bank": 1, "s": 2}
    other = Tokenizer(models.WordLevel(words, unk_token="s"))
    other.pre_tokenizer, other.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    assert pieces([0, 1, 2, 1], other) == ["the", " bank", "s", " bank", ""]


# -- stop strings


def fed(stops, given):
    watching = StopStrings(stops)
    found = []
    for piece in given:
        found.append(watching.add(piece))
        if watching.found:
            return found, True
    return [*found, watching.end()], False


@pytest.mark.parametrize(
    "stops, given, expected, stopped",
    [
        (["END"], ["a", "E", "N", "D", "b"], ["a", "", "", ""], True),
        (["END"], ["aE", "x", "EN"], ["a", "Ex", "", "EN"], False),
        (["\n\n"], ["a\n", "b\n\nc"], ["a", "\nb"], True),
        (["bc", "abc"], ["a", "bcd"], ["", ""], True),
        (["aab"], ["aa", "ab"], ["", "a"], True),
        ([], ["a", "b"], ["a", "b", ""], False),
        ([""], ["a"], ["a", ""], False),
    ],
)
def test_a_stop_string_over_pieces(stops, given, expected, stopped):
    assert fed(stops, given) == (expected, stopped)


@given(
    st.lists(st.text("ab", max_size=3), max_size=12),
    st.lists(st.text("ab", min_size=1, max_size=4), max_size=3),
)
def test_an_answer_ends_where_the_first_stop_string_is_complete(given, stops):
    found, stopped = fed(stops, given)
    whole = "".join(given)
    ends = [whole.find(s) + len(s) for s in stops if s in whole]
    assert stopped == bool(ends)
    if not ends:
        assert "".join(found) == whole
    else:
        said = "".join(found)
        assert whole.startswith(said) and not any(s in said for s in stops)
        assert any(whole[len(said) :].startswith(s) for s in stops)
