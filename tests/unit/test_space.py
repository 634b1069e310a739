"""The category x feature matrix, its dissimilarities and components, and the CEBRA embedding."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.spatial.distance import cdist

from emospace import stats
from emospace.errors import EmospaceError
from emospace.space import (
    EmotionSpace,
    build_space,
    cebra_decoding,
    cebra_embedding,
    disjoint_rdm,
    dissimilarity,
    kind_features,
    overlap_rdm,
    standardise,
)
from emospace.space.matrix import N_REMOVED

SETS = {
    "joy": {"happy": 1.0, "glad": 0.5, "bright": 0.5},
    "fear": {"afraid": 1.0, "dread": 1.0},
    "anger": {"rage": 1.0, "dread": 0.25},
    "awe": {"wonder": 1.0, "bright": 1.0},
}


def concept_sets(sets=SETS):
    """Stand in for `ConceptSets` with what the space reads of it."""
    return SimpleNamespace(
        categories=(*sets, "elsewhere"),
        labels={"en": {name: (name,) for name in sets}},
        words=lambda language, category=None: tuple(
            dict.fromkeys(word for name in ([category] if category else sets) for word in sets[name])
        ),
        weights=lambda language, category: np.array(list(sets[category].values())),
    )


WORDS = concept_sets().words("en")


@pytest.fixture
def codes():
    return np.maximum(np.random.default_rng(0).normal(size=(len(WORDS), 30)), 0)


def test_dissimilarities_match_scipy():
    rows = np.random.default_rng(1).normal(size=(9, 20))
    assert np.allclose(dissimilarity(rows), cdist(rows, rows, "correlation"), atol=1e-7)


def test_a_category_of_silent_words_has_no_disjoint_dissimilarity():
    members = {"joy": "ab", "fear": "cd", "awe": "be"}
    sets = concept_sets({name: dict.fromkeys(words, 1.0) for name, words in members.items()})
    features = np.random.default_rng(0).normal(size=(5, 6))
    silent = np.array([False, False, False, False, True])
    rdm = disjoint_rdm(features, list("abcde"), sets, "en", silent=silent)
    # Beside joy, awe is left with a word no feature is active in.
    assert np.isnan(rdm[0, 2]) and np.isnan(rdm).sum() == 2


def test_rdms_and_their_correlation_match_rsatoolbox():
    rsatoolbox = pytest.importorskip("rsatoolbox")
    rows = np.random.default_rng(2).normal(size=(2, 8, 15))
    upper = np.triu_indices(8, 1)
    pair = [
        rsatoolbox.rdm.calc_rdm(rsatoolbox.data.Dataset(part), method="correlation", descriptor=None)
        for part in rows
    ]
    ours = [dissimilarity(part)[upper] for part in rows]
    for theirs, mine in zip(pair, ours, strict=True):
        assert np.allclose(theirs.dissimilarities[0], mine)
    assert stats.rdm_correlation(*ours) == pytest.approx(
        rsatoolbox.rdm.compare(*pair, method="spearman").item()
    )
    pearson = stats.rdm_correlation(*ours, statistic="pearson")
    assert pearson == pytest.approx(rsatoolbox.rdm.compare(*pair, method="corr").item())


def test_a_constant_row_has_no_correlation_distance():
    rows = np.random.default_rng(3).normal(size=(4, 5))
    rows[2] = 1
    distances = dissimilarity(rows)
    assert np.isnan(distances[2, [0, 1, 3]]).all()
    assert np.isfinite(distances[np.ix_([0, 1, 3], [0, 1, 3])]).all()


def test_what_all_categories_share_does_not_make_them_alike():
    rng = np.random.default_rng(5)
    matrix = rng.random((6, 12))
    names = tuple("abcdef")
    space = EmotionSpace("en", names, np.arange(12), matrix)
    lifted = EmotionSpace("en", names, np.arange(12), matrix + 50 * np.arange(1, 13))
    assert np.allclose(space.rdm(), lifted.rdm())
    assert lifted.rdm(centred=False).max() < 0.01


def test_features_are_in_units_of_both_groups_spread():
    rng = np.random.default_rng(4)
    codes, pool = rng.random((40, 3)), rng.random((50, 3))
    codes[:, 1] += 5
    pool[:, 1] = 0
    codes[:, 2] = pool[:, 2] = 7
    values = standardise(codes, pool=pool, transform="raw", scale="pool")
    spread = np.sqrt((codes[:, 0].var() + pool[:, 0].var()) / 2)
    assert np.allclose(values[:, 0], (codes[:, 0] - pool[:, 0].mean()) / spread)
    assert np.isfinite(values[:, 1]).all()
    assert (values[:, 2] == 0).all()


@pytest.mark.parametrize("kind", ["dense", "static"])
def test_dense_features_count_dimensions_alike_and_lack_what_neutral_words_differ_in(kind):
    rng = np.random.default_rng(5)
    pool, words = rng.normal(size=(300, 12)), rng.normal(size=(40, 12))
    common = np.linalg.qr(rng.normal(size=(12, N_REMOVED)))[0].T
    pool += 9 * rng.normal(size=(300, N_REMOVED)) @ common
    values = kind_features(words, None, kind, pool)
    massive = np.array([1e4, *[1] * 11])
    assert np.allclose(kind_features(words * massive, None, kind, pool * massive), values)
    spread = np.sqrt((words.var(axis=0) + pool.var(axis=0)) / 2)
    _, _, components = np.linalg.svd((pool - pool.mean(axis=0)) / spread)
    assert np.allclose(values @ components[:N_REMOVED].T, 0)
    assert np.allclose(
        values @ components[N_REMOVED:].T, (words - pool.mean(axis=0)) / spread @ components[N_REMOVED:].T
    )


def test_dense_features_without_a_pool_are_in_units_of_the_words_spread():
    rng = np.random.default_rng(6)
    words = rng.normal(size=(40, 5)) * [1, 10, 1e4, 0.1, 0]
    values = kind_features(words, None, "dense")
    assert np.allclose(values.std(axis=0), [1, 1, 1, 1, 0])


def test_codes_are_compressed_and_otherwise_as_they_are(codes):
    assert np.allclose(kind_features(codes, [2, 4], "sae", codes), np.log1p(codes[:, [2, 4]]))


def test_compression_is_a_mirrored_logarithm_of_chosen_latents():
    codes = np.array([[0.0, -3.0, 1.0], [2.0, 0.0, 5.0]])
    values = standardise(sp.csr_matrix(codes), [2, 1], scale="none")
    assert np.allclose(values, [[np.log(2), -np.log(4)], [np.log(6), 0]])
    assert np.allclose(values, standardise(codes, [2, 1], scale="none"))
    with pytest.raises(EmospaceError, match="pool"):
        standardise(codes, scale="pool")


def test_a_category_is_the_weighted_mean_of_its_words(codes):
    space = build_space(codes, WORDS, concept_sets(), "en", [4, 9], transform="raw", scale="none")
    happy, glad, bright = codes[[WORDS.index(word) for word in ("happy", "glad", "bright")]][:, [4, 9]]
    assert space.categories == ("joy", "fear", "anger", "awe")
    assert np.allclose(space.matrix[0], (happy + glad / 2 + bright / 2) / 2)
    assert space.n_words == (3, 2, 2, 2)
    assert space.latents.tolist() == [4, 9]
    assert space.missing == 0


def test_words_without_codes_are_counted_and_an_empty_category_is_an_error(codes):
    known = [word for word in WORDS if word != "glad"]
    rows = [WORDS.index(word) for word in known]
    space = build_space(codes[rows], known, concept_sets(), "en", scale="none")
    assert space.missing == 1
    assert space.n_words[0] == 2
    known = [word for word in WORDS if word not in ("afraid", "dread")]
    with pytest.raises(EmospaceError, match=r"category 'fear' in en.*none of its 2"):
        build_space(codes[: len(known)], known, concept_sets(), "en", scale="none")


def test_scaling_over_categories_gives_unit_columns(codes):
    space = build_space(codes, WORDS, concept_sets(), "en", scale="categories")
    assert np.allclose(space.matrix.mean(axis=0), 0)
    assert np.allclose(space.matrix.std(axis=0), 1)


def test_pca_gives_ordered_orthogonal_scores_with_a_fixed_sign(codes):
    space = build_space(codes, WORDS, concept_sets(), "en", scale="none")
    pca = space.pca(5)
    assert pca.scores.shape == (4, 3)
    assert np.allclose(pca.scores.T @ pca.scores, np.diag(np.diag(pca.scores.T @ pca.scores)))
    assert np.allclose(pca.scores, (space.matrix - space.matrix.mean(axis=0)) @ pca.components.T)
    assert pca.explained.sum() == pytest.approx(1)
    assert (pca.scores[np.abs(pca.scores).argmax(axis=0), range(3)] > 0).all()
    flipped = EmotionSpace("en", space.categories, space.latents, -space.matrix).pca(3)
    assert np.allclose(np.abs(flipped.scores), np.abs(pca.scores))


def test_pca_is_that_of_scikit_learn_but_for_signs(codes):
    from sklearn.decomposition import PCA

    space = build_space(codes, WORDS, concept_sets(), "en", scale="none")
    ours, theirs = space.pca(3), PCA(3)
    np.testing.assert_allclose(np.abs(ours.scores), np.abs(theirs.fit_transform(space.matrix)), atol=1e-10)
    np.testing.assert_allclose(ours.explained, theirs.explained_variance_ratio_, atol=1e-10)


def test_a_space_survives_saving_and_selects_by_name(tmp_path, codes):
    space = build_space(codes, WORDS, concept_sets(), "en", scale="none")
    space.save(tmp_path / "space.safetensors")
    back = EmotionSpace.load(tmp_path / "space.safetensors")
    assert np.array_equal(back.matrix, space.matrix)
    assert (back.categories, back.n_words, back.kind) == (space.categories, space.n_words, "sae")
    some = back.select(["awe", "joy"])
    assert np.array_equal(some.matrix, space.matrix[[3, 0]])
    assert some.n_words == (2, 3)
    with pytest.raises(EmospaceError, match="joy"):
        back.select(["joys"])


def test_a_file_that_is_no_space_is_named(tmp_path):
    with pytest.raises(EmospaceError, match="no such file"):
        EmotionSpace.load(tmp_path / "none.safetensors")
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    with pytest.raises(EmospaceError, match="no emotion space"):
        EmotionSpace.load(tmp_path / "junk.safetensors")


def test_overlap_is_jaccard_of_weight_shares():
    rdm = overlap_rdm(concept_sets(), "en")
    shared = min(0.5, 0.25 / 1.25)
    assert rdm[1, 2] == pytest.approx(1 - shared / (2 - shared))
    assert rdm[0, 1] == 1
    assert np.array_equal(rdm, rdm.T)
    assert (np.diag(rdm) == 0).all()


def test_pairs_are_compared_without_the_words_they_share(codes):
    features = standardise(codes, scale="none")
    rdm = disjoint_rdm(features, WORDS, concept_sets(), "en")
    whole = build_space(codes, WORDS, concept_sets(), "en", scale="none").rdm(centred=False)
    at = {word: features[WORDS.index(word)] for word in WORDS}
    assert rdm[0, 1] == pytest.approx(whole[0, 1])
    assert rdm[1, 2] == pytest.approx(dissimilarity(np.stack([at["afraid"], at["rage"]]))[0, 1])
    joy = (at["happy"] + at["glad"] / 2) / 1.5
    assert rdm[0, 3] == pytest.approx(dissimilarity(np.stack([joy, at["wonder"]]))[0, 1])
    inside = {"fear": {"dread": 1.0}, "anger": {"rage": 1.0, "dread": 1.0}}
    with pytest.raises(EmospaceError, match="each of its 1 concept words is also in 'anger'"):
        disjoint_rdm(features[:2], ["dread", "rage"], concept_sets(inside), "en")


@pytest.fixture(scope="module")
def affective_words():
    """Words whose features carry their category's ratings, in a rectified random projection."""
    rng = np.random.default_rng(5)
    ratings = rng.uniform(-1, 1, (20, 2))
    categories = np.repeat(np.arange(20), 12)
    signal = ratings[categories] @ rng.normal(size=(2, 40))
    return np.maximum(signal + 0.5 * rng.normal(size=signal.shape), 0), categories, ratings


