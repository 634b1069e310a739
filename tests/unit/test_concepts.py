"""Concept-sets: the bundled ones, a user's own, association files, checks, and bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emospace.concepts import (
    CATEGORIES,
    LISTS,
    ConceptSets,
    bundled_languages,
    categories,
    category_lists,
    check_concepts,
    import_associations,
    load_concepts,
    overlap,
    unknown_category,
)
from emospace.concepts.association_files import read_answers
from emospace.concepts.category import BUNDLED
from emospace.errors import EmospaceError
from judge_training.corpus import GOEMOTIONS

BASIC = {"anger", "disgust", "fear", "joy", "sadness", "surprise"}
PORTUGUESE = """
language = "pt"
name = "Português"
carriers = ["A palavra é {word}"]
[saudade]
labels = ["saudade"]
words = ["saudade", "lembrança:0.8", "ausência:0.6"]
[joy]
labels = ["alegria", "alegre"]
words = ["alegria", "alegre:0.9"]
"""


def written(folder: Path, text: str | bytes, name: str = "own.toml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def toml(words: str, labels: str = '["joy"]') -> str:
    return f'language = "en"\n[joy]\nlabels = {labels}\nwords = {words}\n'


def small(words: dict[str, dict[str, float]]) -> ConceptSets:
    rows = [("en", category, *item) for category, items in words.items() for item in items.items()]
    return ConceptSets(
        table=pd.DataFrame(rows, columns=["language", "category", "word", "weight"]),
        labels={"en": {category: (category,) for category in words}},
        carriers={"en": ("The word is {word}",)},
        provenance="curated",
    )


def table_set(sets: ConceptSets) -> set[tuple[object, ...]]:
    return set(sets.table.itertuples(index=False, name=None))


# The bundled sets


COWEN_KELTNER = (
    "admiration, adoration, aesthetic appreciation, amusement, anger, anxiety, awe, awkwardness, boredom, calmness, confusion, "
    "craving, disgust, empathic pain, entrancement, excitement, fear, horror, interest, joy, nostalgia, relief, romance, "
    "sadness, satisfaction, sexual desire, surprise"
)


def test_there_are_42_categories_and_three_lists_of_them():
    names = [category.name for category in CATEGORIES]
    assert len(names) == len(set(names)) == 42
    assert list(LISTS) == ["basic", "paper26", "goemotions"]
    assert set(LISTS["basic"]) == BASIC == {category.name for category in CATEGORIES if category.basic}
    assert set(LISTS["paper26"]) == set(COWEN_KELTNER.split(", ")) - {"sexual desire"}
    assert set(LISTS["goemotions"]) == set(GOEMOTIONS) - {"neutral", "realization"}
    assert all(category.definition.endswith(".") for category in CATEGORIES)


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_a_selection_in_the_order_of_all(name: str):
    names = tuple(category.name for category in categories(name))
    assert names == LISTS[name] == load_concepts(["en"], name).categories
    assert sorted(names, key=[category.name for category in CATEGORIES].index) == list(names)


@pytest.mark.parametrize("language", bundled_languages())
def test_craving_is_no_copy_of_desire(language: str):
    sets = load_concepts([language])
    craving, desire = (set(sets.words(language, name)) for name in ("craving", "desire"))
    assert len(craving & desire) <= 3
    labels = sets.labels[language]
    assert not set(labels["craving"]) & set(labels["desire"])
    assert set(labels["craving"]) <= craving


@pytest.mark.parametrize("language", bundled_languages())
def test_a_bundled_language_is_complete_and_without_problems(language: str):
    sets = load_concepts([language])
    assert sets.categories == tuple(category.name for category in CATEGORIES)
    assert check_concepts(sets).empty, check_concepts(sets).to_string()
    for category in sets.categories:
        weights = sets.weights(language, category)
        assert 20 <= len(sets.words(language, category)) <= 60
        assert len(weights) == len(sets.words(language, category))
        assert weights[0] == 1
        assert (np.diff(weights) <= 0).all()
    assert 3 <= len(sets.carriers[language]) <= 4
    assert sets.families[language]
    assert sets.provenance == "curated"


def test_english_words_are_single_and_lower_case():
    words = load_concepts(["en"]).words("en")
    assert [word for word in words if not word.isalpha() or word != word.lower()] == []


def test_words_of_all_categories_come_without_repeats():
    sets = load_concepts(["en"])
    words = sets.words("en")
    assert len(words) == len(set(words)) == sets.table["word"].nunique()
    assert len(words) < len(sets.table)


# Selection


def test_selection_keeps_the_order_of_the_house(tmp_path: Path):
    listed = written(tmp_path, "# two\nsadness\njoy  # the other\n\nsadness\n", "few.txt")
    assert [category.name for category in categories(listed)] == ["joy", "sadness"]
    assert [category.name for category in categories(["awe", "anger"])] == ["anger", "awe"]
    assert load_concepts(["en"], str(listed)).categories == ("joy", "sadness")
    assert set(load_concepts(["en"], "basic").table["category"]) == BASIC


LUSOPHONE = """
[lists]
lusophone = ["saudade", "joy"]

