from __future__ import annotations

from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr, spearmanr

from emospace.artefacts import file_hash
from emospace.concepts import ConceptSets, categories, load_concepts
from emospace.errors import EmospaceError
from emospace.norms import load_norms, norms_from_table
from emospace.structure import (
    FEWEST_COMPARED,
    CategoryStructure,
    category_ratings,
    list_structures,
    load_structure,
    phi,
    structures_for,
    valence_agreement,
)

GOEMOTIONS = [category.name for category in categories("goemotions")]


@dataclass
class Sets:
    labels: dict = field(default_factory=dict)
    concepts: dict = field(default_factory=dict)
    languages: tuple = ("en",)

    @property
    def categories(self):
        return tuple(self.concepts)

    def words(self, language, category=None):
        return tuple(self.concepts[category])

    def weights(self, language, category):
        return np.array(list(self.concepts[category].values()), float)


def norms(words, language="en", **columns):
    table = pd.DataFrame({"word": list(words), "valence": list(words.values()), "arousal": 5.0})
    return norms_from_table(table.assign(**columns), "planted", language=language, scale=(1, 9))


# Structures


def test_phi_is_the_correlation_of_the_indicators():
    rng = np.random.default_rng(3)
    marks = (rng.random((200, 4)) < 0.3).astype(int)
    marks[:, 1] |= marks[:, 0]
    similarity = phi(marks.T @ marks, 200)
    for i in range(4):
        for j in range(4):
            assert similarity[i, j] == pytest.approx(pearsonr(marks[:, i], marks[:, j]).statistic)


def test_goemotions_holds_the_26_categories_and_counts_of_texts():
    structure = load_structure("goemotions")
    assert set(structure.categories) - set(GOEMOTIONS) == {"realization"} and set(GOEMOTIONS) <= set(
        structure.categories
    )
    assert structure.n_items == 54_263 and "neutral" not in structure.categories
    at = structure.categories.index
    assert structure.counts[at("admiration"), at("admiration")] == 5_122
    assert structure.similarity[at("anger"), at("annoyance")] > structure.similarity[at("anger"), at("joy")]
    np.testing.assert_array_equal(structure.similarity, structure.similarity.T)
    np.testing.assert_allclose(np.diag(structure.similarity), 1)
    np.testing.assert_allclose(np.diag(structure.rdm()), 0, atol=1e-12)


def test_every_bundled_structure_is_whole_and_said_where_from():
    listed = list_structures()
    assert listed["name"].is_unique and {"goemotions", "kote", "clics", "childfer"} <= set(listed["name"])
    for row in listed.itertuples():
        structure = load_structure(row.name)
        n = len(structure.categories)
        assert n and structure.licence and structure.citation and structure.note and structure.kind
        assert structure.similarity.shape == (n, n)
        np.testing.assert_allclose(np.diag(structure.similarity), 1)
        known = structure.similarity[np.isfinite(structure.similarity)]
        assert known.min() >= -1 and known.max() <= 1 + 1e-12
        np.testing.assert_array_equal(structure.similarity, structure.similarity.T)


def test_bundled_structures_are_those_of_the_index():
    import tomllib

    folder = Path(str(files("emospace"))) / "data" / "structure"
    index = tomllib.loads((folder / "index.toml").read_text(encoding="utf-8"))
    assert {path.stem for path in folder.glob("*.parquet")} == set(index)
    assert all(file_hash(folder / f"{name}.parquet") == entry["sha256"] for name, entry in index.items())
    for path in folder.glob("*.parquet"):
        assert "text" not in pd.read_parquet(path).columns


def test_split_half_follows_its_halves():
    structure = load_structure("goemotions").select(GOEMOTIONS)
    said = structure.split_half()
    upper = np.triu_indices(26, 1)
    first, second = structure.halves[0]
    r = spearmanr(first[upper], second[upper]).statistic
    assert said.low <= 2 * r / (1 + r) <= said.high and said.n_splits == 20
    assert 0.95 < said.value < 0.98
    assert load_structure("clics").split_half() is None


def test_split_half_of_planted_halves():
    rng = np.random.default_rng(0)
    base, noise = rng.normal(size=(30, 30)), rng.normal(size=(50, 2, 30, 30))
    halves = base + noise
    planted = CategoryStructure(
        "p", "en", tuple(f"c{i}" for i in range(30)), base, "co-annotation", halves=halves
    )
    assert planted.split_half().value == pytest.approx(2 / 3, abs=0.05)
    none = CategoryStructure("p", "en", planted.categories, base, "co-annotation", halves=noise)
    assert abs(none.split_half().value) < 0.05