def test_cebra_repeats_itself_and_leaves_the_global_generators_alone(affective_words):
    import torch

    features, categories, ratings = affective_words
    variable = ratings[categories]
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = cebra_embedding(features, variable, seed=1, n_iterations=5)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002
    assert np.array_equal(first, cebra_embedding(features, variable, seed=1, n_iterations=5))
    assert not np.allclose(first, cebra_embedding(features, variable, seed=2, n_iterations=5))
    assert np.allclose(np.linalg.norm(first, axis=1), 1, atol=1e-5)
    others = cebra_embedding(features, variable, seed=1, n_iterations=5, transform=features[:7])
    assert np.allclose(others, first[:7], atol=1e-6)


def test_cebra_decodes_unseen_categories_better_than_its_shuffled_self(affective_words):
    features, categories, ratings = affective_words
    decoding = cebra_decoding(
        features, categories, ratings, seed=0, n_seeds=2, folds=3, n_iterations=40, n_permutations=499
    )
    assert (decoding.r2 > 0.5).all()
    assert (decoding.r2 > decoding.shuffled_r2).all()
    assert (decoding.p < 0.01).all()
    assert (decoding.ci_low < decoding.r2).all()
    assert decoding.predicted.shape == (20, 2)
    assert (decoding.pca_r2 > 0.5).all()


