"""Data in the forms of rsatoolbox and Hugging Face datasets, out and in again."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

from emospace.errors import EmospaceError
from emospace.norms import norms_from_table
from emospace.stats import rdm_correlation
from emospace.structure import from_rdms, load_structure, to_rdms

CATEGORIES = ("joy", "fear", "anger", "sadness")


def distances(seed: int) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(len(CATEGORIES), 3))
    return np.linalg.norm(points[:, None] - points[None], axis=2)


def test_dissimilarities_go_to_rsatoolbox_and_back():
    library = pytest.importorskip("rsatoolbox")
    given = {"model": distances(1), "people": distances(2)}
    rdms = to_rdms(given, CATEGORIES)
    assert rdms.n_rdm == 2 and rdms.n_cond == 4
    ours = rdm_correlation(given["model"], given["people"])
    theirs = library.rdm.compare(rdms[0], rdms[1], method="spearman").item()
    assert theirs == pytest.approx(ours)
    back = from_rdms(rdms, "en")
    assert [structure.name for structure in back] == ["model", "people"]
    for structure, rdm in zip(back, given.values(), strict=True):
        assert structure.categories == CATEGORIES
        np.testing.assert_allclose(structure.rdm() * rdm.max(), rdm, atol=1e-12)


def test_a_bundled_structure_goes_to_rsatoolbox():
    pytest.importorskip("rsatoolbox")
    structure = load_structure("goemotions")
    rdms = to_rdms({structure.name: structure.rdm()}, structure.categories)
    assert list(rdms.pattern_descriptors["category"]) == list(structure.categories)


def test_rdms_that_cannot_be_taken_say_why(monkeypatch):
    pytest.importorskip("rsatoolbox")
    with pytest.raises(EmospaceError, match="4 categories are named"):
        to_rdms({"model": np.zeros((3, 3))}, CATEGORIES)
    rdms = to_rdms({"model": distances(1)}, CATEGORIES)
    rdms.pattern_descriptors.pop("category")
    with pytest.raises(EmospaceError, match="nothing names the category"):
        from_rdms(rdms, "en")
    assert from_rdms(rdms, "en", categories=CATEGORIES)[0].categories == CATEGORIES
    monkeypatch.setitem(sys.modules, "rsatoolbox.rdm", None)
    with pytest.raises(EmospaceError, match="pip install rsatoolbox"):
        to_rdms({"model": distances(1)}, CATEGORIES)


def test_norms_and_tables_go_through_datasets(tmp_path):
    datasets = pytest.importorskip("datasets")
    ratings = {"word": ["joy", "null", "grief"], "valence": [8.2, 5.0, 1.7], "happiness": [4.9, 1.2, 1.0]}
    dataset = datasets.Dataset.from_dict(ratings)
    scale = {"valence": (1, 9), "happiness": (1, 5)}
    norms = norms_from_table(dataset.to_pandas(), "mine", language="en", scale=scale)
    assert norms.words == ("joy", "null", "grief") and norms.targets == ("valence", "happiness")
    norms.table.to_parquet(tmp_path / "norms.parquet")
    again = datasets.Dataset.from_parquet(str(tmp_path / "norms.parquet"), cache_dir=str(tmp_path / "cache"))
    pd.testing.assert_frame_equal(again.to_pandas(), norms.table, check_dtype=False)
