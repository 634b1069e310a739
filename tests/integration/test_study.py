"""A whole study on a tiny model: what it writes, what it remembers, what it refuses."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from conftest import D_MODEL
from emospace.activations import capture
from emospace.errors import EmospaceError
from emospace.prediction import correlation
from emospace.records import QUESTIONS, AnswerRecord, Results
from emospace.report import write_report
from emospace.study import StudySpec, predicting, run_study, selecting
from emospace.study.inputs import load_inputs
from emospace.study.selecting import select
from emospace.study.stage import Stage
from pages import undescribed_in
from small_study import (
    CHINESE,
    ENGLISH,
    N_LATENTS,
    N_NORMED,
    StudyFiles,
    make_study_files,
    write_concepts,
    write_norms,
)


@pytest.fixture(scope="module")
def study_files(tmp_path_factory) -> StudyFiles:
    return make_study_files(tmp_path_factory.mktemp("study_files"))


@dataclass(frozen=True)
class Done:
    """A finished study."""

    out: Path
    results: Results

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_parquet(self.out / "tables" / f"{name}.parquet")

    @property
    def text(self) -> bytes:
        return (self.out / "results.json").read_bytes()


def done(spec: StudySpec, out: Path) -> Done:
    return Done(out, run_study(spec, out))


@pytest.fixture(scope="module")
def english(study_files, tmp_path_factory) -> Done:
    return done(study_files.spec(), tmp_path_factory.mktemp("english"))


@pytest.fixture(scope="module")
def both(study_files, tmp_path_factory) -> Done:
    return done(study_files.both(), tmp_path_factory.mktemp("both"))


@contextmanager
def no_forward_pass():
    with mock.patch.object(capture, "capturing", side_effect=AssertionError("a forward pass")):
        yield


@contextmanager
def interrupted_at(stage):
    """Press Ctrl-C when a stage is computed."""
    compute = Stage.__call__

    def pressed(self, **arguments):
        if self is stage:
            raise KeyboardInterrupt
        return compute(self, **arguments)

    with mock.patch.object(Stage, "__call__", pressed):
        yield


def nothing_computed():
    return mock.patch.object(Stage, "__call__", side_effect=AssertionError("a stage is computed"))


def records(results: Results) -> list:
    kinds = (
        results.prediction,
        results.comparison,
        results.alignment,
        results.language_rsa,
        results.features,
    )
    sae = [results.sae] if results.sae else []
    return [*(row for rows in kinds for row in rows), results.model, *sae, results.manifest]


def stages(out: Path) -> set[str]:
    return {path.name for path in (out / "stages").iterdir()}


def names(stages: set[str]) -> set[str]:
    """Return stages without their keys."""
    return {name.rpartition("-")[0] for name in stages}


# --- what a study gives -----------------------------------------------------------------------------------


def test_a_study_leaves_results_tables_and_all_a_report_needs(english):
    assert Results.load(english.out / "results.json") == english.results
    assert {path.stem for path in (english.out / "tables").iterdir()} >= {
        "features",
        "predictions",
        "layer_curve",
        "draws",
        "rdm_en",
    }
    page = write_report(english.out)
    assert page == english.out / "report.html"
    assert "joy" in page.read_text(encoding="utf-8")
    spec = StudySpec.model_validate_json((english.out / "spec.json").read_text(encoding="utf-8"))
    assert spec.seed == 3


def test_every_feature_set_is_there_for_both_targets_with_and_without_concepts(english):
    asked = {
        "space",
        "outside",
        "outside_random",
        "top_firing",
        "shuffled",
        "all",
        "dense",
        "static",
        "static_concepts",
        "static_pcs",
        "dense_static",
        "space_static",
        "surface",
    }
    rows = english.results.prediction
    assert {row.features for row in rows} == asked
    for name in asked:
        of = [row for row in rows if row.features == name]
        assert {(row.target, row.excluded_concepts) for row in of} == {
            (target, excluded) for target in ("valence", "arousal") for excluded in (False, True)
        }
    assert {row.static_source for row in rows if row.features == "static"} == {
        "input embeddings",
        "PPMI-SVD of the corpora",
    }
    assert all(row.n == N_NORMED for row in rows if not row.excluded_concepts)
    without = {row.n for row in rows if row.excluded_concepts}
    assert len(without) == 1 and 0 < without.pop() <= N_NORMED - 48
    assert all(row.r is not None and -1 <= row.r <= 1 for row in rows)
    assert all(row.ci_low <= row.ci_high for row in rows)


def test_the_space_is_small_and_controls_have_its_size(english):
    features = english.table("features")
    n_space = features.latent.nunique()
    assert 6 <= n_space <= 24
    sizes = {row.features: row.n_features for row in english.results.prediction}
    assert sizes["space"] == sizes["outside"] == sizes["outside_random"] == sizes["top_firing"] == n_space
    assert sizes["dense"] == D_MODEL
    assert sizes["static_pcs"] == n_space
    assert sizes["static_concepts"] == len(ENGLISH)
    assert (sizes["dense_static"], sizes["space_static"]) == (2 * D_MODEL, n_space + D_MODEL)
    assert n_space < sizes["all"] <= N_LATENTS
    draws = english.table("draws")
    assert draws.groupby(["kind", "target", "excluded_concepts"]).size().to_dict() == {
        (kind, target, excluded): 2 if kind == "shuffled" else 8
        for kind in ("outside", "outside_random", "shuffled")
        for target in ("arousal", "valence")
        for excluded in (False, True)
    }


def test_depth_is_held_against_the_embeddings_in_equal_number_and_joined_with_them(english):
    compared = {(row.features, row.against, row.static_source) for row in english.results.comparison}
    assert compared >= {
        ("space", "static_concepts", None),
        ("space", "static_pcs", None),
        ("dense_static", "static", "input embeddings"),
        ("space_static", "static", "input embeddings"),
    }
    assert ("dense_static", "static", "PPMI-SVD of the corpora") not in compared
    r = {
        (row.features, row.static_source, row.target, row.excluded_concepts): row.r
        for row in english.results.prediction
    }
    for row in english.results.comparison:
        both = [
            r[features, source, row.target, row.excluded_concepts]
            for features, source in ((row.features, None), (row.against, row.static_source))
        ]
        assert row.difference == pytest.approx(both[0] - both[1])
        assert row.p <= row.p_fdr <= 1
    chosen = {
        (row.features, row.target): row.layers_chosen
        for row in english.results.prediction
        if row.layers_chosen
    }
    for target in ("valence", "arousal"):
        assert chosen["dense_static", target] == chosen["dense", target]


def test_the_model_s_states_predict_ratings_that_follow_the_last_letter(english):
    r = {
        (row.features, row.target): row.r
        for row in english.results.prediction
        if not row.excluded_concepts and row.static_source is None
    }
    for target in ("valence", "arousal"):
        assert r["dense", target] > 0.6
        assert r["dense", target] > r["surface", target] + 0.3


def test_figures_agree_with_their_tables(english):
    predictions = english.table("predictions")
    for row in english.results.prediction:
        if row.features != "space":
            continue
        of = predictions[predictions.target == row.target]
        assert len(of) == N_NORMED
        kept = of[~of.concept_word] if row.excluded_concepts else of
        assert len(kept) == row.n
        within = correlation(kept.predicted.to_numpy(), kept.observed.to_numpy(), kept.fold.to_numpy())
        assert within == pytest.approx(row.r, abs=1e-9)
        # Words of one group never part between folds.
        assert len(of.drop_duplicates(["group", "fold"])) == of.group.nunique()
        assert of.fold.nunique() == 3
    draws = english.table("draws")
    for row in english.results.prediction:
        of = draws[
            (draws.kind == row.features)
            & (draws.target == row.target)
            & (draws.excluded_concepts == row.excluded_concepts)
        ]
        if len(of):
            assert row.r == pytest.approx(of.r.mean())
            assert row.n_draws == len(of)


def test_the_share_of_draws_beaten_is_that_of_the_draws(english):
    draws = english.table("draws")
    for row in english.results.prediction:
        if row.features != "space":
            assert row.draws_beaten is None
            continue
        of = draws[
            (draws.kind == "outside")
            & (draws.target == row.target)
            & (draws.excluded_concepts == row.excluded_concepts)
        ]
        assert row.draws_beaten == pytest.approx((of.r < row.r).mean())


def test_six_categories_get_reasons_where_fifteen_are_needed(english):
    rows = english.results.alignment
    assert rows
    assert {row.statistic for row in rows} >= {
        "rsa_spearman",
        "rsa_partial",
        "pc1_r",
        "best_pc_r",
        "procrustes",
    }
    assert {row.space for row in rows} == {"sae", "dense", "static", "sae_static"}
    for row in rows:
        if row.against == "valence_arousal":
            assert row.value is None
            assert "at least 15" in row.reason
    assert any(row.what == "axes and circumplex" for row in english.results.not_computed)


def test_rsa_of_the_space_alone_and_joined_has_its_difference_from_static_embeddings(english):
    rows = [row for row in english.results.alignment if row.statistic == "rsa_spearman" and row.given]
    of = {
        kind: [row for row in rows if row.space == kind] for kind in ("sae", "sae_static", "dense", "static")
    }
    assert len(of["sae"]) == len(of["sae_static"]) > 0
    for row in (*of["sae"], *of["sae_static"]):
        assert row.difference == pytest.approx(row.value - row.baseline)
        assert row.difference_low <= row.difference <= row.difference_high
        assert 0 < row.difference_p <= 1
    assert all(row.difference is None for row in (*of["dense"], *of["static"]))
    assert {row.n_features - of["sae"][0].n_features for row in of["sae_static"]} == {D_MODEL}


def test_the_features_record_counts_what_the_dictionary_holds(english):
    counts = english.table("features").category.value_counts()
    assert [row.category for row in english.results.features]
    for row in english.results.features:
        assert row.n_concepts == 8
        assert row.n_features == counts.get(row.category, 0)
        assert row.n > row.n_concepts
        assert row.provenance == "curated"


def test_every_record_carries_model_layer_n_and_seed(english, both):
    for results in (english.results, both.results):
        for row in records(results):
            said = row.model_dump()
            assert said["model"] == "model"
            assert said["seed"] == (7 if row is results.sae else 3)
            assert said["n"] >= (0 if row is results.sae else 1)
            without_depth = {"static", "static_concepts", "static_pcs", "surface"}
            static = said.get("features") in without_depth or said.get("space") == "static"
            dense = said.get("features") in {"dense", "dense_static"}
            assert said["layer"] == (None if static else said["layer"] if dense else 2)
            if dense and "layers_chosen" in said:
                assert str(said["layer"]) in said["layers_chosen"].split(",")


def test_the_three_answers_are_saved_in_the_summary_as_every_view_gives_them(english, both):
    for results in (english.results, both.results):
        saved = [record for record in results.summary if isinstance(record, AnswerRecord)]
        assert saved == [verdict.record() for verdict in results.verdicts]
        assert {(record.language, record.question) for record in saved} == {
            (language, question) for language in results.languages for question in QUESTIONS
        }
        assert {record.about for record in saved} >= {None, "valence", "arousal"}
        assert all(record.answer for record in saved if record.about in {None, "valence", "arousal"})


def test_p_values_are_adjusted_over_all_predictions_together(both):
    rows = [row for row in both.results.prediction if row.p is not None]
    assert {row.language for row in rows} == {"en", "zh"}
    order = sorted(rows, key=lambda row: row.p)
    assert all(row.p_fdr >= row.p for row in rows)
    assert all(lower.p_fdr <= other.p_fdr + 1e-12 for lower, other in pairwise(order))
    assert order[-1].p_fdr == pytest.approx(order[-1].p)


def test_nothing_in_the_results_tells_the_time(english, study_files, tmp_path):
    again = done(study_files.spec(), tmp_path / "elsewhere")
    assert again.text == english.text
    assert again.table("predictions").equals(english.table("predictions"))


# --- two languages ----------------------------------------------------------------------------------------


def test_two_languages_share_latents_and_have_their_own(both):
    latents = {language: set(part.latent) for language, part in both.table("features").groupby("language")}
    sizes = {
        (row.language, row.features): row.n_features
        for row in both.results.prediction
        if row.features in {"space", "shared", "specific"}
    }
    shared = latents["en"] & latents["zh"]
    for language in ("en", "zh"):
        assert sizes[language, "space"] == len(latents[language])
        assert sizes.get((language, "shared"), 0) == len(shared)
        assert sizes.get((language, "specific"), 0) == len(latents[language] - shared)
    without = [row.what for row in both.results.not_computed]
    assert ("prediction from shared features" in without) == (not shared)


def test_two_languages_are_compared(both):
    assert [row.space for row in both.results.language_rsa] == ["sae", "sae", "dense", "dense"]
    row, plane = both.results.language_rsa[:2]
    assert (row.statistic, plane.statistic) == ("rsa_spearman", "procrustes")
    assert (row.a, row.b, row.n) == ("en", "zh", 6)
    assert "share 6 categories" in plane.reason
    features = both.table("features")
    shared = set(features[features.language == "en"].latent) & set(features[features.language == "zh"].latent)
    assert row.n_shared == len(shared)
    assert [r.n_shared for r in both.results.language_rsa[1:]] == [None] * 3
    assert row.value is None and "share 6 categories" in row.reason


def test_each_language_is_compared_with_the_structures_of_its_own(both):
    against = {
        (row.language, row.against) for row in both.results.alignment if row.statistic == "rsa_spearman"
    }
    assert {("en", "goemotions"), ("zh", "brighter/zh"), ("en", "clics"), ("zh", "clics")} <= against
    assert ("zh", "goemotions") not in against


def test_people_s_own_structure_is_compared_beside_the_bundled_ones(english, study_files, tmp_path):
    names = list(ENGLISH)
    points = np.random.default_rng(0).normal(size=(len(names), 2))
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    path = tmp_path / "sorted.csv"
    pd.DataFrame(distances, index=names, columns=names).to_csv(path)
    (tmp_path / "sorted.csv.toml").write_text('language = "en"\ncitation = "A. Student (2026)"\n')
    out = tmp_path / "run"
    shutil.copytree(english.out, out)
    with no_forward_pass():
        study = done(study_files.spec(structures=(path,)), out)
    (figure,) = (
        record
        for record in study.results.alignment
        if (record.against, record.statistic, record.space) == ("sorted", "rsa_spearman", "sae")
    )
    rdm = pd.read_parquet(out / "tables" / "rdm_en.parquet").set_index("category").loc[names, names]
    off = np.triu_indices(len(names), 1)
    assert figure.n == len(names) and figure.p is not None
    assert figure.value == pytest.approx(spearmanr(rdm.to_numpy()[off], distances[off]).statistic)
    (source,) = (source for source in study.results.manifest.sources if source.name == "sorted")
    assert (source.kind, source.language, source.citation) == ("structure", "en", "A. Student (2026)")
    others = [record for record in study.results.alignment if record.against != "sorted"]
    assert len(others) == len(english.results.alignment)
    write_report(out)


def test_ratings_are_predicted_across_both_languages_from_every_feature_set(both):
    rows = both.results.cross_language
    assert {(row.train, row.test) for row in rows} == {("en", "zh"), ("zh", "en")}
    assert {row.features for row in rows} == {"space", "universal", "shared", "specific", "dense", "static"}
    latents = both.table("features").groupby("language").latent.apply(set)
    for row in rows:
        assert row.reference == {"valence": 0.82, "arousal": 0.61}[row.target]
        if row.features == "space":
            assert row.n_features == len(latents[row.train])
        if row.features == "shared":
            assert row.n_features == len(latents["en"] & latents["zh"])
        if row.r is None:
            assert row.n_features == 0
            assert "there are no" in row.reason
        else:
            assert row.permuted_low < row.permuted_high
            assert row.p_fdr >= row.p
    within = {
        (row.language, row.target): row.r
        for row in both.results.prediction
        if row.features == "dense" and row.excluded_concepts
    }
    for row in rows:
        if row.features == "dense":
            assert row.same_language == within[row.test, row.target]


def test_features_of_both_languages_are_counted_beside_chance(both):
    first, second = both.results.universal
    latents = both.table("features").groupby("language").latent.apply(set)
    assert (first.k, first.n_latents) == (1, len(latents["en"] | latents["zh"]))
    assert (second.k, second.n_latents) == (2, len(latents["en"] & latents["zh"]))
    assert first.expected_low <= first.expected <= first.expected_high


def test_the_depth_table_holds_every_pair_at_every_layer(both):
    table = both.table("rdm_layers")
    assert set(table.language) == {"en", "zh"}
    per_layer = table.groupby(["language", "layer"]).size()
    assert set(per_layer) == {6 * 5 // 2}
    assert table.dissimilarity.between(0, 2).all()


def test_words_two_languages_spell_alike_are_left_out_beside(both, study_files, tmp_path):
    inputs = load_inputs(study_files.both(), tmp_path)
    latents = np.unique(select(inputs.languages["en"], inputs.spec, tmp_path).tables["features"].latent)
    concepts = inputs.languages["en"].concepts(latents).get()
    whole, less = concepts.space("sae"), concepts.space("sae", without={"joyful", "cheerful"})
    joy, fear = (whole.categories.index(name) for name in ("joy", "fear"))
    assert (less.n_words[joy], less.n_words[fear]) == (6, 8)
    assert not np.allclose(whole.matrix[joy], less.matrix[joy])
    np.testing.assert_allclose(whole.matrix[fear], less.matrix[fear])


def test_a_language_without_any_feature_is_said_and_the_others_stand(study_files, tmp_path):
    real = selecting.select_features

    def only_english(*args, **options):
        if args[3] == "zh":
            raise EmospaceError("the concept-sets of 'zh'", "no latent passes", "Use more concepts.")
        return real(*args, **options)

    with mock.patch.object(selecting, "select_features", side_effect=only_english):
        study = done(study_files.both(), tmp_path / "run")
    said = [row for row in study.results.not_computed if row.what == "every figure"]
    assert [row.language for row in said] == ["zh"]
    assert "no latent passes" in said[0].why
    assert {row.language for row in study.results.prediction} == {"en"}
    assert study.results.manifest.languages == ("en",)
    assert study.results.cross_language == ()


def test_fewer_carriers_than_asked_for_are_said(study_files, tmp_path):
    spec = study_files.spec(n_carriers=100)
    inputs = load_inputs(spec, tmp_path / "run")
    assert len(inputs.languages["en"].words.carriers) == 2
    (gap,) = inputs.missing
    assert (gap.what, gap.language) == ("means over 100 carriers", "en")
    assert load_inputs(study_files.spec(n_carriers=2), tmp_path / "run").missing == ()


def test_a_report_of_two_languages_can_be_written(both):
    assert write_report(both.out).stat().st_size < 10_000_000


def test_enough_categories_give_figures_instead_of_reasons(study_files, tmp_path):
    """Seventeen bundled categories of five words: alignment, RSA between languages and their tables have values."""
    from emospace.concepts import load_concepts

    sets = load_concepts(["en", "zh"], "paper26")
    names = sets.categories[:17]
    (tmp_path / "concepts").mkdir()
    for language in ("en", "zh"):
        words = {name: " ".join(sets.words(language, name)[:5]) for name in names}
        write_concepts(tmp_path / "concepts" / f"{language}.toml", language, words)
        write_norms(tmp_path / f"many_{language}.csv", language, words, n=120)
    norms = tuple(str(tmp_path / f"many_{language}.csv") for language in ("en", "zh"))
    spec = study_files.spec(languages=("en", "zh"), norms=norms, concepts=tmp_path / "concepts", sae="none")
    study = done(spec, tmp_path / "run")
    assert study.results.manifest.category_names == names
    assert study.results.manifest.category_list == "17 categories (all)"
    for pair in study.results.language_rsa:
        assert pair.n == 17
        if pair.statistic == "rsa_spearman":
            # No word of English is spelled as one of Chinese, so that leaving these out leaves out nothing.
            assert pair.n_spelling == 0
            assert pair.distinct == pytest.approx(pair.value)
        assert -1 <= pair.value <= 1
        assert 0.02 <= pair.p <= 1
    shifts = study.results.category_shift
    assert len(shifts) == 17
    assert [row.excess for row in shifts] == sorted((row.excess for row in shifts), reverse=True)
    weights = [row for row in study.results.alignment if row.statistic == "rdm_weight"]
    assert {(row.language, row.target) for row in weights} == {
        (language, target) for language in ("en", "zh") for target in ("valence", "arousal")
    }
    assert {row.norms for row in weights} == {"many_en"}
    valued = [
        row for row in study.results.alignment if row.value is not None and row.statistic != "rdm_weight"
    ]
    assert {row.language for row in valued} == {"en", "zh"}
    assert {row.statistic for row in valued} == {
        "rsa_spearman",
        "rsa_partial",
        "pc1_r",
        "best_pc_r",
        "procrustes",
    }
    assert {row.norms for row in valued if row.against == "valence_arousal"} == {"many_en", "many_zh"}
    assert {row.language for row in valued if row.against == "goemotions"} == {"en"}
    assert all(row.n_label == 17 for row in valued if row.statistic == "pc1_r")
    for row in valued:
        if row.space == "dense" and row.controls is None and row.statistic != "procrustes":
            assert row.baseline_name == "static input embeddings"
            (static,) = [
                other.value
                for other in valued
                if other.space == "static"
                and (other.language, other.statistic, other.against, other.target)
                == (row.language, row.statistic, row.against, row.target)
            ]
            assert row.baseline == static
    for language in ("en", "zh"):
        square = study.table(f"rdm_{language}").set_index("category")
        assert tuple(square.index) == tuple(square.columns)
        np.testing.assert_allclose(square, square.T)
        assert len(study.table(f"rdm_human_{language}_valence_arousal")) == 17
    assert set(study.table("circumplex").language) == {"en", "zh"}
    write_report(study.out)


# --- what is remembered -----------------------------------------------------------------------------------


def test_a_second_run_computes_nothing_and_gives_the_same_bytes(english, study_files):
    before = english.text, stages(english.out)
    with no_forward_pass(), nothing_computed():
        again = done(study_files.spec(), english.out)
    assert (again.text, stages(english.out)) == before


def test_a_damaged_stage_is_computed_again_to_the_same_bytes(english, study_files):
    before = english.text
    (records_file,) = (english.out / "stages").glob("features-en-*/records.json")
    records_file.write_bytes(records_file.read_bytes()[:100])
    with no_forward_pass():
        assert done(study_files.spec(), english.out).text == before


def test_an_interrupted_run_keeps_what_it_finished(english, study_files, tmp_path):
    out = tmp_path / "run"
    with interrupted_at(predicting.predict), pytest.raises(KeyboardInterrupt):
        run_study(study_files.spec(), out)
    assert not (out / "results.json").exists()
    kept = stages(out)
    assert names(kept) == {"dictionary-en", "features-en", "alignment-en"}
    with no_forward_pass():
        again = done(study_files.spec(), out)
    assert names(stages(out) - kept) == {"prediction-en-small_en"}
    assert kept < stages(out)
    assert again.text == english.text


def test_changed_ratings_recompute_only_what_rests_on_them(both, study_files, tmp_path):
    import shutil

    out = tmp_path / "run"
    shutil.copytree(both.out, out)
    zh = tmp_path / "small_zh.csv"
    write_norms(zh, "zh", CHINESE, seed=1)
    spec = study_files.both().model_copy(
        update={"norms": (str(study_files.folder / "small_en.csv"), str(zh))}
    )
    before = stages(out)
    with no_forward_pass():
        changed = done(spec, out)
    assert names(stages(out) - before) == {"alignment-zh", "prediction-zh-small_zh", "crossing"}

    def of(results, language):
        return [row for row in results.prediction if row.language == language]

    def figures(rows):
        return [(row.features, row.target, row.excluded_concepts, row.r) for row in rows]

    assert figures(of(changed.results, "en")) == figures(of(both.results, "en"))
    assert figures(of(changed.results, "zh")) != figures(of(both.results, "zh"))
    assert changed.results.features == both.results.features


@pytest.mark.parametrize(
    ("change", "recomputed"),
    [
        ({"n_draws": 4}, {"prediction-en-small_en"}),
        ({"n_permutations": 39}, {"alignment-en"}),
        ({"folds": 4}, {"features-en", "prediction-en-small_en"}),
        (
            {"max_features": 12},
            {"dictionary-en", "features-en", "alignment-en", "prediction-en-small_en"},
        ),
    ],
)
def test_a_changed_setting_recomputes_only_what_it_touches(english, study_files, change, recomputed):
    before = stages(english.out)
    with no_forward_pass():
        run_study(study_files.spec(**change), english.out)
    assert names(stages(english.out) - before) == recomputed
    with no_forward_pass():
        assert done(study_files.spec(), english.out).results == english.results


# --- steering ---------------------------------------------------------------------------------------------


def test_a_study_ends_with_an_illustration_of_steering(english, study_files, tmp_path, monkeypatch):
    import shutil

    from emospace.models import load_model
    from emospace.steering import DoseRange, SteeringVector
    from emospace.steering.bank import VectorBank, bank_folder
    from emospace.study import steering

    (missing,) = [row for row in english.results.not_computed if row.what == steering.WHAT]
    assert "emospace steer calibrate" in missing.why
    assert not english.results.steering

    monkeypatch.setenv("EMOSPACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(steering, "N_TOKENS", 4)
    model = load_model(str(study_files.folder / "model"), device="cpu")
    joy = SteeringVector(
        name="joy",
        kind="dense",
        directions={2: np.ones(D_MODEL)},
        medians={2: 4.0},
        model=model.name,
        model_hash=model.weights_hash,
        calibration={"relative": DoseRange(0.5, 0.1, 1.0)},
    )
    VectorBank({("joy", "relative"): joy}).save(bank_folder(model.weights_hash))
    out = tmp_path / "run"
    shutil.copytree(english.out, out)
    with no_forward_pass():
        study = done(study_files.spec(), out)
    assert {(row.emotion, row.vector, row.judge) for row in study.results.steering} == {
        ("joy", "dense", "subword"),
        ("joy", "none", "subword"),
    }
    assert all("illustration" in row.options for row in study.results.steering)
    assert study.results.prediction == english.results.prediction
    assert len(study.table("steering_samples")) == 6
    assert {"steering vectors", "judge"} <= set(study.results.manifest.files)
    page = write_report(out).read_text(encoding="utf-8")
    assert "An illustration, not a test" in page
    assert "table-steering-samples" in page
    without = done(study_files.spec(steering=False), out).results
    assert not without.steering
    assert steering.WHAT not in {row.what for row in without.not_computed}
    assert "judge" not in without.manifest.files


def test_a_layer_that_is_not_the_autoencoders_is_refused_at_once(study_files, tmp_path):
    with pytest.raises(EmospaceError, match=r"layer 1: the autoencoder reads layer 2\. .*--sae none"):
        done(study_files.spec(layer=1), tmp_path)
    assert not list(tmp_path.rglob("*.parquet"))


# --- without an SAE ---------------------------------------------------------------------------------------


def test_without_an_sae_dense_directions_stand_in_and_it_is_said(study_files, tmp_path):
    study = done(study_files.spec(sae="none", layer=1), tmp_path)
    results = study.results
    assert results.sae is None
    static = {"static", "static_concepts", "static_pcs", "dense_static", "space_static"}
    assert {row.features for row in results.prediction} == {"space", "shuffled", "dense", "surface", *static}
    shuffled = [row for row in results.prediction if row.features == "shuffled"]
    assert {(row.n_draws, row.n_features, row.layer) for row in shuffled} == {(2, 6, 1)}
    assert {row.n_features for row in results.prediction if row.features == "space"} == {6}
    assert {row.layer for row in results.prediction if row.features == "space"} == {1}
    assert {row.space for row in results.alignment} == {"dense", "static", "dense_static"}
    assert any("no SAE" in row.why for row in results.not_computed)
    assert Results.load(tmp_path / "results.json") == results
    write_report(tmp_path)


def test_words_without_a_rating_are_left_out_where_all_targets_are_taken_together(study_files, tmp_path):
    path = tmp_path / "holes_en.csv"
    write_norms(path, "en", ENGLISH)
    ratings = pd.read_csv(path, dtype=str, keep_default_na=False)
    ratings.loc[[0, 1, 2], "arousal"] = "#NULL!"
    ratings.loc[[2, 3], "valence"] = ""
    ratings.to_csv(path, index=False)
    norms = (str(path), str(study_files.folder / "small_zh.csv"))
    spec = study_files.both(sae="none", layer=1).model_copy(update={"norms": norms})
    results = done(spec, tmp_path / "out").results
    whole = {row.n for row in results.prediction if row.language == "en" and not row.excluded_concepts}
    assert whole == {N_NORMED - 4}
    assert all(np.isfinite(row.r) for row in (*results.prediction, *results.cross_language))
    assert any(
        row.language == "en" and "3 words are not rated on all of valence, arousal" in row.why
        for row in results.not_computed
    )


def test_discrete_emotions_are_targets_as_valence_is(study_files, tmp_path):
    paths = []
    for language, sets in (("en", ENGLISH), ("zh", CHINESE)):
        path = tmp_path / f"emotions_{language}.csv"
        write_norms(path, language, sets)
        ratings = pd.read_csv(path).rename(
            columns={f"valence{end}": f"happiness{end}" for end in ("", "_sd", "_n")}
        )
        if language == "zh":
            ratings = ratings[[name for name in ratings if not name.startswith("arousal")]]
        ratings.to_csv(path, index=False)
        paths.append(str(path))
    spec = study_files.both(sae="none", layer=1).model_copy(update={"norms": tuple(paths)})
    study = done(spec, tmp_path / "out")
    results = study.results
    assert {(row.language, row.target) for row in results.prediction} == {
        ("en", "happiness"),
        ("en", "arousal"),
        ("zh", "happiness"),
    }
    assert {(row.target, row.reference) for row in results.cross_language} == {("happiness", None)}
    assert all(np.isfinite(row.r) for row in (*results.prediction, *results.cross_language))
    axes = {row.reason for row in results.alignment if row.against == "valence_arousal"}
    assert all("at least" in reason for reason in axes)
    assert "appiness" in write_report(study.out).read_text(encoding="utf-8")


def test_norms_of_a_language_are_held_against_one_another_beside_the_model(english, study_files, tmp_path):
    path, same = tmp_path / "others_en.csv", tmp_path / "same_en.csv"
    write_norms(path, "en", ENGLISH, seed=9)
    shutil.copy(study_files.folder / "small_en.csv", same)
    shutil.copy(study_files.folder / "small_en.csv.toml", f"{same}.toml")
    mine = str(study_files.folder / "small_en.csv")
    spec = study_files.spec(sae="none", layer=1, norms=(mine, str(path), str(same)))
    study = done(spec, tmp_path / "out")
    rows = {(row.norms, row.against, row.target): row for row in study.results.norms_agreement}
    row, ratings = rows["small_en", "others_en", "valence"], [pd.read_csv(file) for file in (mine, path)]
    assert row.r == pytest.approx(np.corrcoef(*(table["valence"] for table in ratings))[0, 1])
    assert row.ci_low < row.r < row.ci_high and row.n == N_NORMED
    of_space = next(
        each
        for each in study.results.prediction
        if (each.norms, each.target, each.features) == ("small_en", "valence", "space")
        and not each.excluded_concepts
    )
    assert row.n_model == of_space.n and row.r_space == pytest.approx(of_space.r)
    copied = rows["small_en", "same_en", "valence"]
    assert copied.r is None and "not from other people" in copied.reason
    assert {against for _, against, _ in rows} >= {"en_glasgow_2019"}
    assert "Norms against one another" in write_report(study.out).read_text(encoding="utf-8")


def test_too_few_latents_outside_are_said_and_the_rest_is_given(study_files, tmp_path):
    with mock.patch.object(
        predicting, "matched_draws", side_effect=EmospaceError("24 latents", "few", "Mend.")
    ):
        results = run_study(study_files.spec(), tmp_path)
    assert "outside" not in {row.features for row in results.prediction}
    assert "outside controls" in {row.what for row in results.not_computed}
    assert all(row.draws_beaten is None for row in results.prediction)


# --- what is refused --------------------------------------------------------------------------------------


def sorting(study_files, language, name="sorting") -> Path:
    """Return a file of similarities of the study's categories, said to be of a language."""
    path = study_files.folder / f"sorting_{language}.csv"
    values = np.random.default_rng(0).random((len(ENGLISH), len(ENGLISH)))
    pd.DataFrame(values + values.T, index=list(ENGLISH), columns=list(ENGLISH)).to_csv(path)
    card = f"language = '{language}'\nname = '{name}'\nvalues = 'similarity'\n"
    path.with_name(path.name + ".toml").write_text(card)
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            lambda study_files: {"norms": (str(study_files.folder / "small_zh.csv"),)},
            r"small_zh.*rate words in 'zh'",
        ),
        (
            lambda study_files: {"sae": str(study_files.folder / "wide")},
            r"it reads states 40 wide, but '.*model' has 32",
        ),
        (lambda study_files: {"sae": str(study_files.folder / "nowhere")}, r"nowhere"),
        (lambda study_files: {"sae": "none", "layer": 9}, r"the model has layers 0 to 3"),
        (lambda study_files: {"sae": "train"}, r"there is no text to train on"),
        (lambda study_files: {"norms": (str(study_files.folder / "nothing.csv"),)}, r"nothing\.csv"),
        (lambda study_files: {"concepts": study_files.folder / "nothing.toml"}, r"nothing\.toml"),
        (lambda study_files: {"structures": (study_files.folder / "nothing.xlsx",)}, r"nothing\.xlsx"),
        (lambda study_files: {"structures": (sorting(study_files, "de"),)}, r"study does not include"),
        (lambda study_files: {"structures": (sorting(study_files, "en", "clics"),)}, r"another structure"),
        (lambda study_files: {"languages": ("en", "xx")}, r"language 'xx'"),
        (lambda study_files: {"model": str(study_files.folder / "nothing")}, r"nothing"),
    ],
)
def test_what_does_not_fit_is_told_before_any_long_work(study_files, tmp_path, changes, message):
    with no_forward_pass(), pytest.raises(EmospaceError, match=message):
        run_study(study_files.spec(**changes(study_files)), tmp_path / "run")
    assert not (tmp_path / "run" / "results.json").exists()


def test_concepts_no_latent_stands_for_are_an_error(study_files, tmp_path):
    words = " ".join(ENGLISH.values()).split()
    order = np.random.default_rng(0).permutation(words)
    mixed = {name: " ".join(order[index::6]) for index, name in enumerate(ENGLISH)}
    write_concepts(tmp_path / "mixed.toml", "en", mixed)
    with pytest.raises(EmospaceError, match="no latent passes"):
        run_study(study_files.spec(concepts=tmp_path / "mixed.toml", q=1e-6), tmp_path / "run")


def test_every_column_of_the_tables_is_in_the_data_dictionary(both):
    assert not undescribed_in(both.out)
