"""Reading: pooling, units, windows, files, fitting; on a tiny model with random weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import emospace.reading.building as building
from conftest import D_MODEL, tiny
from emospace.cli.read import file_texts, read, show
from emospace.concepts import load_concepts
from emospace.errors import EmospaceError, InvalidInput
from emospace.reading import Reader, ReaderWeights, fit_ridge, over_tokens, tokenise
from emospace.reading.reader import pool_tokens

CATEGORIES = ("joy", "grief", "fear")
TEXTS = ["She laughed with joy and he wept.", "这个词是快乐。", "rain"]


@pytest.fixture
def reader() -> Reader:
    rng = np.random.default_rng(0)
    weights = ReaderWeights(
        categories=CATEGORIES,
        latents=None,
        directions=rng.normal(size=(D_MODEL, 5)),
        centre=rng.normal(size=5),
        scale=np.array([2.0, 3.0, 4.0, 1.0, 1.0]),
        text_centre=np.array([0.1, 0.2, 0.3]),
        text_scale=np.array([1.0, 2.0, 3.0]),
        layer=2,
        card={"inputs": "x"},
    )
    return Reader(tiny(), None, weights)


def test_pooling_is_a_soft_maximum_of_categories_and_a_mean_of_affect():
    tokens = np.array([[0.0, 30.0, 1.0], [0.0, 0.0, 3.0]])
    assert pool_tokens(tokens, 2) == pytest.approx([0.0, 30 - np.log(2), 2.0])
    assert np.isfinite(pool_tokens(np.array([[800.0, -800.0]]), 2)).all()


def test_scores_are_projections_of_each_tokens_own_state(reader):
    import torch

    from emospace.activations import token_states

    reading = reader.read(TEXTS)
    ids = tokenise(reader.model, TEXTS)[0].ids
    row = torch.tensor([[*reader.model.start_ids(), *ids.tolist()]])
    states = token_states(reader.model, row, 2)[0, 1:].numpy()
    weights = reader.weights
    expected = (states @ weights.directions - weights.centre) / weights.scale
    assert reading.tokens[0].scores == pytest.approx(expected[:, :3], rel=1e-4, abs=1e-5)
    assert reading.tokens[0].valence == pytest.approx(expected[:, 3], rel=1e-4, abs=1e-5)
    assert reading.valence[0] == pytest.approx(expected[:, 3].mean(), rel=1e-4)
    soft = np.log(np.exp(expected[:, 1]).mean())
    assert reading.for_category("grief")[0] == pytest.approx((soft - 0.2) / 2, rel=1e-4)


def test_a_text_reads_the_same_alone_and_among_others(reader):
    together = reader.read(TEXTS)
    for index, text in enumerate(TEXTS):
        alone = reader.read([text])
        assert alone.scores[0] == pytest.approx(together.scores[index], rel=1e-4, abs=1e-5)


def test_tokens_cover_the_text_by_their_offsets(reader):
    for text, reading in zip(TEXTS, reader.read(TEXTS).tokens, strict=True):
        covered = {place for low, high in reading.offsets for place in range(low, high)}
        assert covered >= {place for place, letter in enumerate(text) if not letter.isspace()}
        assert reading.tokens == tuple(text[low:high] for low, high in reading.offsets)


def test_long_texts_are_read_to_their_end_in_windows(reader):
    tokens = tokenise(reader.model, ["joy and grief " * 40])
    (whole,) = over_tokens(reader.model, tokens, 2, lambda states: states, window=16)
    assert len(whole) == len(tokens[0].ids)
    second = tokens[0]._replace(ids=tokens[0].ids[15:30])
    (alone,) = over_tokens(reader.model, [second], 2, lambda states: states, window=16)
    assert whole[15:30] == pytest.approx(alone, rel=1e-4, abs=1e-5)


def test_the_start_token_is_never_read(reader):
    assert len(reader.read(["a"]).tokens[0].tokens) == 1


def test_what_cannot_be_read_is_named(reader):
    for given, said in (("one string", "list of texts"), ([], "empty"), (["joy", ""], "text 2 of 2")):
        with pytest.raises(EmospaceError, match=said):
            reader.read(given)


def test_unknown_categories_are_named_and_known_ones_chosen(reader):
    reading = reader.read(TEXTS)
    chosen = reading.select(["fear", "joy"])
    assert chosen.scores[:, 1] == pytest.approx(reading.for_category("joy"))
    assert chosen.tokens[0].scores.shape[1] == 2
    with pytest.raises(EmospaceError, match="joy"):
        reading.select(["joyy"])


def test_top_is_ordered(reader):
    reading = reader.read(TEXTS)
    for row, best in zip(reading.scores, reading.top(3), strict=True):
        assert [score for _, score in best] == sorted(row, reverse=True)


def test_without_norms_affect_is_unknown_not_zero(reader):
    weights = reader.weights
    less = replace(
        weights,
        directions=weights.directions[:, :3],
        centre=weights.centre[:3],
        scale=weights.scale[:3],
        affect=(),
    )
    assert np.isnan(replace(reader, weights=less).read(TEXTS).valence).all()


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet"])
@pytest.mark.parametrize("tokens", [False, True])
def test_a_reading_is_written_and_read_again(reader, tmp_path, suffix, tokens):
    reading = reader.read([*TEXTS, "null"])
    path = tmp_path / f"reading{suffix}"
    reading.save(path, tokens=tokens)
    if suffix == ".csv":
        frame = pd.read_csv(path, keep_default_na=False)
    else:
        frame = pd.read_parquet(path) if suffix == ".parquet" else pd.DataFrame(json.loads(path.read_text()))
    wanted = reading.token_table if tokens else reading.table
    assert list(frame.columns) == list(wanted.columns)
    assert frame["joy"].to_numpy(float) == pytest.approx(wanted["joy"].to_numpy(float), rel=1e-4)
    if not tokens:
        assert list(frame["text"]) == [*TEXTS, "null"]


def test_another_suffix_is_refused(reader, tmp_path):
    with pytest.raises(EmospaceError, match=r"\.parquet"):
        reader.read(TEXTS).save(tmp_path / "reading.xls")


def test_weights_are_saved_whole(reader, tmp_path):
    path = tmp_path / "reader.safetensors"
    reader.weights.save(path)
    again = ReaderWeights.load(path)
    assert again.categories == CATEGORIES and again.affect == ("valence", "arousal") and again.layer == 2
    assert again.directions == pytest.approx(reader.weights.directions, rel=1e-6)
    assert again.latents is None and again.card == {"inputs": "x"}
    path.write_bytes(b"nothing")
    with pytest.raises(EmospaceError, match="holds no reader"):
        ReaderWeights.load(path)
    with pytest.raises(EmospaceError, match="no such file"):
        ReaderWeights.load(tmp_path / "absent.safetensors")


def test_ridge_is_scikit_learns_on_standardised_features():
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(60, 7)) * np.arange(1, 8), rng.normal(size=(60, 2))
    ours = fit_ridge(x, y, penalties=(0.1,))
    theirs = Ridge(alpha=0.1 * 60).fit((x - x.mean(0)) / x.std(0), y)
    assert ours.predict(x) == pytest.approx(theirs.predict((x - x.mean(0)) / x.std(0)), rel=1e-6)


def test_ridge_refuses_what_it_cannot_fit():
    with pytest.raises(EmospaceError, match="no numbers"):
        fit_ridge(np.zeros((20, 2)), np.full((20, 1), np.nan))
    with pytest.raises(EmospaceError, match="too few"):
        fit_ridge(np.zeros((4, 2)), np.zeros((4, 1)))


def test_a_silent_feature_gets_no_weight():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(40, 3))
    x[:, 1] = 0
    assert fit_ridge(x, x[:, :1], penalties=(0.01,)).weights[1] == 0


def test_fit_predicts_by_target_name(reader):
    texts = [f"{word} {tail}" for word in ("joy", "grief") for tail in ("a", "b", "rain", "word", "calm")]
    values = np.repeat([[1.0], [-1.0]], 5, axis=0)
    fitted = reader.fit(texts, values, ["valence"])
    table = fitted.predict(texts)
    assert list(table.columns) == ["valence"]
    assert table.valence[:5].mean() > table.valence[5:].mean()
    with pytest.raises(EmospaceError, match="targets"):
        reader.fit(texts, values, ["valence", "arousal"])


def test_files_are_read_by_line_and_as_a_whole(tmp_path, capsys):
    path = tmp_path / "texts.txt"
    path.write_bytes("\ufeffjoy\n\n  grief \r\n".encode())
    assert file_texts(path, "line") == ["joy", "grief"]
    assert "1 blank lines" in capsys.readouterr().err
    assert file_texts(path, "text") == ["joy\n\n  grief"]


@pytest.mark.parametrize(
    ("content", "said"),
    [(b" \n\n", "no text"), (b"\xff\xfe\x00j", "no UTF-8"), (b"a\0b", "binary"), (None, "cannot be read")],
)
def test_files_that_hold_no_text_are_named(tmp_path, content, said):
    path = tmp_path / "texts.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EmospaceError, match=said):
        file_texts(path, "line")


def test_the_table_names_the_highest_category(reader, capsys):
    reading = reader.read(TEXTS)
    show(reading, "line", 1)
    shown = capsys.readouterr().out
    for best in reading.top(1):
        assert f"{best[0][0]} {best[0][1]:+.1f}" in shown
    show(reading, "token", 1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == sum(len(line.tokens) + 2 for line in reading.tokens)


def test_the_command_reads_standard_input_and_writes_a_file(reader, tmp_path, monkeypatch):
    import typer

    monkeypatch.setattr("emospace.reading.load_reader", lambda *_, **__: reader)
    monkeypatch.setattr("emospace.models.load_model", lambda *_, **__: None)
    app = typer.Typer()
    app.command()(read)
    out = tmp_path / "reading.csv"
    ran = CliRunner().invoke(app, ["-", "--out", str(out), "--categories", "joy,fear"], input="joy\ngrief\n")
    assert ran.exit_code == 0, ran.output
    frame = pd.read_csv(out)
    assert list(frame.columns[-2:]) == ["joy", "fear"] and list(frame["text"]) == ["joy", "grief"]


def test_a_cached_reader_is_used_again(monkeypatch, reader):
    made = []

    def make(*_: object, **__: object) -> Reader:
        made.append(1)
        return reader

    monkeypatch.setattr(building, "build_reader", make)
    first = building.load_reader(tiny())
    second = building.load_reader(tiny())
    assert made == [1]
    assert second.weights.directions == pytest.approx(first.weights.directions, rel=1e-6)
    assert Path(building.cache_dir() / "readers").is_dir()


def test_a_layer_that_is_not_the_saes_is_refused():
    sae = SimpleNamespace(layer=2)
    with pytest.raises(InvalidInput) as refused:
        building.build_reader(tiny(), sae, load_concepts(["en"]), "en", None, layer=1)
    assert (refused.value.what, refused.value.why) == ("layer 1", "the SAE reads layer 2")