def test_selecting_keeps_the_order_given():
    whole = load_structure("kote")
    part = whole.select(["joy", "anger", "fear"])
    at = [whole.categories.index(name) for name in ("joy", "anger", "fear")]
    np.testing.assert_array_equal(part.similarity, whole.similarity[np.ix_(at, at)])
    np.testing.assert_array_equal(part.counts, whole.counts[np.ix_(at, at)])
    np.testing.assert_array_equal(part.halves[7, 1], whole.halves[7, 1][np.ix_(at, at)])
    assert part.categories == ("joy", "anger", "fear") and part.content_hash != whole.content_hash
    with pytest.raises(EmospaceError, match="sadness"):
        whole.select(["sadnes"])


def test_colexification_over_and_within_families():
    everywhere, here = load_structure("clics"), load_structure("clics/indo-european")
    assert len(everywhere.categories) == 21 and set(here.categories) < set(everywhere.categories)
    at = everywhere.categories.index
    assert everywhere.similarity[at("desire"), at("love")] == pytest.approx(11 / 17)
    assert np.isnan(everywhere.similarity).any() and np.isfinite(here.similarity).all()


def test_children_and_adults_are_apart():
    children, adults = load_structure("childfer"), load_structure("childfer/adults-rating")
    assert children.name == "childfer/children-rating"
    assert children.categories == ("joy", "sadness", "anger", "fear") == adults.categories
    assert not np.allclose(children.similarity, adults.similarity)


def test_six_emotions_in_each_language_as_they_were_asked_for():
    german, english = load_structure("brighter/de"), load_structure("brighter/en")
    assert german.categories == ("anger", "disgust", "fear", "joy", "sadness", "surprise")
    assert english.categories == ("anger", "fear", "joy", "sadness", "surprise")
    assert load_structure("brighter/af").categories == ("anger", "disgust", "fear", "joy", "sadness")
    assert (german.language, german.n_items, german.counts[0, 0]) == ("de", 5_407, 1_605)
    assert german.halves.shape == (20, 2, 6, 6) and english.halves.shape == (20, 2, 5, 5)
    at = german.categories.index
    assert german.similarity[at("anger"), at("disgust")] > 0 > german.similarity[at("anger"), at("joy")]
    assert german.content_hash != load_structure("brighter/es").content_hash
    assert 0 < load_structure("brighter/zh").split_half().value <= 1
    with pytest.raises(EmospaceError, match="brighter/"):
        load_structure("brighter")
    assert not list_structures()["name"].eq("brighter").any()


def test_the_first_structures_are_what_they_were():
    hashes = {name: load_structure(name).content_hash for name in ("goemotions", "kote", "clics", "childfer")}
    assert hashes == {
        "goemotions": "486c0dd5155c04d9",
        "kote": "bb5dd3fdf879981d",
        "clics": "51d5d136137265b7",
        "childfer": "18d64f0722c17de8",
    }


def test_a_language_is_compared_with_its_own_texts_and_its_family():
    everywhere = ("clics",)
    assert structures_for("en", "indo-european") == (
        *("goemotions", "brighter/en", "clics", "clics/indo-european"),
    )
    assert structures_for("ko", "koreanic") == ("kote", *everywhere)
    assert structures_for("zh", "sino-tibetan") == ("brighter/zh", "clics", "clics/sino-tibetan")
    assert structures_for("fi", "uralic") == (*everywhere, "clics/uralic")
    assert structures_for("xx") == everywhere
    for language in ("de", "zh"):
        for name in structures_for(language, None):
            structure = load_structure(name)
            assert structure.language in (language, "multi")
            assert len(structure.categories) >= FEWEST_COMPARED


def test_an_unknown_structure_is_refused():
    with pytest.raises(EmospaceError, match="goemotions"):
        load_structure("goemotion")
    with pytest.raises(EmospaceError, match="clics/uralic"):
        load_structure("clics/uralik")


# Ratings of categories


