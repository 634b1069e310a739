"""Autoencoders: the codes SAELens gives, files SAELens reads, training that goes on where it stopped."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import D_MODEL, FAMILIES, N_BLOCKS, TEXTS, tiny
from emospace.errors import EmospaceError
from emospace.models import devices
from emospace.sae import (
    Corpus,
    SaeSpec,
    SparseAutoencoder,
    bundled_sae,
    load_sae,
    measure_quality,
    quality,
    read_texts,
    save_sae,
    states as shards,
    train_sae,
    training,
)
from emospace.sae.corpus import WINDOW, token_windows
from emospace.sae.scaling import Scaling, outliers
from emospace.sae.states import capture_shards, window_states
from emospace.sae.topk import Trainer

N_LATENTS, K = 96, 6


def random_sae(architecture="topk", **settings) -> SparseAutoencoder:
    generator = torch.Generator().manual_seed(3)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    given = {
        "topk": {"k": K},
        "jumprelu": {"threshold": draw(N_LATENTS).abs()},
        "standard": {},
    }[architecture]
    return SparseAutoencoder(
        w_enc=draw(D_MODEL, N_LATENTS) / 4,
        b_enc=draw(N_LATENTS) / 4,
        w_dec=draw(N_LATENTS, D_MODEL),
        b_dec=draw(D_MODEL),
        architecture=architecture,
        layer=2,
        **{**given, **settings},
    )


def random_states(n=50) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=(n, D_MODEL)) * rng.uniform(0.5, 5, (n, 1)) + 1).astype(np.float32)


def theirs(folder, **options):
    from sae_lens import SAE

    return SAE.load_from_disk(folder, device="cpu", **options)


KINDS = [
    ("standard", {}),
    ("standard", {"subtract_decoder_bias": False}),
    ("topk", {}),
    ("topk", {"rescale_by_decoder_norm": True}),
    ("jumprelu", {}),
    ("standard", {"normalisation": "layer_norm"}),
    ("topk", {"normalisation": "layer_norm", "rescale_by_decoder_norm": True}),
    ("jumprelu", {"normalisation": "layer_norm"}),
    ("standard", {"normalisation": "constant_norm_rescale"}),
    ("topk", {"normalisation": "constant_norm_rescale"}),
    ("jumprelu", {"normalisation": "constant_norm_rescale", "subtract_decoder_bias": False}),
]


# --- the same codes as SAELens ----------------------------------------------------------------------------


@pytest.mark.parametrize(("architecture", "settings"), KINDS)
def test_codes_and_reconstructions_are_those_of_saelens(tmp_path, architecture, settings):
    sae = random_sae(architecture, **settings)
    save_sae(sae, tmp_path, model_name="tiny")
    peer, states = theirs(tmp_path), random_states()
    with torch.inference_mode():
        codes = peer.encode(torch.from_numpy(states))
        rebuilt = peer(torch.from_numpy(states))
    ours = sae.encode(states)
    assert ours.shape == (50, N_LATENTS)
    assert ours.dtype == np.float32
    assert 0 < ours.nnz < 50 * N_LATENTS
    np.testing.assert_allclose(ours.toarray(), codes.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(sae.reconstruct(torch.from_numpy(states)), rebuilt, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("architecture", "settings"), KINDS)
def test_a_folder_brings_everything_back(tmp_path, architecture, settings):
    sae = random_sae(architecture, card={"corpus": {"x": 1.0}, "seed": 0}, **settings)
    loaded = load_sae(save_sae(sae, tmp_path, model_name="tiny"))
    assert loaded.content_hash == sae.content_hash
    assert loaded.card == sae.card
    assert (loaded.encode(random_states()) != sae.encode(random_states())).nnz == 0


def test_half_precision_weights_give_saelens_and_us_the_same_codes(tmp_path):
    save_sae(random_sae(), tmp_path, model_name="tiny", dtype="float16")
    sae, peer, states = load_sae(tmp_path), theirs(tmp_path), random_states()
    with torch.inference_mode():
        codes = peer.encode(torch.from_numpy(states)).numpy()
    np.testing.assert_allclose(sae.encode(states).toarray(), codes, rtol=1e-4, atol=1e-5)
    size = sum(path.stat().st_size for path in tmp_path.glob("*.safetensors"))
    assert size < 2.2 * (2 * N_LATENTS * D_MODEL + N_LATENTS + D_MODEL)


@pytest.mark.parametrize("layer", [0, 1, 3])
def test_the_layer_is_saelens_hook_point(tmp_path, layer):
    save_sae(replace(random_sae(), layer=layer), tmp_path, model_name="tiny-model")
    metadata = theirs(tmp_path).cfg.metadata
    assert metadata.hook_name == (
        "blocks.0.hook_resid_pre" if layer == 0 else f"blocks.{layer - 1}.hook_resid_post"
    )
    assert metadata.model_name == "tiny-model"
    assert load_sae(tmp_path).layer == layer


def test_a_folder_saved_by_saelens_itself_is_read(tmp_path):
    from sae_lens import TopKSAE, TopKSAEConfig

    config = TopKSAEConfig(d_in=D_MODEL, d_sae=N_LATENTS, k=K, rescale_acts_by_decoder_norm=True)
    config.metadata.hook_name = "blocks.1.hook_resid_post"
    peer = TopKSAE(config)
    peer.save_model(tmp_path)
    sae, states = load_sae(tmp_path), random_states()
    assert (sae.layer, sae.k) == (2, K)
    with torch.inference_mode():
        codes = peer.encode(torch.from_numpy(states)).numpy()
    np.testing.assert_allclose(sae.encode(states).toarray(), codes, rtol=1e-4, atol=1e-5)


def test_states_that_were_scaled_in_training_are_encoded_as_saelens_does_and_said(tmp_path, caplog):
    save_sae(random_sae(), tmp_path, model_name="tiny")
    edit(tmp_path, normalize_activations="expected_average_only_in")
    with caplog.at_level(logging.WARNING):
        sae = load_sae(tmp_path)
    assert "scaled by their average norm" in caplog.text
    with torch.inference_mode():
        codes = theirs(tmp_path).encode(torch.from_numpy(random_states())).numpy()
    np.testing.assert_allclose(sae.encode(random_states()).toarray(), codes, rtol=1e-4, atol=1e-5)


def edit(folder, **changes):
    config = json.loads((folder / "cfg.json").read_text())
    for key, value in changes.items():
        if value is None:
            config.pop(key)
        else:
            config[key] = value
    (folder / "cfg.json").write_text(json.dumps(config))


def test_top_k_as_saelens_wrote_it_before_version_6_is_read(tmp_path):
    save_sae(random_sae(), tmp_path, model_name="tiny")
    edit(
        tmp_path,
        architecture="standard",
        k=None,
        metadata=None,
        hook_name="blocks.1.hook_resid_post",
        activation_fn_str="topk",
        activation_fn_kwargs={"k": K},
    )
    sae = load_sae(tmp_path)
    assert (sae.architecture, sae.k, sae.layer) == ("topk", K, 2)


@pytest.mark.parametrize("architecture", ["standard", "topk", "jumprelu", "gated"])
def test_codes_of_wide_autoencoders_are_made_in_blocks_of_states_and_latents(architecture, monkeypatch):
    from emospace.sae import autoencoder

    states, seen = random_states(), []
    if architecture == "gated":
        plain, scale = random_sae("standard"), torch.linspace(-1, 1, N_LATENTS)
        sae = replace(plain, architecture="gated", r_mag=scale, b_mag=scale.flip(0))
    else:
        sae = random_sae(architecture)
    whole = sae.activations(torch.from_numpy(states)).numpy()
    inner = SparseAutoencoder._rectified

    def watch(self, x, latents):
        active = inner(self, x, latents)
        seen.append(tuple(active.shape))
        return active

    monkeypatch.setattr(SparseAutoencoder, "_rectified", watch)
    monkeypatch.setattr(autoencoder, "ROWS_AT_ONCE", 7)
    # Fewer than the strongest that are kept, and no divisor of all.
    monkeypatch.setattr(autoencoder, "LATENTS_AT_ONCE", K - 1)
    codes = sae.encode(states)
    np.testing.assert_allclose(codes.toarray(), whole, atol=1e-5)
    assert codes.nnz == np.count_nonzero(whole)
    assert codes.has_canonical_format
    assert max(seen) == (7, K - 1)
    assert sum(n_states * n_latents for n_states, n_latents in seen) == len(states) * N_LATENTS


def test_top_k_keeps_at_most_k_and_none_that_is_negative():
    sae = random_sae()
    codes = sae.encode(random_states())
    assert codes.getnnz(axis=1).max() <= K
    assert codes.min() >= 0
    assert sae.encode(np.zeros((0, D_MODEL), np.float32)).shape == (0, N_LATENTS)


# --- what does not fit ------------------------------------------------------------------------------------


def test_a_width_or_layer_that_does_not_fit_is_named(tmp_path):
    save_sae(random_sae(), tmp_path, model_name="tiny")
    assert load_sae(tmp_path, tiny()).d_model == D_MODEL
    with pytest.raises(EmospaceError, match="states given are 5 wide"):
        random_sae().encode(np.zeros((2, 5), np.float32))
    save_sae(replace(random_sae(), layer=N_BLOCKS + 1), tmp_path / "deep", model_name="tiny")
    with pytest.raises(EmospaceError, match="reads layer 4, but 'tiny-llama' has 3 blocks"):
        load_sae(tmp_path / "deep", tiny())
    narrow = SparseAutoencoder(
        torch.zeros(8, 4), torch.zeros(4), torch.zeros(4, 8), torch.zeros(8), "standard", layer=1
    )
    save_sae(narrow, tmp_path / "narrow", model_name="other")
    with pytest.raises(EmospaceError, match="8 wide, but 'tiny-llama' has 32"):
        load_sae(tmp_path / "narrow", tiny())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "gated"}, "it has no b_gate, r_mag, b_mag"),
        ({"architecture": "jumprelu"}, "it has no threshold"),
        ({"k": None}, "it has no k"),
        ({"normalize_activations": "covariance_whitening"}, "'covariance_whitening' is not supported"),
        ({"metadata": {"hook_name": "blocks.1.attn.hook_z"}}, "not the residual stream"),
        ({"metadata": {}}, "not the residual stream"),
    ],
)
def test_a_config_we_cannot_honour_is_refused(tmp_path, change, message):
    save_sae(random_sae(), tmp_path, model_name="tiny")
    edit(tmp_path, **change)
    with pytest.raises(EmospaceError, match=message):
        load_sae(tmp_path)


def test_a_folder_that_is_missing_damaged_or_partial_is_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    with pytest.raises(EmospaceError, match=r"SAE 'no-such-sae'"):
        load_sae("no-such-sae")
    with pytest.raises(EmospaceError, match=r"no cfg\.json"):
        load_sae(tmp_path)
    save_sae(random_sae(), tmp_path, model_name="tiny")
    weights = tmp_path / "sae_weights.safetensors"
    tensors = load_file(weights)
    save_file({**tensors, "b_enc": torch.zeros(3)}, weights)
    with pytest.raises(EmospaceError, match="b_enc do not fit"):
        load_sae(tmp_path)
    save_file({name: tensor for name, tensor in tensors.items() if name != "W_dec"}, weights)
    with pytest.raises(EmospaceError, match="it has no W_dec"):
        load_sae(tmp_path)
    weights.write_bytes(weights.read_bytes()[:50])
    with pytest.raises(EmospaceError, match="cannot be read"):
        load_sae(tmp_path)
    weights.unlink()
    with pytest.raises(EmospaceError, match="it has no weights"):
        load_sae(tmp_path)


def test_a_repository_saelens_cannot_load_is_one_message():
    with pytest.raises(EmospaceError, match=r"SAE 'no/such-repository:layer_1'.*SAELens could not load it"):
        load_sae("no/such-repository:layer_1")


def test_a_shipped_autoencoder_is_for_its_very_weights_only(tmp_path, monkeypatch):
    from emospace.sae import files

    monkeypatch.setattr(files, "shipped", lambda kind: sorted(tmp_path.iterdir()))
    assert bundled_sae(tiny()) is None
    save_sae(
        replace(random_sae(), card={"model_sha256": tiny().identity["sha256"]}),
        tmp_path / "ours",
        model_name="t",
    )
    assert bundled_sae(tiny()) == "ours"
    assert bundled_sae(tiny("qwen2")) is None
    assert load_sae("ours", tiny()).layer == 2


# --- running text -----------------------------------------------------------------------------------------

CORPORA = (Corpus("en", TEXTS[:3] * 100, 3.0), Corpus("zh", TEXTS[3:] * 120, 1.0))


def test_windows_keep_their_shares_and_lengths_and_a_seed_repeats_them():
    model = tiny()
    windows = token_windows(model, CORPORA, 2000, seed=1)
    assert 2000 <= sum(len(window) - 1 for window in windows) < 2000 + 2 * WINDOW[1]
    assert max(map(len, windows)) <= WINDOW[1] + 1
    assert min(map(len, windows)) >= 2
    assert {window[:1] for window in windows} == {model.start_ids()}
    chinese = {piece for text in TEXTS[3:] for piece in model.tokenizer(text)["input_ids"]}
    in_chinese = sum(len(window) - 1 for window in windows if set(window[1:]) <= chinese)
    assert 0.2 < in_chinese / 2000 < 0.33
    assert token_windows(model, CORPORA, 2000, seed=1) == windows
    assert token_windows(model, CORPORA, 2000, seed=2) != windows
    with pytest.raises(EmospaceError, match=r"corpus 'en'.*its share asks for"):
        token_windows(model, CORPORA, 10_000_000, seed=1)


def test_texts_of_every_kind_are_read(tmp_path):
    import lzma

    import pandas as pd

    (tmp_path / "a.txt").write_text("one\n\n two \n快乐\n", encoding="utf-8")
    with lzma.open(tmp_path / "a.txt.xz", "wt", encoding="utf-8") as file:
        file.write("one\n\n two \n快乐\n")
    frame = pd.DataFrame({"text": ["null", "a, b", " "], "x": ["1", "2", "3"]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    frame.to_parquet(tmp_path / "a.parquet")
    for name in ("a.txt", "a.txt.xz"):
        assert read_texts(tmp_path / name) == ["one", "two", "快乐"]
        assert read_texts(tmp_path / name, limit_bytes=5) == ["one"]
    for name in ("a.csv", "a.tsv", "a.parquet"):
        assert read_texts(tmp_path / name) == ["null", "a, b"]
    assert read_texts(tmp_path / "a.csv", column="x") == ["1", "2", "3"]
    (tmp_path / "headless.tsv").write_text('1\teng\tI am "glad.\n2\teng\tSo am I.\n', encoding="utf-8")
    assert read_texts(tmp_path / "headless.tsv", column="3") == ['I am "glad.', "So am I."]
    with pytest.raises(
        EmospaceError, match=r"no column 'text'. Columns: 1, eng.*its number .* no header line"
    ):
        read_texts(tmp_path / "headless.tsv")
    with pytest.raises(EmospaceError, match=r"no column '4'. Columns: 1 to 3"):
        read_texts(tmp_path / "headless.tsv", column="4")
    (tmp_path / "ragged.csv").write_text("text\na\nb,c,d\n", encoding="utf-8")
    with pytest.raises(EmospaceError, match="cannot be read as a table"):
        read_texts(tmp_path / "ragged.csv")
    for name, message in (("no.txt", "no such file"), ("a.csv", "no column 'words'. Columns: text, x")):
        with pytest.raises(EmospaceError, match=message):
            read_texts(tmp_path / name, column="words")
    (tmp_path / "a.doc").write_text("")
    with pytest.raises(EmospaceError, match="kind is not known"):
        read_texts(tmp_path / "a.doc")


@pytest.mark.parametrize(("faster", "median", "largest"), [("float32", 1e-5, 1e-4), ("bfloat16", 0.02, 0.15)])
def test_states_leave_every_first_position_out_and_padding_changes_nothing(
    monkeypatch, faster, median, largest
):
    monkeypatch.setattr(devices, "faster_dtype", lambda _device: faster)
    model = tiny()
    windows = token_windows(model, CORPORA, 300, seed=0)
    states = window_states(model, windows, 2, budget=256)
    assert states.dtype == np.float32
    assert states.shape == (sum(len(window) - 1 for window in windows), D_MODEL)
    rows = []
    for window in sorted(windows, key=len, reverse=True):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=faster == "bfloat16"):
            hidden = model.model(torch.tensor([window]), output_hidden_states=True).hidden_states[2]
        rows.append(hidden[0, 1:].float().numpy())
    reference = np.concatenate(rows)
    error = np.linalg.norm(states - reference, axis=1) / np.linalg.norm(reference, axis=1)
    assert np.median(error) < median
    assert error.max() < largest, "the products' precision, not another position"


def test_states_that_are_not_finite_are_refused(monkeypatch):
    import emospace.activations

    monkeypatch.setattr(
        emospace.activations,
        "token_states",
        lambda _model, ids, _layer: torch.full((*ids.shape, D_MODEL), torch.inf),
    )
    with pytest.raises(EmospaceError, match=r"layer 1.*not finite"):
        window_states(tiny(), [(1, 2, 3)], 1)


def test_massive_dimensions_are_stored_as_finely_as_all_others():
    rng = np.random.default_rng(0)
    scale = np.where(np.arange(D_MODEL) < 2, 1e5, 1.0).astype(np.float32)
    states = (rng.normal(size=(500, D_MODEL)) * scale + 3 * scale).astype(np.float32)
    scaling = Scaling.measured(states)
    stored = scaling.standardise(states).astype(np.float32)
    assert np.isfinite(stored).all()
    error = (stored * scaling.scale + scaling.mean - states) / scale
    assert np.abs(error).max() < 2e-3
    assert outliers(states.var(0)).tolist() == (scale > 1).tolist()
    flat = Scaling.measured(np.ones((3, 2), np.float32))
    assert flat.standardise(np.array([[1e9, 1]], np.float32)).tolist() == [[65504, 0]]


def count_captures(monkeypatch) -> list[int]:
    captured = []
    inner = shards.window_states

    def count(model, windows, layer, *rest):
        captured.append(len(windows))
        return inner(model, windows, layer, *rest)

    monkeypatch.setattr(shards, "window_states", count)
    monkeypatch.setattr(quality, "window_states", count)
    return captured


def test_shards_are_found_again_and_a_damaged_one_is_made_again(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(shards, "SHARD_TOKENS", 200)
    windows = token_windows(tiny(), CORPORA, 1000, seed=0)
    captured = count_captures(monkeypatch)
    paths, scaling = capture_shards(tiny(), windows, 2, tmp_path)
    assert len(paths) == len(captured) >= 4
    assert sum(captured) == len(windows)
    bytes_before = [path.read_bytes() for path in paths]
    captured.clear()
    again, kept = capture_shards(tiny(), windows, 2, tmp_path)
    assert (again, kept.content_hash) == (paths, scaling.content_hash)
    assert captured == []
    paths[1].write_bytes(bytes_before[1][:-7])
    paths[2].unlink()
    with caplog.at_level(logging.WARNING):
        capture_shards(tiny(), windows, 2, tmp_path)
    assert len(captured) == 2
    assert f"{paths[1].name} is damaged" in caplog.text
    assert [path.read_bytes() for path in paths] == bytes_before
    assert not set(capture_shards(tiny(), windows, 1, tmp_path)[0]) & set(paths)


# --- training ---------------------------------------------------------------------------------------------

SPEC = SaeSpec(layer=2, n_latents=64, k=4, n_tokens=2560, n_heldout=400, batch=64, learning_rate=3e-3)


class StoppedError(Exception):
    pass


def stop_at(monkeypatch, step):
    inner = Trainer._advance

    def run(self, batch):
        if self.step == step:
            raise StoppedError
        return inner(self, batch)

    monkeypatch.setattr(Trainer, "_advance", run)


def test_training_end_to_end_and_resumed_to_the_same_weights(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(shards, "SHARD_TOKENS", 512)
    monkeypatch.setattr(training, "_CHECKPOINT_STEPS", 10)
    model = tiny()
    straight = train_sae(model, CORPORA, SPEC, tmp_path / "a", command="test", dtype="float32")
    err = capfd.readouterr().err
    assert "SAE written to" in err
    assert "it/s" not in err

    with monkeypatch.context() as patch:
        stop_at(patch, 25)
        with pytest.raises(StoppedError):
            train_sae(model, CORPORA, SPEC, tmp_path / "b", command="test", dtype="float32")
    assert not (tmp_path / "b" / "cfg.json").exists()
    captured = count_captures(monkeypatch)
    steps = []
    inner = Trainer._advance
    monkeypatch.setattr(Trainer, "_advance", lambda self, batch: steps.append(1) or inner(self, batch))
    resumed = train_sae(model, CORPORA, SPEC, tmp_path / "b", command="test", dtype="float32")
    assert len(steps) == 20, "it goes on from step 20 of 40"
    assert len(captured) == 1, "only the held-out text is captured again"
    for name in ("w_enc", "b_enc", "w_dec", "b_dec"):
        assert torch.equal(getattr(straight, name), getattr(resumed, name)), name
    assert straight.card == resumed.card

    card = straight.card
    assert card["corpus"] == {"en": 0.75, "zh": 0.25}
    assert card["n_training_tokens"] >= 2560 - WINDOW[1]
    assert card["n_heldout_tokens"] >= 400
    assert (card["layer"], card["n_latents"], card["k"], card["seed"]) == (2, 64, 4, 0)
    assert card["model_sha256"] == model.identity["sha256"]
    assert card["command"] == "test"
    assert 0.3 < card["variance_explained"] < 1
    assert 0 <= card["dead_share"] < 1
    assert 0 < card["mean_active"] <= 4
    assert card["variance_explained_inliers"] <= 1
    assert load_sae(tmp_path / "a", model).content_hash == straight.content_hash
    states = window_states(model, token_windows(model, CORPORA, 300, seed=9), 2).astype(np.float32)
    with torch.inference_mode():
        codes = theirs(tmp_path / "a").encode(torch.from_numpy(states)).numpy()
    np.testing.assert_allclose(straight.encode(states).toarray(), codes, rtol=1e-3, atol=1e-3)

    # Another request does not take up this one's checkpoint.
    steps.clear()
    train_sae(model, CORPORA, SPEC.model_copy(update={"seed": 1}), tmp_path / "b", command="test")
    assert len(steps) == 40


def test_the_folded_autoencoder_reads_raw_states_as_the_trained_one_read_standardised_ones():
    rng, torch_rng = np.random.default_rng(0), torch.Generator().manual_seed(0)
    scale = (10 ** rng.uniform(-1, 3, D_MODEL)).astype(np.float32)
    scaling = Scaling((50 * scale).astype(np.float32), scale)
    shapes = {
        "w_enc": (N_LATENTS, D_MODEL),
        "w_dec": (N_LATENTS, D_MODEL),
        "b_enc": (N_LATENTS,),
        "b_dec": (D_MODEL,),
    }
    weights = {name: torch.randn(shape, generator=torch_rng) for name, shape in shapes.items()}
    sae = training._finish(weights, scaling, SaeSpec(layer=2, n_latents=N_LATENTS, k=K), "float32")
    standardised = torch.randn(20, D_MODEL, generator=torch_rng)
    raw = standardised * torch.from_numpy(scale) + torch.from_numpy(scaling.mean)
    before = (standardised - weights["b_dec"]) @ weights["w_enc"].T + weights["b_enc"]
    values, chosen = before.topk(K, dim=1)
    codes = torch.zeros_like(before).scatter(1, chosen, values.relu())
    np.testing.assert_allclose(sae.activations(raw), codes, rtol=1e-3, atol=2e-3)
    rebuilt = codes @ weights["w_dec"] + weights["b_dec"]
    decoded = (sae.reconstruct(raw) - torch.from_numpy(scaling.mean)) / torch.from_numpy(scale)
    np.testing.assert_allclose(decoded, rebuilt, rtol=1e-3, atol=5e-3)


def test_gradients_are_those_of_the_loss():
    """Against autograd on the dense computation, in plain and auxiliary loss."""
    spec = SaeSpec(layer=2, n_latents=32, k=3, batch=16, aux_loss=0.5)
    trainer = Trainer.start(spec, 8, 100, torch.device("cpu"), bfloat16=False)
    torch.manual_seed(1)
    for tensor in trainer.weights.values():
        tensor.add_(0.1 * torch.randn_like(tensor))
    trainer.silent[:20] = 1000
    states = torch.randn(16, 8)
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in trainer.weights.items()}
    inputs = (states - leaves["b_dec"]).detach()
    before = inputs @ leaves["w_enc"].T + leaves["b_enc"]
    values, chosen = before.topk(3, dim=1)
    codes = torch.zeros_like(before).scatter(1, chosen, values.relu())
    error = codes @ leaves["w_dec"] + leaves["b_dec"] - states
    dead = trainer.silent.clone() + 1
    dead[chosen[values > 0]] = 0
    places = (dead > trainer.window).nonzero()[:, 0]
    left = before[:, places].relu() @ leaves["w_dec"][places] + error.detach()
    loss = error.square().sum() / (states - states.mean(0)).square().sum()
    (loss + 0.5 * left.square().sum() / error.detach().square().sum()).backward()
    along = (leaves["w_dec"].grad * trainer.weights["w_dec"]).sum(1, keepdim=True)
    leaves["w_dec"].grad -= along * trainer.weights["w_dec"]
    trainer._advance(states)
    for name, tensor in trainer.weights.items():
        torch.testing.assert_close(tensor.grad, leaves[name].grad, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(trainer.weights["w_dec"].norm(dim=1), torch.ones(32))


def test_planted_directions_are_found_beside_a_massive_one():
    """States of sparse sums of known directions, two of their dimensions a thousand times as large."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(24, 16))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    codes = rng.uniform(1, 2, (20_000, 24)) * (rng.random((20_000, 24)) < 0.08)
    scale = np.where(np.arange(16) < 2, 1e3, 1.0)
    raw = ((codes @ directions + 0.02 * rng.normal(size=(20_000, 16))) * scale).astype(np.float32)
    scaling = Scaling.measured(raw)
    states = torch.from_numpy(scaling.standardise(raw).astype(np.float32))
    spec = SaeSpec(layer=1, n_latents=48, k=3, batch=200, learning_rate=5e-3)
    trainer = Trainer.start(spec, 16, 600, torch.device("cpu"), bfloat16=False)
    picks = torch.Generator().manual_seed(0)
    trainer.run(iter(lambda: states[torch.randint(20_000, (200,), generator=picks)], None), lambda: None)
    sae = training._finish(trainer.weights, scaling, spec, "float32")
    planted = (
        torch.from_numpy(directions.astype(np.float32)) * torch.from_numpy(scale / scaling.scale).float()
    )
    cosine = torch.nn.functional.cosine_similarity(
        planted[:, None], (sae.w_dec / torch.from_numpy(scaling.scale))[None], dim=2
    )
    assert (cosine.max(1).values > 0.9).float().mean() > 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer": 4}, "layers 0 to 3"),
        ({"batch": 4096}, "do not fill one batch of 4,096"),
        ({"passes": 0.01}, "do not fill one batch"),
        ({"n_tokens": 10_000_000}, "its share asks for"),
    ],
)
def test_training_that_cannot_work_is_refused_before_it_begins(tmp_path, change, message):
    with pytest.raises(EmospaceError, match=message):
        train_sae(tiny(), CORPORA, SPEC.model_copy(update=change), tmp_path, command="test")
    assert not list(tmp_path.iterdir())


