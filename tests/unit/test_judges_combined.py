"""Judges that judge together: the mean of their probabilities, what they share, and what was measured of them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from emospace.artefacts import read_json
from emospace.errors import EmospaceError, InvalidInput
from emospace.evaluation.running import load_reporting_judge
from emospace.judges import BASIC, BASIC_SEVEN, Judgement, judge_parts, load_judge
from emospace.judges.combined import combine
from emospace.judges.embedded import SHIPPED
from emospace.judges.judgement import MeasuredJudge

TEXTS = ["I am so happy today!", "This makes me furious.", "The bus leaves at nine."]


def fixed(name, labels, level, unjudged=()):
    """A judge that gives every label one probability."""
    judge = MeasuredJudge(name, {})
    seven = np.full((2, 7), 0.1)
    seven[:, BASIC_SEVEN.index("joy")] = 0.4
    given = Judgement(labels, np.full((2, len(labels)), level), seven)
    given = given.without(np.array([place in unjudged for place in range(2)]))
    object.__setattr__(judge, "labels", labels)
    object.__setattr__(judge, "kind", "fixed")
    object.__setattr__(judge, "content_hash", name)
    object.__setattr__(judge, "judge", lambda texts, language="en": given)
    return judge


def test_probabilities_and_choices_are_means():
    whole, ngram, subword = (load_judge(name) for name in ("subword+ngram", "ngram", "subword"))
    assert whole.name == "ngram+subword"
    given, first, second = (judge.judge(TEXTS) for judge in (whole, ngram, subword))
    assert given.labels == first.labels
    assert np.allclose(given.probability, (first.probability + second.probability) / 2)
    assert np.allclose(given.seven, (first.seven + second.seven) / 2)
    assert list(given.choice[:2]) == ["joy", "anger"]
    assert whole.judge(TEXTS[:1], "de").labels == BASIC


def test_only_shared_labels_and_texts_that_all_could_judge():
    both = combine([fixed("b", ("joy", "awe"), 0.2), fixed("a", ("pride", "joy"), 0.6, unjudged=(1,))])
    assert (both.name, both.labels) == ("a+b", ("joy",))
    given = both.judge(["x", "y"])
    assert given.for_category("joy")[0] == pytest.approx(0.4)
    assert given.unjudged.tolist() == [False, True]
    assert both.auroc("en", "joy") is both.calibration_error("en", "joy") is None


def test_the_card_is_of_the_combination_and_of_the_weights_there_are():
    both, parts = load_judge("ngram+subword"), [load_judge(name) for name in ("ngram", "subword")]
    hashes = read_json(SHIPPED / "ngram+subword" / "card.json")["weights_sha256"]
    assert hashes == {part.name: part.card["weights_sha256"] for part in parts}
    for language in ("en", "zh"):
        means = [np.mean([judge.auroc(language, emotion) for emotion in BASIC]) for judge in (both, *parts)]
        assert means[0] > max(means[1:])
    assert 0 < both.calibration_error("en", "joy") < 0.1
    assert set(both.card["auroc"]) == set(parts[0].card["auroc"])


@pytest.mark.parametrize("name", ["ngram", "subword"])
def test_the_calibration_error_is_of_the_texts_the_auroc_is_of(name):
    judge = load_judge(name)
    row = judge.card["held_out"]["en"]["goemotions"]["labels"]["anger"]
    assert (judge.auroc("en", "anger"), judge.calibration_error("en", "anger")) == (row["auroc"], row["ece"])
    assert judge.calibration_error("xx", "anger") is judge.calibration_error("en", "no such") is None


def test_names():
    assert judge_parts("ngram+subword") == ("ngram", "subword")
    assert judge_parts("hf:owner/model+more") == ("hf:owner/model+more",)
    assert judge_parts("llm:a+b@http://x/v1") == ("llm:a+b@http://x/v1",)
    with pytest.raises(InvalidInput, match="named twice"):
        load_judge("ngram+ngram")
    with pytest.raises(InvalidInput, match="no label in common"):
        combine([fixed("a", ("joy",), 0.1), fixed("b", ("awe",), 0.1)])
    with pytest.raises(EmospaceError, match="there is no such judge"):
        load_judge("ngram+sub")


def test_a_part_that_calibrated_is_warned_of(capsys):
    load_reporting_judge("ngram+subword", SimpleNamespace(note={"judge": "ngram"}))
    assert "judge 'ngram' also calibrated the doses" in capsys.readouterr().err
    load_reporting_judge("subword", SimpleNamespace(note={"judge": "ngram"}))
    assert capsys.readouterr().err == ""
