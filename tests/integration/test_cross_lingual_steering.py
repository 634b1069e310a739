"""Steering across languages from end to end on a tiny model, with a judge that counts letters."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from conftest import make_sae, tiny
from emospace.concepts import load_concepts
from emospace.errors import EmospaceError
from emospace.evaluation import SteeringSpec, answers, cross_lingual, running
from emospace.evaluation.cross_lingual import (
    CrossingSpec,
    language_vectors,
    plan,
    run_cross_lingual,
    source_vectors,
)
from emospace.evaluation.prompts import load_prompts
from emospace.features import FeatureDictionary, neutral_pool
from emospace.generation import Sampling
from emospace.judges import BASIC_SEVEN, Judgement
from emospace.records import Results
from emospace.steering import DoseRange
from emospace.steering.bank import VectorBank
from emospace.steering.vectors import Recipe, category_vectors, concept_states

WORDS = {
    "en": {
        "joy": ("joy", "delight", "cheerful", "happy", "gladness"),
        "sadness": ("sadness", "grief", "sorrow", "gloomy", "weeping"),
        "anger": ("anger", "rage", "furious", "wrath", "angry"),
    },
    "es": {
        "joy": ("alegría", "gozo", "contento", "feliz", "dicha"),
        "sadness": ("tristeza", "pena", "dolor", "llanto", "triste"),
        "anger": ("ira", "rabia", "furioso", "enojo", "furia"),
    },
}
CARRIERS = {"en": "The word is {word}", "es": "La palabra es {word}"}
DENSE = {"source": "dense", "contrast": 0.5, "power": 4.0}


class Letters:
    """A judge that counts letters; it is fit for English and Spanish, there not for joy, and not for Chinese."""

    name, kind, labels = "letters", "counts letters", ("joy", "sadness", "anger", "neutral")

    def auroc(self, language, label):
        return {"en": 0.9, "es": 0.74 if label == "joy" else 0.75, "zh": 0.6}.get(language)

    def recall(self, language, label, *, masked=False):
        return 0.3 if masked else 0.7

    def calibration_error(self, language, label):
        return 0.02

    def check_language(self, language):
        if language not in ("en", "es", "zh"):
            raise EmospaceError(f"language '{language}'", "no held-out score", "Choose en.")

    def judge(self, texts, language="en"):
        self.check_language(language)
        letters = ("aei", "stn", "ou", "rh")
        counts = np.array(
            [[sum(text.count(letter) for letter in group) for group in letters] for text in texts]
        )
        share = (counts + 0.5) / (counts.sum(1, keepdims=True) + 2)
        seven = np.full((len(texts), 7), 0.01)
        for label in self.labels:
            seven[:, BASIC_SEVEN.index(label)] = share[:, self.labels.index(label)]
        return Judgement(self.labels, share, seven / seven.sum(1, keepdims=True))


@pytest.fixture(scope="module")
def concepts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("concepts")
    for language, sets in WORDS.items():
        lines = [f'language = "{language}"', f'carriers = ["{CARRIERS[language]}"]']
        for name, words in sets.items():
            lines += [f"[{name}]", f"labels = [{words[0]!r}]", f"words = {list(words)!r}"]
        (folder / f"{language}.toml").write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def bank(concepts, tmp_path_factory):
    """Return calibrated vectors made of the English concepts by hand: other doses, another place for anger."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMOSPACE_CACHE", str(tmp_path_factory.mktemp("cache")))
        model, sets = tiny("llama"), load_concepts(["en"], path=concepts)
        pool = neutral_pool(model, sets, "en", 0)
        states = concept_states(model, sets, "en", pool.words, ["The word is rain"], layers=(1, 2))
    made = category_vectors(states, sets, Recipe(**DENSE))
    vectors = {
        name: replace(
            made[name] if name != "anger" else made[name].at([2]),
            kind="mix",
            op="clamp",
            window=(1, None),
            calibration={"relative": DoseRange(dose, 0.1, 2.0)},
        )
        for name, dose in (("joy", 0.5), ("sadness", 0.8), ("anger", 0.5))
    }
    return VectorBank(
        {(name, "relative"): vector for name, vector in vectors.items()},
        note={"spec": {"language": "en", "sae": "none"}, "judge": "ngram"},
    )


