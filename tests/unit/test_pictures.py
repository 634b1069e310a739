"""Objects show themselves: each has a figure and HTML with what it is, and loads no report before."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from emospace.features import FeatureDictionary
from emospace.prediction import predict_ratings
from emospace.report.pictures import chart_of, facts_of
from emospace.space import EmotionSpace
from emospace.steering import DoseRange, SteeringVector

CATEGORIES = ("joy", "fear", "anger", "sadness")


def space() -> EmotionSpace:
    matrix = np.random.default_rng(0).normal(size=(4, 9))
    return EmotionSpace("en", CATEGORIES, np.arange(9), matrix, n_words=(5, 6, 7, 8))


def features() -> FeatureDictionary:
    table = pd.DataFrame({"category": ["joy", "joy", "fear"], "latent": [3, 5, 8], "effect": [1.0, 0.5, 0.7]})
    return FeatureDictionary("en", table)


def predicted():
    values = np.random.default_rng(0).normal(size=(60, 4))
    return predict_ratings(values, values[:, :1] + 0.1, np.arange(60), targets=["valence"], n_bootstrap=20)[0]


def vector() -> SteeringVector:
    directions = {layer: np.random.default_rng(layer).normal(size=8) for layer in (1, 2)}
    return SteeringVector(
        name="joy & <hope>",
        kind="dense",
        directions=directions,
        medians={1: 2.0, 2: 3.0},
        shares={1: 0.4, 2: 0.6},
        model="tiny",
        model_hash="x",
        calibration={"relative": DoseRange(0.3, 0.1, 0.4)},
    )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (space, "dissimilarity of the categories"),
        (features, "features of each category"),
        (predicted, "r, out of fold"),
        (vector, "joy &amp; &lt;hope&gt;"),
    ],
)
def test_an_object_shows_itself(make, said):
    shown = make()
    figure = shown.plot()
    (axis,) = figure.axes
    assert axis.patches or axis.images or axis.collections
    page = shown._repr_html_()
    assert said in page and "<svg" in page and "var(--" not in page


def test_what_has_no_picture_says_so():
    for function in (chart_of, facts_of):
        with pytest.raises(TypeError, match="of int"):
            function(3)


def test_no_report_is_loaded_before_something_is_shown():
    code = (
        "import sys; import emospace.space, emospace.steering, emospace.prediction, emospace.features; "
        "assert not any(name.startswith(('emospace.report', 'matplotlib')) for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
