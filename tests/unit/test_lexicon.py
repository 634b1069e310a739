from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emospace.artefacts import read_json
from emospace.concepts import bundled_languages, load_concepts
from emospace.errors import EmospaceError
from emospace.features import matched_pool
from emospace.lexicon import (
    DATA,
    WordFrequencies,
    citation_counts,
    frequency_table,
    lexicon_languages,
    pool_words,
    same_family,
    spelling,
    word_groups,
)

RECIPE = Path(__file__).parents[2] / "recipes" / "build_lexicon.py"


@pytest.fixture(scope="module")
def recipe():
    spec = importlib.util.spec_from_file_location("build_lexicon", RECIPE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["build_lexicon"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["build_lexicon"]


def test_zipf_is_log_occurrences_per_billion_with_one_added():
    frequencies = WordFrequencies("xx", corpus="c", n_tokens=996, counts={"a": 99, "b": 9, "c": 0, "d": 1})
    assert frequencies.zipf(["a", "B", "unseen"]) == pytest.approx([8.0, 7.0, 6.0])
    assert frequencies.known(["A", "unseen"]).tolist() == [True, False]
    few = WordFrequencies("xx", corpus="c", n_tokens=996, counts=frequencies.counts, least=9)
    assert few.zipf(["a", "b", "d", "unseen"]) == pytest.approx([8.0, 7.0, 7.0, 7.0])


def test_zipf_orders_real_words_and_is_never_nan():
    zipf = frequency_table("en").zipf(["the", "Happy", "melancholy", "null", "nan", "zzyzx", ""])
    assert np.isfinite(zipf).all()
    assert zipf[0] > zipf[1] > zipf[2] > zipf[5]
    assert 7 < zipf[0] < 8
    chinese = frequency_table("zh").zipf(["没有", "快乐", "不存在的词"])
    assert chinese[0] > chinese[1] > chinese[2]


def test_a_language_without_table_says_so():
    frequencies = frequency_table("xx")
    assert frequencies.corpus is None
    assert frequencies.zipf(["word"]) is None
    assert not frequencies.known(["word"]).any()
    with pytest.raises(EmospaceError, match="en"):
        pool_words("xx")


def test_script_and_region_tags_use_the_table_of_the_language():
    assert frequency_table("zh-Hant").counts == frequency_table("zh").counts
    assert frequency_table("en_GB").n_tokens == frequency_table("en").n_tokens


def test_tables_are_small_unique_sorted_and_name_their_corpus():
    assert {"en", "zh", "de", "es", "fr"} <= set(lexicon_languages())
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 4_000_000
    for language in lexicon_languages():
        table = pd.read_parquet(DATA / f"{language}.parquet")
        assert table["word"].is_unique
        assert (table["count"] > 0).all() or "norms" in read_json(DATA / f"{language}.json")["pool"]
        assert table["pool"][table["count"] == 0].all()
        assert frequency_table(language).corpus


@pytest.mark.parametrize("language", ["fi", "id", "it", "ko", "nl", "pl", "pt"])
def test_languages_of_short_texts_have_a_pool_that_reaches_rare_words(language):
    frequencies, pool = frequency_table(language), pool_words(language)
    assert len(pool) > 1_500
    assert all(word.isalpha() for word in pool)
    assert len(set(word_groups(pool, language))) == len(pool)
    assert min(frequencies.counts[word] for word in pool) <= 2


@pytest.mark.parametrize("language", ["en", "zh"])
def test_pool_is_large_ordered_and_ordinary(language):
    frequencies = frequency_table(language)
    pool = pool_words(language)
    assert 8_000 <= len(pool) <= 15_000
    assert all(word.isalpha() for word in pool)
    counts = [frequencies.counts[word] for word in pool]
    assert counts == sorted(counts, reverse=True)
    assert min(counts) >= 5
    assert pool == pool_words(language)


def test_english_pool_leaves_names_and_function_words_but_no_emotion():
    pool = set(pool_words("en"))
    assert not pool & {"london", "john", "the", "and", "sunday", "don't"}
    assert {"table", "happy", "fear", "water"} <= pool


def test_english_pool_has_one_form_of_each_family():
    pool = pool_words("en")
    assert len(set(word_groups(pool, "en"))) == len(pool)


def test_excluded_words_leave_with_their_inflections():
    everything, rest = set(pool_words("en")), set(pool_words("en", exclude=["Fears", "happy"]))
    assert everything - rest >= {"fear", "happy"}
    assert len(everything - rest) < 8


@pytest.mark.parametrize("language", bundled_languages())
def test_every_bundled_language_has_a_pool_for_its_concepts(language):
    concepts = load_concepts([language]).words(language)
    frequencies = frequency_table(language)
    drawn = matched_pool(
        concepts, pool_words(language, concepts), frequencies, token_counts=lambda words: np.ones(len(words))
    )
    assert drawn.matched_on == "length, frequency"
    assert len(drawn.words) > 0.75 * len(concepts)
    assert drawn.n_unmatched < 0.3 * len(concepts)
    lengths = [np.mean([len(word) for word in words]) for words in (concepts, drawn.words)]
    assert abs(lengths[0] - lengths[1]) < 0.25 * lengths[0]
    zipf = [np.mean(frequencies.zipf(words)) for words in (concepts, drawn.words)]
    assert abs(zipf[0] - zipf[1]) < 0.8


def test_groups_join_case_duplicates_inflections_senses_and_derivations():
    words = ["Happy", "happiness", "walk", "walked", "walks", "walk", "table", "bank (money)", "bank"]
    assert word_groups(words, "en").tolist() == [0, 0, 1, 1, 1, 1, 2, 3, 3]
    assert word_groups([], "en").shape == (0,)


def test_groups_without_a_stemmer_go_by_spelling():
    assert word_groups(["Ab", "ab", "abs"], "xx").tolist() == [0, 0, 1]


def test_chinese_groups_join_particles_and_nothing_else():
    words = ["快乐", "快乐的", "快乐地", "不快乐", "目的", "目"]
    assert word_groups(words, "zh").tolist() == [0, 0, 0, 1, 2, 3]


def test_korean_groups_join_particles_where_two_letters_stay():
    words = ["사랑", "사랑을", "사랑에서", "사랑은", "나는", "나", "우리집에서"]
    assert word_groups(words, "ko").tolist() == [0, 0, 0, 0, 1, 2, 3]


def test_other_languages_are_stemmed():
    assert word_groups(["Freude", "Freuden", "Haus"], "de").tolist() == [0, 0, 1]
    assert word_groups(["triste", "tristes", "mesa"], "es").tolist() == [0, 0, 1]


def test_same_family_finds_concept_words_and_their_inflections():
    mask = same_family(["FEAR", "fears", "feared", "fearful", "table"], ["fear"], "en")
    assert mask.tolist() == [True, True, True, True, False]
    assert not same_family(["fear"], [], "en").any()


def test_spelling_composes_and_straightens():
    assert spelling("Cafe\u0301") == "café"
    assert spelling("Don’t") == "don't"


def test_words_are_counted_and_names_told_by_capitals(recipe, monkeypatch):
    monkeypatch.setattr(recipe, "FUNCTION_RANK", 0)
    lines = ["He saw London, and the river's bank; London rose."] * 30 + [
        "The river ran. Don't run! The bank ran."
    ] * 30
    table, n_tokens = recipe.count_words(lines, recipe.LANGUAGES["en"])
    counts = dict(zip(table["word"], table["count"], strict=True))
    assert counts["london"] == 60
    assert counts["river"] == 60
    assert counts["don't"] == 30
    assert "s" not in counts
    assert n_tokens == 30 * 9 + 30 * 8
    pool = set(table.loc[table["pool"], "word"])
    assert {"river", "bank", "saw"} <= pool
    assert not pool & {"london", "don't", "he"}


def test_with_few_texts_rare_words_are_in_the_pool_where_they_stood_in_lower_case(recipe, monkeypatch):
    monkeypatch.setattr(recipe, "FUNCTION_RANK", 0)
    lines = ["Vedo Roma, e il fiume scorre.", "Domani parto."]
    table, n_tokens = recipe.count_words(lines, recipe.LANGUAGES["it"])
    assert set(table.loc[table["pool"], "word"]) == {"fiume", "scorre", "parto"}
    assert n_tokens == 8 and len(table) == 8


def test_rated_words_join_the_pool_whatever_their_count(recipe, monkeypatch):
    monkeypatch.setattr(recipe, "FUNCTION_RANK", 0)
    spec = recipe.LANGUAGES["id"]
    table, n_tokens = recipe.count_words(["Telur itu telur."], spec, "id", {"harimau", "telur"})
    assert table.to_numpy().tolist() == [["telur", 2, True], ["itu", 1, True], ["harimau", 0, True]]
    assert n_tokens == 3


def test_inflected_forms_count_as_the_form_a_dictionary_has():
    counts = Counter({"사랑": 2, "사랑을": 3, "행복은": 4, "좋고": 1, "좋지만": 2, "먹었고": 1, "먹었지": 1})
    counts.update({"영화": 9, "영화다": 1, "영화지만": 1})
    cited, forms = citation_counts(counts, "ko")
    assert (cited["사랑"], cited["사랑을"], cited["행복은"], cited["좋다"]) == (5, 0, 4, 3)
    assert forms == {"사랑", "좋다"}


def test_branching_entropy_is_that_of_the_neighbours(recipe):
    which = np.array([0, 0, 0, 0, 1, 1])
    neighbours = np.array([3, 3, 5, 5, 0, 0])
    entropy = recipe.branching_entropy(which, neighbours, np.array([4, 2]), 10)
    assert entropy == pytest.approx([np.log(2), np.log(2)])


def test_strings_are_counted_within_runs_only(recipe):
    table, n_characters = recipe.count_strings(["甲乙丙", "甲乙丁", "甲乙", "乙甲"])
    counts = dict(zip(table["word"], table["count"], strict=True))
    assert counts == {"甲": 4, "乙": 4, "甲乙": 3}
    assert n_characters == 10
    row = table.set_index("word").loc["甲乙"]
    assert row["pmi"] == pytest.approx(np.log(3 * 10 / 16))
    assert row["entropy"] == pytest.approx(np.log(3))


def test_segmenter_prefers_probable_words(recipe):
    cut = recipe.segmenter({"研究": 50, "研究生": 10, "生命": 50, "命": 5, "生": 5})
    assert cut("研究生命") == ["研究", "生命"]
    assert cut("研究生") == ["研究生"]
    assert cut("") == []


def test_a_tables_hash_tells_tables_apart_and_none_has_none():
    from emospace.lexicon import table_hash

    assert table_hash("de") == table_hash("de-AT") != table_hash("en")
    assert table_hash("xx") is None


def test_german_neutral_words_are_written_with_their_capitals():
    words = pool_words("de")
    assert {"Zeit", "Hand", "ohne"} <= set(words)
    assert {"zeit", "hand"}.isdisjoint(words)