@pytest.fixture
def judged(monkeypatch):
    monkeypatch.setattr(running, "load_judge", lambda name: Letters())


def spec_of(concepts, out, **given):
    fields = {
        "emotions": ("joy", "sadness", "anger"),
        "judge": "letters",
        "concepts": concepts,
        "n_prompts": 6,
        "n_random": 2,
        "sampling": Sampling(n_tokens=5),
        "out": out,
    }
    return CrossingSpec(**{**fields, **given})


@pytest.fixture(scope="module")
def done(bank, concepts, tmp_path_factory):
    """Return a study run to its end, and its folder."""
    cache = str(tmp_path_factory.mktemp("cache"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMOSPACE_CACHE", cache)
        patch.setattr(running, "load_judge", lambda name: Letters())
        spec = spec_of(concepts, tmp_path_factory.mktemp("study"))
        study = run_cross_lingual(spec, tiny("llama"), bank, command="emospace steer languages")
    return SimpleNamespace(spec=spec, found=study, cache=cache)


def test_every_source_is_heard_in_every_output(done):
    records = [record for record in done.found.records if record.vector not in ("none", "random")]
    assert {(record.source_language or record.language, record.language) for record in records} == {
        (source, output) for source in ("en", "es", "all") for output in ("en", "es")
    }
    assert len(records) == 3 * 2 * 3
    cells = {(record.source_language, record.language, record.emotion): record for record in records}
    joy = cells["es", "en", "joy"]
    assert (joy.dose, joy.layers, joy.judge_auroc, joy.n_prompts) == (0.5, (1, 2), 0.9, 6)
    # The tiny model has no chat template.
    assert {record.prompt_kind for record in done.found.records} == {"stems"}
    for language, part in done.found.tables["samples"].groupby("output"):
        assert set(part["prompt"]) < set(load_prompts(language, "evaluation", kind="stems")[:6])
    assert joy.options == "op=clamp window=1: dose_of=en"
    assert not joy.calibrated
    assert joy.p is not None
    assert joy.ci_low <= joy.target_rate <= joy.ci_high
    home = cells[None, "en", "joy"]
    assert home.calibrated
    assert home.options == "op=clamp window=1:"
    # The judge is too weak for joy in Spanish: no adjusted p there.
    assert home.p_fdr is not None
    assert home.caveat is None
    assert cells["en", "es", "joy"].p_fdr is None
    assert cells["en", "es", "joy"].caveat == "judge AUROC .74: too weak to say"
    assert cells["en", "es", "anger"].p_fdr is not None


def test_random_directions_act_where_the_vectors_of_their_target_do(done):
    random = {
        (record.emotion, record.language): record
        for record in done.found.records
        if record.vector == "random"
    }
    assert len(random) == 6
    assert {key[0]: (record.dose, record.layers) for key, record in random.items()} == {
        "joy": (0.5, (1, 2)),
        "sadness": (0.8, (1, 2)),
        "anger": (0.5, (2,)),
    }
    rates = done.found.tables["rates"]
    controls = rates[(rates["kind"] == "mix") & (rates["output"] == "en")].set_index(["source", "emotion"])
    for emotion in ("joy", "sadness", "anger"):
        for source in ("en", "es", "all"):
            assert controls.loc[(source, emotion), "control_rate"] == pytest.approx(
                random[emotion, "en"].target_rate
            )


def test_what_is_written_is_what_was_found(done):
    results = Results.load(done.spec.out / "results.json")
    assert len(results.steering) == len(done.found.records)
    assert results.manifest.languages == ("en", "es")
    for figure in ("control_rate", "others_rate"):
        mean = results.mean("crossing_means", figure, rows="every row")
        assert mean == pytest.approx(done.found.tables["means"][figure].mean())
    assert results.mean("crossing_cosines", "cosine") == pytest.approx(
        done.found.tables["cosines"]["cosine"].mean()
    )
    assert {
        source.language for source in results.manifest.sources if source.name.startswith("vectors of")
    } == {
        "en",
        "es",
    }
    for key in ("rates", "means", "cosines", "samples"):
        table = pd.read_parquet(done.spec.out / "tables" / f"crossing_{key}.parquet")
        assert len(table) == len(done.found.tables[key]) > 0
    left = {(row.language, row.what): row.why for row in results.not_computed}
    assert "no concept-sets" in left["zh", "steering across languages: answers"]


def test_means_are_over_the_emotions(done):
    means = done.found.tables["means"].set_index(["source", "output"])
    rates = done.found.tables["rates"]
    row = means.loc[("es", "en")]
    part = rates[(rates["source"] == "es") & (rates["output"] == "en")]
    assert row["rate"] == pytest.approx(part["target_rate"].mean())
    assert row["control_rate"] == pytest.approx(part["control_rate"].mean())
    assert row["n_emotions"] == 3
    # Without joy, for which the judge is too weak in Spanish.
    row = means.loc[("en", "es")]
    part = rates[(rates["source"] == "en") & (rates["output"] == "es") & (rates["emotion"] != "joy")]
    assert row["n_emotions"] == 2
    assert row["rate"] == pytest.approx(part["target_rate"].mean())
    assert 0 < row["p"] <= row["p_fdr"] <= 1


def test_a_second_run_generates_nothing_and_finds_the_same(done, bank, judged, monkeypatch):
    # States computed anew can differ in their last bits, and then the vectors are others.
    monkeypatch.setenv("EMOSPACE_CACHE", done.cache)
    monkeypatch.setattr(answers, "generate_together", lambda *_args, **_given: pytest.fail("generated again"))
    again = run_cross_lingual(done.spec, tiny("llama"), bank, command="emospace steer languages")
    assert again.records == done.found.records


def test_vectors_of_the_calibrated_language_are_those_calibrated(bank, concepts, tmp_path):
    spec = spec_of(concepts, tmp_path)
    sets = load_concepts(path=concepts)
    planned = plan(spec, bank, sets, Letters())
    vectors, missing = source_vectors(spec, tiny("llama"), bank, sets, planned)
    assert missing == []
    assert list(vectors) == ["en", "es", "all"]
    assert vectors["en"]["joy"] is bank.vector("joy")
    # Made again by the same recipe they are the same.
    again, _ = language_vectors(tiny("llama"), None, sets, "en", planned.calibrated, seed=0)
    assert list(again) == ["joy", "sadness", "anger"]
    for name, vector in again.items():
        original = bank.vector(name)
        assert vector.layers == original.layers
        for layer in original.layers:
            np.testing.assert_allclose(vector.directions[layer], original.directions[layer], atol=1e-5)
    spanish = vectors["es"]["anger"]
    assert (spanish.layers, spanish.op, spanish.window, spanish.dose()) == ((2,), "clamp", (1, None), 0.5)
    assert spanish.note["language"] == "es"
    assert abs(spanish.directions[2] @ bank.vector("anger").directions[2]) < 0.99
    mean = bank.vector("joy").directions[1] + vectors["es"]["joy"].directions[1]
    np.testing.assert_allclose(vectors["all"]["joy"].directions[1], mean / np.linalg.norm(mean), atol=1e-5)


def test_other_concepts_are_not_taken_for_those_calibrated(bank, concepts, tmp_path):
    changed = VectorBank(
        {
            key: replace(vector, note={**vector.note, "concepts": "other"})
            for key, vector in bank.vectors.items()
        },
        note=bank.note,
    )
    spec, sets = spec_of(concepts, tmp_path, sources=("en",)), load_concepts(path=concepts)
    planned = plan(spec, changed, sets, Letters())
    vectors, _ = source_vectors(spec, tiny("llama"), changed, sets, planned)
    assert list(vectors) == ["en"]
    assert vectors["en"]["joy"] is not changed.vector("joy")
    assert vectors["en"]["joy"].note["concepts"] != "other"


@pytest.fixture
def with_sae(bank, monkeypatch):
    """Return the bank with vectors that take part in an SAE, and a function that plants a language's features."""
    sae = make_sae()
    loaded = []
    monkeypatch.setattr(cross_lingual, "sae_for", lambda model, source: loaded.append(source) or sae)
    recipe = {"source": "mix", "contrast": 0.0, "power": 4.0}
    vectors = {
        key: replace(vector, note={"recipe": recipe, "language": "en", "concepts": "x"})
        for key, vector in bank.vectors.items()
    }

    def plant(rows):
        table = pd.DataFrame(rows, columns=["category", "latent"]).assign(effect=1.0)

        def planted(*_args, **_given):
            if not rows:
                raise EmospaceError("the concept-sets of 'es'", "no latent passes", "Use more concepts.")
            return FeatureDictionary("es", table)

        monkeypatch.setattr(cross_lingual, "features_of", planted)

    return VectorBank(vectors, note={"spec": {"language": "en"}, "judge": "ngram"}), plant, loaded


def test_an_emotion_without_a_feature_is_left_out_and_told(with_sae, concepts, tmp_path):
    bank, plant, _ = with_sae
    spec, sets = spec_of(concepts, tmp_path, sources=("es",)), load_concepts(path=concepts)
    planned = plan(spec, bank, sets, Letters())
    plant([("joy", latent) for latent in range(64)] + [("anger", latent) for latent in range(64)])
    vectors, missing = source_vectors(spec, tiny("llama"), bank, sets, planned)
    assert set(vectors["es"]) == {"joy", "anger"}
    assert vectors["es"]["joy"].layers == (1, 2)
    (row,) = missing
    assert (row.what, row.language) == ("vectors of its concepts for sadness", "es")
    assert "no feature" in row.why
    plant([])
    with pytest.raises(EmospaceError, match=r"no source language has a vector.*no latent passes"):
        source_vectors(spec, tiny("llama"), bank, sets, planned)


def test_the_autoencoder_is_loaded_once_for_all_languages(with_sae, concepts, tmp_path):
    bank, plant, loaded = with_sae
    spec, sets = spec_of(concepts, tmp_path), load_concepts(path=concepts)
    plant([("joy", latent) for latent in range(64)])
    vectors, _ = source_vectors(spec, tiny("llama"), bank, sets, plan(spec, bank, sets, Letters()))
    assert set(vectors) == {"en", "es", "all"}
    assert loaded == ["auto"]


def test_nothing_is_generated_over_the_cap(bank, concepts, judged, monkeypatch, tmp_path):
    monkeypatch.setattr(answers, "generate_together", lambda *_args, **_given: pytest.fail("generated"))
    spec = spec_of(concepts, tmp_path, token_cap=900)
    # 1 unsteered, 3 places of 2 random directions, 3 sources (all among them) of 3 emotions; 6 prompts of 5 tokens.
    with pytest.raises(EmospaceError, match="its 32 cells would generate 960 tokens"):
        run_cross_lingual(spec, tiny("llama"), bank, command="")
    few = spec_of(concepts, tmp_path, token_cap=900, n_prompts=10_000)
    # What the file of prompts holds is counted, not what could be asked for.
    with pytest.raises(EmospaceError) as refused:
        run_cross_lingual(few, tiny("llama"), bank, command="")
    n_prompts = sum(len(load_prompts(language, "evaluation", kind="stems")) for language in ("en", "es"))
    assert f"{16 * n_prompts * 5:,} tokens" in refused.value.why


def test_a_study_of_one_language_saves_its_means(bank, concepts, tmp_path, monkeypatch):
    monkeypatch.setenv("EMOSPACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(running, "load_judge", lambda name: Letters())
    spec = SteeringSpec(
        emotions=("joy", "sadness"),
        doses=(1.0, 1.5),
        random_doses=(1.0,),
        judge="letters",
        concepts=concepts,
        n_prompts=3,
        n_random=1,
        n_shuffled=0,
        sampling=Sampling(n_tokens=4),
        factual_tokens=1,
        out=tmp_path / "run",
    )
    study = running.run_evaluation(spec, tiny("llama"), bank, {}, command="emospace steer evaluate")
    results = Results.load(spec.out / "results.json")
    rates = [r.target_rate for r in study.records if r.calibrated and r.vector != "prompted"]
    assert len(rates) == 2
    of = {"group": "compared", "way": "mix"}
    assert results.mean("steering", "target_rate", **of) == pytest.approx(np.mean(rates))
    assert results.median("steering", "perplexity_ratio", group="judged") > 0
