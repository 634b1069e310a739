"""The shape of `comparison.json`: one flat record per number, as in `results.json`.

Runs go by the names of `RunRecord.name`; the first of them is the baseline. No record holds a time of day.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field

from emospace.records import AnswerRecord, Explained, Flat, NotComputed, P, Saved, SummaryRecord

FORMAT = 1

Kind = Literal["prediction", "rsa", "best_pc_r", "language_rsa", "procrustes", "steering"]


class RunRecord(Flat):
    """A run as it is compared: its model, its SAE, and what it covers. `file_hash` is that of its `results.json`."""

    name: str
    folder: str
    model: str
    layer: int | None = None
    n_blocks: int | None = None
    d_model: int | None = None
    n_parameters: int | None = None
    quantisation: str | None = None
    space: str
    sae: str | None = None
    n_latents: int | None = None
    languages: tuple[str, ...] = ()
    n_categories: int = Field(ge=0)
    seed: int
    file_hash: str


class ComparedFigure(Explained):
    """What every figure carries: its language, the cases `n` it rests on, and the reason where it is null."""

    language: str
    n: int = Field(ge=0)
    figure_field = "value"


class ModelRSARecord(ComparedFigure):
    """Spearman correlation of two runs' main RDMs (Mantel p); n counts the categories both have.

    `baseline` is the same for the states before the first block, `partial` the correlation of the main RDMs given
    both of those: what the runs agree on beyond the words themselves.
    """

    a: str
    b: str
    space_a: str
    space_b: str
    value: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    p: float | None = P
    p_fdr: float | None = P
    baseline: float | None = None
    baseline_name: str | None = None
    partial: float | None = None
    partial_low: float | None = None
    partial_high: float | None = None
    partial_p: float | None = P
    n_permutations: int
    seed: int


class DepthRecord(ComparedFigure):
    """Mean RSA of two runs' dense states at equal relative depth; n counts the categories both have.

    `any_depth` is the mean over all pairs of layers. `best` is the highest RSA, at `best_depth_a` and `best_depth_b`.
    `shift` is how much deeper the layer of `b` that is most like a layer of `a` lies, mean over the layers of `a`.
    """

    a: str
    b: str
    value: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    any_depth: float | None = None
    best: float | None = None
    best_depth_a: float | None = None
    best_depth_b: float | None = None
    shift: float | None = None
    shift_low: float | None = None
    shift_high: float | None = None
    n_layers_a: int | None = None
    n_layers_b: int | None = None
    seed: int


class OnsetRecord(ComparedFigure):
    """How early a run's dense states are arranged like people's ratings; n counts the categories.

    `value` is the highest RSA over layers, at `layer` and relative `depth`; `p` that of a maximum over layers. The
    onset is the first layer that reaches 90% of it, `onset_low` to `onset_high` its 95% interval in relative depth
    over resampled categories; `before` the RSA of the states before the first block.
    """

    run: str
    against: str = "valence_arousal"
    value: float | None = None
    layer: int | None = None
    depth: float | None = None
    p: float | None = P
    onset_layer: int | None = None
    onset_depth: float | None = None
    onset_low: float | None = None
    onset_high: float | None = None
    before: float | None = None
    n_layers: int | None = None
    n_permutations: int
    seed: int


class FigureRecord(ComparedFigure):
    """One main figure of one run, with its difference from the baseline run's.

    `of` is the feature set, the space (``space``: the run's own), or the kind of vector; `against` the norms, the human
    structure or the other language; `source` the static vectors or the norms, where there are several.
    """

    run: str
    kind: Kind
    of: str
    against: str | None = None
    target: str | None = None
    source: str | None = None
    value: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    p: float | None = P
    difference: float | None = None


class DifferenceRecord(ComparedFigure):
    """r of a run less r of the baseline run on the same words, by paired bootstrap over word groups.

    n counts the words both predicted that are concept words of neither. `p` is two-sided, `p_fdr` over all
    differences of the comparison.
    """

    figure_field = "difference"

    run: str
    against: str
    norms: str
    target: str
    features: Literal["space", "dense"]
    r: float | None = None
    r_against: float | None = None
    difference: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    p: float | None = P
    p_fdr: float | None = P
    n_groups: int | None = None
    seed: int


class RunAnswerRecord(AnswerRecord):
    """One of the three answers of one run, as its report gives it."""

    run: str


class Comparison(Saved):
    """Everything in `comparison.json`; the first run is the baseline."""

    format: int = FORMAT
    command: str
    languages: tuple[str, ...]
    seed: int
    n_permutations: int
    runs: tuple[RunRecord, ...]
    rsa: tuple[ModelRSARecord, ...] = ()
    depth: tuple[DepthRecord, ...] = ()
    onset: tuple[OnsetRecord, ...] = ()
    figures: tuple[FigureRecord, ...] = ()
    differences: tuple[DifferenceRecord, ...] = ()
    answers: tuple[RunAnswerRecord, ...] = ()
    summary: tuple[SummaryRecord, ...] = ()
    not_computed: tuple[NotComputed, ...] = ()

    @property
    def baseline(self) -> str:
        """Name of the run that the others are held against."""
        return self.runs[0].name

    @property
    def others(self) -> tuple[str, ...]:
        """Names of the other runs."""
        return tuple(run.name for run in self.runs[1:])

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read `comparison.json`; raises `EmospaceError` if there is none, or not one as this version writes it."""
        return cls._load(path, "Run `emospace compare` again.")