def test_label_before_lemma_before_concepts():
    sets = Sets(
        labels={
            "en": {"joy": ("joy", "joyful"), "anger": ("anger", "angry"), "awe": ("awe",), "envy": ("envy",)}
        },
        concepts={
            "joy": {"party": 1.0},
            "anger": {"fight": 1.0},
            "awe": {"mountain": 3.0, "storm": 1.0, "unrated": 9.0},
            "envy": {"rival": 1.0},
        },
    )
    rated = category_ratings(
        sets, norms({"Joy": 8, "joyful": 9, "angry": 2, "fight": 1, "mountain": 7, "storm": 3}), "en"
    )
    table = rated.table.set_index("category")
    assert table["source"].to_dict() == {"joy": "label", "anger": "lemma", "awe": "derived"}
    assert table["word"].tolist() == ["joy", "angry", ""] and table["n_words"].tolist() == [1, 1, 2]
    assert table["valence"].tolist() == pytest.approx([0.75, -0.75, 0.25])
    assert (sorted(rated.table.source), rated.unrated) == (["derived", "label", "lemma"], ("envy",))
    np.testing.assert_allclose(rated.values("valence", ["awe", "envy", "joy"]), [0.25, np.nan, 0.75])
    np.testing.assert_allclose(rated.rdm(["joy", "anger"]), [[0, 1.5], [1.5, 0]])


def test_exact_case_wins():
    sets = Sets(labels={"en": {"awe": ("AWE", "awe")}}, concepts={"awe": {"storm": 1.0}})
    assert category_ratings(sets, norms({"awe": 2, "AWE": 8}), "en").values("valence").tolist() == [0.75]


def test_sd_and_n_come_along_on_the_same_scale():
    sets = Sets(
        labels={"en": {"joy": ("joy",)}}, concepts={"joy": {"party": 1.0}, "awe": {"a": 1.0, "b": 3.0}}
    )
    given = norms({"joy": 8, "a": 5, "b": 6}, valence_sd=[2.0, 1.0, 2.0], valence_n=[25, 20, 30])
    table = category_ratings(sets, given, "en").table.set_index("category")
    assert list(table.columns) == [
        "valence",
        "valence_sd",
        "valence_n",
        "arousal",
        "source",
        "word",
        "n_words",
    ]
    assert table.loc["joy", ["valence_sd", "valence_n"]].tolist() == [0.5, 25]
    error = np.sqrt((0.25**2) * 0.25**2 / 20 + (0.75**2) * 0.5**2 / 30)
    assert table.loc["awe", "valence_n"] == 50
    assert table.loc["awe", "valence_sd"] / np.sqrt(50) == pytest.approx(error)


def test_few_rated_categories_give_no_axes_and_say_why():
    concepts = {f"c{i}": {f"w{i}": 1.0} for i in range(20)}
    few = category_ratings(Sets(concepts=concepts), norms({f"w{i}": 5 for i in range(14)}), "en")
    assert (
        few.no_axes == "only 14 of 20 categories in 'en' are rated by the norms 'planted', and axes need 15"
    )
    enough = category_ratings(Sets(concepts=concepts), norms({f"w{i}": 5 for i in range(15)}), "en")
    assert enough.no_axes == "" and len(enough.unrated) == 5
    none = category_ratings(Sets(concepts=concepts), norms({"x": 5}), "en")
    assert none.categories == () and none.no_axes.startswith("only 0 of 20")
    six = dict(list(concepts.items())[:6])
    all_rated = category_ratings(Sets(concepts=six), norms({f"w{i}": 5 for i in range(6)}), "en")
    assert all_rated.no_axes == "6 categories are too few: axes need 15 rated ones"


def test_languages_must_agree():
    sets = Sets(concepts={"awe": {"storm": 1.0}})
    with pytest.raises(EmospaceError, match="rate words of 'de', not 'en'"):
        category_ratings(sets, norms({"storm": 5}, language="de"), "en")
    with pytest.raises(EmospaceError, match="language"):
        category_ratings(sets, norms({"storm": 5}, language="de"), "de")


def test_the_bundled_sets_with_bundled_norms():
    sets = load_concepts()
    english = category_ratings(sets, load_norms("glasgow").without_senses(), "en")
    assert (
        len(english.categories) == 42
        and english.no_axes == ""
        and (english.table.source != "derived").sum() >= 35
    )
    values = dict(zip(english.categories, english.values("valence"), strict=True))
    assert values["joy"] > 0.5 and values["grief"] < -0.5
    assert english.table["valence_n"].notna().all()
    if "zh" in sets.languages:
        chinese = category_ratings(sets, load_norms("liu"), "zh")
        assert (chinese.table.source == "derived").all() and "four-character" in chinese.note


# Valence against another language


