"""Figures between the model's categories and people's: values, reasons for none, and their fields."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from scipy.spatial import procrustes as scipy_procrustes

from emospace import stats
from emospace.alignment import axes, cebra_alignment, language_rsa, procrustes, rsa_affect, rsa_structure
from emospace.errors import EmospaceError
from emospace.records import AlignmentRecord, LanguageRSARecord
from emospace.space import EmotionSpace
from emospace.structure import CategoryRatings, CategoryStructure

NAMES = tuple(f"c{index:02d}" for index in range(24))
PERMUTATIONS = 499


def ratings_of(values, names=NAMES, sd=0.3, n=20):
    table = pd.DataFrame({"category": names, "valence": values[:, 0], "arousal": values[:, 1]})
    for target in ("valence", "arousal"):
        table[f"{target}_sd"], table[f"{target}_n"] = sd, n
    table["source"] = ["label"] * (len(names) - 2) + ["lemma", "derived"]
    table["word"], table["n_words"] = "", 1
    return CategoryRatings("en", "norms", table, ("valence", "arousal"))


@pytest.fixture
def human():
    return np.random.default_rng(0).uniform(-1, 1, (24, 2)) * [1.0, 0.5]


@pytest.fixture
def space(human):
    rng = np.random.default_rng(1)
    matrix = human @ rng.normal(size=(2, 60)) + 0.2 * rng.normal(size=(24, 60))
    return EmotionSpace("en", NAMES, np.arange(60), matrix)


def test_axes_give_pc1_and_the_best_component_for_both_targets(space, human):
    rows = axes(space, ratings_of(human), seed=0, n_permutations=PERMUTATIONS)
    assert [(row.statistic, row.target) for row in rows] == [
        ("pc1_r", "valence"),
        ("best_pc_r", "valence"),
        ("pc1_r", "arousal"),
        ("best_pc_r", "arousal"),
    ]
    scores = space.pca(5).scores
    r = np.abs([scipy.stats.pearsonr(scores[:, k], human[:, 1]).statistic for k in range(5)])
    assert rows[2].value == pytest.approx(r[0])
    assert rows[3].value == pytest.approx(r.max())
    assert rows[3].component == r.argmax() + 1
    assert rows[1].p == 1 / 500
    assert 0.9 < rows[0].ceiling < 1
    assert rows[0].ceiling_kind == "simulated from rater SD and n"
    assert (rows[0].n, rows[0].n_label, rows[0].n_derived, rows[0].n_features) == (24, 23, 1, 60)
    assert rows[1].ci_low < rows[1].value < rows[1].ci_high


def test_norms_without_rater_spread_give_no_ceiling(space, human):
    rows = axes(space, ratings_of(human, sd=np.nan), seed=0, n_permutations=99)
    assert rows[0].value is not None
    assert (rows[0].ceiling, rows[0].ceiling_kind) == (None, None)


def test_fewer_than_fifteen_rated_categories_give_reasons_and_no_figures(space, human):
    ratings = ratings_of(human[:14], NAMES[:14])
    circumplex_figure, circumplex = procrustes(space, ratings, seed=0)
    decoded = cebra_alignment(space, np.zeros((0, 60)), (), SimpleNamespace(), ratings, seed=0)
    assert circumplex is None
    for row in [
        *axes(space, ratings, seed=0),
        rsa_affect(space, ratings, seed=0),
        circumplex_figure,
        *decoded,
    ]:
        assert row.value is row.p is row.ci_low is None
        assert "rates 14 of 24 categories in en" in row.reason
        assert row.n == 14


def test_norms_that_rate_no_arousal_give_a_reason(space, human):
    ratings = ratings_of(human)
    half = replace(
        ratings,
        table=ratings.table.drop(columns=["arousal", "arousal_sd", "arousal_n"]),
        targets=("valence",),
    )
    assert "rates 0 of 24" in axes(space, half, seed=0)[0].reason


def test_every_figure_fits_its_record(space, human):
    ratings = ratings_of(human)
    figures = [
        *axes(space, ratings, seed=0, n_permutations=99),
        *axes(space, ratings_of(human[:5], NAMES[:5]), seed=0),
        rsa_affect(space, ratings, seed=0, n_permutations=99),
        procrustes(space, ratings, seed=0, n_permutations=99)[0],
    ]
    for row in figures:
        AlignmentRecord.from_figure(row, model="m", layer=3, provenance="curated")
    LanguageRSARecord.from_figure(language_rsa(space, space, seed=0, n_permutations=99), model="m", layer=3)


def test_rsa_against_affect_is_spearman_with_plane_distances(space, human):
    figure = rsa_affect(space, ratings_of(human), seed=0, n_permutations=PERMUTATIONS)
    upper = np.triu_indices(24, 1)
    distance = np.linalg.norm(human[:, None] - human[None], axis=-1)[upper]
    expected = scipy.stats.spearmanr(space.rdm()[upper], distance).statistic
    assert figure.value == pytest.approx(expected)
    assert (figure.statistic, figure.against, figure.target) == (
        "rsa_spearman",
        "valence_arousal",
        "distance",
    )
    assert figure.p == 1 / 500
    assert figure.ci_low < figure.value < figure.ci_high
    assert 0.5 < figure.ceiling < 1


def test_a_control_turns_rsa_partial(space, human):
    ratings = ratings_of(human)
    rng = np.random.default_rng(2)
    noise = rng.random((24, 24))
    noise = noise + noise.T
    plain = rsa_affect(space, ratings, seed=0, n_permutations=99)
    partial = rsa_affect(
        space,
        ratings,
        seed=0,
        n_permutations=99,
        controls={"set overlap": noise, "static": space.rdm() ** 3 + noise},
    )
    assert (partial.statistic, partial.controls) == ("rsa_partial", "set overlap + static")
    assert partial.value < plain.value
    itself = rsa_affect(space, ratings, seed=0, n_permutations=99, controls={"static": space.rdm()})
    assert itself.value is None
    assert itself.reason == "a side of the comparison does not vary"


def test_the_difference_from_another_rdm_stands_beside_the_rsa(space, human):
    ratings = ratings_of(human)
    noise = np.random.default_rng(2).random((24, 24))
    noise = noise + noise.T
    plain = rsa_affect(space, ratings, seed=0, n_permutations=99)
    figure = rsa_affect(space, ratings, seed=0, n_permutations=99, beside=noise)
    assert plain.difference is None
    other = rsa_affect(space, ratings, seed=0, n_permutations=99, rdm=noise)
    assert figure.difference == pytest.approx(plain.value - other.value)
    assert figure.difference_low < figure.difference < figure.difference_high
    assert figure.difference_p < 0.05
    itself = rsa_affect(space, ratings, seed=0, n_permutations=99, beside=space.rdm())
    assert itself.difference == pytest.approx(0, abs=1e-12)
    assert itself.difference_p == 1
    similarity = 1 - np.linalg.norm(human[:, None] - human[None], axis=-1)
    people = rsa_structure(space, structure_of(similarity, NAMES), seed=0, n_permutations=99, beside=noise)
    assert people.difference == pytest.approx(figure.difference)


def test_a_given_rdm_replaces_the_spaces_own(space, human):
    ratings = ratings_of(human)
    distance = np.linalg.norm(human[:, None] - human[None], axis=-1)
    assert rsa_affect(space, ratings, rdm=distance, seed=0, n_permutations=99).value == pytest.approx(1)
    with pytest.raises(EmospaceError, match="24 categories"):
        rsa_affect(space, ratings, rdm=distance[:9, :9], seed=0)


def test_a_silent_category_gives_a_reason(space, human):
    matrix = space.matrix.copy()
    matrix[4] = 0
    figure = rsa_affect(replace(space, matrix=matrix), ratings_of(human), seed=0, n_permutations=99)
    assert figure.value is None
    assert figure.reason.startswith("c04: no feature is active")


def structure_of(similarity, names, halves=None):
    return CategoryStructure("people", "en", tuple(names), similarity, "co-annotation", halves=halves)


def test_rsa_with_a_structure_uses_the_common_categories(space):
    order = [5, 3, *range(6, 22), 0]
    names = [*(NAMES[index] for index in order), "realization"]
    similarity = np.eye(len(names))
    similarity[:-1, :-1] = 1 - space.select([NAMES[index] for index in order]).rdm()
    halves = np.stack([np.stack([similarity, similarity])] * 3)
    figure = rsa_structure(space, structure_of(similarity, names, halves), seed=0, n_permutations=99)
    assert figure.value == pytest.approx(1)
    assert (figure.n, figure.against, figure.target) == (19, "people", "structure")
    assert (figure.ceiling, figure.ceiling_kind) == (pytest.approx(1), "split-half over texts")
    bare = rsa_structure(space, structure_of(similarity, names), seed=0, n_permutations=99)
    assert (bare.ceiling, bare.ceiling_kind) == (None, None)


def test_a_structure_with_few_common_categories_gives_a_reason(space):
    figure = rsa_structure(space, structure_of(np.eye(4), NAMES[:4]), seed=0)
    assert figure.value is None
    assert "share 4 categories; at least 5" in figure.reason


def test_five_categories_are_enough_for_a_structure(space):
    names = NAMES[3:8]
    figure = rsa_structure(space, structure_of(1 - space.select(names).rdm(), names), seed=0)
    assert figure.value == pytest.approx(1)
    assert figure.n == 5
    assert figure.p == pytest.approx(1 / 120, abs=0.004)
    assert figure.reason is None


def test_pairs_people_said_nothing_of_are_left_out_and_counted(space):
    names = NAMES[:9]
    rng = np.random.default_rng(4)
    similarity = 1 - space.select(names).rdm() + 0.3 * rng.normal(size=(9, 9))
    similarity = (similarity + similarity.T) / 2
    for i, j in ((0, 1), (2, 7), (3, 4)):
        similarity[i, j] = similarity[j, i] = np.nan
    similarity[8, :8] = similarity[:8, 8] = np.nan
    figure = rsa_structure(space, structure_of(similarity, names), seed=0, n_permutations=PERMUTATIONS)
    upper = np.triu_indices(8, 1)
    model, people = space.select(names[:8]).rdm()[upper], 1 - similarity[:8, :8][upper]
    known = np.isfinite(people)
    assert figure.value == pytest.approx(scipy.stats.spearmanr(model[known], people[known]).statistic)
    assert figure.n == 8
    assert figure.reason == "3 of 28 pairs are left out: people says nothing of them"
    assert figure.ci_low < figure.value < figure.ci_high
    AlignmentRecord.from_figure(figure, model="m", layer=3, provenance="curated")
    controls = {"static": np.abs(np.subtract.outer(np.arange(24.0), np.arange(24)) ** 2)}
    partial = rsa_structure(
        space, structure_of(similarity, names), controls=controls, seed=0, n_permutations=99
    )
    assert partial.value == pytest.approx(
        stats.rdm_correlation(
            space.select(names[:8]).rdm(),
            1 - similarity[:8, :8],
            partial=[controls["static"][:8, :8]],
            mask=np.isfinite(similarity[:8, :8]),
        )
    )
    assert partial.p < 0.5


@pytest.mark.parametrize(
    ("kind", "dictionary", "n_shared"), [("sae", "a", 30), ("sae", "b", None), ("dense", None, None)]
)
def test_shared_latents_are_counted_in_one_autoencoder_alone(space, kind, dictionary, n_shared, tmp_path):
    mine = replace(space, kind=kind, dictionary=dictionary and "a")
    other = replace(mine, language="zh", latents=np.arange(30, 90), dictionary=dictionary)
    assert mine.n_shared(other) == n_shared
    assert language_rsa(mine, other, seed=0, n_permutations=9).n_shared == n_shared
    other.save(tmp_path / "space.safetensors")
    assert EmotionSpace.load(tmp_path / "space.safetensors").dictionary == dictionary


def test_pairs_the_model_lacks_are_left_out_and_counted(space, human):
    rdm = space.rdm()
    rdm[1, 2] = rdm[2, 1] = np.nan
    figure = rsa_affect(space, ratings_of(human), seed=0, n_permutations=99, rdm=rdm)
    upper = np.triu_indices(24, 1)
    people = np.linalg.norm(human[:, None] - human[None], axis=-1)[upper]
    known = np.isfinite(rdm[upper])
    assert figure.value == pytest.approx(scipy.stats.spearmanr(rdm[upper][known], people[known]).statistic)
    assert figure.reason == "1 of 276 pairs are left out: one side has no value for them"
    few = np.full((24, 24), np.nan)
    few[0, 1:] = few[1:, 0] = 0.5
    assert rsa_affect(space, ratings_of(human), seed=0, n_permutations=99, rdm=few).reason.endswith("vary")
    few[0, 5:] = few[5:, 0] = np.nan
    assert rsa_affect(space, ratings_of(human), seed=0, n_permutations=99, rdm=few).value is None


def test_languages_are_compared_on_common_categories(space):
    other = EmotionSpace("zh", NAMES[::-1][2:], np.arange(30, 90), space.matrix[::-1][2:] * 2 + 1)
    figure = language_rsa(space, other, seed=0, n_permutations=PERMUTATIONS)
    assert (figure.a, figure.b, figure.n, figure.n_shared) == ("en", "zh", 22, 30)
    assert figure.value == pytest.approx(1)
    assert figure.p == 1 / 500
    few = language_rsa(space, other.select(NAMES[3:9]), seed=0)
    assert few.value is None
    assert "share 6 categories" in few.reason


def test_procrustes_matches_scipy_and_turns_the_model_onto_people(space, human):
    figure, circumplex = procrustes(space, ratings_of(human), seed=0, n_permutations=PERMUTATIONS)
    scores = space.pca(2).scores
    disparity = scipy_procrustes(human / human.std(axis=0), scores / scores.std(axis=0))[2]
    assert figure.value == pytest.approx(np.sqrt(1 - disparity))
    assert figure.p == 1 / 500
    assert figure.ci_low < figure.value < figure.ci_high
    assert circumplex.categories == NAMES
    for axis in range(2):
        assert np.corrcoef(circumplex.model[:, axis], human[:, axis])[0, 1] > 0.8
    assert np.allclose(circumplex.model.mean(axis=0), human.mean(axis=0))


def test_cebra_figures_stand_beside_pca_and_the_shuffled_fit(space, human):
    rng = np.random.default_rng(3)
    words = [f"{name}_{index}" for name in NAMES for index in range(5)]
    features = np.repeat(space.matrix, 5, axis=0) + 0.3 * rng.normal(size=(120, 60))
    sets = SimpleNamespace(
        words=lambda language, category: [word for word in words if word.startswith(category)]
    )
    rows = cebra_alignment(
        space,
        features,
        words,
        sets,
        ratings_of(human),
        seed=0,
        n_seeds=1,
        folds=3,
        n_iterations=40,
        n_permutations=99,
    )
    assert [(row.space, row.target) for row in rows] == [
        ("sae", "valence"),
        ("sae", "arousal"),
        ("sae_shuffled", "valence"),
        ("sae_shuffled", "arousal"),
    ]
    assert rows[0].value > 0.4
    assert rows[0].baseline > 0.4
    assert rows[0].baseline_name == "PCA of 3 dimensions"
    assert rows[2].value < rows[0].value
    for row in rows:
        AlignmentRecord.from_figure(row, model="m", layer=3, provenance="curated")
