"""Whether a tone stays over seeds."""

from __future__ import annotations

import numpy as np
import pytest
from test_evaluation_grid import BANK, PROMPTS, Letters, Moody, spec  # noqa: F401

from conftest import tiny
from emospace.concepts import load_concepts
from emospace.evaluation.cells import n_tokens, standard_cells
from emospace.evaluation.grid import evaluate
from emospace.evaluation.scores import hits
from emospace.evaluation.stability import _row
from emospace.generation import generate
from emospace.steering import plan_steering
from pages import undescribed


def run(asked, judge=None, **changes):
    asked = asked.model_copy(update={"emotions": ("joy", "sadness", "pride"), **changes})
    cells = standard_cells(asked, BANK)
    judge = judge or Letters()
    study = evaluate(
        asked, tiny("llama"), cells, judge, sets=load_concepts(["en"]), prompts=PROMPTS, factual=()
    )
    return asked, cells, study


def test_rows_are_of_the_answers_with_each_seed(spec):  # noqa: F811
    asked, cells, study = run(spec, seeds=3)
    table = study.tables["stability"]
    assert table["emotion"].tolist()[:2] == ["joy", "sadness"]
    assert table["emotion"].isna().tolist() == [False, False, True]
    assert set(table["n_seeds"]) == {3}
    assert set(table["n"]) == {len(PROMPTS)}
    joy = next(cell for cell in cells if cell.emotion == "joy" and cell.factor == 1.0)
    read = []
    for seed in range(3):
        sampling = asked.sampling.model_copy(update={"seed": seed})
        given = generate(
            tiny("llama"), PROMPTS, plan_steering(tiny("llama"), joy.vector, joy.dose), sampling=sampling
        )
        read.append(hits(Letters().judge(given.texts), "joy"))
    read = np.stack(read)
    row = table.iloc[0]
    assert row["rate"] == pytest.approx(read.mean())
    assert [row["least"], row["greatest"]] == pytest.approx(
        [read.mean(axis=1).min(), read.mean(axis=1).max()]
    )
    assert row["most"] == pytest.approx((read.sum(axis=0) >= 2).mean())
    assert row["every"] == pytest.approx((read.sum(axis=0) == 3).mean())
    assert table["rate"].iloc[2] == pytest.approx(table["rate"].iloc[:2].mean())
    first = next(r for r in study.records if r.emotion == "joy" and r.calibrated)
    assert first.target_rate == pytest.approx(read[0].mean())
    assert not undescribed({"steering_stability": table.columns})


def test_one_seed_asks_for_nothing_more(spec):  # noqa: F811
    judge = Letters()
    _, cells, study = run(spec, judge)
    assert study.tables["stability"].empty
    repeated = [cell for cell in cells if cell.is_repeated]
    assert {cell.emotion for cell in repeated} == {"joy", "sadness"}
    more = spec.model_copy(update={"seeds": 3})
    counted = [n_tokens(asked, cells, len(PROMPTS), 0) for asked in (spec, more)]
    assert counted[1] - counted[0] == 2 * len(repeated) * len(PROMPTS) * spec.sampling.n_tokens


def test_prompts_with_an_unjudged_answer_are_left_out(spec):  # noqa: F811
    seen = []

    def refuses(text):
        seen.append(text)
        return len(seen) % 9 == 0

    _, _, study = run(spec, Moody(refuses), seeds=2)
    figures = study.tables["stability"][["rate", "most", "every"]].to_numpy(dtype=float)
    assert np.isfinite(figures).all()


@pytest.mark.parametrize(
    ("hit", "most", "every", "agreement"),
    [
        ([[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]], 0.5, 0.5, 1.0),
        ([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], 0.0, 0.0, 0.0),
        ([[1, 1, np.nan, 0], [1, 0, 1, 0], [1, 1, 1, 0]], 2 / 3, 1 / 3, 8 / 10),
    ],
)
def test_figures_of_planted_hits(hit, most, every, agreement):
    row = _row("mix", "joy", [np.array(hit, dtype=float)], 0)
    assert [row["most"], row["every"], row["agreement"]] == pytest.approx([most, every, agreement])


def test_agreement_is_the_rate_where_answers_of_a_prompt_are_independent():
    hit = (np.random.default_rng(0).random((3, 1_000)) < 0.6).astype(float)
    row = _row("mix", "joy", [hit], 0)
    assert row["agreement"] == pytest.approx(0.6, abs=0.03)
    assert row["agreement_low"] < 0.6 < row["agreement_high"]