def two_languages(n_categories, noise=0.0, n_words=6, seed=0):
    """Return sets and norms of two languages whose category valences differ by so much noise."""
    rng = np.random.default_rng(seed)
    valence = rng.uniform(-0.8, 0.8, n_categories)
    other = np.clip(valence + noise * rng.normal(size=n_categories), -1, 1)
    rows, ratings = [], {"en": {}, "it": {}}
    for i in range(n_categories):
        for language, value in (("en", valence[i]), ("it", other[i])):
            for k in range(n_words):
                word = f"{language}{i}w{k}"
                rows.append((language, f"c{i:02d}", word, 1.0))
                ratings[language][word] = 5 + 4 * value
    table = pd.DataFrame(rows, columns=["language", "category", "word", "weight"])
    labels = {language: {f"c{i:02d}": ("none",) for i in range(n_categories)} for language in ("en", "it")}
    sets = ConceptSets(table, labels, {"en": ("{word}",), "it": ("{word}",)}, "curated")
    return sets, {language: [norms(given, language)] for language, given in ratings.items()}


def test_agreement_of_valence_is_the_correlation_of_weighted_means():
    sets, rated = two_languages(20, noise=0.3)
    (agreement,) = valence_agreement(sets, rated)
    assert (agreement.language, agreement.norms, agreement.reference, agreement.n) == (
        "it",
        "planted",
        "en",
        20,
    )
    pairs = {pair.category: pair for pair in agreement.pairs}
    r = pearsonr([pair.value for pair in pairs.values()], [pair.reference for pair in pairs.values()])
    assert agreement.r == pytest.approx(r.statistic)
    assert agreement.ci_low < agreement.r < agreement.ci_high
    gaps = [abs(pair.difference) for pair in agreement.pairs]
    assert gaps == sorted(gaps, reverse=True)
    assert agreement.reached is (agreement.r >= 0.75) and agreement.reason == ""
    assert valence_agreement(sets, rated) == (agreement,)


def test_agreement_weighs_concepts_and_needs_five_of_a_category():
    sets, rated = two_languages(4)
    weights = sets.table["weight"].to_numpy(copy=True)
    weights[(sets.table["word"] == "it0w0")] = 0.5
    sets = ConceptSets(sets.table.assign(weight=weights), sets.labels, sets.carriers, "curated")
    table = rated["it"][0].table.set_index("word")["valence"].to_dict()
    table["it0w0"] = 9.0
    few = {word: value for word, value in table.items() if word not in ("it3w0", "it3w1")}
    (agreement,) = valence_agreement(sets, {**rated, "it": [norms(few, "it")]})
    assert {pair.category for pair in agreement.pairs} == {"c00", "c01", "c02"}
    first = next(pair for pair in agreement.pairs if pair.category == "c00")
    assert first.value == pytest.approx((0.5 * 1.0 + 5 * first.reference) / 5.5)
    assert (first.n_words, first.n_words_reference) == (6, 6)
    assert agreement.reached is None and "fewer than 15" in agreement.reason and agreement.r is not None


def test_agreement_says_why_there_is_none():
    sets, rated = two_languages(20)
    (without,) = valence_agreement(sets, {"en": rated["en"]})
    assert (without.r, without.reached, without.norms) == (None, None, "")
    assert without.reason == "no word norms of 'it' are bundled or given"
    (few,) = valence_agreement(sets, {**rated, "it": [norms({"it0w0": 5.0, "it0w1": 6.0}, "it")]})
    assert few.r is None and few.reason.startswith("0 categories have 5 rated concepts")
    assert valence_agreement(sets.select(["en"]), {"en": rated["en"]}) == ()
    (apart,) = valence_agreement(sets.select(["it"]), rated, reference_sets=sets.select(["en"]))
    assert apart.r == pytest.approx(1)


def test_norms_without_sets_and_a_reference_without_norms_are_named():
    sets, rated = two_languages(4)
    german = norms({"Freude": 8.0}, "de")
    with pytest.raises(EmospaceError, match="no concept-sets of 'de'") as raised:
        valence_agreement(sets, {**rated, "de": [german]})
    assert "planted" in raised.value.what and "TOML" in raised.value.hint
    with pytest.raises(EmospaceError, match="rate words of 'de'"):
        valence_agreement(sets, {**rated, "it": [german]})
    with pytest.raises(EmospaceError, match="no word norms"):
        valence_agreement(sets, {"it": rated["it"]})
    with pytest.raises(EmospaceError, match="reference language"):
        valence_agreement(sets.select(["it"]), rated)
