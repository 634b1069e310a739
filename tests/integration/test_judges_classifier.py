"""Classifiers as judges: tiny random BERTs, written to a folder and read again."""

from __future__ import annotations

import json

import numpy as np
import pytest

from emospace.errors import EmospaceError
from emospace.judges import BASIC_SEVEN, load_judge
from emospace.judges.classifier import load_classifier

EKMAN = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
TEXTS = ["She laughed.", "", "He wept with grief and the long rain went on and on. " * 40]


def _folder(tmp_path, labels, *, multi=False, base=False, card=None):
    import torch
    import transformers

    from conftest import make_tokenizer

    tokenizer = make_tokenizer()
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
        pad_token_id=0,
        id2label=dict(enumerate(labels)),
        label2id={label: place for place, label in enumerate(labels)},
        problem_type="multi_label_classification" if multi else "single_label_classification",
    )
    torch.manual_seed(0)
    kind = transformers.BertModel if base else transformers.BertForSequenceClassification
    model = kind(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(8)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    if card is not None:
        (tmp_path / "emospace-judge.json").write_text(json.dumps(card))
    return f"hf:{tmp_path}"


def _logits(judge, text):
    import torch

    with torch.inference_mode():
        batch = judge.tokenizer(text, return_tensors="pt", truncation=True, max_length=64)
        return judge.model(**batch).logits[0].double().numpy()


def test_single_label_is_a_softmax_under_our_names(tmp_path):
    judge = load_judge(_folder(tmp_path, EKMAN))
    assert judge.labels == ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")
    judgement = judge.judge(TEXTS)
    expected = np.exp(_logits(judge, TEXTS[0]))
    assert judgement.probability[0] == pytest.approx(expected / expected.sum(), abs=1e-5)
    assert judgement.probability.sum(axis=1) == pytest.approx([1, 1, 1])
    assert judgement.seven == pytest.approx(judgement.probability)
    assert judge.auroc("en", "joy") is judge.recall("en", "joy") is None


def test_multi_label_is_a_sigmoid_for_each(tmp_path):
    labels = ("admiration", "anger", "realization", "joy", "neutral")
    judge = load_judge(_folder(tmp_path, labels, multi=True))
    assert judge.labels == ("admiration", "anger", "joy", "neutral")
    assert "1 of its 5 outputs" in judge.kind
    judgement = judge.judge(TEXTS[:1])
    sigmoid = 1 / (1 + np.exp(-_logits(judge, TEXTS[0])))
    assert judgement.probability[0] == pytest.approx(sigmoid[[0, 1, 3, 4]], abs=1e-5)
    assert judgement.seven.sum() == pytest.approx(1)
    for unknown in ("disgust", "fear", "sadness", "surprise"):
        assert judgement.seven[0, BASIC_SEVEN.index(unknown)] == 0
    assert judgement.choice[0] in {"anger", "joy", "neutral"}


def test_order_and_batch_do_not_matter(tmp_path):
    judge = load_judge(_folder(tmp_path, EKMAN))
    together = judge.judge(TEXTS * 15).probability
    assert together[:3] == pytest.approx(judge.judge(TEXTS).probability, abs=1e-5)
    assert together[2] == pytest.approx(judge.judge(TEXTS[2:]).probability[0], abs=1e-5)
    assert judge.judge([]).seven.shape == (0, 7)


def test_two_outputs_of_one_category(tmp_path):
    judge = load_classifier(_folder(tmp_path, ("happy", "joy", "sad")))
    assert judge.labels == ("joy", "sadness")
    expected = np.exp(_logits(judge, TEXTS[0]))
    joy = judge.judge(TEXTS[:1]).for_category("joy")[0]
    assert joy == pytest.approx(expected[:2].sum() / expected.sum(), abs=1e-5)


def test_labels_without_names_need_a_mapping(tmp_path):
    name = _folder(tmp_path, ("LABEL_0", "LABEL_1", "LABEL_2"))
    with pytest.raises(EmospaceError, match=r"LABEL_0, LABEL_1.*mapping.*FILE\.json"):
        load_judge(name)
    mapping = {"LABEL_0": "joy", "LABEL_2": "neutral"}
    assert load_classifier(name, mapping).labels == ("joy", "neutral")
    file = tmp_path / "map.json"
    file.write_text(json.dumps(mapping))
    assert load_judge(f"{name}#{file}").outputs == ("joy", None, "neutral")


@pytest.mark.parametrize(
    ("mapping", "why"),
    [({"LABEL_9": "joy"}, "LABEL_9"), ({"LABEL_0": "glee"}, "glee"), ({}, "basic emotion")],
)
def test_mapping_that_does_not_fit(tmp_path, mapping, why):
    with pytest.raises(EmospaceError, match=why):
        load_classifier(_folder(tmp_path, ("LABEL_0", "LABEL_1")), mapping)


def test_card_gives_scores_priors_and_languages(tmp_path):
    priors = dict(zip(BASIC_SEVEN, (0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.4), strict=True))
    card = {"auroc": {"en": {"joy": 0.9}}, "recall": {"en": {"joy": 0.7}}, "priors": priors}
    judge = load_judge(_folder(tmp_path, EKMAN, card=card))
    assert (judge.auroc("en", "joy"), judge.recall("en", "joy")) == (0.9, 0.7)
    assert judge.auroc("en", "fear") is None
    judgement = judge.judge(TEXTS[:1])
    expected = judgement.probability[0] / np.array(list(priors.values()))
    assert judgement.seven[0] == pytest.approx(expected / expected.sum())
    with pytest.raises(EmospaceError, match="'fi'"):
        judge.judge(TEXTS, "fi")


def test_its_hash_is_that_of_what_it_holds_not_of_its_name(tmp_path):
    def digest(**given):
        return load_judge(_folder(tmp_path, EKMAN, **given)).content_hash

    first = digest()
    assert digest() == first
    assert digest(card={"auroc": {"en": {"joy": 0.9}}}) != first
    judge = load_judge(_folder(tmp_path, EKMAN))
    next(judge.model.parameters()).data += 1
    assert judge.content_hash != load_judge(_folder(tmp_path, EKMAN)).content_hash


def test_a_model_without_a_trained_head_is_refused(tmp_path):
    with pytest.raises(EmospaceError, match="no trained classifier"):
        load_judge(_folder(tmp_path, EKMAN, base=True))


def test_no_safetensors_no_model(tmp_path):
    name = _folder(tmp_path, EKMAN)
    (tmp_path / "model.safetensors").rename(tmp_path / "model.bin")
    with pytest.raises(EmospaceError, match="cannot be loaded"):
        load_judge(name)
    with pytest.raises(EmospaceError, match="cannot be loaded"):
        load_judge("hf:nobody/nothing-of-the-kind")