def test_cebra_decodes_alike_in_processes(affective_words, monkeypatch):
    options = {"seed": 0, "n_seeds": 1, "folds": 3, "n_iterations": 5, "n_permutations": 9}
    here = cebra_decoding(*affective_words, **options)
    monkeypatch.setattr("emospace.space.embedding._MANY_STEPS", 1)
    apart = cebra_decoding(*affective_words, **options)
    assert np.array_equal(here.predicted, apart.predicted)
    assert np.array_equal(here.shuffled_r2, apart.shuffled_r2)


def test_words_of_held_out_categories_are_never_trained_on(affective_words, monkeypatch):
    features, categories, ratings = affective_words
    words = np.array([f"w{index}" for index in range(len(categories))])
    words[categories == 3] = words[categories == 4]
    trained = []

    def embedding(train, variable, *, transform, **_):
        trained.append({tuple(row) for row in train})
        assert len(variable) == len(train)
        return transform[:, :3]

    monkeypatch.setattr("emospace.space.embedding.cebra_embedding", embedding)
    features = features.copy()
    features[categories == 3] = features[categories == 4]
    cebra_decoding(features, categories, ratings, seed=0, words=words, n_seeds=1, folds=5, n_permutations=9)
    assert len(trained) == 10
    for rows in trained:
        held = {c for c in range(20) if tuple(features[categories == c][0]) not in rows}
        assert len(held) >= 4
        assert (3 in held) == (4 in held)
        for category in held:
            assert not any(tuple(row) in rows for row in features[categories == category])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, c, r: (f[c < 6], c[c < 6], r[:6]), "6 rated categories"),
        (lambda f, c, r: (f[c != 2], c[c != 2], r), r"categories \[2\]"),
        (lambda f, c, r: (f, c, np.where(r == r[0, 0], np.nan, r)), "missing"),
    ],
)
def test_decoding_refuses_what_it_cannot_fold(affective_words, change, message):
    with pytest.raises(EmospaceError, match=message):
        cebra_decoding(*change(*affective_words), seed=0)
