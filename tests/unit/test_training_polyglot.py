"""The recipe of emospace-polyglot: mix, tokenizer, loss, start, and a resume that loses nothing."""

from __future__ import annotations

import importlib
import json
import lzma
import sys
import unicodedata
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

RECIPE = Path(__file__).parents[2] / "training" / "polyglot"
MODULES = ("tokenizer", "corpus", "loss", "start", "presets", "checkpoint", "ngram", "train", "pack")
SENTENCES = {
    "en": "The old man's joy, {n} years late, wasn't small.",
    "zh": "他说：“第{n}天我很高兴，你呢？”",
    "ja": "悲しい{n}番目のコーヒーだった。",
    "fr": "L'été naïf de {n} cœurs — déjà fini !",
    "de": "»Wie groß ist das Glück?«, fragte er {n} Mal.",
    "es": "¿Qué niño vio {n} señales? ¡Ninguno!",
}


@pytest.fixture(scope="module")
def recipe():
    sys.path.insert(0, str(RECIPE))
    before = {name: sys.modules.pop(name, None) for name in MODULES}
    yield SimpleNamespace(**{name: importlib.import_module(name) for name in MODULES})
    sys.path.remove(str(RECIPE))
    for name, module in before.items():
        del sys.modules[name]
        if module is not None:
            sys.modules[name] = module


