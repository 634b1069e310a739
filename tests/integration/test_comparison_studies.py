"""Two whole studies on tiny models of different depth, side by side."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from conftest import N_BLOCKS, make_hf_model, make_tokenizer
from emospace.comparison import compare_runs, write_page
from emospace.sae import save_sae
from emospace.study import StudySpec, run_study
from small_study import ENGLISH, random_sae, write_concepts, write_norms

CATEGORIES, DEEPER = tuple(ENGLISH), 5


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[Path, Path]:
    """Return a run with an SAE, and one of a deeper model without, in a category less."""
    folder = tmp_path_factory.mktemp("studies")
    write_norms(folder / "small.csv", "en", ENGLISH)
    save_sae(random_sae(), folder / "sae", model_name="tiny")
    made = []
    for name, blocks, categories in (("shallow", N_BLOCKS, CATEGORIES), ("deep", DEEPER, CATEGORIES[1:])):
        make_hf_model("llama", num_hidden_layers=blocks).save_pretrained(folder / name)
        make_tokenizer().save_pretrained(folder / name)
        write_concepts(
            folder / f"{name}.toml", "en", {category: ENGLISH[category] for category in categories}
        )
        spec = StudySpec(
            model=str(folder / name),
            languages=("en",),
            norms=(str(folder / "small.csv"),),
            concepts=folder / f"{name}.toml",
            sae=str(folder / "sae") if name == "shallow" else "none",
            device="cpu",
            n_carriers=2,
            q=0.5,
            max_features=24,
            n_draws=2,
            n_shuffled=0,
            n_permutations=19,
            folds=3,
            cebra=False,
            steering=False,
            seed=3,
        )
        run_study(spec, folder / f"run-{name}")
        made.append(folder / f"run-{name}")
    return made[0], made[1]


def test_two_studies_are_compared_from_their_folders_alone(runs, tmp_path):
    result = compare_runs(runs, n_permutations=99)
    comparison = result.comparison
    assert [(run.name, run.n_blocks, run.space) for run in comparison.runs] == [
        ("shallow", N_BLOCKS, "sae"),
        ("deep", DEEPER, "dense"),
    ]
    (rsa,) = comparison.rsa
    assert rsa.n == len(CATEGORIES) - 1
    assert -1 <= rsa.value <= 1 and rsa.baseline is not None
    (depth,) = comparison.depth
    assert (depth.n_layers_a, depth.n_layers_b) == (N_BLOCKS + 1, DEEPER + 1)
    assert len(result.tables["depth"]) == (N_BLOCKS + 1) * (DEEPER + 1)
    assert all("rdm_human_en_valence_arousal" in r.reason for r in comparison.onset)
    assert "Layer by relative depth" in write_page(result, tmp_path).read_text(encoding="utf-8")


def test_folds_drawn_again_give_the_r_that_each_study_published(runs):
    """Every difference has a value, on the words that are concept words of neither run."""
    comparison = compare_runs(runs, n_permutations=9).comparison
    assert {(r.target, r.features) for r in comparison.differences} == {
        (target, features) for target in ("valence", "arousal") for features in ("space", "dense")
    }
    tables = [
        pd.read_parquet(run / "tables" / "predictions.parquet").query("target == 'valence'") for run in runs
    ]
    concepts = [set(table.word[table.concept_word]) for table in tables]
    words = set(tables[0].word) & set(tables[1].word)
    for r in comparison.differences:
        assert r.difference == pytest.approx(r.r - r.r_against), r.reason
        assert r.n == len(words - concepts[0] - concepts[1])
        assert r.ci_low <= r.ci_high
    published = {
        (r.target, r.of): r.value for r in comparison.figures if r.kind == "prediction" and r.run == "shallow"
    }
    for r in comparison.differences:
        assert r.r_against == pytest.approx(published[r.target, r.features], abs=1e-9)