# --- figures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("layer", [0, 2])
def test_the_identity_recovers_all_loss_and_the_mean_none(family, layer):
    model = tiny(family)
    windows = token_windows(model, CORPORA, 400, seed=5)
    states = torch.from_numpy(window_states(model, windows, layer).astype(np.float32))

    class Identity:
        n_latents = 10

        def __init__(self):
            self.layer = layer

        def activations(self, rows):
            return torch.cat([torch.ones(len(rows), 4), torch.zeros(len(rows), 6)], 1)

        def row_blocks(self, n):
            return [slice(low, low + 100) for low in range(0, n, 100)]

        def reconstruct(self, rows, activations=None):
            return rows

    class Mean(Identity):
        def reconstruct(self, rows, activations=None):
            return states.mean(0).expand_as(rows)

    best, worst = measure_quality(model, Identity(), windows), measure_quality(model, Mean(), windows)
    assert (best.loss_recovered, best.variance_explained) == (1, 1)
    assert worst.loss_recovered == pytest.approx(0, abs=1e-4)
    assert worst.variance_explained == pytest.approx(0, abs=1e-4)
    assert best.loss_clean == best.loss_reconstructed
    assert abs(best.loss_mean_ablated - best.loss_clean) > 0.01
    assert (best.mean_active, best.dead_share) == (4, 0.6)
    assert best.n_heldout_tokens == len(states)


