"""Layer by relative depth: the dense states of two models at every layer, and how early they are like people's ratings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emospace import stats
from emospace.comparison.geometry import too_few
from emospace.comparison.records import DepthRecord, OnsetRecord
from emospace.comparison.runs import FEWEST, NamedRun
from emospace.errors import EmospaceError
from emospace.records import SIGNIFICANT, SummaryRecord, grouped, summarised
from emospace.report.run import Absent

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
ONSET = 0.9
PEOPLE = "valence_arousal"


@dataclass(frozen=True, eq=False)
class Layers:
    """The RDMs of a run's dense states in one language, layer by layer.

    Attributes
    ----------
    layers
        Numbers of the layers, ascending; 0 is before the first block.
    depths
        [n_layers] layer / number of blocks.
    rdms
        [n_layers, n_categories, n_categories].
    """

    name: str
    language: str
    categories: tuple[str, ...]
    layers: tuple[int, ...]
    depths: Floats
    rdms: Floats

    def select(self, categories: Sequence[str]) -> Floats:
        """Return the condensed RDMs [n_layers, n_pairs] of some categories, in their order."""
        index = [self.categories.index(name) for name in categories]
        return np.stack([stats.condensed(rdm[np.ix_(index, index)]) for rdm in self.rdms])

    def square(self, place: int) -> pd.DataFrame:
        """Return the RDM of the layer at a place as a square table."""
        import pandas as pd

        return pd.DataFrame(self.rdms[place], index=list(self.categories), columns=list(self.categories))


def read_layers(item: NamedRun, language: str) -> Layers:
    """Read a run's RDMs by layer.

    Raises
    ------
    Absent
        If the run has none in this language: one written before `rdm_layers` was.
    """
    table = item.run.table("rdm_layers", ("language", "layer", "a", "b", "dissimilarity"))
    table = table[table["language"] == language]
    if table.empty:
        raise Absent(f"tables/rdm_layers.parquet has no rows in '{language}'")
    names = list(dict.fromkeys([*table["a"], *table["b"]]))
    place = {name: index for index, name in enumerate(names)}
    layers = sorted(int(layer) for layer in table["layer"].unique())
    rdms = np.full((len(layers), len(names), len(names)), np.nan)
    row = table["layer"].map({layer: index for index, layer in enumerate(layers)}).to_numpy()
    a, b = table["a"].map(place).to_numpy(), table["b"].map(place).to_numpy()
    rdms[row, a, b] = rdms[row, b, a] = table["dissimilarity"].to_numpy(dtype=np.float64)
    rdms[:, np.arange(len(names)), np.arange(len(names))] = 0.0
    depths = np.array(layers) / (item.n_blocks or max(max(layers), 1))
    return Layers(item.name, language, tuple(names), tuple(layers), depths, rdms)


def equal_depth(a: Floats, b: Floats) -> Floats:
    """Return weights [n_layers_a, n_layers_b] that interpolate a matrix at equal relative depth.

    One row (of the model with fewer layers) has weights that sum to 1, on the two layers of the other model whose
    depths enclose its own; rows of the transpose if `b` has fewer.
    """
    if len(b) < len(a):
        return equal_depth(b, a).T
    weights = np.zeros((len(a), len(b)))
    for row, depth in enumerate(a):
        above = int(np.clip(np.searchsorted(b, depth), 1, len(b) - 1)) if len(b) > 1 else 0
        below = max(above - 1, 0)
        gap = b[above] - b[below]
        share = float(np.clip((depth - b[below]) / gap, 0, 1)) if gap > 0 else 1.0
        weights[row, below] += 1 - share
        weights[row, above] += share
    return weights


def _mean(matrix: Floats, weights: Floats) -> Floats:
    """Return weighted means [...] of matrices [..., n_a, n_b], undefined entries left out."""
    defined = np.isfinite(matrix)
    total = (defined * weights).sum(axis=(-2, -1))
    weighted = (np.where(defined, matrix, 0) * weights).sum(axis=(-2, -1))
    return np.asarray(np.divide(weighted, total, out=np.full(np.shape(total), np.nan), where=total > 0))


def _shift(matrix: Floats, a: Floats, b: Floats) -> Floats:
    best = np.where(np.isfinite(matrix), matrix, -2.0).argmax(axis=-1)
    return np.asarray((b[best] - a).mean(axis=-1))


def compare_depths(
    a: Layers, b: Layers, *, seed: int, n_bootstrap: int = 500
) -> tuple[DepthRecord, pd.DataFrame | None]:
    """Correlate the RDMs of all layers of two runs.

    Returns
    -------
    The record, and a row a pair of layers (``layer_a layer_b depth_a depth_b rsa``), or None where there is no figure.
    """
    import pandas as pd

    names = [name for name in a.categories if name in b.categories]
    common: dict[str, Any] = {
        "a": a.name,
        "b": b.name,
        "language": a.language,
        "n": len(names),
        "n_layers_a": len(a.layers),
        "n_layers_b": len(b.layers),
        "seed": seed,
    }
    if len(names) < FEWEST:
        return DepthRecord(**common, reason=too_few(len(names))), None
    try:
        rows = [*a.select(names), *b.select(names)]
    except EmospaceError as error:
        return DepthRecord(**common, reason=error.why), None
    cut = len(a.layers)
    matrix = stats.rdm_correlations(rows)[:cut, cut:]
    draws = stats.bootstrap_rdm_correlations(rows, seed=seed, n=n_bootstrap)[:, :cut, cut:]
    weights = equal_depth(a.depths, b.depths)
    value = float(_mean(matrix, weights))
    if not np.isfinite(value):
        return DepthRecord(**common, reason="the RDMs of one run vary at no layer"), None
    low, high = np.nanquantile(_mean(draws, weights), [0.025, 0.975])
    shift_low, shift_high = np.quantile(_shift(draws, a.depths, b.depths), [0.025, 0.975])
    best_a, best_b = np.unravel_index(np.nanargmax(matrix), matrix.shape)
    record = DepthRecord(
        **common,
        value=value,
        ci_low=low,
        ci_high=high,
        any_depth=np.nanmean(matrix),
        best=matrix[best_a, best_b],
        best_depth_a=a.depths[best_a],
        best_depth_b=b.depths[best_b],
        shift=_shift(matrix, a.depths, b.depths),
        shift_low=shift_low,
        shift_high=shift_high,
        reason=stats.left_out(*rows),
    )
    i, j = np.indices(matrix.shape).reshape(2, -1)
    table = pd.DataFrame(
        {
            "language": a.language,
            "a": a.name,
            "b": b.name,
            "layer_a": np.array(a.layers)[i],
            "layer_b": np.array(b.layers)[j],
            "depth_a": a.depths[i],
            "depth_b": b.depths[j],
            "rsa": matrix.ravel(),
            "equal_depth": weights.ravel(),
        }
    )
    return record, table


def best_matches(table: pd.DataFrame) -> pd.DataFrame:
    """Return, for each layer of both runs of each pair, the layer of the other whose RDM is most like its own."""
    import pandas as pd

    parts = []
    for side, against in (("a", "b"), ("b", "a")):
        defined = table.dropna(subset=["rsa"])
        best = defined.loc[
            defined.groupby(["language", "a", "b", f"layer_{side}"], sort=False)["rsa"].idxmax()
        ]
        names = {
            **{"language": "language", side: "run", against: "against"},
            **{f"layer_{side}": "layer", f"depth_{side}": "depth"},
            **{f"layer_{against}": "best_layer", f"depth_{against}": "best_depth", "rsa": "rsa"},
        }
        parts.append(best[list(names)].rename(columns=names))
    return pd.concat(parts, ignore_index=True)


def equal_depth_curves(table: pd.DataFrame) -> pd.DataFrame:
    """Return the RSA of each pair of runs by relative depth, in the grain of the run with fewer layers."""
    import pandas as pd

    parts = []
    for (language, a, b), part in table.groupby(["language", "a", "b"], sort=False):
        side = "a" if part["layer_a"].nunique() <= part["layer_b"].nunique() else "b"
        defined = part[(part["equal_depth"] > 0) & part["rsa"].notna()]
        weighed = defined.assign(rsa=defined["rsa"] * defined["equal_depth"]).groupby(f"depth_{side}")
        rsa = weighed["rsa"].sum() / weighed["equal_depth"].sum()
        parts.append(
            pd.DataFrame({"language": language, "a": a, "b": b, "depth": rsa.index, "rsa": rsa.to_numpy()})
        )
    return pd.concat(parts, ignore_index=True)


def comparable_onsets(records: Sequence[OnsetRecord]) -> dict[str, dict[str, float]]:
    """Return by language and run the onsets of arrangements beyond chance, in languages where two runs have one."""
    onsets: dict[str, dict[str, float]] = {}
    for record in records:
        if record.onset_depth is not None and record.p is not None and record.p < SIGNIFICANT:
            onsets.setdefault(record.language, {})[record.run] = record.onset_depth
    return {language: runs for language, runs in onsets.items() if len(runs) > 1}


def onset_medians(records: Sequence[OnsetRecord]) -> tuple[SummaryRecord, ...]:
    """Return each run's median over languages of `comparable_onsets`, in relative depth."""
    onsets = (pair for runs in comparable_onsets(records).values() for pair in runs.items())
    return tuple(
        record
        for run, pairs in grouped(onsets, itemgetter(0)).items()
        for record in summarised(
            "onset", "onset_depth", {"run": run}, (depth for _, depth in pairs), "median"
        )
    )


