"""Tests of a comparison reject a true null as often as they say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from emospace.comparison.depth import Layers, compare_depths, onset
from emospace.comparison.runs import NamedRun, read_runs
from planted_runs import distances, write_run

NAMES = tuple("abcdefghijkl")
N_LAYERS, N_NULLS = 6, 120


@pytest.fixture(scope="module")
def item(tmp_path_factory) -> NamedRun:
    folder = tmp_path_factory.mktemp("planted")
    return read_runs([write_run(folder / name, name) for name in ("a", "b")])[0]


def layers_of(points: np.ndarray) -> Layers:
    """Return layers whose categories lie at points [n_layers, n_categories, n_dimensions]."""
    n = len(points)
    return Layers(
        "a", "en", NAMES, tuple(range(n)), np.linspace(0, 1, n), np.stack([*map(distances, points)])
    )


def test_p_of_the_highest_layer_is_uniform_where_no_layer_is_like_people(item, monkeypatch):
    """Layers are alike one another, as in a model, so that the highest of them is no maximum of independent ones."""
    rng = np.random.default_rng(0)
    p = []
    for seed in range(N_NULLS):
        human = distances(rng.normal(size=(len(NAMES), 2)))
        people = pd.DataFrame(human, index=list(NAMES), columns=list(NAMES))
        monkeypatch.setattr(type(item.run), "rdm", lambda self, name, people=people: people)
        shared = rng.normal(size=(len(NAMES), 3))
        points = np.stack([shared + rng.normal(size=shared.shape) for _ in range(N_LAYERS)])
        record, _ = onset(item, layers_of(points), NAMES, seed=seed, n_permutations=199, n_bootstrap=10)
        p.append(record.p)
    assert 0.4 < np.mean(p) < 0.6
    assert np.mean(np.array(p) <= 0.1) < 0.1 + 3 * np.sqrt(0.09 / N_NULLS)


def test_layers_matched_elsewhere_show_as_a_shift():
    """A model that does in its second half what another does all the way lags it by what that comes to."""
    rng = np.random.default_rng(1)
    start, end = rng.normal(size=(2, 40, 6))
    names = tuple(f"c{place}" for place in range(40))

    def moving(shares) -> Layers:
        rdms = np.stack([distances((1 - share) * start + share * end) for share in shares])
        depths = np.linspace(0, 1, len(shares))
        return Layers("m", "en", names, tuple(range(len(shares))), depths, rdms)

    early = moving(np.linspace(0, 1, 11))
    late = moving(np.clip(2 * np.linspace(0, 1, 21) - 1, 0, 1))
    record, table = compare_depths(early, late, seed=0, n_bootstrap=200)
    assert record.shift == pytest.approx(0.25, abs=0.06)
    assert record.shift_low > 0
    assert table.rsa.max() == pytest.approx(1)
    same, _ = compare_depths(early, moving(np.linspace(0, 1, 21)), seed=0, n_bootstrap=50)
    assert same.shift == pytest.approx(0, abs=0.02)
    assert same.value == pytest.approx(1, abs=0.01)
    assert same.value > record.value > record.any_depth
