from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from emospace.concepts import categories
from emospace.errors import EmospaceError
from emospace.judges import BASIC, BASIC_SEVEN, Judgement, load_judge
from emospace.judges.embedded import (
    SCORERS,
    SHIPPED,
    EmbeddedJudge,
    ngram_logits,
    scores_of,
    subword_logits,
    unpack,
)
from emospace.judges.tokens import features, gather, tokenise, words_of
from judge_training import linear, scoring
from judge_training.corpus import GOEMOTIONS, NEUTRAL, Corpus, key_of
from judge_training.parameters import STARTS, pack, start_from
from judge_training.training import Fit, class_weights, join, train

PLAIN = {
    "anger": "I am so angry and furious at you, I hate this.",
    "disgust": "That is disgusting and gross, it makes me sick.",
    "fear": "I am terrified, I was so scared and afraid of it.",
    "joy": "I am so happy and glad, what a joyful day!",
    "sadness": "I feel so sad, I am crying with sorrow.",
    "surprise": "Wow, I am so surprised, I never expected that!",
    "neutral": "The train to the city leaves at nine from platform two.",
}


@pytest.fixture(scope="module", params=["ngram", "subword"])
def judge(request) -> EmbeddedJudge:
    return load_judge(request.param)


def corpus_of(n: int = 240) -> Corpus:
    """Two made-up languages in which a word tells the class."""
    rng = np.random.default_rng(0)
    seven = rng.integers(0, 7, n)
    fillers = [" ".join(rng.choice(["the", "of", "and", "was", "this"], 5)) for _ in range(n)]
    basic = np.eye(7)[seven][:, :6].astype(np.float32)
    fine = np.zeros((n, 28), np.float32)
    fine[np.arange(n), [GOEMOTIONS.index(BASIC_SEVEN[k]) for k in seven]] = 1
    return Corpus(
        texts=np.array(
            [f"{fill} {BASIC_SEVEN[k]}{k}" for fill, k in zip(fillers, seven, strict=True)], object
        ),
        language=np.where(np.arange(n) % 3, "xx", "yy").astype(object),
        source=np.full(n, "goemotions", object),
        part=np.full(n, "train", object),
        half=np.zeros(n, int),
        fine=fine,
        basic=basic,
        seven=seven,
    )


def test_words_of_many_scripts():
    assert words_of("I can't BELIEVE it!!!! […] … so") == [
        "i",
        "can't",
        "believe",
        "it",
        "!!",
        "[",
        "]",
        "so",
    ]
    assert words_of("हिन्दी में बात।") == ["हिन्दी", "में", "बात", "।"]
    assert words_of("我很高兴！") == ["我", "很", "高", "兴", "!"]
    assert words_of("[NAME] is @<username> https://a.b/c") == ["is"]


def test_copies_of_a_text_share_a_key():
    assert key_of("Oh, REALLY?! [NAME]...") == key_of("oh really")
    assert key_of("हिन्दी में") != key_of("हिन्द म")
    assert key_of("...") == "..."


def test_features_of_a_text_do_not_depend_on_its_neighbours():
    texts = ["a cat sat", "", "dogs do not sit down"]
    tokens = tokenise(texts)
    ids, counts = features(tokens, tokens.words, np.diff(tokens.starts), 1 << 20)
    at = 0
    for text, count in zip(texts, counts, strict=True):
        alone = tokenise([text])
        expected, _ = features(alone, alone.words, np.diff(alone.starts), 1 << 20)
        assert sorted(ids[at : at + count]) == sorted(expected)
        at += count
    assert at == len(ids)


def test_hashes_stay_the_same():
    tokens = tokenise(["joy"])
    assert tokens.pieces.tolist()[0] == 2918780774
    assert len(tokens.pieces) == 6


def test_gather_takes_items_in_order():
    values, lengths = gather(np.array([5, 6, 7, 8]), np.array([0, 1, 1, 4]), np.array([2, 1, 0]))
    assert values.tolist() == [6, 7, 8, 5]
    assert lengths.tolist() == [3, 0, 1]