[saudade]
definition = "Longing for someone or something loved and absent."
"""


def own_folder(folder: Path, text: str) -> Path:
    written(folder, PORTUGUESE, "pt.toml")
    written(folder, text, "categories.toml")
    return folder


def test_a_folder_of_sets_may_have_lists_of_its_own(tmp_path: Path):
    folder = own_folder(tmp_path, LUSOPHONE)
    assert category_lists(folder) == {**LISTS, "lusophone": ("joy", "saudade")}
    assert category_lists() == category_lists(folder / "pt.toml") == LISTS
    assert load_concepts(path=folder, selection="lusophone").categories == ("joy", "saudade")
    assert load_concepts(path=folder).categories == ("joy", "saudade")
    with pytest.raises(EmospaceError, match="neither all, basic, paper26, goemotions nor a file"):
        load_concepts(["pt"], "lusophone")
    with pytest.raises(EmospaceError, match="neither all, basic, paper26, goemotions, lusophone nor a file"):
        load_concepts(path=folder, selection="lusofone")


def test_a_copy_of_the_bundled_categories_is_read(tmp_path: Path):
    bundled = BUNDLED / "categories.toml"
    assert category_lists(own_folder(tmp_path, bundled.read_text(encoding="utf-8"))) == LISTS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[joy", "not valid TOML"),
        ("[joy]\nbasic = true\npaper26 = true\n", r"\[joy\].*'basic' is no field.*\[lists\]"),
        ("[joy]\npaper26 = false\n", r"\[joy\].*'paper26' is no field.*\[lists\]"),
        ("[joy]\ncolour = 1\n", r"\[joy\].*'colour' is no field.*definition"),
        ("[joy]\ndefinition = 1\n", r"\[joy\].*definition is no text"),
        ("joy = 3\n", r"\[joy\].*no table"),
        ("lists = 3\n", r"\[lists\].*no table"),
        ('[lists]\nmine = "joy"\n', "list 'mine'.*no list of names"),
        ("[lists]\nmine = []\n", "list 'mine'.*no list of names"),
        ('[lists]\nmine = ["joi"]\n', "list 'mine'.*'joi' is no category.*Did you mean joy"),
        ('[lists]\nmine = ["saudade"]\n', r"list 'mine'.*'saudade' is no category.*\[saudade\]"),
        ('[lists]\npaper26 = ["joy", "love"]\n', "list 'paper26'.*bundled list"),
        ('[lists]\nall = ["joy"]\n', "list 'all'.*every category"),
    ],
)
def test_a_malformed_file_of_categories_is_named_with_reason_and_mend(
    tmp_path: Path, text: str, message: str
):
    folder = own_folder(tmp_path, text)
    with pytest.raises(EmospaceError, match=message) as raised:
        load_concepts(path=folder)
    assert str(folder / "categories.toml") in raised.value.what


def test_a_toml_file_as_selection_brings_its_own_sets(tmp_path: Path):
    path = written(tmp_path, PORTUGUESE)
    assert [category.name for category in categories(path)] == ["joy", "saudade"]
    sets = load_concepts(selection=path)
    assert sets.languages == ("pt",)
    assert sets.categories == ("joy", "saudade")
    assert sets.words("pt", "saudade") == ("saudade", "lembrança", "ausência")
    assert sets.weights("pt", "saudade").tolist() == [1.0, 0.8, 0.6]
    assert sets.labels["pt"]["joy"] == ("alegria", "alegre")
    assert sets.names["pt"] == "Português"
    assert load_concepts(path=path, selection=["saudade"]).categories == ("saudade",)


def test_select_narrows_table_labels_and_carriers():
    sets = load_concepts()
    narrowed = sets.select(["en"], ["fear", "joy"])
    assert narrowed.languages == tuple(narrowed.carriers) == tuple(narrowed.names) == ("en",)
    assert narrowed.categories == ("fear", "joy")
    assert narrowed.words("en", "joy") == sets.words("en", "joy")
    assert set(narrowed.table["category"]) == {"fear", "joy"}


def test_loaded_tables_are_the_callers_own():
    first = load_concepts(["en"])
    first.table.loc[0, "word"] = "changed"
    assert load_concepts(["en"]).table.loc[0, "word"] != "changed"


def test_without_shared_removes_a_shared_word_from_every_set():
    sets = small({"joy": {"joy": 1, "birthday": 0.5}, "excitement": {"thrill": 1, "birthday": 0.4}})
    assert table_set(sets.without_shared()) == {("en", "joy", "joy", 1), ("en", "excitement", "thrill", 1)}


# Hash, save and load


def test_the_hash_ignores_order_and_nothing_else():
    sets = small({"joy": {"joy": 1.0, "glad": 0.8}, "fear": {"fear": 1.0}})
    turned = small({"fear": {"fear": 1.0}, "joy": {"glad": 0.8, "joy": 1.0}})
    assert sets.content_hash == turned.content_hash
    others = [
        small({"joy": {"joy": 1.0, "glad": 0.7}, "fear": {"fear": 1.0}}),
        small({"joy": {"joy": 1.0}, "fear": {"fear": 1.0, "glad": 0.8}}),
        small({"joy": {"joy": 1.0, "glad": 0.8}, "fear": {"fear": 1.0}, "awe": {}}),
    ]
    hashes = {sets.content_hash, *(other.content_hash for other in others)}
    assert len(hashes) == 4


def test_save_and_load_give_the_same_sets(tmp_path: Path):
    sets = load_concepts()
    sets.save(tmp_path / "all")
    again = ConceptSets.load(tmp_path / "all")
    assert again.content_hash == sets.content_hash
    assert again.categories == sets.categories
    assert again.names == sets.names
    for language in sets.languages:
        part = sets.select([language])
        part.save(tmp_path / f"{language}.toml")
        assert ConceptSets.load(tmp_path / f"{language}.toml").content_hash == part.content_hash
        assert again.words(language) == sets.words(language)


SPECIFIC = PORTUGUESE.replace(
    "[saudade]",
    """family = "indo-european"