def test_the_clean_loss_is_the_models_own():
    from torch.nn.functional import cross_entropy

    model = tiny()
    windows = token_windows(model, CORPORA, 200, seed=5)
    losses = []
    with torch.inference_mode():
        for window in windows:
            ids = torch.tensor([window])
            losses += cross_entropy(model.model(ids).logits[0, :-1], ids[0, 1:], reduction="none").tolist()
    edits = {"doubled": lambda hidden: hidden * 2}
    for layer in range(N_BLOCKS + 1):
        ours = quality.next_token_losses(model, windows, layer, edits)
        assert ours["clean"] == pytest.approx(np.mean(losses), rel=1e-5)
        assert ours["doubled"] != pytest.approx(ours["clean"], rel=1e-4) or layer == N_BLOCKS


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layer", [0, 2, N_BLOCKS])
def test_an_edited_loss_is_that_of_the_model_with_the_layer_edited_by_a_hook(family, layer):
    from torch.nn.functional import cross_entropy

    model = tiny(family)
    windows = token_windows(model, CORPORA, 60, seed=5)

    def edit(hidden):
        return hidden * 1.5 + 0.3

    def changed(hidden):
        return torch.cat([hidden[:, :1], edit(hidden[:, 1:])], 1)

    def after(_module, _args, output):
        return (changed(output[0]), *output[1:]) if isinstance(output, tuple) else changed(output)

    if layer == 0:
        handle = model.blocks[0].register_forward_pre_hook(
            lambda _module, args: (changed(args[0]), *args[1:])
        )
    else:
        handle = model.blocks[layer - 1].register_forward_hook(after)
    losses = []
    with torch.inference_mode():
        for window in windows:
            ids = torch.tensor([window])
            losses += cross_entropy(model.model(ids).logits[0, :-1], ids[0, 1:], reduction="none").tolist()
    handle.remove()
    ours = quality.next_token_losses(model, windows, layer, {"edited": edit})
    assert ours["edited"] == pytest.approx(np.mean(losses), rel=1e-4)
    assert not any("forward" in vars(block) for block in model.blocks), "the model is as it was"


