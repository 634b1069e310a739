"""The study's last stage on a tiny model: six emotions from a hand-made bank, heard by a judge of letters."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from conftest import D_MODEL, tiny, with_chat_template
from emospace.errors import EmospaceError
from emospace.evaluation import answers, load_prompts
from emospace.evaluation.summary import steering_summary
from emospace.generation import Sampling, generate
from emospace.judges import BASIC, BASIC_SEVEN, Judgement
from emospace.norms import default_norms, load_norms
from emospace.records import Manifest, ModelRecord, Results
from emospace.report.steering import verdict
from emospace.report.wording import figure
from emospace.steering import DoseRange, SteeringVector
from emospace.steering.bank import VectorBank, bank_folder
from emospace.study import StudySpec, steering
from emospace.study.stage import StageResult

LETTERS = dict(zip(BASIC_SEVEN, ("aeiou", "st", "nr", "dl", "pb", "kg", "z"), strict=True))
DOSES = {emotion: 0.2 + place / 10 for place, emotion in enumerate(BASIC)}


class Letters:
    """A judge of letters, fit for all emotions in English, in Chinese for anger alone; it knows no other language."""

    name, kind, labels = "letters", "counts letters", BASIC_SEVEN

    def __init__(self, weights="1"):
        self.card = {"weights_sha256": weights}
        self.content_hash = weights

    def auroc(self, language, label):
        return 0.9 if language == "en" or label == "anger" else 0.66

    def recall(self, language, label, *, masked=False):
        return 0.3 if masked else 0.75

    def calibration_error(self, language, label):
        return 0.02

    def check_language(self, language):
        if language not in ("en", "zh"):
            raise EmospaceError(f"language '{language}'", "no held-out score", "Choose en.")

    def judge(self, texts, language="en"):
        self.check_language(language)
        counts = np.array(
            [[sum(text.count(c) for c in letters) for letters in LETTERS.values()] for text in texts]
        )
        share = (counts + 0.1) / (counts + 0.1).sum(axis=1, keepdims=True)
        return Judgement(BASIC_SEVEN, share, share)


def bank(emotions=BASIC, seed=1, **note) -> VectorBank:
    model = tiny("llama")
    rng = np.random.default_rng(seed)
    vectors = {
        (emotion, "relative"): SteeringVector(
            name=emotion,
            kind="dense",
            directions={2: rng.standard_normal(D_MODEL)},
            medians={2: 4.0},
            model=model.name,
            model_hash=model.weights_hash,
            calibration={"relative": DoseRange(DOSES.get(emotion, 0.3), 0.1, 2.0)},
            op="clamp",
        )
        for emotion in emotions
    }
    return VectorBank(vectors, note=note)


def keep(made: VectorBank) -> None:
    """Put a bank where calibration would have."""
    made.save(bank_folder(tiny("llama").weights_hash))


def small(patch, folder) -> None:
    patch.setenv("EMOSPACE_CACHE", str(folder / "cache"))
    patch.setattr(steering, "N_TOKENS", 6)
    patch.setattr(steering, "load_embedded", lambda _: Letters())


@dataclass(frozen=True)
class Trial:
    """A study of the tiny model, of which only the last stage is run."""

    out: Path
    spec: StudySpec


def new_study(out, **changes) -> Trial:
    return Trial(out, StudySpec(**{"languages": ("en",), "seed": 3, **changes}))


def steering_stage(study: Trial) -> StageResult:
    """Return the results of all languages as one."""
    model = tiny("llama")
    norms = {
        language: [load_norms(name) for name in default_norms(language)[:1]]
        for language in study.spec.languages
    }
    results = [
        steering.steering_stage(asked, study.out / "stages")
        for asked in steering.prepare(study.spec, model, norms, study.out / "steering")
    ]
    records = [record for result in results for record in result.records.get("steering", ())]
    samples = [result.tables["steering_samples"] for result in results if result.tables]
    return StageResult(
        {"steering": records} if records else {},
        {"steering_samples": pd.concat(samples, ignore_index=True)} if samples else {},
        [missing for result in results for missing in result.not_computed],
    )


@pytest.fixture
def study(tmp_path, monkeypatch):
    small(monkeypatch, tmp_path)
    return lambda **changes: new_study(tmp_path / "run", **changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return a run folder in which the stage was done, its result and the study's name."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        small(patch, folder)
        keep(bank())
        study = new_study(folder / "run")
        return study, steering_stage(study)


@pytest.fixture
def again(finished, monkeypatch):
    """Return studies of the same folder."""
    out = finished[0].out
    small(monkeypatch, out.parent)
    return lambda **changes: new_study(out, **changes)


@contextmanager
def nothing_generated():
    with mock.patch.object(answers, "generate_together", side_effect=AssertionError("generated")):
        yield


def why(result) -> str:
    assert result.records == {} and result.tables == {}
    (missing,) = result.not_computed
    assert missing.what == "steering, an illustration"
    return missing.why


def test_six_emotions_are_tried_on_eight_prompts(finished):
    _, result = finished
    records = result.records["steering"]
    steered = [record for record in records if record.calibrated]
    assert {record.emotion: record.dose for record in steered} == pytest.approx(DOSES)
    assert [record.emotion for record in records if record.vector == "none"] == list(BASIC)
    assert len(records) == 12

    # The tiny model has no chat template.
    asked = load_prompts("en", "evaluation", kind="stems")[:8]
    sampling = Sampling(n_tokens=6, seed=3)
    plain = generate(tiny("llama"), asked, sampling=sampling)
    heard = Letters().judge(plain.texts).choice
    for record in records:
        assert (record.model, record.judge, record.language) == ("tiny-llama", "letters", "en")
        assert (record.n, record.n_prompts, record.seed, record.prompt_kind) == (8, 8, 3, "stems")
        assert record.base_rate == pytest.approx((heard == record.emotion).mean())
        assert record.perplexity_ratio > 0
    joy = next(record for record in steered if record.emotion == "joy")
    vector = bank().vector("joy")
    made = generate(tiny("llama"), asked, vector, dose=DOSES["joy"], mode="relative", sampling=sampling)
    assert joy.target_rate == pytest.approx((Letters().judge(made.texts).choice == "joy").mean())
    assert joy.applications == made.applications > 0


def test_it_is_marked_and_claims_no_interval(finished):
    records = finished[1].records["steering"]
    assert {(r.ci_low, r.ci_high, r.p, r.p_fdr) for r in records} == {(None, None, None, None)}
    assert {r.options for r in records if r.calibrated} == {"illustration op=clamp"}
    assert {r.options for r in records if not r.calibrated} == {"illustration"}
    common = {"model": "tiny", "layer": None, "n": 8, "seed": 3}
    given = {"model": ModelRecord(**common), "manifest": Manifest(**common, command="emospace study")}
    said = verdict("tiny", Results(steering=records, summary=steering_summary(records), **given))
    assert said[0].startswith("An illustration, not a test: tiny steered towards anger, disgust")
    assert "8 prompts for each are too few" in said[1]


def test_doses_of_another_language_or_of_the_same_judge_are_said(study):
    keep(bank(("joy",), spec={"language": "zh", "concepts": None}, judge="letters"))
    records = steering_stage(study()).records["steering"]
    assert {r.options for r in records if not r.calibrated} == {
        "illustration calibrated_in=zh calibrated_by=letters"
    }


def test_three_answers_of_each_cell_are_kept_to_read(finished):
    _, result = finished
    assert set(result.tables) == {"steering_samples"}
    samples = result.tables["steering_samples"]
    assert samples["emotion"].fillna("unsteered").value_counts().to_dict() == dict.fromkeys(
        (*BASIC, "unsteered"), 3
    )
    assert set(samples["prompt"]) < set(load_prompts("en", "evaluation", kind="stems")[:8])
    assert set(samples["judged"]) <= set(BASIC_SEVEN)


def test_a_second_run_generates_nothing(finished, again, monkeypatch):
    _, first = finished
    with nothing_generated(), mock.patch.object(steering, "evaluate", side_effect=AssertionError("judged")):
        second = steering_stage(again())
    assert second.records == first.records
    pd.testing.assert_frame_equal(second.tables["steering_samples"], first.tables["steering_samples"])
    # Another judge hears the same answers; another vector gives others.
    monkeypatch.setattr(steering, "load_embedded", lambda _: Letters("2"))
    with nothing_generated():
        assert steering_stage(again()).records == first.records
    assert len(list((again().out / "stages").glob("steering-en-*"))) == 2
    keep(bank(seed=2))
    with nothing_generated(), pytest.raises(AssertionError, match="generated"):
        steering_stage(again())


def test_emotions_without_a_vector_are_named(study):
    keep(bank(("joy", "fear", "pride")))
    result = steering_stage(study())
    assert {record.emotion for record in result.records["steering"]} == {"joy", "fear"}
    missing = [row.what.rpartition(" ")[2] for row in result.not_computed]
    assert missing == ["anger", "disgust", "sadness", "surprise"]
    keep(bank(("pride",)))
    assert "no basic emotion was calibrated" in why(steering_stage(study()))


def test_a_model_without_vectors_says_how_to_make_them(study):
    assert "emospace steer calibrate --model tiny-llama" in why(steering_stage(study()))


def test_every_language_with_prompts_and_a_judge_is_illustrated(study):
    keep(bank(("joy", "anger"), spec={"language": "en", "concepts": None}))
    both = steering_stage(study(languages=("en", "zh", "fi")))
    records = both.records["steering"]
    assert [(r.language, r.emotion) for r in records if r.calibrated] == [
        (language, emotion) for language in ("en", "zh") for emotion in ("anger", "joy")
    ]
    assert {r.options for r in records if not r.calibrated} == {
        "illustration",
        "illustration calibrated_in=en",
    }
    samples = both.tables["steering_samples"]
    assert samples["language"].value_counts().to_dict() == {"en": 9, "zh": 9}
    for language, part in samples.groupby("language"):
        assert set(part["prompt"]) < set(load_prompts(language, "evaluation", kind="stems")[:8])
    (finnish,) = (missing for missing in both.not_computed if missing.language == "fi")
    assert "no held-out score" in finnish.why
    assert "emospace steer evaluate --language fi --prompts FILE" in finnish.why
    # Answers of one language do not hang on the others.
    with nothing_generated():
        alone = steering_stage(study(languages=("zh",)))
    assert alone.records["steering"] == [r for r in records if r.language == "zh"]


def test_what_a_judge_too_weak_hears_is_marked_and_in_no_mean(study):
    keep(bank(("joy", "anger")))
    records = steering_stage(study(languages=("en", "zh"))).records["steering"]
    joy = next(r for r in records if (r.language, r.emotion, r.calibrated) == ("zh", "joy", True))
    assert joy.caveat == "judge AUROC .66: too weak to say"
    assert joy.target_rate is not None
    assert {r.caveat for r in records if r.language == "en" or r.emotion == "anger"} == {None}
    common = {"model": "tiny", "layer": None, "n": 8, "seed": 3}
    results = Results(
        steering=records,
        summary=steering_summary(records),
        model=ModelRecord(**common),
        manifest=Manifest(**common, command="emospace study"),
    )
    anger = next(r for r in records if (r.language, r.emotion, r.calibrated) == ("zh", "anger", True))
    assert results.mean("steering", "target_rate", group="tried", language="zh") == anger.target_rate
    said = verdict("tiny", results)
    assert said[0].startswith(
        "An illustration, not a test: tiny steered towards anger and joy, judged as the target"
    )
    assert f"{figure(anger.target_rate)} in Chinese" in said[0]
    assert "too weak to say (held-out AUROC below .75) for joy (.66) in Chinese" in said[1]


def test_a_language_without_stems_is_named(study):
    keep(bank(("joy",)))
    said = why(steering_stage(study(languages=("ja",))))
    assert "no prompts for it (stems: de, en" in said


def test_a_chat_model_is_illustrated_on_questions(study):
    keep(bank(("joy",)))
    (asked,) = steering.prepare(study().spec, with_chat_template(tiny("llama")), {}, study().out)
    assert asked.arguments["prompts"] == load_prompts("en", "evaluation")[:8]


def test_a_vector_that_cannot_be_applied_costs_the_study_nothing_else(study):
    keep(bank(("joy",)))
    refused = EmospaceError("the vector 'joy'", "its width is 5", "Calibrate again.")
    with mock.patch.object(steering, "evaluate", side_effect=refused):
        assert "its width is 5" in why(steering_stage(study()))
    assert steering_stage(study()).records["steering"]