@pytest.mark.parametrize("name", list(SCORERS))
def test_scores_do_not_depend_on_the_batch(name):
    import torch

    parameters = STARTS[name](512, 9, 0)
    generator = torch.Generator().manual_seed(1)
    parameters = {k: v + 0.1 * torch.randn(v.shape, generator=generator) for k, v in parameters.items()}
    texts = ["one", "a much longer text with quite a few more words in it", "", "two words"]
    together = scores_of(SCORERS[name][1], parameters, texts)
    alone = np.concatenate([scores_of(SCORERS[name][1], parameters, [text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("name", list(SCORERS))
def test_training_finds_a_planted_word_and_repeats_itself(name):
    corpus = corpus_of()
    fit = Fit(("fine", "seven"), n_rows=2048, epochs=10, rate=0.05 if name == "ngram" else 0.01, batch=40)

    def run():
        return train(SCORERS[name][1], STARTS[name](fit.n_rows, fit.n_outputs, 0), corpus, fit, "test")

    first = run()
    texts = [f"of the {BASIC_SEVEN[k]}{k} was and" for k in range(7)]
    scores = scores_of(SCORERS[name][1], first, texts)
    assert (scores[:, fit.columns["seven"]].argmax(axis=1) == np.arange(7)).all()
    again = run()
    assert all((first[name] == again[name]).all() for name in first)


CHARACTERS = dict(zip(BASIC_SEVEN, "怒厌恐喜悲惊平", strict=True))


def chinese() -> Corpus:
    """The made-up corpus with single characters for words."""
    corpus = corpus_of()
    marks = [CHARACTERS[BASIC_SEVEN[k]] for k in corpus.seven]
    texts = [f"我今天{'很' * (i % 3)}{mark}了" for i, mark in enumerate(marks)]
    return replace(corpus, texts=np.array(texts, object), fine=np.full_like(corpus.fine, np.nan))


def test_a_solution_finds_a_planted_character_and_repeats_itself():
    corpus, fit = chinese(), Fit(("basic", "seven"), n_rows=2048, epochs=0, rate=0.0)
    solution = linear.solve(corpus, fit, 10.0)
    # Among words it has not seen, a mark still ranks first, while the choice falls to neutral.
    near, far = (
        scores_of(ngram_logits, solution, [around.format(mark) for mark in CHARACTERS.values()])
        for around in ("今天{}了", "他们{}吗")
    )
    assert (near[:, fit.columns["seven"]].argmax(axis=1) == np.arange(7)).all()
    assert (far[:6, fit.columns["basic"]].argmax(axis=1) == np.arange(6)).all()
    again = linear.solve(corpus, fit, 10.0)
    assert all((solution[name] == again[name]).all() for name in solution)


def test_a_neural_block_can_begin_at_a_solution():
    corpus, fit = chinese(), Fit(("basic", "seven"), n_rows=2048, epochs=0, rate=0.0)
    solution = linear.solve(corpus, fit, 10.0)
    texts = list(dict.fromkeys(corpus.texts))
    linear_scores = scores_of(ngram_logits, solution, texts)
    neural_scores = scores_of(subword_logits, start_from(solution, 0), texts)
    for a, b in zip(linear_scores.T, neural_scores.T, strict=True):
        assert np.corrcoef(a, b)[0, 1] > 0.9


def test_joined_rows_keep_language_and_class():
    corpus = corpus_of()
    examples = join(corpus, np.random.default_rng(3), 1.0)
    sizes = (examples.rows >= 0).sum(axis=1)
    assert set(sizes) == {2, 3, 4}
    for index, row in enumerate(examples.rows):
        members = row[row >= 0]
        assert index in members
        assert set(corpus.language[members]) == {corpus.language[index]}
        assert set(corpus.seven[members]) <= {corpus.seven[index], NEUTRAL}
    assert (examples.fine[:, GOEMOTIONS.index("neutral")] == (corpus.seven == NEUTRAL)).all()
    assert (examples.basic.sum(axis=1) == (corpus.seven != NEUTRAL)).all()
    assert (join(corpus, np.random.default_rng(3), 0.0).rows[:, 1:] == -1).all()


def test_unknown_marks_stay_unknown_when_texts_are_joined():
    corpus = corpus_of()
    corpus = replace(corpus, fine=np.full_like(corpus.fine, np.nan))
    assert np.isnan(join(corpus, np.random.default_rng(0), 1.0).fine).all()


def test_classes_weigh_alike_within_a_language():
    corpus = corpus_of()
    seven = np.where((corpus.language == "xx") & (np.arange(240) % 2 == 0), NEUTRAL, corpus.seven)
    corpus = replace(corpus, seven=seven)
    weights = class_weights(corpus)
    for language in ("xx", "yy"):
        here = corpus.language == language
        totals = [weights[here & (corpus.seven == k)].sum() for k in range(7)]
        np.testing.assert_allclose(totals, here.sum() / 7, rtol=1e-4)


def test_quantised_weights_are_close():
    import torch

    parameters = {"table": torch.randn(64, 16), "bias": torch.randn(16)}
    back = unpack(pack({"en": parameters}), "en")
    assert set(back) == {"table", "bias"}
    worst = (back["table"] - parameters["table"]).abs().amax(dim=1)
    assert (worst <= parameters["table"].abs().amax(dim=1) / 127).all()
    np.testing.assert_allclose(back["bias"], parameters["bias"], atol=2e-3)


def test_auroc_is_that_of_sklearn_and_needs_texts_on_both_sides():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    marks = (rng.random(200) < 0.3).astype(float)
    scores = np.round(marks + rng.normal(size=200), 1)
    assert scoring.auroc(scores, marks) == pytest.approx(roc_auc_score(marks, scores))
    assert scoring.auroc(scores[:4], marks[:4]) is None


def test_calibration_error_of_known_cases():
    marks = np.array([0.0, 1.0] * 50)
    assert scoring.calibration_error(np.full(100, 0.5), marks) == pytest.approx(0)
    assert scoring.calibration_error(np.full(100, 0.9), marks) == pytest.approx(0.4)


def test_platt_finds_the_planted_curve():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=20_000)
    language = np.where(rng.random(20_000) < 0.5, "a", "b")
    logit = 1.5 * scores + np.where(language == "a", -1.0, 0.5)
    marks = (rng.random(20_000) < 1 / (1 + np.exp(-logit))).astype(float)
    curve = scoring.platt(scores, marks, language)
    np.testing.assert_allclose(curve["a"], [1.5, -1.0], atol=0.1)
    np.testing.assert_allclose(curve["b"], [1.5, 0.5], atol=0.1)
    assert scoring.platt(scores, np.zeros(20_000), language)["a"][1] < -9


def test_balance_undoes_a_shift_of_the_scores():
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 7, 7000)
    shift = np.array([2.0, 0, 0, -2, 0, 0, 0])
    scores = 2 * np.eye(7)[classes] + rng.normal(size=(7000, 7)) + shift
    slope, *shifts = scoring.balance(scores, classes, np.ones(7000))
    np.testing.assert_allclose(np.array(shifts) / slope - np.mean(shifts) / slope, -shift, atol=0.2)


def test_it_tells_plain_emotions_apart(judge):
    judgement = judge.judge(list(PLAIN.values()))
    assert judgement.choice.tolist() == list(PLAIN)
    np.testing.assert_allclose(judgement.seven.sum(axis=1), 1)
    assert ((judgement.probability > 0) & (judgement.probability < 1)).all()
    for label in BASIC:
        assert judgement.for_category(label).argmax() == list(PLAIN).index(label)


def test_a_long_neutral_paragraph_stays_neutral(judge):
    text = (
        "The library is in the centre of the town. It opens at nine and closes at six on weekdays. There are two "
        "floors, with books on the first and magazines on the second. A card is needed to borrow a book, and it is "
        "issued at the desk. Most books can be kept for three weeks."
    )
    assert judge.judge([text]).choice.tolist() == ["neutral"]


def test_labels_are_our_categories(judge):
    names = {category.name for category in categories()} | {"neutral"}
    assert set(judge.labels) <= names
    assert set(BASIC_SEVEN) <= set(judge.labels)
    assert judge.judge(["ja"], "de").labels == BASIC


def test_a_language_without_a_held_out_score_is_refused(judge):
    with pytest.raises(EmospaceError, match=r"ko.*no held-out score.*en"):
        judge.judge(["안녕"], "ko")
    assert judge.auroc("ko", "joy") is None
    assert judge.recall("ko", "joy") is None


def test_the_card_says_what_was_measured(judge):
    assert 0.5 < judge.auroc("en", "joy") < 1
    assert judge.auroc("en", "calmness") is None
    assert all(0 < judge.recall("en", name) < 1 for name in BASIC_SEVEN)
    masked = {name: judge.recall("en", name, masked=True) for name in BASIC_SEVEN if name != "neutral"}
    assert all(masked[name] < judge.recall("en", name) for name in masked)
    card = judge.card
    assert "bg" in card["projected"]
    assert not {"en", "fi", "de"} & set(card["projected"])
    assert {source["name"] for source in card["sources"]} == {"goemotions", "brighter_semeval2025", "xed"}
    assert all(source["licence"] and source["citation"] for source in card["sources"])


def test_a_shipped_judge_is_small(judge):
    from emospace.artefacts import file_hash

    path = SHIPPED / judge.name / "model.safetensors"
    assert path.stat().st_size <= 8_000_000
    assert file_hash(path) == judge.card["weights_sha256"]


def test_the_two_judges_learnt_from_different_halves():
    first, second = load_judge("ngram"), load_judge("subword")
    assert first.card["half"] != second.card["half"]
    assert first.kind != second.kind


def test_no_texts_at_all(judge):
    judgement = judge.judge([])
    assert judgement.probability.shape == (0, len(judge.labels))
    assert judgement.seven.shape == (0, 7)
    assert judgement.choice.tolist() == []


def test_unknown_names_are_errors():
    with pytest.raises(EmospaceError, match="subword"):
        load_judge("subwords")
    judgement = Judgement(("joy",), np.zeros((2, 1)), np.full((2, 7), 1 / 7))
    with pytest.raises(EmospaceError, match="joy"):
        judgement.for_category("joi")


def test_a_judge_of_the_same_name_and_other_weights_has_another_hash():
    judge = load_judge("subword")
    assert load_judge("subword").content_hash == judge.content_hash
    trained_again = replace(judge, card={**judge.card, "weights_sha256": "0"})
    assert trained_again.name == judge.name
    assert trained_again.content_hash != judge.content_hash


def test_a_language_is_refused_without_a_text():
    load_judge("subword").check_language("en")
    with pytest.raises(EmospaceError, match="'ko'"):
        load_judge("subword").check_language("ko")