def onset(
    item: NamedRun,
    layers: Layers,
    categories: Sequence[str],
    *,
    seed: int,
    n_permutations: int = 9999,
    n_bootstrap: int = 1000,
) -> tuple[OnsetRecord, pd.DataFrame | None]:
    """Correlate each layer's RDM with people's valence-arousal distances, as the run holds them.

    The p of the highest value relabels people's categories and takes the highest of all layers each time.

    Parameters
    ----------
    categories
        Those to look at, the same for all runs; the ones people's table lacks are left out.

    Returns
    -------
    The record, and a row a layer (``layer depth rsa``), or None where there is no figure.
    """
    import pandas as pd

    common: dict[str, Any] = {
        "run": item.name,
        "language": layers.language,
        "n_layers": len(layers.layers),
        "n_permutations": n_permutations,
        "seed": seed,
    }
    try:
        people = item.run.rdm(f"rdm_human_{layers.language}_{PEOPLE}")
    except Absent as reason:
        return OnsetRecord(**common, n=0, reason=str(reason)), None
    names = [name for name in categories if name in people.index]
    common["n"] = len(names)
    if len(names) < FEWEST:
        return OnsetRecord(**common, reason=f"{too_few(len(names))} (runs and ratings)"), None
    try:
        rows = layers.select(names)
        human = stats.condensed(people.loc[names, names].to_numpy())
    except EmospaceError as error:
        return OnsetRecord(**common, reason=error.why), None
    if np.isnan(human).any():
        why = "people's distances have no value for some pairs of the categories"
        return OnsetRecord(**common, reason=why), None
    curve = stats.rdm_correlations([human, *rows])[0, 1:]
    if not np.isfinite(curve).any():
        return OnsetRecord(**common, reason="the RDMs vary at no layer"), None
    draws = stats.bootstrap_rdm_correlations([human, *rows], seed=seed, n=n_bootstrap)[:, 0, 1:]
    top, first = int(np.nanargmax(curve)), _first(curve[None])[0]
    record = OnsetRecord(
        **common,
        value=curve[top],
        layer=layers.layers[top],
        depth=layers.depths[top],
        p=stats.mantel_of_highest(human, rows, seed=seed, n_permutations=n_permutations).p,
        before=curve[0] if layers.layers[0] == 0 else None,
        reason=stats.left_out(*rows),
    )
    if curve[top] > 0:
        reached = _first(draws)
        low, high = np.quantile(layers.depths[reached[np.nanmax(draws, axis=1) > 0]], [0.025, 0.975])
        record = record.model_copy(
            update={
                "onset_layer": layers.layers[first],
                "onset_depth": float(layers.depths[first]),
                "onset_low": float(low),
                "onset_high": float(high),
            }
        )
    table = pd.DataFrame(
        {
            "run": item.name,
            "language": layers.language,
            "layer": layers.layers,
            "depth": layers.depths,
            "rsa": curve,
        }
    )
    return record, table


def _first(curves: Floats) -> NDArray[np.int64]:
    """Return the first place [n] in curves [n, n_layers] that reaches `ONSET` of the highest."""
    defined = np.where(np.isfinite(curves), curves, -2.0)
    top = defined.max(axis=1, keepdims=True)
    return np.asarray((defined >= np.where(top > 0, ONSET * top, top)).argmax(axis=1))