def test_blocks_below_the_layer_run_once_and_logits_come_in_pieces(monkeypatch):
    model = tiny()
    windows = token_windows(model, CORPORA, 300, seed=5)
    vocabulary = model.model.config.vocab_size
    runs, logits, parts = [0] * N_BLOCKS, [], []
    for index, block in enumerate(model.blocks):

        def ran(_module, args, output, index=index):
            runs[index] += output[0].numel() > D_MODEL  # not the one token that shows what blocks return

        parts.append(block.input_layernorm.register_forward_hook(ran))
    head = model.model.get_output_embeddings()
    parts.append(head.register_forward_hook(lambda _m, _a, output: logits.append(output.numel())))
    monkeypatch.setattr(quality, "LOGITS", 10 * vocabulary + 3)
    monkeypatch.setattr(quality, "BATCH_TOKENS", 128)
    edits = {"a": lambda hidden: hidden * 2, "b": lambda hidden: hidden * 3}
    quality.next_token_losses(model, windows, 2, edits)
    for part in parts:
        part.remove()
    assert runs[0] == runs[1] > 1
    assert runs[2] == 3 * runs[0], "as it is and with two edits"
    assert max(logits) == 10 * vocabulary
    assert sum(logits) == 3 * sum(len(window) - 1 for window in windows) * vocabulary


def test_a_training_stopped_while_it_is_measured_is_not_trained_again(tmp_path, monkeypatch, capfd):
    straight = train_sae(tiny(), CORPORA, SPEC, tmp_path / "a", command="test", dtype="float32")
    with monkeypatch.context() as patch:
        patch.setattr(training, "measure_quality", lambda *_: (_ for _ in ()).throw(StoppedError))
        with pytest.raises(StoppedError):
            train_sae(tiny(), CORPORA, SPEC, tmp_path / "b", command="test", dtype="float32")
    stop_at(monkeypatch, 0)
    resumed = train_sae(tiny(), CORPORA, SPEC, tmp_path / "b", command="test", dtype="float32")
    assert resumed.content_hash == straight.content_hash
    assert resumed.card == straight.card
    assert "measuring what the SAE keeps on 400 held-out tokens" in capfd.readouterr().err
