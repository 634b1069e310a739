"""A small study of the embedded model with its shipped autoencoder: the basic emotions in English."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import emospace
from emospace.concepts import load_concepts
from emospace.errors import EmospaceError
from emospace.models import EMBEDDED, PACKAGED
from emospace.norms import load_norms
from emospace.records import Results
from emospace.report import write_report
from emospace.study import StudySpec, run_study, steering

try:
    PACKAGED[EMBEDDED].parts()
except EmospaceError as error:
    pytest.skip(str(error), allow_module_level=True)

BUNDLED = Path(emospace.__file__).parent / "data" / "sae"
N_WORDS = 300

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not any(BUNDLED.glob("*/cfg.json")), reason="no autoencoder is shipped yet"),
]


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> tuple[Path, Results]:
    out = tmp_path_factory.mktemp("study")
    table = load_norms("glasgow").without_senses().table
    chosen = np.sort(np.random.default_rng(0).choice(len(table), N_WORDS, replace=False))
    norms = out / "glasgow_300.csv"
    table.iloc[chosen].to_csv(norms, index=False)
    card = 'language = "en"\nscale = { valence = [1, 9], arousal = [1, 9], dominance = [1, 9] }\n'
    norms.with_name(norms.name + ".toml").write_text(card, encoding="utf-8")
    spec = StudySpec(
        languages=("en",),
        norms=(str(norms),),
        categories="basic",
        n_carriers=1,
        n_draws=20,
        n_shuffled=1,
        n_permutations=199,
        cebra=False,
        device="cpu",
    )
    with pytest.MonkeyPatch.context() as patch:
        # Most of the fixture's time is answers: half their length shows the tone too.
        patch.setattr(steering, "N_TOKENS", 16)
        return out / "run", run_study(spec, out / "run")


def r_of(results: Results, features: str, target: str, *, excluded: bool) -> float:
    (r,) = (
        row.r
        for row in results.prediction
        if (row.features, row.target, row.excluded_concepts) == (features, target, excluded)
    )
    return r


def test_the_shipped_autoencoder_is_the_one_used(study):
    _, results = study
    assert results.model.quantisation == "Q4_1"
    assert results.sae is not None
    assert results.sae.layer == results.model.layer
    assert results.sae.n > 100_000


@pytest.mark.parametrize("excluded", [False, True])
def test_the_space_predicts_valence_above_its_matched_draws(study, excluded):
    _, results = study
    space = r_of(results, "space", "valence", excluded=excluded)
    assert space > r_of(results, "outside", "valence", excluded=excluded)
    assert space > r_of(results, "surface", "valence", excluded=excluded)
    assert space > 0.3


def test_dense_states_predict_valence_well(study):
    _, results = study
    assert r_of(results, "dense", "valence", excluded=False) > 0.6


def test_features_of_joy_fire_most_on_words_of_joy(study):
    import pandas as pd

    out, _ = study
    features = pd.read_parquet(out / "tables" / "features.parquet")
    sets = load_concepts(["en"], "basic")
    for category in sets.categories:
        rows = features[features.category == category]
        assert len(rows), category
        words = set(sets.words("en", category))
        assert any(words & set(row.split(", ")) for row in rows.top_words), category
    joy = features[features.category == "joy"].sort_values("effect", ascending=False).iloc[0]
    assert joy.rate_in > joy.rate_pool


def test_the_report_is_one_file_under_ten_megabytes(study):
    out, _ = study
    page = write_report(out)
    assert page.stat().st_size < 10_000_000


@pytest.mark.skipif(
    not any((BUNDLED.parent / "steering").glob("*/card.json")), reason="no steering vectors are shipped yet"
)
def test_six_emotions_are_illustrated_beside_unsteered_answers(study):
    out, results = study
    steered = [row for row in results.steering if row.calibrated]
    assert [row.emotion for row in steered] == ["anger", "disgust", "fear", "joy", "sadness", "surprise"]
    assert all("illustration" in row.options and row.n_prompts == 8 for row in results.steering)
    rate = np.mean([row.target_rate for row in steered])
    assert rate > np.mean([row.base_rate for row in steered]) + 0.2
    assert "An illustration, not a test" in (write_report(out)).read_text(encoding="utf-8")
