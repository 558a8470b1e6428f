import json

import numpy as np
import pytest
import torch
from causal_models import TEMPLATE, build, write_tokenizer
from gguf import GGUFWriter
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from tuner.compress.causal.source import import_language_model
from tuner.errors import InputError
from tuner.runtime.shaped import load_shaped
from tuner.spec.sources import locate_language_model

IDS = torch.randint(4, 60, (2, 20), generator=torch.Generator().manual_seed(3))


def logits(model):
    with torch.inference_mode():
        return model(IDS).logits


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.mark.parametrize("name", ["llama", "qwen3"])
@pytest.mark.parametrize("inside", [True, False])
def test_a_folder_in_shards_becomes_one_checkpoint(name, inside, tmp_path, out):
    source, model = write_tokenizer(tmp_path / "source", inside=inside), build(name)
    model.generation_config.temperature, model.generation_config.do_sample = 0.6, True
    model.save_pretrained(source, max_shard_size="30KB")
    assert len(list(source.glob("model-*.safetensors"))) > 1
    found = import_language_model(str(locate_language_model(str(source))), str(out))
    assert found == {"trained_head": True, "chat": True, "context": 64, "stop_token_ids": [2]}
    assert torch.equal(logits(load_shaped(out)), logits(model))
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(out).eval()), logits(model))
    assert (out / "chat_template.jinja").read_text() == TEMPLATE
    kept = json.loads((out / "generation_config.json").read_text())
    assert kept["temperature"] == 0.6 and kept["do_sample"] and kept["eos_token_id"] == 2
    assert json.loads((out / "shape.json").read_text()) == {"attributes": {}}


def test_the_end_of_a_turn_is_found_in_the_template_where_the_defaults_name_another(tmp_path, out):
    source = write_tokenizer(tmp_path / "source")
    build("llama", eos_token_id=0).save_pretrained(source)
    assert import_language_model(str(source), str(out))["stop_token_ids"] == [0, 2]
    assert json.loads((out / "generation_config.json").read_text())["eos_token_id"] == [0, 2]


def test_a_model_without_a_template_does_not_chat(tmp_path, out):
    source = write_tokenizer(tmp_path / "source", template=None)
    build("mistral").save_pretrained(source)
    assert not import_language_model(str(source), str(out))["chat"]
    assert not (out / "chat_template.jinja").exists()


def write_gguf(file, model):
    """Write a llama as GGUF, queries and keys in the order of rows that llama.cpp gives them."""
    config, writer = model.config, GGUFWriter(file, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(64)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(60)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["<pad>", "<turn>", "<end>", "<unk>", *(chr(i) for i in range(35, 90)), "#$"])
    writer.add_token_types([3, 3, 3, 3, *([1] * 56)])
    writer.add_token_merges(["# $"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)
    names = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v"}
    names |= {"self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up"}
    names |= {"mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm"}
    names["post_attention_layernorm"] = "ffn_norm"
    state = model.state_dict()
    writer.add_tensor("token_embd.weight", state["model.embed_tokens.weight"].numpy())
    writer.add_tensor("output_norm.weight", state["model.norm.weight"].numpy())
    for layer in range(config.num_hidden_layers):
        for theirs, packed in names.items():
            weight = state[f"model.layers.{layer}.{theirs}.weight"].numpy()
            heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}.get(packed)
            if heads:
                weight = weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)
            writer.add_tensor(f"blk.{layer}.{packed}.weight", np.ascontiguousarray(weight))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("by", ["folder", "file"])
def test_a_gguf_is_unpacked_to_the_model_that_it_was_made_of(by, tmp_path, out):
    (tmp_path / "source").mkdir()
    model, file = build("llama"), tmp_path / "source" / "tiny.gguf"
    write_gguf(str(file), model)
    source = locate_language_model("source" if by == "folder" else "source/tiny.gguf", tmp_path)
    found = import_language_model(str(source), str(out))
    assert found == {"trained_head": True, "chat": True, "context": 64, "stop_token_ids": [2]}
    torch.testing.assert_close(logits(load_shaped(out)), logits(model))
    assert "quantization_config" not in json.loads((out / "config.json").read_text())
    assert (out / "chat_template.jinja").read_text() == TEMPLATE and (out / "tokenizer.json").exists()


def test_several_ggufs_are_refused_with_their_names(tmp_path):
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    with pytest.raises(InputError, match=r"has 2 GGUF files: name one of them, such as a\.gguf"):
        locate_language_model(str(tmp_path))
    with pytest.raises(InputError, match="cannot be read"):
        import_language_model(str(tmp_path / "a.gguf"), str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match=r"or a \.gguf file"):
        locate_language_model(str(tmp_path / "model.safetensors"))


def classifier(folder):
    config = AutoConfig.for_model("bert", hidden_size=32, num_attention_heads=4, num_hidden_layers=1)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)


def encoder_decoder(folder):
    AutoConfig.for_model("t5", architectures=["T5ForConditionalGeneration"]).save_pretrained(folder)


def other_family(folder):
    AutoConfig.for_model("gpt2", architectures=["GPT2LMHeadModel"]).save_pretrained(folder)


def quantized(folder):
    model = build("llama")
    model.save_pretrained(folder)
    fields = json.loads((folder / "config.json").read_text())
    fields["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (folder / "config.json").write_text(json.dumps(fields))


def pickled(folder):
    model = build("llama")
    model.config.architectures = ["LlamaForCausalLM"]
    model.config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")


def incomplete(folder):
    model = build("llama")
    model.config.architectures = ["LlamaForCausalLM"]
    model.config.save_pretrained(folder)
    state = {k: v for k, v in model.state_dict().items() if "layers.2" not in k and "lm_head" not in k}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


REFUSED = {
    classifier: "is a BertForSequenceClassification, no language model: name one that ends with ForCausalLM",
    encoder_decoder: r"is an encoder-decoder \(t5\): name a decoder-only model",
    other_family: "is of the family gpt2, not known; known: llama, mistral, qwen2, qwen3",
    quantized: "is quantized already: name the model that it was made from",
    pickled: r"has pytorch_model\.bin only: convert it to model\.safetensors",
    incomplete: r"the weights do not fit: 9 missing, such as model\.layers\.2\.input_layernorm\.weight",
}


@pytest.mark.parametrize("make", REFUSED, ids=lambda make: make.__name__)
def test_what_cannot_be_used_is_refused_in_one_line_with_the_remedy(make, tmp_path, out):
    source = write_tokenizer(tmp_path / "source")
    make(source)
    with pytest.raises(InputError, match=REFUSED[make]) as caught:
        import_language_model(str(source), str(out))
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path, out):
    (tmp_path / "source").mkdir()
    build("llama").save_pretrained(tmp_path / "source")
    with pytest.raises(InputError, match="tokenizer"):
        import_language_model(str(tmp_path / "source"), str(out))
