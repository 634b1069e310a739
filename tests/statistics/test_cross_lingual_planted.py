"""Steering across languages on planted answers: the matrix's p is no smaller than chance, and finds what is there."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from emospace.evaluation.cells import Cell
from emospace.evaluation.cross_lingual_tables import mean_table
from emospace.evaluation.grid import Group
from emospace.evaluation.scores import Scored
from emospace.judges import BASIC, BASIC_SEVEN, Judgement

N_PROMPTS = 24


def heard(rng, towards=None, strength=0.0):
    """Return answers whose tone is drawn at random, moved towards one emotion; each prompt has a tone of its own."""
    prompts = np.random.default_rng(7).normal(size=(N_PROMPTS, 7))
    logits = prompts + rng.normal(size=(N_PROMPTS, 7))
    if towards is not None:
        logits[:, BASIC_SEVEN.index(towards)] += strength
    seven = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    judgement = Judgement(("neutral",), np.full((N_PROMPTS, 1), 0.5), seven)
    nothing = np.zeros(N_PROMPTS)
    return Scored(
        judgement, judgement, nothing + 2.0, *([nothing] * 4), stopped=nothing.astype(bool), distinct2=0.9
    )


def study(rng, strengths):
    """Return the means of a study of one output language; `strengths` is source -> how far its vectors move tones."""
    draws = tuple(heard(rng) for _ in range(3))
    base = heard(rng)
    groups = [Group(emotion, (Cell(None, "none"),), (base,), {}) for emotion in BASIC]
    for source, strength in strengths.items():
        vector = SimpleNamespace(note={"language": source})
        groups += [
            Group(
                emotion,
                (Cell(emotion, "dense", vector),),
                (heard(rng, emotion, strength),),
                {"target_rate": 0.5},
                draws,
            )
            for emotion in BASIC
        ]
    return mean_table({"en": SimpleNamespace(groups=groups)}, seed=0).set_index("source")


def test_where_nothing_crosses_p_is_no_smaller_than_chance():
    rng = np.random.default_rng(0)
    p = np.array([study(rng, {"es": 0.0})["p"].iloc[0] for _ in range(150)])
    assert 0.35 < p.mean() < 0.65
    assert (p < 0.05).mean() < 0.09


def test_what_crosses_is_found_and_told_from_the_other_emotions():
    table = study(np.random.default_rng(1), {"es": 2.0, "fi": 0.0})
    assert table.loc["es", "p_fdr"] < 0.01
    assert table.loc["fi", "p_fdr"] > 0.05
    assert table.loc["es", "rate"] > 0.4
    assert abs(table.loc["fi", "rate"] - 1 / 7) < 0.12
    # Steered towards one emotion, the others are heard less.
    assert table.loc["es", "others_rate"] < 0.12
    assert table.loc["es", "rate_low"] < table.loc["es", "rate"] < table.loc["es", "rate_high"]