@pytest.fixture(scope="module")
def data(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    (folder / "corpora").mkdir()
    for language, name in recipe.corpus.CORPORA.items():
        lines = [SENTENCES[language].format(n=n) for n in range(400)]
        text = "\n".join([*lines, *lines[:7], "  " + lines[0].replace(" ", "  ")]) + "\n"
        with lzma.open(folder / "corpora" / f"{name}.txt.xz", "wt", encoding="utf-8") as file:
            file.write(unicodedata.normalize("NFD", text))
    pairs = "".join(f"Pair {n % 300}.\t第{n}对。\n" for n in range(400)) + "\n"
    (folder / "corpora" / "tatoeba_en_zh.tsv").write_text(pairs, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def documents(recipe, data):
    before = recipe.corpus.unused_labelled
    recipe.corpus.unused_labelled = lambda _data: ["A text no judge has seen."]
    yield recipe.corpus.read_documents(data)
    recipe.corpus.unused_labelled = before


@pytest.fixture(scope="module")
def tokenizer(recipe, documents):
    return recipe.tokenizer.train_tokenizer(recipe.corpus.balanced_sample(documents[0]), 700)


@pytest.fixture(scope="module")
def run_folder(recipe, documents, tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    recipe.tokenizer.save_tokenizer(tokenizer, folder / "tokenizer", 16)
    recipe.corpus.write_tokens(folder / "tokens", tokenizer, *documents)
    return folder


def test_documents_are_cleaned_and_kept_once(documents):
    train, held_out, counts = documents
    for language in SENTENCES:
        texts = train[language] + held_out[language]
        extra = language == "en"
        assert len(texts) == len(set(texts)) == 400 + extra
        assert counts[language]["repeated"] == 8
        assert all(unicodedata.is_normalized("NFC", text) for text in texts)
    assert counts["en-zh"]["read"] == 401
    assert counts["en-zh"]["repeated"] == 1


def test_held_out_documents_are_apart_and_stay_so(recipe, data, documents):
    train, held_out, _ = documents
    assert sum(map(len, held_out.values())) > 0
    for stream, texts in train.items():
        assert not set(texts) & set(held_out[stream])
    again = recipe.corpus.read_documents(data)
    assert again[0] == train
    assert again[1] == held_out
    kept = np.mean([recipe.corpus.is_held_out(f"document {n}") for n in range(20_000)])
    assert abs(kept - recipe.corpus.HELD_OUT_PERCENT / 100) < 0.003


def test_translations_of_a_sentence_are_on_one_side(documents):
    train, held_out, _ = documents

    def english(texts):
        return {line for text in texts for line in text.split("\n") if line.startswith("Pair")}

    assert not english(train["en-zh"]) & english(held_out["en-zh"])


def test_sample_is_balanced_by_bytes(recipe):
    documents = {stream: ["ab" * 50] * 900 for stream in recipe.corpus.SHARES}
    documents["zh"] = ["快乐" * 100] * 900
    sample = recipe.corpus.balanced_sample(documents, n_bytes=100_000)
    chinese = sum(len(text.encode()) for text in sample if text[0] == "快")
    assert abs(chinese / 100_000 - recipe.corpus.SHARES["zh"]) < 0.02


@pytest.mark.parametrize("batch", [32, 33, 256])
def test_rows_follow_their_weights(recipe, batch):
    shares = recipe.corpus.SHARES
    assert sum(shares.values()) == pytest.approx(1)
    rows = recipe.corpus.rows_of(shares, batch)
    assert sum(rows.values()) == batch
    assert all(abs(rows[stream] - batch * share) < 1 for stream, share in shares.items())


def test_every_stream_has_a_row(recipe):
    assert recipe.corpus.rows_of({"a": 1000.0, "b": 1.0, "c": 1.0}, 4) == {"a": 2, "b": 1, "c": 1}


@pytest.mark.parametrize(
    "text",
    [
        *(sentence.format(n=1984) for sentence in SENTENCES.values()),
        "한국어 🙂 عربي",
        "<0x41>",
        "  two  spaces ",
        "a\nb\n\n\tc",
        "龘 rare",
        "",
    ],
)
def test_texts_come_back_from_their_tokens(tokenizer, text):
    found = tokenizer.encode(text)
    assert found.ids[0] == 1
    assert 0 not in found.ids
    assert tokenizer.decode(found.ids) == text


def test_tokens_are_words_digits_and_bytes(tokenizer):
    assert tokenizer.get_vocab_size() <= 700
    assert tokenizer.encode("late 1984").tokens[-4:] == ["1", "9", "8", "4"]
    assert "<0xED>" in tokenizer.encode("한").tokens
    # Han words are the same tokens at the start of a text and inside.
    assert tokenizer.encode("高兴").tokens[1:] == ["▁", *tokenizer.encode("，高兴").tokens[-2:]]


def test_tokenizer_is_read_by_transformers(run_folder, tokenizer):
    from transformers import AutoTokenizer

    read = AutoTokenizer.from_pretrained(run_folder / "tokenizer")
    text = SENTENCES["de"].format(n=7)
    assert read(text)["input_ids"] == tokenizer.encode(text).ids
    assert read.decode(read(text)["input_ids"], skip_special_tokens=True) == text
    assert (read.bos_token_id, read.eos_token_id) == (1, 2)


def test_batches_are_a_function_of_their_number(recipe, run_folder):
    mix = recipe.corpus.open_mix(run_folder / "tokens", context=16, batch=14)
    other = recipe.corpus.open_mix(run_folder / "tokens", context=16, batch=14)
    other.batch(0)
    np.testing.assert_array_equal(mix.batch(5), other.batch(5))
    assert mix.batch(5).shape == (14, 17)
    assert (mix.batch(5)[:, 0] == 1).all()
    assert not np.array_equal(mix.batch(5), mix.batch(6))


def test_an_epoch_passes_every_window_once(recipe):
    tokens = np.arange(10, 10 + 16 * 13 + 9, dtype=np.uint16)
    mix = recipe.corpus.Mix({"en": tokens}, {"en": tokens}, {"en": 1.0}, {"en": 3}, context=16, seed=1)
    epochs = [np.concatenate([mix.batch(step)[:, 1:] for step in range(at, at + 4)]) for at in (0, 4)]
    for epoch in epochs:
        assert len(np.unique(epoch)) == epoch.size == 12 * 16
    assert not np.array_equal(epochs[0], epochs[1])


def test_bits_are_counted_over_bytes(recipe, run_folder, documents):
    mix = recipe.corpus.open_mix(run_folder / "tokens", context=16, batch=14)
    n_bytes = sum(len(text.encode()) for text in documents[1]["zh"])
    assert mix.bytes_per_token["zh"] == pytest.approx(n_bytes / len(mix.held_out["zh"]))


def test_candidates_hold_every_label(recipe):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 50, 200)
    candidates, log_inclusion, places = recipe.loss.draw_candidates(labels, 500, 120, seed=3)
    assert len(candidates) == len(set(candidates)) == len(log_inclusion) == 120
    np.testing.assert_array_equal(candidates[places], labels)
    n_own = len(set(labels))
    np.testing.assert_array_equal(log_inclusion[:n_own], 0)
    np.testing.assert_allclose(np.exp(log_inclusion[n_own:]), (120 - n_own) / (500 - n_own), rtol=1e-5)
    again = recipe.loss.draw_candidates(labels, 500, 120, seed=3)
    np.testing.assert_array_equal(candidates, again[0])


def test_sampled_loss_stands_for_the_whole(recipe):
    import torch

    torch.manual_seed(0)
    preset = replace(recipe.presets.PRESETS["cpu"], n_vocab=600, d_model=64, n_layers=1, d_ff=64, context=16)
    model = recipe.presets.new_model(preset, 1, 2)
    with torch.no_grad():
        model.lm_head.weight *= 8
    rows = np.random.default_rng(0).integers(0, 600, (2, 17))
    inputs, labels = torch.from_numpy(rows[:, :-1].copy()), torch.from_numpy(rows[:, 1:].copy())
    drawn = recipe.loss.draw_candidates(rows[:, 1:].ravel(), 600, 600, 0)
    with torch.no_grad():
        sampled = recipe.loss.sampled_loss(model, inputs, *map(torch.from_numpy, drawn))
        whole = recipe.loss.whole_loss(model, inputs, labels)
    assert float(sampled) == pytest.approx(float(whole), abs=1e-5)


def test_sum_over_candidates_is_unbiased(recipe):
    rng = np.random.default_rng(0)
    weights, labels = np.exp(rng.normal(0, 2, 600)), rng.integers(0, 600, 100)
    sums = []
    for seed in range(400):
        candidates, log_inclusion, _ = recipe.loss.draw_candidates(labels, 600, 300, seed)
        sums.append((weights[candidates] / np.exp(log_inclusion)).sum())
    error = np.std(sums) / np.sqrt(len(sums))
    assert abs(np.mean(sums) - weights.sum()) < 4 * error < 0.05 * weights.sum()


def test_start_puts_tokens_of_like_company_together(recipe, monkeypatch):
    # The direction of frequency, tested below, is laid upon vectors of one length.
    monkeypatch.setattr(recipe.start, "COMMON", 0.0)
    rng = np.random.default_rng(0)
    # Tokens 10-19 and 20-29 each keep company with themselves alone.
    tokens = np.concatenate([rng.integers(low, low + 10, 50) for low in rng.choice([10, 20], 400)])
    vectors = recipe.start.start_vectors({"en": tokens.astype(np.uint16)}, 40, 8, 0.02)
    assert vectors.shape == (40, 8)
    np.testing.assert_allclose(np.linalg.norm(vectors[10:30], axis=1), 0.02 * np.sqrt(8), rtol=1e-4)
    units = vectors[10:30] / np.linalg.norm(vectors[10:30], axis=1, keepdims=True)
    alike = units @ units.T
    assert alike[:10, :10].mean() > alike[:10, 10:].mean() + 0.3


def test_start_tells_common_tokens_from_rare_ones(recipe):
    rng = np.random.default_rng(0)
    tokens = rng.choice(40, 20_000, p=(weights := 1.3 ** np.arange(40.0)) / weights.sum())
    vectors = recipe.start.start_vectors({"en": tokens.astype(np.uint16)}, 40, 8, 1.0)
    centred = vectors - vectors.mean(axis=0)
    frequency = np.log(np.bincount(tokens, minlength=40) + 1.0)
    fit = np.linalg.lstsq(centred, frequency - frequency.mean(), rcond=None)[0]
    assert np.corrcoef(centred @ fit, frequency)[0, 1] > 0.9


def test_start_lays_languages_over_one_another(recipe):
    # A second language is the first one under other names: 20 words in chains of company, and 10 that both share.
    rng = np.random.default_rng(0)
    chains = rng.integers(0, 20, 3000)
    walk = np.stack([chains, (chains + 1) % 20, (chains + 2) % 20, 20 + chains // 2], axis=1).ravel()
    other = np.where(walk < 20, walk + 40, walk)
    streams = {
        "en": walk.astype(np.uint16),
        "fr": rng.permutation(other.reshape(-1, 4)).ravel().astype(np.uint16),
    }
    vectors = recipe.start.start_vectors(streams, 70, 16, 1.0)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    alike = units[:20] @ units[40:60].T
    assert (alike.argmax(axis=1) == np.arange(20)).mean() > 0.8


def test_translations_are_those_that_stand_in_the_same_pairs(recipe):
    rng = np.random.default_rng(0)
    documents = [[*words, *(words + 10), 30] for words in (rng.integers(0, 10, 3) for _ in range(300))]
    pairs = np.concatenate(documents).astype(np.uint16)
    counts = {
        "en": np.bincount(pairs[pairs < 10], minlength=31),
        "zh": np.bincount(pairs[(pairs >= 10) & (pairs < 20)], minlength=31),
    }
    found = recipe.start.translations(pairs, counts, "en", "zh")
    assert {tuple(row) for row in found if row[0] < 10} == {(word, word + 10) for word in range(10)}


def test_ngrams_are_a_distribution_and_find_what_is_there(recipe):
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 12, 6000)
    tokens[1::3] = (tokens[0::3] * 5 + 1) % 12
    counted = recipe.ngram.count_ngrams(tokens, 15)
    for n_before in (0, 1, 2, 3, 7):
        before = tokens[300 : 300 + n_before]
        total = sum(counted.probabilities(np.append(before, word))[-1] for word in range(15))
        assert total == pytest.approx(1.0)
    # Two of three tokens are uniform among 12, the third follows from the one before.
    assert counted.bits_per_token(tokens[:3000]) < 0.9 * np.log2(12)
    assert recipe.ngram.count_ngrams(tokens, 15, order=1).bits_per_token(tokens) == pytest.approx(
        np.log2(12), abs=0.02
    )


def test_rate_warms_holds_and_falls(recipe):
    rates = [recipe.train.rate_at(step, 10, decay_from=50, decay=20) for step in range(70)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:50] == [1.0] * 41
    assert all(after < before for before, after in pairwise(rates[49:]))
    assert 0 < rates[69] < 0.06


@pytest.fixture
def trainer(recipe, run_folder):
    def make(n_candidates=64):
        preset = replace(
            recipe.presets.PRESETS["cpu"],
            **{"n_vocab": 700, "d_model": 64, "n_layers": 1, "d_ff": 64, "context": 16, "batch": 14},
            n_candidates=n_candidates,
            warm_up=3,
        )
        mix = recipe.corpus.open_mix(run_folder / "tokens", preset.context, preset.batch)
        return recipe.train.Trainer(preset, mix, {"size": 1}, None, "cpu", compiled=False)

    return make


def _out(run_folder, tmp_path, name):
    out = tmp_path / name
    out.mkdir()
    (out / "tokenizer").symlink_to(run_folder / "tokenizer")
    return out


def _lines(out, name="log.jsonl"):
    return [json.loads(line) for line in (out / name).read_text().splitlines()]


@pytest.fixture
def quick(recipe, monkeypatch):
    monkeypatch.setattr(recipe.train, "peak_flops", lambda _device: 1e9)
    monkeypatch.setattr(recipe.train, "STEPS_BETWEEN_LINES", 1)


def test_a_resumed_run_is_the_uninterrupted_one(recipe, trainer, quick, run_folder, tmp_path):
    import torch

    whole, parts = _out(run_folder, tmp_path, "whole"), _out(run_folder, tmp_path, "parts")
    uninterrupted = trainer()
    recipe.train.run(uninterrupted, whole, minutes=9, steps=6, decay=0)
    recipe.train.run(trainer(), parts, minutes=9, steps=4, decay=0)
    resumed = trainer()
    recipe.train.run(resumed, parts, minutes=9, steps=6, decay=0)
    assert resumed.step == uninterrupted.step == 6
    for one, other in zip(uninterrupted.model.parameters(), resumed.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)
    losses = [[line["loss"] for line in _lines(out) if "loss" in line] for out in (whole, parts)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    assert len(losses[0]) == 6
    assert {path.name for path in (parts / "checkpoints").iterdir()} == {"step-0000004", "step-0000006"}


def test_a_checkpoint_is_a_model_of_transformers(recipe, trainer, quick, run_folder, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM

    out = _out(run_folder, tmp_path, "run")
    trained = trainer(n_candidates=None)
    recipe.train.run(trained, out, minutes=9, steps=2, decay=0)
    place = recipe.checkpoint.latest(out / "checkpoints")
    read = AutoModelForCausalLM.from_pretrained(place)
    inputs = torch.tensor([[1, 300, 301]])
    torch.testing.assert_close(read(inputs).logits, trained.model(inputs).logits)


def test_decay_ends_a_run_beside_the_steady_one(recipe, trainer, quick, run_folder, tmp_path):
    out = _out(run_folder, tmp_path, "run")
    recipe.train.run(trainer(), out, minutes=9, steps=3, decay=0)
    ended = trainer()
    recipe.train.run(ended, out, minutes=9, steps=None, decay=2)
    assert ended.step == 5
    assert recipe.checkpoint.latest(out / "decayed").name == "step-0000005"
    assert recipe.checkpoint.latest(out / "checkpoints").name == "step-0000003"
    assert set(_lines(out, "decay.jsonl")[-1]["held_out"]) == set(recipe.corpus.SHARES)


def test_other_settings_do_not_continue_a_checkpoint(recipe, trainer, quick, run_folder, tmp_path):
    from emospace.errors import EmospaceError

    out = _out(run_folder, tmp_path, "run")
    recipe.train.run(trainer(), out, minutes=9, steps=1, decay=0)
    other = trainer()
    other.settings = {"size": 2}
    with pytest.raises(EmospaceError, match="size"):
        recipe.train.run(other, out, minutes=9, steps=2, decay=0)


def test_lines_of_lost_steps_are_taken_back(recipe, tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n', encoding="utf-8")
    recipe.train.Log(path, 2)
    assert [line["step"] for line in _lines(tmp_path)] == [1, 2]


def test_a_package_holds_the_model_with_its_figures(recipe, trainer, quick, run_folder, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out, package = _out(run_folder, tmp_path, "run"), tmp_path / "package"
    (out / "tokens").symlink_to(run_folder / "tokens")
    trained = trainer(n_candidates=None)
    trained.settings = asdict(trained.preset) | {"seed": 0}
    recipe.train.run(trained, out, minutes=9, steps=2, decay=0)
    (package / "src" / "emospace_polyglot").mkdir(parents=True)
    recipe.pack.main(["--run", str(out), "--to", str(package)])
    folder = package / "src" / "emospace_polyglot"
    read = AutoModelForCausalLM.from_pretrained(folder / "model")
    assert str(read.dtype) == "torch.bfloat16"
    assert AutoTokenizer.from_pretrained(folder / "model").decode([300]) != ""
    card = json.loads((folder / "card.json").read_text())
    assert card["n_trained"] == 2 * 16 * 14
    assert set(card["bits_per_byte"]) == set(card["ngram_bits_per_byte"]) == set(recipe.corpus.SHARES)
    # Hardly trained, it is worse than counting.
    assert all(card["bits_per_byte"][name] > bits > 0 for name, bits in card["ngram_bits_per_byte"].items())
    page = (package / "README.md").read_text()
    assert all(f"| {bits:.3f} |" in page for bits in card["ngram_bits_per_byte"].values())
    assert (package / "curves.png").stat().st_size > 0
