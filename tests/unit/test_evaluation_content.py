"""Fluency and content: values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from emospace.errors import EmospaceError
from emospace.evaluation.content import answered, distinct_n, repetition, similarity
from emospace.evaluation.prompts import load_factual


def test_distinct_counts_over_the_set_and_never_across_texts():
    # bigrams: (a b) (b a) (a b) | (a b): 2 different of 4
    assert distinct_n(["a b a b", "A b"], 2) == 0.5
    assert distinct_n(["one two three"], 1) == 1
    assert math.isnan(distinct_n(["one", ""], 2))


def test_distinct_of_a_script_without_spaces_goes_by_character():
    assert distinct_n(["我我我"], 2) == 0.5


def test_distinct_falls_with_repetition():
    varied = ["the cat sat on a mat", "we went home by train"]
    assert distinct_n(["go on go on go on go on"], 2) < distinct_n(varied, 2)


def test_repetition_by_hand():
    assert repetition("a b c d") == 0
    # tokens 3..5 repeat the first three
    assert repetition("a b c a b c") == 0.5
    assert repetition("Wow!!!!!!") == pytest.approx(5 / 7)
    assert repetition("") == 0


def test_repetition_of_chinese():
    assert repetition("今天很好今天很好") == 0.5


def test_similarity_ends_and_inflections():
    texts = ["The dogs walked home.", "A green bicycle.", ""]
    references = ["the dog walks home", "Bread and butter.", "Bread"]
    assert similarity(texts, references, "en") == pytest.approx([1, 0, 0])


def test_similarity_by_hand():
    # idf over two references: bread in both -> 1, butter and station in one -> log(3/2)+1, rain in none -> log(3)+1
    values = similarity(["bread rain", "station"], ["bread butter", "bread station"], "en")
    rare, none = math.log(3 / 2) + 1, math.log(3) + 1
    assert values[0] == pytest.approx(1 / math.sqrt((1 + none**2) * (1 + rare**2)))
    assert values[1] == pytest.approx(rare / math.sqrt(1 + rare**2))


def test_similarity_of_a_text_does_not_depend_on_the_other_texts():
    references = ["bread butter", "bread station"]
    alone = similarity(["bread rain", "x"], references, "en")[0]
    assert similarity(["bread rain", "rain rain"], references, "en")[0] == pytest.approx(alone)


def test_similarity_of_chinese():
    values = similarity(["我们去图书馆看书", "他在海边"], ["我们去图书馆", "机场的早晨"], "zh")
    assert values[0] > 0.5 > values[1]
    assert similarity([], [], "zh").shape == (0,)


def test_each_text_needs_its_reference():
    with pytest.raises(EmospaceError, match="one reference"):
        similarity(["a"], [], "en")
    with pytest.raises(EmospaceError, match="one list"):
        answered(["a"], [])


def test_answered_takes_whole_words():
    texts = ["The answer is 5.", "It is 15.", "FIVE!", "Notice that", "It's ice"]
    accepted = [["5", "five"]] * 3 + [["ice"]] * 2
    assert answered(texts, accepted).tolist() == [True, False, True, False, True]


def test_answered_where_there_are_no_spaces():
    assert answered(["一周有7天", "有17天", "首都是北京。"], [["7"], ["7"], ["北京"]]).tolist() == [
        True,
        False,
        True,
    ]


def test_answered_whatever_the_case_accents_and_width():
    texts = ["LEÓN", "el leon", "ÁFRICA", "H₂O", "２４小时", "Moscu", "moscow"]
    accepted = [["león"], ["león"], ["Africa"], ["H2O"], ["24"], ["Moscú"], ["Moscú"]]
    assert answered(texts, accepted).tolist() == [True] * 6 + [False]


def test_a_chinese_number_is_not_in_a_longer_one():
    texts = ["是十一月", "是一月。", "有十七天", "有七天", "一共二十四个", "星期二"]
    accepted = [["一月"], ["一月"], ["七"], ["七"], ["四"], ["星期二"]]
    assert answered(texts, accepted).tolist() == [False, True, False, True, False, True]


@pytest.mark.parametrize("language", ["en", "es", "zh"])
def test_the_accepted_answers_are_accepted(language):
    questions = load_factual(language)
    accepted = [question.answers for question in questions]
    assert answered([f"It is {answers[-1]}." for answers in accepted], accepted).all()
    assert not answered(["I cannot say."] * len(questions), accepted).any()
    assert answered([], []).dtype == np.bool_