specific = ["saudade: longing for one loved: absent, bitter and sweet", "lembranc\u0327a: what one keeps"]
[saudade]""",
)


def test_family_and_specific_words_come_along_and_change_no_hash(tmp_path: Path):
    sets = load_concepts(path=written(tmp_path, SPECIFIC))
    glosses = {"saudade": "longing for one loved: absent, bitter and sweet", "lembrança": "what one keeps"}
    assert sets.families == {"pt": "indo-european"}
    assert sets.specific == {"pt": glosses}
    assert sets.content_hash == load_concepts(path=written(tmp_path, PORTUGUESE, "plain.toml")).content_hash
    sets.save(tmp_path / "again.toml")
    again = ConceptSets.load(tmp_path / "again.toml")
    assert (again.families, again.specific) == (sets.families, sets.specific)
    folder = tmp_path / "both"
    folder.mkdir()
    written(folder, SPECIFIC, "pt.toml")
    written(folder, toml('["joy"]'), "en.toml")
    both = load_concepts(path=folder)
    assert both.specific == {"pt": glosses} and both.families == {"pt": "indo-european"}
    assert both.select(["pt"]).specific == {"pt": glosses}
    assert both.select(["en"]).families == both.select(["en"]).specific == {}
    assert both.select(["pt"], ["joy"]).specific == {}
    assert both.select(["pt"], ["joy"]).families == {"pt": "indo-european"}


def test_a_shared_word_taken_away_is_no_longer_specific(tmp_path: Path):
    path = written(tmp_path, SPECIFIC.replace('"alegria", ', '"alegria", "saudade:0.3", '))
    assert set(load_concepts(path=path).without_shared().specific["pt"]) == {"lembrança"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('family = "Indo-European"', "family is 'Indo-European'"),
        ("family = 3", "family is 3"),
        ('specific = "saudade: longing"', "list of strings"),
        ('specific = ["saudade"]', "no word with its gloss"),
        ('specific = ["saudade: a", "saudade: b"]', "listed twice"),
        ('specific = ["morriña: homesickness"]', "no set of the file has the word 'morriña'"),
    ],
)
def test_a_wrong_family_or_specific_word_is_named(tmp_path: Path, line: str, message: str):
    path = written(tmp_path, PORTUGUESE.replace("[saudade]", f"{line}\n[saudade]"))
    with pytest.raises(EmospaceError, match=message) as raised:
        load_concepts(path=path)
    assert str(path) in raised.value.what and raised.value.hint


def test_saving_keeps_odd_words_and_exact_weights(tmp_path: Path):
    sets = small({"joy": {'say "hi"': 1 / 3, "a:b": 1.0, "back\\slash": 0.1, "nan": 1.0, "null": 0.5}})
    sets.save(tmp_path / "odd.toml")
    assert table_set(ConceptSets.load(tmp_path / "odd.toml")) == table_set(sets)


def test_saving_several_languages_into_one_file_or_beside_others_is_refused(tmp_path: Path):
    sets = load_concepts(["en"])
    both = ConceptSets(
        sets.table,
        {"en": sets.labels["en"], "xx": {}},
        {"en": sets.carriers["en"], "xx": ("{word}",)},
        "curated",
    )
    with pytest.raises(EmospaceError, match="one language"):
        both.save(tmp_path / "both.toml")
    written(tmp_path, PORTUGUESE, "pt.toml")
    with pytest.raises(EmospaceError, match="pt"):
        sets.save(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["pt.toml"]


# Checks


def problems(sets: ConceptSets, **given: object) -> set[tuple[str, str, str]]:
    table = check_concepts(sets, **given)
    return set(table[["problem", "category", "word"]].itertuples(index=False, name=None))


def test_check_lists_every_problem(tmp_path: Path):
    words = '["joy", "Joy:0.9", "glad:1.5", "calm:0", "odd:nan", "ice cream:0.5"]'
    path = written(tmp_path, toml(words) + '[saudade]\nlabels = ["saudade"]\nwords = []\n')
    sets = load_concepts(path=path, strict=False)
    assert problems(sets) == {
        ("few concepts", "joy", ""),
        ("duplicate word", "joy", "Joy"),
        ("weight out of range", "joy", "glad"),
        ("weight out of range", "joy", "calm"),
        ("weight out of range", "joy", "odd"),
        ("several words", "joy", "ice cream"),
        ("own category", "saudade", ""),
        ("empty set", "saudade", ""),
    }


def test_overlap_is_measured_by_pair_and_checked_against_the_smaller_set():
    joy = {f"joy{i}": 0.5 for i in range(30)}
    sets = small(
        {
            "joy": joy | {"shared": 1.0},
            "love": {f"love{i}": 0.5 for i in range(24)} | {f"joy{i}": 0.4 for i in range(6)},
            "fear": {f"fear{i}": 0.5 for i in range(24)} | {"shared": 0.5},
        }
    )
    pairs = overlap(sets, "en")
    assert pairs[["category_a", "category_b", "n_shared"]].to_numpy().tolist() == [
        ["joy", "love", 6],
        ["joy", "fear", 1],
    ]
    assert pairs["jaccard"].tolist() == pytest.approx([6 / 55, 1 / 55])
    assert pairs["share"].tolist() == pytest.approx([6 / 30, 1 / 25])
    table = check_concepts(sets)
    assert table["problem"].tolist() == ["overlap"]
    assert table.loc[0, "category"] == "joy + love"
    assert table.loc[0, "word"] == ", ".join(f"joy{i}" for i in range(6))


def test_check_reports_a_category_another_language_lacks(tmp_path: Path):
    written(tmp_path, PORTUGUESE, "pt.toml")
    written(tmp_path, toml('["joy"]'), "en.toml")
    table = check_concepts(load_concepts(path=tmp_path))
    missing = table[table["problem"] == "missing category"]
    assert missing[["language", "category"]].to_numpy().tolist() == [["en", "saudade"]]


def test_check_reports_words_a_tokenizer_cannot_write():
    class Few:
        unk_token_id = 0

        def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
            return {"joy": [5], "glad": [7, 0], "": []}.get(text, []) + [1] * add_special_tokens

    sets = small({"joy": {"joy": 1, "glad": 0.9, "merry": 0.8}})
    assert problems(sets, tokenizer=Few()) - problems(sets) == {
        ("unknown token", "joy", "glad"),
        ("no token", "joy", "merry"),
    }


def test_a_real_tokenizer_is_taken():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "joy": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")
    sets = small({"joy": {"joy": 1, "glad": 0.9}})
    assert problems(sets, tokenizer=fast) - problems(sets) == {("unknown token", "joy", "glad")}


# Association files


def swow(rows: list[tuple[object, ...]], separator: str = ",", kind: str = "R123") -> str:
    header = ("cue", "response", kind, "N", f"{kind}.Strength")
    return "\n".join(separator.join(map(str, row)) for row in (header, *rows)) + "\n"


def answer(cue: str, response: str, count: int, total: int = 100) -> tuple[object, ...]:
    return (cue, response, count, total, count / total)


JOY = [
    answer("joy", "Happy", 30),
    answer("joy", "happy", 10),
    answer("joyful", "happy", 20, total=300),
    answer("joy", "null", 20),
    answer("joy", "smile", 4),
    answer("joyful", "joy", 90, total=300),
    answer("joy", "christmas day", 30),
    answer("joy", ":)", 30),
    answer("joy", "rare", 3),
    answer("table", "chair", 50),
]


@pytest.mark.parametrize("separator", [",", "\t", ";"])
@pytest.mark.parametrize("kind", ["R123", "R1"])
def test_association_files_become_concept_sets(tmp_path: Path, separator: str, kind: str, capsys):
    path = written(tmp_path, swow(JOY, separator, kind), "swow.csv")
    sets = import_associations(path, "en", selection=["joy", "fear"], min_words=3)
    # Strength over both cues together: happy 60/400, null 20/400, smile 4/400 = the threshold, rare 3/400.
    assert sets.words("en", "joy") == ("joy", "joyful", "Happy", "null", "smile")
    assert sets.weights("en", "joy").tolist() == pytest.approx([1, 1, 1, 20 / 60, 4 / 60])
    assert sets.provenance == "associations"
    assert sets.categories == ("joy",)
    assert sets.carriers == {"en": load_concepts(["en"]).carriers["en"]}
    notes = "\n".join(sets.notes)
    assert "fear: left out, none of its cues" in notes
    for reason in ("several words: 1", "no letters: 1", "too weak: 1"):
        assert reason in notes
    message = capsys.readouterr().err
    assert "1 of 2 categories" in message
    assert all(note in message for note in sets.notes)


def test_an_import_is_saved_with_its_provenance_and_notes(tmp_path: Path):
    sets = import_associations(written(tmp_path, swow(JOY), "swow.csv"), "en", selection=["joy"], min_words=3)
    sets.save(tmp_path / "en.toml")
    again = ConceptSets.load(tmp_path / "en.toml")
    assert again.content_hash == sets.content_hash
    assert (again.provenance, again.notes) == ("associations", sets.notes)


def test_thresholds_bounds_and_unusable_rows_are_counted(tmp_path: Path):
    rows = [answer("joy", f"word{letter}", 40 - i) for i, letter in enumerate("abcdefghij")]
    path = written(tmp_path, swow([*rows, ("joy", "broken", "x", 100, 0.1)]), "swow.csv")
    sets = import_associations(path, "en", selection=["joy"], threshold=0.35, max_words=5, min_words=2)
    assert sets.words("en", "joy") == ("joy", "worda", "wordb", "wordc", "wordd")
    assert sets.notes == (
        "rows without a usable R123 and N: 1",
        "responses left out, too weak: 4",
        "responses left out, beyond the strongest 5: 2",
    )


CASES = Path(__file__).parents[1] / "cases" / "associations"


def test_a_file_of_strengths_without_n_is_read_and_told():
    """R1 holds shares of the answers, and no column says of how many."""
    sets = import_associations(CASES / "strength_no_N.csv", "en", selection=["joy"])
    assert sets.words("en", "joy")[:4] == ("joy", "happiness", "happy", "love")
    assert len(sets.words("en", "joy")) == 13
    assert sets.weights("en", "joy")[1:3].tolist() == pytest.approx([1, 0.37 / 0.4])
    assert any("no N" in note and "min_count is not applied" in note for note in sets.notes)
    strong = import_associations(
        CASES / "strength_no_N.csv", "en", selection=["joy"], threshold=0.2, min_words=3
    )
    assert len(strong.words("en", "joy")) == 8
    with pytest.raises(EmospaceError, match="no column 'R123'"):
        import_associations(CASES / "strength_no_N.csv", "en", selection=["joy"], responses="R123")


@pytest.mark.parametrize(
    ("text", "strengths", "note"),
    [
        ("cue,response,R1\njoy,happy,30\njoy,glad,10\n", [0.75, 0.25], "the sum of its R1"),
        (
            "cue,response,R123,R123.Strength\njoy,happy,30,.3\njoy,glad,10,.1\n",
            [0.3, 0.1],
            "reckoned from R123",
        ),
        ("cue,response,R123.Strength\njoy,happy,.3\njoy,glad,.1\n", [0.3, 0.1], "not applied"),
        ("CUE;Response;strength\njoy;happy;.3\njoy;glad;.1\n", [0.3, 0.1], "not applied"),
        ("cue,response,R1,N\njoy,happy,.3,100\njoy,glad,.1,100\n", [0.3, 0.1], ""),
        ("cue,response,R123,N\njoy,happy,30,100\njoy,glad,10,100\n", [0.3, 0.1], ""),
    ],
)
def test_strengths_come_from_counts_shares_or_n(tmp_path: Path, text: str, strengths: list[float], note: str):
    answers = read_answers(written(tmp_path, text, "swow.csv"))
    assert (answers.table["count"] / answers.table["total"]).tolist() == pytest.approx(strengths)
    assert note in " ".join(answers.notes)
    assert bool(answers.notes) == bool(note)


USF = """<HTML>
<BODY>
<pre>
CUE, TARGET, NORMED?, #G, #P, FSG, BSG
JOY, HAPPINESS, YES, 100, 40, 0.40, 0.10
JOY, HAPPY, YES, 100, 20, 0.20, 0.05
</pre>
</BODY>
</HTML>
"""
EAT = (
    '<eat-stimulus-response nb="1">\n<stimulus word="JOY" all="100">\n<response word="HAPPINESS" n="40" r="0.4"/>\n'
    '<response word="HAPPY" n="20" r="0.2"/>\n</stimulus>\n</eat-stimulus-response>\n'
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (USF, "usf.html"),
        (USF.split("<pre>\n")[1].split("</pre>")[0], "usf.csv"),
        (EAT, "eat.xml"),
        (
            '<?xml version="1.0"?>\n<usf><cue word="JOY"><target word="HAPPINESS" g="100" p="40"/>'
            '<target word="HAPPY" g="100" p="20"/></cue></usf>',
            "usf.xml",
        ),
        ("stimulus\tresponse\tR1\tN\nJOY\tHAPPINESS\t40\t100\nJOY\tHAPPY\t20\t100\n", "eat.tsv"),
    ],
)
def test_usf_and_eat_files_are_read_in_their_published_forms(tmp_path: Path, text: str, name: str):
    answers = read_answers(written(tmp_path, text, name))
    assert answers.counted
    assert answers.table["cue"].tolist() == ["joy", "joy"]
    assert answers.table["response"].tolist() == ["HAPPINESS", "HAPPY"]
    assert (answers.table["count"] / answers.table["total"]).tolist() == pytest.approx([0.4, 0.2])


def test_the_edinburgh_thesaurus_in_json_is_read(tmp_path: Path):
    answers = read_answers(
        written(tmp_path, '{"JOY": [{"HAPPINESS": "3"}, {"HAPPY": "1"}], "SEA": []}', "ea.json")
    )
    assert answers.table["count"].tolist() == [3, 1]
    assert set(answers.table["total"]) == {4}
    with pytest.raises(EmospaceError, match="cannot be read as associations"):
        read_answers(written(tmp_path, '{"JOY": 3}', "ea.json"))


def test_a_long_run_of_letters_in_xml_takes_no_time(tmp_path: Path):
    # Read letter by letter from each of its letters, this would take minutes.
    text = f'<eat><stimulus word="JOY"><response {"w" * 400_000} word="HAPPY" n="3"/></stimulus></eat>'
    assert read_answers(written(tmp_path, text, "eat.xml")).table["response"].tolist() == ["HAPPY"]


def test_the_first_dutch_file_of_small_world_of_words_is_counted(tmp_path: Path):
    text = (
        "participantID;age;cue;asso1;asso2;asso3\n1;30;vreugde;geluk;lach;feest\n2;31;vreugde;geluk;;blij\n"
    )
    answers = read_answers(written(tmp_path, text, "nl.csv"))
    assert dict(zip(answers.table["response"], answers.table["count"], strict=True)) == {
        "geluk": 2,
        "lach": 1,
        "feest": 1,
        "blij": 1,
    }


def test_percentages_are_not_taken_for_strengths(tmp_path: Path):
    path = written(tmp_path, "cue,response,R1\njoy,happy,30.5\njoy,glad,10\n", "swow.csv")
    with pytest.raises(EmospaceError, match=r"neither numbers of answers nor shares.*30\.5"):
        import_associations(path, "en")


RAW = """id,participantID,age,cue,R1Raw,R1,R2,R3
1,3,33,joy,Happy,happy,smile,"fun, games"
2,4,40,Joy,x,Happy,glad,No more responses
3,5,21,joy,x,smile,NA,
4,6,52,joy,x,Unknown word,No more responses,No more responses
5,7,52,joy,x,null,happy,nan
6,7,52,table,x,chair,leg,wood
"""


@pytest.mark.parametrize(
    ("responses", "counts", "total", "missing"),
    [
        (None, {"happy": 2, "Happy": 1, "smile": 2, "glad": 1, "fun, games": 1, "null": 1, "nan": 1}, 9, 5),
        ("R123", {"happy": 2, "Happy": 1, "smile": 2, "glad": 1, "fun, games": 1, "null": 1, "nan": 1}, 9, 5),
        ("R1", {"happy": 1, "Happy": 1, "smile": 1, "null": 1}, 4, 0),
    ],
)
def test_participants_answers_are_counted(tmp_path: Path, responses, counts, total, missing):
    path = written(tmp_path, RAW, "raw.csv")
    answers = read_answers(path, responses)
    of_joy = answers.table[answers.table["cue"] == "joy"]
    assert dict(zip(of_joy["response"], of_joy["count"], strict=True)) == counts
    assert set(of_joy["total"]) == {total}
    notes = " | ".join(answers.notes)
    assert f"not given: {missing}" in notes
    assert "did not know the cue: 1" in notes
    sets = import_associations(path, "en", selection=["joy"], responses=responses, min_words=2)
    assert sets.words("en", "joy")[:2] == ("joy", "happy" if responses != "R1" else "Happy")


def test_a_row_for_each_answer_is_counted_as_a_row_for_each_participant_is(tmp_path: Path):
    import pandas as pd

    wide = pd.read_csv(written(tmp_path, RAW, "raw.csv"), dtype=str, keep_default_na=False)
    long = wide.melt(["participantID", "cue"], ["R1", "R2", "R3"], var_name="RPOS", value_name="response")
    long.to_csv(tmp_path / "long.csv", index=False)
    for responses in ("R1", "R123"):
        first, other = (read_answers(tmp_path / name, responses).table for name in ("raw.csv", "long.csv"))
        assert sorted(map(tuple, first.to_numpy())) == sorted(map(tuple, other.to_numpy()))


def test_an_unpaired_quotation_mark_in_a_tab_file_loses_no_row(tmp_path: Path):
    rows = [answer("joy", '"glad', 30), answer("joy", "happy", 20), answer('"joy"', "merry", 10)]
    path = written(tmp_path, swow(rows, "\t"), "swow.tsv")
    sets = import_associations(path, "en", selection=["joy"], min_words=1)
    assert sets.words("en", "joy") == ("joy", "glad", "happy", "merry")


def test_a_language_without_bundled_sets_needs_labels(tmp_path: Path):
    path = written(tmp_path, swow([answer("alegria", "festa", 30)]), "swow.csv")
    with pytest.raises(EmospaceError, match="labels="):
        import_associations(path, "xx")
    sets = import_associations(path, "xx", labels={"joy": ["alegria"], "saudade": ["saudade"]}, min_words=1)
    assert sets.words("xx", "joy") == ("alegria", "festa")
    assert sets.carriers["xx"] == ("{word}",)
    assert any(note.startswith("saudade: left out") for note in sets.notes)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_chinese_files_are_read_in_the_usual_encodings(tmp_path: Path, encoding: str):
    rows = [answer("快乐", "开心", 30), answer("快乐", "高兴", 20), answer("快乐", "卡拉OK", 10)]
    path = written(tmp_path, swow(rows).encode(encoding), "swow.csv")
    sets = import_associations(path, "zh", labels={"joy": ["快乐"]}, min_words=1)
    assert sets.words("zh", "joy") == ("快乐", "开心", "高兴", "卡拉OK")


# Bad input


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("language = ", "not valid TOML"),
        ('[joy]\nlabels = ["joy"]\nwords = ["joy"]\n', "names no language"),
        ('language = "../en"\n', "names no language"),
        ('language = "en"\n', "no category"),
        ('language = "en"\nprovenance = "found"\n', "provenance"),
        ('language = "en"\ncarriers = ["The word is"]\n', "carrier"),
        ('language = "en"\n[joy]\nwords = ["joy"]\n', "labels and words"),
        ('language = "en"\njoy = 3\n', "labels and words"),
        (toml('["joy"]', "[]"), "no label"),
        (toml('"joy"'), "list of strings"),
        (toml("[3]"), "list of strings"),
        (toml('["joy:high"]'), "'high' is no number"),
        (toml('[":0.5"]'), "no word"),
        (toml("[]"), "empty set"),
        (toml('["joy", "joy:0.5"]'), "word 'joy': duplicate word"),
        (toml('["joy:2"]'), "weight out of range"),
    ],
)
def test_a_malformed_file_is_named_with_reason_and_mend(tmp_path: Path, text: str, message: str):
    path = written(tmp_path, text)
    with pytest.raises(EmospaceError, match=message) as raised:
        load_concepts(path=path)
    assert str(path) in raised.value.what
    assert raised.value.hint


def test_missing_files_unknown_names_and_other_encodings(tmp_path: Path):
    with pytest.raises(EmospaceError, match="no such file"):
        load_concepts(path=tmp_path / "none.toml")
    with pytest.raises(EmospaceError, match="no such file"):
        load_concepts(selection=str(tmp_path / "none.toml"))
    with pytest.raises(EmospaceError, match="neither all"):
        categories("paper62")
    with pytest.raises(EmospaceError, match="no TOML file"):
        load_concepts(path=tmp_path)
    with pytest.raises(EmospaceError, match="Did you mean joy"):
        load_concepts(["en"], ["joi"])
    with pytest.raises(EmospaceError, match="no category is named"):
        categories(written(tmp_path, "# nothing\n", "empty.txt"))
    with pytest.raises(EmospaceError, match="language 'xx'"):
        load_concepts(["xx"])
    with pytest.raises(EmospaceError, match="not UTF-8"):
        load_concepts(path=written(tmp_path, PORTUGUESE.encode("latin-1")))
    with pytest.raises(EmospaceError, match="language 'en'"):
        load_concepts(["en"], path=written(tmp_path, PORTUGUESE))
    with pytest.raises(EmospaceError, match=r"category 'awe'.*'pt'"):
        load_concepts(path=written(tmp_path, PORTUGUESE), selection=["awe"])


@pytest.mark.parametrize(
    ("given", "category", "word"),
    [
        ("joi", "joy", ""),
        ("Sadnes", "sadness", ""),
        ("happiness", "joy", "happiness"),
        ("hapiness", "joy", "happiness"),
        ("felicidad", "joy", "felicidad"),
        ("furious", "anger", "furious"),
        ("悲しみ", "sadness", "悲しみ"),
    ],
)
def test_an_unknown_category_is_answered_by_the_one_it_means(given: str, category: str, word: str):
    error = unknown_category(given, [named.name for named in CATEGORIES], "emotion")
    assert error.what == f"emotion '{given}'"
    assert error.hint.startswith(f"Did you mean {category}")
    assert f"'{word}'" in error.hint or not word


def test_a_word_that_is_near_no_category_is_answered_by_all_there_are():
    assert unknown_category("parcel", ["joy", "anger"]).hint == "Known: anger, joy."
    assert unknown_category("happiness", ["anger", "fear"]).hint == "Known: anger, fear."


def test_asking_for_what_is_not_there_names_it():
    sets = load_concepts(["en"], "basic")
    with pytest.raises(EmospaceError, match="language 'zz'"):
        sets.words("zz")
    with pytest.raises(EmospaceError, match="category 'awe'"):
        sets.weights("en", "awe")
    with pytest.raises(EmospaceError, match="language 'zz'"):
        sets.select(["zz"])


def test_two_files_of_one_language_are_refused(tmp_path: Path):
    written(tmp_path, PORTUGUESE, "a.toml")
    written(tmp_path, PORTUGUESE, "b.toml")
    with pytest.raises(EmospaceError, match="two files are of one language"):
        load_concepts(path=tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as a table"),
        ("cue,response\njoy,happy\n", "no column 'R123'"),
        ("word,response,R123,N,R123.Strength\njoy,happy,3,9,.3\n", "no column 'cue'"),
        (swow(JOY) + "joy,a,b,c,d,e,f\n", "cannot be read as a table"),
        (swow([answer("table", "chair", 50)]), "no category gets 10 concepts"),
        (swow(JOY), "no category gets 10 concepts"),
    ],
)
def test_an_unusable_association_file_is_named(tmp_path: Path, text: str, message: str):
    path = written(tmp_path, text, "swow.csv")
    with pytest.raises(EmospaceError, match=message) as raised:
        import_associations(path, "en")
    assert raised.value.what == str(path)


def test_association_files_that_are_missing_or_in_another_encoding(tmp_path: Path):
    with pytest.raises(EmospaceError, match="no such file"):
        import_associations(tmp_path / "none.csv", "en")
    path = written(tmp_path, swow([answer("joie", "fête", 30)]).encode("latin-1"), "swow.csv")
    with pytest.raises(EmospaceError, match="not UTF-8"):
        import_associations(path, "en")
