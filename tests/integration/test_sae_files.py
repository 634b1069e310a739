"""Autoencoder files as people have them: the numbers of SAELens, or a refusal with the reason."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from conftest import D_MODEL, tiny
from emospace.errors import EmospaceError
from emospace.sae import load_sae, save_sae
from emospace.sae.configs import layer_of

CASES = Path(__file__).parents[1] / "cases" / "sae"
WIDTH = 16
READ = {"gated": 2, "gemma_scope_2_local": 13, "gpt2_centered": 2, "norm_true": 2, "old_hook_point": 2}
"""Case -> layer."""


def states_of(width=WIDTH, n=50):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(1)) * 2 + 0.7


def theirs(folder: Path):
    """Return a case as SAELens loads it: from a folder, or as a download of Gemma Scope."""
    from sae_lens import SAE
    from sae_lens.loading import pretrained_sae_loaders as loaders

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if (folder / "cfg.json").is_file():
            return SAE.load_from_disk(folder, device="cpu")
        with pytest.MonkeyPatch.context() as patch:

            def local(repo_id=None, filename=None, **_):
                return str(folder / Path(filename).name)

            patch.setattr(loaders, "hf_hub_download", local)
            if (folder / "params.npz").is_file():
                config, weights, _ = loaders.gemma_2_sae_huggingface_loader(
                    "google/gemma-scope-2b-pt-res", "layer_20/width_16k/average_l0_71"
                )
                config |= {"d_in": WIDTH, "d_sae": 64}
            else:
                shapes = {name: list(t.shape) for name, t in load_file(folder / "params.safetensors").items()}
                patch.setattr(loaders, "get_safetensors_tensor_shapes", lambda *_: shapes)
                config, weights, _ = loaders.gemma_3_sae_huggingface_loader(
                    "google/gemma-scope-2-270m-pt", "resid_post/layer_12_width_16k_l0_medium"
                )
        sae = SAE.from_dict(loaders.handle_config_defaulting(config))
        sae.load_state_dict(weights)
        return sae


def assert_same(sae, peer, states, *, given=None):
    """`given`: the states SAELens' model hands to the autoencoder, where they are not the model's own."""
    given = states if given is None else given
    with torch.inference_mode():
        codes, rebuilt = peer.encode(given).numpy(), peer(given) + (states - given)
    ours = sae.encode(states.numpy())
    assert 0 < ours.nnz < ours.shape[0] * ours.shape[1]
    np.testing.assert_allclose(ours.toarray(), codes, rtol=1e-6, atol=1e-5)
    assert (sae.reconstruct(states) - rebuilt).abs().max() < 1e-5 * rebuilt.abs().max().clamp(min=1)


@pytest.mark.parametrize(("case", "layer"), READ.items())
def test_a_folder_as_downloaded_gives_the_codes_of_saelens(case, layer):
    sae, states = load_sae(CASES / case), states_of()
    assert sae.layer == layer
    centred = case == "gpt2_centered"
    assert sae.centred == centred
    given = states - states.mean(-1, keepdim=True) if centred else states
    assert_same(sae, theirs(CASES / case), states, given=given)


@pytest.mark.parametrize("case", [*READ, "ft_scale"])
def test_a_case_written_again_is_the_same_autoencoder(tmp_path, case):
    sae = load_sae(CASES / case)
    again = load_sae(save_sae(sae, tmp_path, model_name="gpt2"))
    assert again.content_hash == sae.content_hash
    given = states_of() - states_of().mean(-1, keepdim=True) if sae.centred else states_of()
    assert_same(again, theirs(tmp_path), states_of(), given=given)


def test_gemma_scope_1_is_read_by_the_names_of_its_folders(tmp_path):
    folder = tmp_path / "gemma-scope-2b-pt-res" / "layer_20" / "width_16k" / "average_l0_71"
    folder.mkdir(parents=True)
    weights = load_file(CASES / "gemma_scope_2_local" / "params.safetensors")
    np.savez(folder / "params.npz", **{name.replace("w_", "W_"): t.numpy() for name, t in weights.items()})
    for source in (folder, folder / "params.npz"):
        sae = load_sae(source)
        assert (sae.layer, sae.architecture, sae.subtract_decoder_bias) == (21, "jumprelu", False)
    assert_same(sae, theirs(folder), states_of())


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (("gemma-scope-2b-pt-mlp", "layer_20", "width_16k"), "not the residual stream"),
        (("attn_out", "layer_12_width_16k_l0_small"), "not the residual stream"),
        (("matt", "downloads"), "no folder names its layer"),
    ],
)
def test_gemma_scope_weights_alone_that_are_of_another_place_are_refused(tmp_path, parts, message):
    folder = tmp_path.joinpath(*parts)
    folder.mkdir(parents=True)
    shutil.copy(CASES / "gemma_scope_2_local" / "params.safetensors", folder)
    with pytest.raises(EmospaceError, match=message):
        load_sae(folder)


def test_gemma_scope_weights_alone_of_an_unsaid_place_are_read_and_told(tmp_path, caplog):
    folder = tmp_path / "matt" / "layer_12_width_16k_l0_small"
    folder.mkdir(parents=True)
    shutil.copy(CASES / "gemma_scope_2_local" / "params.safetensors", folder)
    with caplog.at_level(logging.WARNING):
        assert load_sae(folder).layer == 13
    assert "taken as the residual stream after block 12" in caplog.text


# --- what changes the meaning ------------------------------------------------------------------------------


def test_centring_is_what_transformerlens_does_to_the_residual_stream():
    """A LayerNorm model with centred weights has the states of the model itself with their mean removed."""
    model = tiny("gpt2")
    ids = torch.tensor([[5, 9, 30, 7]])
    with torch.inference_mode():
        before = model.model(ids, output_hidden_states=True).hidden_states[2]
    other = type(model.model)(model.model.config).eval()
    other.load_state_dict(model.model.state_dict())
    with torch.no_grad():
        parts = other.transformer
        for weight in [parts.wte.weight, parts.wpe.weight]:
            weight.copy_(weight - weight.mean(-1, keepdim=True))
        for block in parts.h:
            for layer in (block.attn.c_proj, block.mlp.c_proj):
                layer.weight.copy_(layer.weight - layer.weight.mean(-1, keepdim=True))
                layer.bias.copy_(layer.bias - layer.bias.mean())
        after = other(ids, output_hidden_states=True).hidden_states[2]
    torch.testing.assert_close(after, before - before.mean(-1, keepdim=True), rtol=1e-4, atol=1e-4)


def test_states_are_centred_for_models_with_layer_norms_alone(tmp_path):
    from dataclasses import replace

    from test_sae import random_sae

    folder = save_sae(replace(random_sae(), centred=True), tmp_path, model_name="gpt2")
    assert load_sae(folder).centred
    assert load_sae(folder, tiny("gpt2")).centred
    assert not load_sae(folder, tiny("llama")).centred, "TransformerLens leaves RMS norms' models as they are"


def test_the_finetuning_factor_scales_what_is_decoded_and_not_the_codes():
    """SAELens before 6: encode as ever, decode(activations * factor); SAELens 6 cannot load it."""
    with pytest.raises(RuntimeError, match="finetuning_scaling_factor"):
        theirs(CASES / "ft_scale")
    weights = load_file(CASES / "ft_scale" / "sae_weights.safetensors")
    factor = weights["finetuning_scaling_factor"]
    assert not torch.allclose(factor, torch.ones_like(factor))
    sae, states = load_sae(CASES / "ft_scale"), states_of()
    codes = ((states - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]).relu()
    np.testing.assert_allclose(sae.encode(states.numpy()).toarray(), codes, rtol=1e-6, atol=1e-5)
    rebuilt = (codes * factor) @ weights["W_dec"] + weights["b_dec"]
    assert (sae.reconstruct(states) - rebuilt).abs().max() < 1e-5 * rebuilt.abs().max()


def changed(tmp_path, case="norm_true", tensors=(), **config) -> Path:
    """Return a copy of a case with other keys in its configuration and further tensors."""
    shutil.copytree(CASES / case, tmp_path / case)
    name = "cfg.json" if (tmp_path / case / "cfg.json").is_file() else "config.json"
    path = tmp_path / case / name
    path.write_text(json.dumps({**json.loads(path.read_text()), "normalize_activations": "none", **config}))
    weights = next((tmp_path / case).glob("*.safetensors"))
    save_file({**load_file(weights), **dict(tensors)}, weights)
    return tmp_path / case


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"architecture": "batchtopk"}, "'batchtopk' is not supported: a BatchTopK training checkpoint"),
        ({"architecture": "matryoshka_batchtopk"}, "Matryoshka"),
        ({"architecture": "abstopk"}, "negative"),
        ({"architecture": "temporal"}, "tokens before"),
        ({"architecture": "something_new"}, "'something_new' is not supported"),
        ({"architecture": "transcoder"}, "a transcoder: it reads one place and writes another"),
        ({"architecture": "jumprelu_skip_transcoder"}, "it is a jumprelu_skip_transcoder"),
        ({"type": "crosscoder"}, "it is a crosscoder"),
        ({"affine_connection": True}, "writes another"),
        ({"hook_name_out": "blocks.2.hook_mlp_out"}, "writes another"),
        ({"d_out": 32}, "writes another"),
        ({"normalize_activations": "covariance_whitening"}, "'covariance_whitening' is not supported"),
        ({"reshape_activations": "hook_z"}, "attention heads"),
        ({"hook_head_index": 3}, "one attention head"),
        ({"activation_fn_str": "tanh-relu"}, "'tanh-relu' is not supported"),
        ({"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 4, "postact_fn": "abs"}}, "postact_fn"),
        ({"activation_fn_str": "topk", "activation_fn_kwargs": {}}, "it has no k"),
        ({"rescale_acts_by_decoder_norm": True}, "rescale_acts_by_decoder_norm"),
        ({"d_sae": 128}, "says 16 x 128, its weights are 16 x 64"),
        ({"hook_name": "blocks.2.attn.hook_z"}, "not the residual stream"),
    ],
)
def test_what_changes_the_meaning_and_is_not_computed_is_refused_by_name(tmp_path, config, message):
    with pytest.raises(EmospaceError, match=message):
        load_sae(changed(tmp_path, **config))


@pytest.mark.parametrize(
    "config",
    [
        {"hook_name": True},
        {"metadata": [1]},
        {"architecture": "topk", "k": "many"},
        {"activation_fn_str": "topk", "activation_fn_kwargs": 3},
        {"model_from_pretrained_kwargs": "none"},
    ],
)
def test_values_of_another_type_are_refused(tmp_path, config):
    with pytest.raises(EmospaceError):
        load_sae(changed(tmp_path, **config))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("scaling_factor", "scaling factor"),
        ("threshold", "threshold, which are no part"),
        ("W_skip", "W_skip"),
    ],
)
def test_weights_without_a_meaning_are_refused(tmp_path, name, message):
    with pytest.raises(EmospaceError, match=message):
        load_sae(changed(tmp_path, tensors={name: torch.full((64,), 2.0)}))


def test_a_scaling_factor_of_ones_is_dropped_as_saelens_does(tmp_path):
    folder = changed(tmp_path, tensors={"scaling_factor": torch.ones(64)}, finetuning_scaling_factor=False)
    assert_same(load_sae(folder), theirs(folder), states_of())


@pytest.mark.parametrize(
    "config",
    [
        {"apply_b_dec_to_input": False},
        {"normalize_activations": False},
        {"normalize_activations": "layer_norm"},
        {"normalize_activations": "constant_norm_rescale"},
        {"normalize_activations": "expected_average_only_in"},
        {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 5}},
        {"dtype": "float32", "device": "cuda", "l1_coefficient": 3},
    ],
)
def test_what_changes_the_meaning_and_is_computed_is_as_in_saelens(tmp_path, config):
    folder = changed(tmp_path, **config)
    assert_same(load_sae(folder), theirs(folder), states_of())


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"seqpos_slice": [None], "lp_norm": 1, "context_size": 128}, None),
        ({"model_from_pretrained_kwargs": {"fold_ln": True, "center_unembed": True}}, None),
        ({"whiten_by": 3}, "whiten_by"),
        (
            {"model_from_pretrained_kwargs": {"checkpoint_index": 7}},
            "model_from_pretrained_kwargs.checkpoint_index",
        ),
        ({"normalize_activations": True}, "scaled by their average norm"),
        ({"model_name": "gpt2-small"}, "did not say whether states were centred"),
    ],
)
def test_keys_that_are_not_known_are_told_and_harmless_ones_are_not(tmp_path, caplog, config, words):
    with caplog.at_level(logging.WARNING):
        load_sae(changed(tmp_path, **{"model_name": "google/gemma-2-2b", **config}))
    assert (words in caplog.text) if words else (caplog.text == "")


@pytest.mark.parametrize(
    ("hook", "layer"),
    [
        ("blocks.2.hook_resid_pre", 2),
        ("blocks.2.hook_resid_post", 3),
        ("blocks.2.hook_in", 2),
        ("blocks.2.hook_out", 3),
        ("model.layers.12.output", 13),
        ("model.layers.12", 13),
        ("model.language_model.layers.3", 4),
        ("transformer.h.0", 1),
        ("model.layers.12.input", 12),
        ("model.layers.12.self_attn.o_proj.input", None),
        ("model.layers.12.post_feedforward_layernorm.output", None),
        ("blocks.2.hook_resid_mid", None),
        ("blocks.2.hook_mlp_out", None),
        ("hook_embed", None),
        ("", None),
    ],
)
def test_the_place_an_autoencoder_reads_is_a_layer_or_refused(hook, layer):
    if layer is None:
        with pytest.raises(EmospaceError, match="not the residual stream"):
            layer_of(hook, "x")
    else:
        assert layer_of(hook, "x") == layer


def test_reading_needs_safetensors_and_torch_alone():
    import subprocess
    import sys

    code = (
        "import sys; from emospace.sae import load_sae; import numpy as np\n"
        f"load_sae({str(CASES / 'gated')!r}).encode(np.ones((2, 16), np.float32))\n"
        "print(sorted({'sae_lens', 'transformer_lens', 'transformers', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_published_autoencoder_without_saelens_names_the_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "sae_lens", None)
    with pytest.raises(EmospaceError) as failed:
        load_sae("gemma-scope-2b-pt-res-canonical:layer_20/width_16k/canonical")
    assert "emospace[saelens]" in failed.value.hint
    assert load_sae(CASES / "gated").architecture == "gated"


# --- names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "right"),
    [
        (
            "google/gemma-scope-2-270m-pt:resid_post/layer_12_width_16k_l0_small",
            "gemma-scope-2-270m-pt-res:layer_12_width_16k_l0_small",
        ),
        (
            "gemma-scope-2-270m-it-resid_post:layer_12_width_16k_l0_small",
            "gemma-scope-2-270m-it-res:layer_12_width_16k_l0_small",
        ),
        (
            "gemma-scope-2b-pt-res-canonical:layer_20/width_16k",
            "gemma-scope-2b-pt-res-canonical:layer_20/width_16k/canonical",
        ),
        ("gpt2-small-res-jb", "gpt2-small-res-jb:blocks."),
        ("gpt2-small-resjb:blocks.8.hook_resid_pre", "gpt2-small-res-jb:blocks.8.hook_resid_pre"),
    ],
)
def test_a_mistyped_release_is_answered_with_the_nearest_right_name(given, right):
    with pytest.raises(EmospaceError) as failed:
        load_sae(given)
    assert failed.value.hint.startswith(f"Did you mean {right}")


def test_a_release_with_nothing_like_it_says_where_the_names_are():
    with pytest.raises(EmospaceError, match=r"no release 'qqqq'.*pretrained_saes"):
        load_sae("qqqq:layer_1")


def test_a_width_of_the_model_is_checked_for_every_case():
    for case in READ:
        with pytest.raises(EmospaceError, match=f"16 wide, but 'tiny-llama' has {D_MODEL}"):
            load_sae(CASES / case, tiny())
