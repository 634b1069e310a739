"""Calibration on a tiny model: which dose is taken, what is tried, what is kept; and shuffled sets beside it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError

from conftest import D_MODEL, N_BLOCKS, make_sae, tiny, with_chat_template
from emospace.errors import EmospaceError
from emospace.evaluation import calibration, materials as vector_materials
from emospace.evaluation.calibration import (
    CalibrationSpec,
    Trial,
    best,
    best_together,
    calibrate,
)
from emospace.evaluation.materials import features_of, materials, shuffled_banks
from emospace.evaluation.prompts import load_prompts
from emospace.features import FeatureDictionary
from emospace.generation import Generated, Sampling, generate, perplexity
from emospace.judges import BASIC, BASIC_SEVEN, Judgement
from emospace.sae import SparseAutoencoder, save_sae
from emospace.specs import Guidance
from emospace.steering import DoseRange
from emospace.steering.bank import VectorBank, load_vectors

WORDS = {
    "joy": ("joy", "delight", "cheerful", "happy", "gladness"),
    "sadness": ("sadness", "grief", "sorrow", "gloomy", "weeping"),
    "anger": ("anger", "rage", "furious", "wrath", "angry"),
    "pride": ("pride", "proud", "triumph", "dignity", "honor"),
    "homeliness": ("home", "hearth", "cosy", "fireside", "homely"),
}
PROMPTS = [
    f"{who} {what}" for who in ("She", "He", "They", "We", "You") for what in ("sat", "ate", "ran", "saw")
]


def write_concepts(path, names):
    lines = ['language = "en"', 'carriers = ["The word is {word}", "It says {word}"]']
    for name in names:
        lines += [f"[{name}]", f"labels = [{WORDS[name][0]!r}]", f"words = {list(WORDS[name])!r}"]
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    write_concepts(folder / "concepts.toml", WORDS)
    write_concepts(folder / "few.toml", ("pride", "homeliness"))
    other = [f"{prompt} again" for prompt in PROMPTS]
    (folder / "prompts.toml").write_text(f"calibration = {PROMPTS!r}\nevaluation = {other!r}\n")
    return folder


def spec_of(files, **given) -> CalibrationSpec:
    fields = {
        "source": "dense",
        "sae": "none",
        "concepts": files / "concepts.toml",
        "prompts": files / "prompts.toml",
        "n_prompts": 5,
        "n_tokens": 6,
        "doses": (0.3, 0.6),
        "constant_doses": (0.2, 0.4),
        "budget": 1000.0,
        "ceiling": 1000.0,
    }
    return CalibrationSpec(**{**fields, **given})


class Letters:
    """A judge that counts letters, and how often it is asked."""

    name, kind, labels = "letters", "counts letters", ("joy", "sadness", "anger", "pride", "neutral")
    content_hash = "1"

    def __init__(self):
        self.asked = 0

    def judge(self, texts, language="en"):
        self.asked += 1
        letters = ("aei", "stn", "ou", "pdl", "rh")
        counts = np.array(
            [[sum(text.count(letter) for letter in group) for group in letters] for text in texts]
        )
        share = (counts + 0.5) / (counts.sum(1, keepdims=True) + 2.5)
        seven = np.full((len(texts), 7), 0.01)
        for label in ("joy", "sadness", "anger", "neutral"):
            seven[:, BASIC_SEVEN.index(label)] = share[:, self.labels.index(label)]
        return Judgement(self.labels, share, seven / seven.sum(1, keepdims=True))


def counted(monkeypatch):
    """Return the list of vectors that answers are generated under, None for the unsteered ones."""
    calls = []

    def counting(model, prompts, vector=None, **given):
        calls.append(vector)
        return generate(model, prompts, vector, **given)

    monkeypatch.setattr(calibration, "generate", counting)
    return calls


@pytest.fixture(scope="module")
def done(files, tmp_path_factory):
    """Return a calibration run to its end, then once more, in a cache of its own."""
    model, cache = tiny("llama"), tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMOSPACE_CACHE", str(cache))
        judge = Letters()
        patch.setattr(calibration, "load_judge", lambda name: judge)
        calls = counted(patch)
        made = materials(model, spec_of(files))
        patch.setattr(calibration, "materials", lambda model, spec: made)
        first = calibrate(spec_of(files), model=model)
        n_first, asked = len(calls), judge.asked
        again = calibrate(spec_of(files), model=model)
        return SimpleNamespace(
            model=model,
            made=made,
            cache=cache,
            bank=first,
            again=again,
            calls=calls[:n_first],
            later=calls[n_first:],
            asked=asked,
            asked_again=judge.asked - asked,
        )


# --- from end to end


def test_every_emotion_and_axis_has_a_dose_in_both_modes(done):
    assert done.bank.names == ("anger", "joy", "sadness", "pride", "homeliness")
    for name in (*done.bank.names, "valence", "arousal"):
        for mode, op in (("relative", "clamp"), ("constant", "add")):
            vector = done.bank.vector(name, mode)
            assert (vector.mode, vector.op, vector.layers) == (mode, op, (1, 2))
            dose, low, high = vector.calibration[mode]
            assert 0 < low <= dose <= high
            tried = {0.3, 0.6} if mode == "relative" else {0.2, 0.4}
            assert {low, high} <= {dose, *tried}
    assert {name for name, (valence, _) in done.bank.positions.items() if valence < 0} == {"anger", "sadness"}
    assert done.bank.positions["joy"][0] > 0.5


def test_a_dose_is_the_best_of_those_tried(done):
    for name, trials in done.bank.note["trials"].items():
        chosen = best([Trial(**trial) for trial in trials], 1000.0)
        vector = done.bank.vector(name)
        assert vector.dose() == chosen.dose
        assert vector.note["recipe"]["contrast"] == chosen.contrast
        # Six of the basic emotions: each contrast at each dose; others: the middle dose and the next.
        assert len(trials) == (4 if name in BASIC else 1 + (trials[0]["dose"] != 0.6))
    for name, trial in done.bank.note["constant_trials"].items():
        assert done.bank.vector(name, "constant").dose() == trial["dose"]


def test_others_may_take_the_median_dose_of_the_basic_six(done, files, tmp_path, monkeypatch):
    judge = Letters()
    monkeypatch.setenv("EMOSPACE_CACHE", str(done.cache))
    monkeypatch.setattr(calibration, "load_judge", lambda name: judge)
    monkeypatch.setattr(calibration, "materials", lambda model, spec: done.made)
    calls = counted(monkeypatch)
    bank = calibrate(spec_of(files, others="median"), tmp_path, model=done.model)
    # The unsteered answers: what was tried of the basic six is known.
    assert calls == [None]
    basic = [name for name in bank.names if name in BASIC]
    assert bank.names == done.bank.names
    dose = np.median([bank.vector(name).dose() for name in basic])
    for name in ("pride", "homeliness"):
        assert bank.vector(name).calibration["relative"] == DoseRange(dose, dose, dose)
        assert name not in bank.note["trials"]
    assert all(bank.vector(name).dose() == done.bank.vector(name).dose() for name in basic)


def test_a_trial_is_what_one_hears_when_one_does_it_oneself(done):
    trial = Trial(**done.bank.note["trials"]["joy"][-1])
    chosen = [
        call for call in done.calls if call is not None and call.name == "joy" and call.mode == "relative"
    ]
    vector = chosen[-1]
    assert vector.dose() == trial.dose
    sampling, prompts = Sampling(n_tokens=6), PROMPTS[:5]
    answers = generate(done.model, prompts, vector, dose=trial.dose, mode="relative", sampling=sampling)
    heard = Letters().judge(answers.texts)
    plain = generate(done.model, prompts, sampling=sampling)
    ratio = perplexity(done.model, prompts, answers) / perplexity(done.model, prompts, plain)
    assert trial.rate == (heard.choice == "joy").mean()
    assert trial.probability == pytest.approx(heard.seven[:, BASIC_SEVEN.index("joy")].mean())
    assert trial.perplexity_ratio == pytest.approx(np.median(ratio), rel=1e-4)


def test_what_was_tried_is_never_tried_twice(done):
    assert done.calls[0] is None
    assert done.asked == len(done.calls) > 10
    assert done.later == [None]
    assert done.asked_again == 1  # the unsteered answers
    assert {**done.again.note} == {**done.bank.note}
    for key, vector in done.bank.vectors.items():
        assert done.again.vectors[key].card() == vector.card()


@pytest.mark.parametrize("kind", ["questions", "stems"])
def test_doses_are_tried_on_what_the_model_is_prompted_with(done, files, kind, tmp_path, monkeypatch):
    model = with_chat_template(done.model) if kind == "questions" else done.model
    spec = spec_of(files, prompts=None)
    trials = calibration._Trials(model, spec, Letters(), tmp_path)
    assert trials.prompts == load_prompts("en", "calibration", kind=kind)[:5]
    # Prompts of one's own without stems are taken as they are.
    assert done.bank.note["prompt_kind"] == "questions"


def test_load_vectors_finds_what_was_calibrated(done, monkeypatch):
    monkeypatch.setenv("EMOSPACE_CACHE", str(done.cache))
    bank = load_vectors(done.model)
    assert bank.names == done.bank.names
    assert bank.note["source"] == "dense"
    assert bank.vector("joy").dose() == done.bank.vector("joy").dose()
    steered = generate(done.model, PROMPTS[:2], bank.point(0.6, 0.2), sampling=Sampling(n_tokens=4))
    assert steered.applications > 0


# --- shuffled sets


@pytest.mark.parametrize("mode", ["relative", "constant"])
def test_shuffled_sets_act_like_the_bank_and_say_something_else(done, files, monkeypatch, mode):
    def as_calibrated(model, spec):
        assert spec == spec_of(files)
        return done.made

    monkeypatch.setenv("EMOSPACE_CACHE", str(done.cache))
    monkeypatch.setattr(vector_materials, "materials", as_calibrated)
    bank = load_vectors(done.model)
    first, second = shuffled_banks(done.model, bank, 2, mode=mode, seed=3)
    alike = []
    for name in bank.names:
        original, drawn, other = (source.vector(name, mode) for source in (bank, first, second))
        assert (drawn.kind, dict(drawn.calibration)) == ("shuffled", {})
        for field in ("name", "mode", "op", "scope", "window", "layers", "model_hash"):
            assert getattr(drawn, field) == getattr(original, field)
        assert drawn.note["recipe"] == original.note["recipe"]
        assert drawn.note["concepts"] != original.note["concepts"]
        alike += [original.directions[2] @ drawn.directions[2], drawn.directions[2] @ other.directions[2]]
    assert max(alike) < 0.97
    assert np.mean(alike) < 0.6
    assert first.note == {"seed": 3}
    (again,) = shuffled_banks(done.model, bank, 1, mode=mode, seed=3)
    np.testing.assert_array_equal(
        again.vector("joy", mode).directions[1], first.vector("joy", mode).directions[1]
    )


def test_shuffled_sets_have_features_though_no_test_would_pass(done, monkeypatch):
    sae = make_sae()
    rows = [(name, 2 * place + i) for place, name in enumerate(WORDS) for i in (0, 1)]
    features = FeatureDictionary("en", pd.DataFrame(rows, columns=["category", "latent"]))
    made = done.made._replace(sae=sae, features=features)
    recipe = {"source": "mix", "contrast": 0.5, "power": 4.0}
    bank = VectorBank(
        {key: replace(vector, note={"recipe": recipe}) for key, vector in done.bank.vectors.items()},
        note=done.bank.note,
    )
    chosen = []

    def watched(*args, **settings):
        with pytest.raises(EmospaceError, match="no latent passes"):
            features_of(*args)
        chosen.append(features_of(*args, **settings))
        return chosen[-1]

    monkeypatch.setattr(vector_materials, "materials", lambda model, spec: made)
    monkeypatch.setattr(vector_materials, "features_of", watched)
    (drawn,) = shuffled_banks(done.model, bank, 1, seed=3)
    assert 0 < len(chosen[0].latents) <= len(features.latents)
    for name in drawn.names:
        assert drawn.vector(name).layers == ((1, 2) if name in chosen[0].categories else (1,))
    assert len(chosen[0].categories) >= 3


def test_a_bank_that_does_not_say_how_it_was_made_has_no_shuffled_one(done):
    silent = VectorBank(done.bank.vectors)
    assert shuffled_banks(done.model, silent, 0) == []
    with pytest.raises(EmospaceError, match="do not say how they were made"):
        shuffled_banks(done.model, silent, 1)


# --- the choice


def trial(dose, rate=0.0, probability=None, ratio=1.0):
    return Trial(0.5, dose, rate, rate if probability is None else probability, ratio)


@pytest.mark.parametrize(
    ("trials", "dose"),
    [
        # The most of the target within the budget.
        ([trial(0.5, 0.4, ratio=1.2), trial(0.8, 0.7, ratio=1.9), trial(0.9, 1.0, ratio=2.1)], 0.8),
        # None keeps the budget: the most fluent.
        ([trial(0.5, 0.4, ratio=3.0), trial(0.8, 0.7, ratio=2.5), trial(0.9, 1.0, ratio=np.inf)], 0.8),
        # As loud: the more fluent.
        ([trial(0.5, 0.5, ratio=1.9), trial(0.8, 0.5, ratio=1.2)], 0.8),
        ([trial(0.5, 0.5, ratio=1.2), trial(0.8, 0.5, ratio=1.9)], 0.5),
        # A tenth of the target is worth a factor of two.
        ([trial(0.5, 0.5, ratio=1.0), trial(0.8, 0.59, ratio=2.0)], 0.5),
        ([trial(0.5, 0.5, ratio=1.0), trial(0.8, 0.61, ratio=2.0)], 0.8),
        # More fluent than unsteered is worth nothing.
        ([trial(0.5, 0.5, ratio=0.5), trial(0.8, 0.55, ratio=1.0)], 0.8),
        # Rate and probability count alike.
        ([trial(0.5, 0.2, 0.6), trial(0.8, 0.5, 0.5)], 0.8),
        # Never heard: the largest dose within the budget.
        ([trial(0.5), trial(0.8, ratio=1.8), trial(0.9, 0.3, ratio=4)], 0.8),
    ],
)
def test_the_loudest_fluent_dose_is_best(trials, dose):
    assert best(trials, budget=2.0).dose == dose


def named(**costs):
    """Return emotions tried at two doses, the larger one the louder, at what each costs."""
    return {
        name: [trial(0.5, 0.4, ratio=low), trial(0.8, 0.9, ratio=high)] for name, (low, high) in costs.items()
    }


@pytest.mark.parametrize(
    ("tried", "doses"),
    [
        # One may cost more than the budget while the median keeps it.
        (named(a=(1.2, 2.8), b=(1.1, 1.5), c=(1.1, 1.6)), (0.8, 0.8, 0.8)),
        # None may break the ceiling.
        (named(a=(1.2, 3.1), b=(1.1, 1.5), c=(1.1, 1.6)), (0.5, 0.8, 0.8)),
        # The costliest give way first, until the median fits.
        (named(a=(1.2, 2.8), b=(1.1, 2.5), c=(1.1, 2.6)), (0.5, 0.8, 0.5)),
        # Nothing fits: each at its most fluent.
        (named(a=(2.5, 2.8), b=(3.5, 9.0)), (0.5, 0.5)),
        ({}, ()),
    ],
)
def test_the_median_over_emotions_keeps_the_budget(tried, doses):
    chosen = best_together(tried, budget=2.0, ceiling=3.0)
    assert tuple(choice.dose for choice in chosen.values()) == doses
    assert tuple(chosen) == tuple(tried)


def test_facts_are_kept_where_a_dose_keeps_them():
    def at(facts):
        """Return two doses; the larger one is louder and costlier, and keeps so many facts."""
        return [
            trial(0.5, 0.4, ratio=1.2)._replace(facts=0.9),
            trial(0.8, 0.9, ratio=1.4)._replace(facts=facts),
        ]

    def doses(tried, facts):
        return [choice.dose for choice in best_together(tried, budget=2.0, ceiling=3.0, facts=facts).values()]

    assert doses({"a": at(0.8), "b": at(0.6)}, 0.7) == [0.8, 0.8]
    assert doses({"a": at(0.6), "b": at(0.7)}, 0.7) == [0.5, 0.5]
    # No doses keep them: as without that budget.
    assert doses({"a": at(0.6), "b": at(0.7)}, 0.95) == [0.8, 0.8]
    # None were asked for.
    assert doses(named(a=(1.2, 1.4)), 0.95) == [0.8]


class Planted:
    """Answers that say what they were steered with; their fluency and what is heard in them are planted."""

    name, kind, labels = "planted", "reads what was done", (*BASIC, "pride", "neutral")
    content_hash = "1"
    relative = dict(zip((0.3, 0.6, 0.9, 1.2), (1.2, 1.6, 2.2, 9.0), strict=True))
    constant = dict(zip((0.1, 0.2, 0.4, 0.8), (1.1, 1.12, 3.5, 9.0), strict=True))

    def __init__(self):
        self.tried = []

    def generate(self, model, prompts, vector=None, *, dose=None, mode=None, **_):
        said = "plain"
        if vector is not None:
            said = f"{vector.name} {mode} {dose} {vector.note['recipe']['contrast']}"
            self.tried.append((vector.name, mode, dose, vector.note["recipe"]["contrast"]))
        return Generated([said] * len(prompts), [], np.zeros(len(prompts), dtype=bool), 0)

    def perplexity(self, model, prompts, answers):
        values = []
        for text in answers.texts:
            name, *rest = text.split()
            cost = 1.0
            if rest:
                cost = getattr(self, rest[0])[float(rest[1])]
            values.append(10 * cost * (2 if name == "pride" and rest else 1))
        return np.array(values)

    def judge(self, texts, language="en"):
        loud = np.full((len(texts), len(self.labels)), 0.01)
        loud[:, self.labels.index("neutral")] = 0.4
        for row, text in zip(loud, texts, strict=True):
            name, _, dose, contrast = text.split() if " " in text else (text, "", "0", "")
            if name in self.labels:
                # Sadness is heard best with the shared part in it, all else without.
                row[self.labels.index(name)] = 0.3 * float(dose) + 0.2 * (
                    (name == "sadness") == (contrast == "0.0")
                )
        seven = loud[:, [self.labels.index(label) for label in BASIC_SEVEN]]
        return Judgement(self.labels, loud, seven / seven.sum(1, keepdims=True))


@pytest.fixture(scope="module")
def made(files, done):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMOSPACE_CACHE", str(done.cache))
        few = materials(done.model, spec_of(files, concepts=files / "few.toml"))
        return {"concepts": done.made, "few": few}


@pytest.fixture
def planted(made, monkeypatch, tmp_path):
    monkeypatch.setenv("EMOSPACE_CACHE", str(tmp_path))
    answers = Planted()
    monkeypatch.setattr(calibration, "materials", lambda model, spec: made[spec.concepts.stem])
    monkeypatch.setattr(calibration, "load_judge", lambda name: answers)
    monkeypatch.setattr(calibration, "generate", answers.generate)
    monkeypatch.setattr(calibration, "perplexity", answers.perplexity)
    return answers


def planted_spec(files, **given):
    doses = {"doses": tuple(Planted.relative), "constant_doses": tuple(Planted.constant)}
    return spec_of(files, **{**doses, "budget": 2.3, "ceiling": 3.0, **given})


def test_the_planted_doses_and_contrasts_are_chosen(planted, files):
    bank = calibrate(planted_spec(files), model=tiny("llama"))
    for name in ("joy", "anger", "sadness"):
        vector = bank.vector(name)
        # Found from 0.9 on; at 1.2 text falls apart.
        assert vector.calibration == {"relative": DoseRange(0.9, 0.9, 0.9)}
        assert vector.note["recipe"]["contrast"] == (0.0 if name == "sadness" else 0.5)
        assert bank.vector(name, "constant").calibration == {"constant": DoseRange(0.2, 0.2, 0.2)}
    # Twice as costly: 0.9 breaks the budget, so does the dose below; the more fluent of the two.
    assert bank.vector("pride").dose() == 0.6
    # Never heard: the largest fluent one.
    assert bank.vector("homeliness").dose() == 0.9
    # The first contrast, and the six's proportion between the modes.
    assert bank.vector("pride").note["recipe"]["contrast"] == 0.0
    assert bank.vector("pride", "constant").dose("constant") == pytest.approx(0.6 * 0.2 / 0.9)
    assert bank.vector("valence").dose() == 0.9


def test_doses_are_chosen_under_guidance_that_keeps_what_the_model_knows(
    planted, files, tmp_path, monkeypatch
):
    """Two of ten questions the model answers wrongly anyway; above 0.6 it forgets all but two of the others."""
    asked = "".join(f'[[factual_calibration]]\nprompt = "{n}?"\nanswers = ["yes"]\n' for n in range(10))
    file = tmp_path / "prompts.toml"
    file.write_text((files / "prompts.toml").read_text() + asked)
    said = []

    def noted(model, prompts, plan=None, **given):
        if not prompts[0].endswith("?"):
            return planted.generate(model, prompts, plan, **given)
        dose = None if plan is None else plan.dose
        said.append((len(prompts), dose, plan and plan.guidance))
        n_right = 8 if dose is None or dose < 0.9 else 2
        return Generated(["yes"] * n_right + ["no"] * (len(prompts) - n_right), [], np.zeros(len(prompts)), 0)

    monkeypatch.setattr(calibration, "generate", noted)
    guidance = Guidance(weight=2, cost=0.5)
    six = {"emotions": ("joy", "sadness", "pride"), "budget_facts": 0.8}
    spec = planted_spec(files, prompts=file, guidance=guidance, **six)
    bank = calibrate(spec, model=tiny("llama"))
    # Of the two doses that keep them: at 0.6 neither is heard yet, so the more fluent.
    assert [bank.vector(name).dose() for name in ("joy", "sadness")] == [0.3, 0.3]
    assert bank.vector("joy").guidance == guidance.over(None)
    assert bank.vector("joy", "constant").guidance is None
    assert said[0] == (10, None, None)
    assert {(n, g) for n, dose, g in said[1:]} == {(8, bank.vector("joy").guidance)}
    assert [trial["facts"] for trial in bank.note["trials"]["joy"][:3]] == [1.0, 1.0, 0.25]
    assert all(trial["facts"] is None for trial in bank.note["trials"]["pride"])
    free = calibrate(spec.model_copy(update={"budget_facts": 0.0}), model=tiny("llama"))
    assert free.vector("joy").dose() == 0.9


def test_budgets_that_no_dose_keeps_are_refused_with_what_there_is(planted, files):
    spec = planted_spec(files, budget=1.1, emotions=("joy", "anger", "pride"))
    with pytest.raises(EmospaceError) as refused:
        calibrate(spec, model=tiny("llama"))
    assert refused.value.what == "the budgets"
    assert "budget of 1.1" in refused.value.why
    assert "perplexity ratios are 1.20 to 9.00" in refused.value.why
    # Before any other emotion is tried.
    assert {name for name, *_ in planted.tried} == {"joy", "anger"}


def test_usual_budgets_that_no_dose_keeps_are_said(planted, files, capsys):
    given = planted_spec(files, emotions=("joy",), doses=(0.9,)).model_dump(
        exclude={"budget", "budget_facts", "ceiling"}
    )
    bank = calibrate(CalibrationSpec(**given), model=tiny("llama"))
    assert bank.vector("joy").dose() == 0.9
    said = capsys.readouterr()
    assert "Beyond the usual budgets: no doses keep the perplexity budget of 1.5, the best have 2.20" in (
        said.out + said.err
    )


def test_a_bank_says_what_its_doses_cost(planted, files):
    bank = calibrate(planted_spec(files), model=tiny("llama"))
    joy = bank.note["chosen"]["joy"]
    assert (joy["dose"], joy["perplexity_ratio"], joy["facts"]) == (0.9, pytest.approx(2.2), None)
    assert joy["rate"] == 1.0
    assert bank.note["unsteered"]["joy"] == 0.0


def test_doses_are_tried_upwards_until_text_falls_apart(planted, files):
    calibrate(planted_spec(files), model=tiny("llama"))
    assert [dose for name, mode, dose, _ in planted.tried if (name, mode) == ("joy", "constant")] == [
        0.1,
        0.2,
        0.4,
    ]
    assert [dose for name, _, dose, _ in planted.tried if name == "pride"] == [0.9, 0.6]
    assert [dose for name, _, dose, _ in planted.tried if name == "homeliness"] == [0.9, 1.2]
    assert len(planted.tried) == 3 * (2 * 4 + 3) + 2 + 2


def test_without_constant_doses_there_is_no_constant_mode(planted, files):
    bank = calibrate(planted_spec(files, constant_doses=(), emotions=("joy", "pride")), model=tiny("llama"))
    assert {mode for _, mode in bank.vectors} == {"relative"}
    assert bank.names == ("joy", "pride")
    assert {mode for _, mode, *_ in planted.tried} == {"relative"}
    with pytest.raises(EmospaceError, match="not calibrated in that mode"):
        bank.vector("joy", "constant")


def test_few_categories_and_none_of_the_six_have_both_modes_and_no_axes(planted, files, tmp_path, capsys):
    spec = planted_spec(files, concepts=files / "few.toml")
    bank = calibrate(spec, tmp_path / "out", model=tiny("llama"))
    assert set(bank.vectors) == {
        (name, mode) for name in ("pride", "homeliness") for mode in ("relative", "constant")
    }
    assert bank.vector("homeliness", "constant").dose("constant") == 0.2
    said = capsys.readouterr()
    assert "No axes of valence and arousal" in said.out + said.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["card.json", "vectors.safetensors"]
    assert VectorBank.load(tmp_path / "out").names == bank.names


def test_answers_without_a_token_are_not_fluent_also_from_the_cache(planted, files, monkeypatch):
    monkeypatch.setattr(
        calibration,
        "perplexity",
        lambda model, prompts, answers: np.array(
            [np.nan if " 0.9 " in text or " 1.2 " in text else 10.0 for text in answers.texts]
        ),
    )
    spec = planted_spec(files, emotions=("joy", "homeliness"))
    first = calibrate(spec, model=tiny("llama"))
    n_tried = len(planted.tried)
    again = calibrate(spec, model=tiny("llama"))
    assert len(planted.tried) == n_tried
    for bank in (first, again):
        assert (bank.vector("joy").dose(), bank.vector("homeliness").dose()) == (0.6, 0.6)


def test_a_dose_is_not_chosen_from_a_few_judged_answers(planted, files, monkeypatch, capsys):
    judge = planted.judge

    def refusing(texts, language="en"):
        loud = np.array([" 0.9 " in text for text in texts])
        refused = loud & (np.arange(len(texts)) > 1)
        refused[0] |= any(" 0.6 " in text for text in texts)
        return judge(texts, language).without(refused)

    monkeypatch.setattr(planted, "judge", refusing)
    bank = calibrate(planted_spec(files, emotions=("joy",), constant_doses=()), model=tiny("llama"))
    # At 0.9, the loudest, two of five answers were judged: no dose is taken from these.
    assert bank.vector("joy").dose() == 0.3
    trials = {trial["dose"]: trial for trial in bank.note["trials"]["joy"] if trial["contrast"] == 0.5}
    assert (trials[0.6]["n_judged"], trials[0.9]["n_judged"]) == (4, 2)
    assert np.isnan(trials[0.9]["rate"])
    said = capsys.readouterr()
    assert f"could not judge {bank.note['n_unjudged']} of" in said.out + said.err
    monkeypatch.setattr(
        planted, "judge", lambda texts, language="en": judge(texts).without(np.ones(len(texts), bool))
    )
    monkeypatch.setattr(planted, "content_hash", "2", raising=False)
    with pytest.raises(EmospaceError, match=r"calibration of 'joy'.*less than half"):
        calibrate(planted_spec(files, emotions=("joy",)), model=tiny("llama"))


@pytest.mark.parametrize("change", ["judge", "dtype", "format"])
def test_a_trial_does_not_outlive_what_it_was_made_with(planted, files, monkeypatch, change):
    spec, model = planted_spec(files, emotions=("joy",), constant_doses=()), tiny("llama")
    calibrate(spec, model=model)
    n_tried = len(planted.tried)
    calibrate(spec, model=model)
    assert len(planted.tried) == n_tried
    if change == "judge":
        monkeypatch.setattr(planted, "content_hash", "2", raising=False)
    elif change == "dtype":
        model = replace(model, identity={**model.identity, "dtype": "bfloat16"})
    else:
        monkeypatch.setattr(calibration, "FORMAT", calibration.FORMAT + 1)
    calibrate(spec, model=model)
    assert len(planted.tried) == 2 * n_tried


def test_doses_are_tried_in_ascending_order_however_they_are_given(files):
    spec = spec_of(files, doses=(0.95, 0.5, 0.5), feature_doses=(0.4, 0.3), constant_doses=(0.7, 0.2))
    assert (spec.doses, spec.feature_doses, spec.constant_doses) == ((0.5, 0.95), (0.3, 0.4), (0.2, 0.7))
    for name in ("doses", "feature_doses", "constant_doses"):
        for wrong in (0.0, -0.5, np.inf, np.nan):
            with pytest.raises(ValidationError, match="positive"):
                spec_of(files, **{name: (0.5, wrong)})


def test_an_autoencoder_of_another_model_is_refused(files, done, tmp_path, monkeypatch):
    monkeypatch.setenv("EMOSPACE_CACHE", str(done.cache))
    wide = {name: torch.eye(D_MODEL + 1) for name in ("w_enc", "w_dec")}
    biases = {name: torch.zeros(D_MODEL + 1) for name in ("b_enc", "b_dec")}
    sae = SparseAutoencoder(**wide, **biases, architecture="topk", layer=2, k=2)
    save_sae(sae, tmp_path, model_name="another")
    with pytest.raises(EmospaceError, match=f"{D_MODEL + 1} wide"):
        calibrate(spec_of(files, source="mix", sae=str(tmp_path)), model=done.model)


def test_an_unknown_emotion_is_refused_before_anything_runs(planted, files):
    with pytest.raises(EmospaceError, match="emotion 'glee'"):
        calibrate(planted_spec(files, emotions=("glee",)), model=tiny("llama"))
    assert planted.tried == []


@pytest.mark.parametrize(
    "given", [{"doses": ()}, {"contrasts": ()}, {"budget": 1.0}, {"budget": 1001.0}, {"n_prompts": 0}]
)
def test_a_calibration_that_could_try_nothing_is_refused(files, given):
    with pytest.raises(ValidationError):
        spec_of(files, **given)


def test_layers_that_a_model_lacks_are_refused(files, done, monkeypatch):
    monkeypatch.setenv("EMOSPACE_CACHE", str(done.cache))
    with pytest.raises(EmospaceError, match="layers"):
        calibrate(spec_of(files, layers=(N_BLOCKS + 1,)), model=done.model)
