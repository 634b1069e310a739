from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError

from emospace.errors import EmospaceError
from emospace.prediction import predict_ratings
from emospace.records import (
    UNDEFINED,
    AlignmentRecord,
    FeatureRecord,
    LanguageRSARecord,
    Manifest,
    ModelRecord,
    NotComputed,
    PredictionRecord,
    Results,
    SaeRecord,
    Source,
    cross_tabulated,
    grouped,
    matching,
    to_frame,
)

COMMON = {"model": "tiny", "layer": 3, "n": 10, "seed": 0}
PREDICTION = COMMON | {
    "language": "en",
    "norms": "glasgow",
    "target": "valence",
    "features": "space",
    "excluded_concepts": False,
    "n_features": 5,
    "r": 0.5,
    "ci_low": 0.4,
    "ci_high": 0.6,
}


def results() -> Results:
    return Results(
        prediction=(PredictionRecord(**PREDICTION),),
        alignment=(
            AlignmentRecord(
                **COMMON,
                language="en",
                against="valence_arousal",
                statistic="rsa_spearman",
                target=None,
                value=0.4,
                ci_low=0.2,
                ci_high=0.6,
                p=0.001,
            ),
        ),
        language_rsa=(LanguageRSARecord(**COMMON, a="en", b="zh", value=0.3, ci_low=0.1, ci_high=0.5),),
        features=(FeatureRecord(**COMMON, language="en", category="joy", n_concepts=30, n_features=9),),
        not_computed=(NotComputed(what="axes", why="11 of 15 categories are rated", language="zh"),),
        model=ModelRecord(**COMMON, quantisation="Q4_1"),
        sae=SaeRecord(**COMMON, dead_latents=0.04),
        manifest=Manifest(
            **COMMON,
            command="emospace study",
            languages=("en", "zh"),
            carriers={"en": ("The word is {word}",)},
            sources=(Source(kind="concepts", name="own", provenance="curated"),),
            files={"model.gguf": "ab"},
        ),
    )


def test_results_come_back_as_saved(tmp_path):
    path = results().save(tmp_path / "results.json")
    assert Results.load(path) == results()
    assert path.read_bytes() == Results.load(path).save(tmp_path / "again.json").read_bytes()


def test_the_manifest_says_by_which_list_its_categories_were_chosen():
    def said(**given):
        return Manifest(**COMMON, command="emospace study", **given).category_list

    assert said(categories="paper26", category_names=("awe", "joy")) == "2 categories (paper26)"
    assert said(categories="lists/mine.txt", category_names=("joy",)) == "1 category (mine.txt)"
    assert said() == ""


def test_a_run_of_the_former_paper26_says_so(tmp_path):
    """A run that names no categories was made when the list now called goemotions had that name."""
    former = results().model_dump(mode="json")
    del former["manifest"]["category_names"]
    for name, said in (("paper26", "goemotions, then called paper26"), ("basic", "basic")):
        former["manifest"]["categories"] = name
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(former))
        loaded = Results.load(path)
        assert loaded.manifest.category_list == f"categories: {said}"
        assert Results.load(loaded.save(path)) == loaded


def test_records_are_flat_and_carry_model_layer_n_seed(tmp_path):
    written = json.loads(results().save(tmp_path / "results.json").read_text())
    for name in ("prediction", "alignment", "language_rsa", "features"):
        for record in written[name]:
            assert {"model", "layer", "n", "seed"} <= record.keys()
            assert not any(isinstance(value, dict | list) for value in record.values())


@pytest.mark.parametrize("bad", [float("nan"), np.nan, np.float32("inf"), np.float64("nan")])
def test_a_figure_that_is_not_a_number_is_null_with_a_reason(bad, tmp_path):
    record = PredictionRecord(**PREDICTION | {"r": bad, "ci_low": bad})
    assert record.r is None
    assert record.ci_low is None
    assert record.reason == UNDEFINED
    text = results().model_copy(update={"prediction": (record,)}).save(tmp_path / "r.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text


def test_numpy_scalars_become_plain_values():
    record = PredictionRecord(
        **PREDICTION | {"r": np.float32(0.25), "n": np.int64(7), "excluded_concepts": np.bool_(True)}
    )
    assert (type(record.r), type(record.n), type(record.excluded_concepts)) == (float, int, bool)


@pytest.mark.parametrize(
    "wrong",
    [{"finished": "noon"}, {"features": "best"}, {"p": 1.2}, {"n": -1}, {"layer": "deep"}, {"target": None}],
)
def test_a_record_that_is_not_of_this_shape_is_refused(wrong):
    with pytest.raises(ValidationError):
        PredictionRecord(**PREDICTION | wrong)


@pytest.mark.parametrize(
    ("text", "says"),
    [(None, "no such file"), ("{", "not JSON"), ("{}", "model is not as"), ("[]", "the whole file")],
)
def test_a_file_that_is_not_results_is_named_with_the_reason(tmp_path, text, says):
    path = tmp_path / "results.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(EmospaceError, match=says) as caught:
        Results.load(path)
    assert str(path) in str(caught.value)
    assert caught.value.hint


def test_a_record_with_a_foreign_field_names_its_place(tmp_path):
    path = results().save(tmp_path / "results.json")
    written = json.loads(path.read_text())
    written["prediction"][0]["when"] = 1
    path.write_text(json.dumps(written))
    with pytest.raises(EmospaceError, match=r"prediction\.0\.when"):
        Results.load(path)


def test_records_and_results_of_functions_are_tables():
    given = results()
    frame = given.frame("prediction")
    assert len(frame) == len(given.prediction)
    assert frame.r.tolist() == [record.r for record in given.prediction]
    assert set(type(given.prediction[0]).model_fields) == set(frame.columns)
    with pytest.raises(EmospaceError, match=r"kind of record 'predictions'.*Did you mean prediction"):
        given.frame("predictions")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3))
    predicted = predict_ratings(x, x[:, 0], np.arange(40), targets=["valence"], n_bootstrap=20)
    (row,) = to_frame(predicted).to_dict("records")
    assert row["target"] == "valence"
    assert row["all_words_r"] == predicted[0].r
    assert "out_of_fold" not in row


def test_rows_are_grouped_tabulated_and_matched():
    rows = [SimpleNamespace(run=run, n=n) for run, n in (("b", 1), ("a", 1), ("b", 2), ("b", 1))]
    assert list(grouped(rows, lambda row: row.run)) == ["b", "a"]
    table = cross_tabulated(rows, lambda row: row.run, lambda row: row.n)
    assert list(table["b"]) == [1, 2]
    assert table["b"][1] is rows[3], "of several of one name the last"
    assert matching(rows, run="b", n=1) == [rows[0], rows[3]]


@pytest.mark.parametrize("statistic", ["rsa_spearman", "rsa_partial"])
def test_an_rsa_of_five_categories_is_no_figure(statistic):
    given = {
        **{
            "model": "tiny",
            "layer": 2,
            "seed": 0,
            "language": "en",
            "against": "brighter/en",
            "target": None,
        },
        **{"value": 0.75, "ci_low": -1.0, "ci_high": 1.0, "p": 0.04, "baseline": 0.7},
    }
    few = AlignmentRecord(**given, statistic=statistic, n=5)
    assert (few.value, few.ci_low, few.p, few.baseline, few.given) == (None, None, None, None, False)
    assert few.reason == "too few categories: 5, with which almost any value would do; at least 6 are needed"
    assert AlignmentRecord(**given, statistic=statistic, n=6).value == 0.75
    assert AlignmentRecord(**given, statistic="pc1_r", n=5).value == 0.75
