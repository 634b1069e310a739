"""One record for each kind of published figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from emospace.records.flat import Figure, P, Provenance, Record

FeatureSet = Literal[
    "space",
    "shared",
    "specific",
    "outside",
    "outside_random",
    "outside_shared",
    "top_firing",
    "shuffled",
    "all",
    "dense",
    "static",
    "static_concepts",
    "static_pcs",
    "dense_static",
    "space_static",
    "surface",
]
Statistic = Literal[
    "rsa_spearman", "rsa_partial", "rdm_weight", "pc1_r", "best_pc_r", "cebra_r2", "procrustes"
]


class PredictionRecord(Record):
    """Out-of-fold Pearson r of one feature set with one rating; n counts the scored words.

    With ``excluded_concepts`` the concept words and their inflections are out of the test folds. For the
    sets made of many draws (outside, outside_random, outside_shared, shuffled) r is the mean over ``n_draws`` and
    ``draws_low``/``draws_high`` their central 95%; ``draws_beaten`` is the fraction of matched draws the set
    exceeds, ``layer`` the layer chosen most often inside the folds, ``ceiling`` the root of the ratings'
    reliability and ``disattenuated_r`` r divided by it. Of the input embeddings, ``static_concepts`` are the directions
    of the same categories, ``static_pcs`` as many principal components as the space has features, fitted on all rated
    words without their ratings; ``dense_static`` and ``space_static`` are those sets joined with the embeddings.
    """

    figure_field = "r"

    language: str
    norms: str
    target: str
    features: FeatureSet
    static_source: str | None = None
    excluded_concepts: bool
    n_features: int = Field(ge=0)
    r: float | None
    ci_low: float | None
    ci_high: float | None
    p: float | None = P
    p_fdr: float | None = P
    r2: float | None = None
    n_draws: int | None = None
    draws_low: float | None = None
    draws_high: float | None = None
    draws_beaten: float | None = P
    ceiling: float | None = None
    reliability: float | None = None
    disattenuated_r: float | None = None
    layers_chosen: str | None = None
    trained_on: str | None = None


class ComparisonRecord(Record):
    """Difference in r between two feature sets on the same words, by paired bootstrap over word groups.

    ``ci_low``/``ci_high`` bound 95%, ``equivalence_low``/``equivalence_high`` 90%; ``equivalent`` says
    whether the latter lie within ``margin`` on both sides of zero. ``p`` is two-sided, against no difference, and
    ``p_fdr`` over all differences of the study.
    """

    figure_field = "difference"

    language: str
    norms: str
    target: str
    features: FeatureSet
    against: FeatureSet
    static_source: str | None = None
    excluded_concepts: bool
    difference: float | None
    ci_low: float | None
    ci_high: float | None
    equivalence_low: float | None = None
    equivalence_high: float | None = None
    margin: float | None = None
    equivalent: bool | None = None
    p: float | None = P
    p_fdr: float | None = P


class NormsAgreementRecord(Record):
    """Pearson r between the ratings of two norms sets of one language; n counts the words that both rate.

    ``r_space`` and ``r_dense`` are the r of ``norms`` with their out-of-fold predictions from the emotion space and from
    dense states over those ``n_model`` of the words that the model was tested on, within folds as in prediction.
    """

    figure_field = "r"

    language: str
    norms: str
    against: str
    target: str
    r: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    r_space: float | None = None
    r_dense: float | None = None
    n_model: int | None = None


class Alignment(Figure):
    """One statistic between the model's category structure and people's.

    Attributes
    ----------
    language
        ISO 639-1 code of the space's concepts.
    against
        The human side: ``valence_arousal``, or the name of a category structure.
    statistic
        ``rsa_spearman`` and ``rsa_partial`` (Spearman's rho of RDMs, -1..1), ``pc1_r`` and ``best_pc_r`` (absolute
        Pearson r), ``procrustes`` (Procrustes correlation, 0..1) or ``cebra_r2`` (held-out R2).
    target
        ``valence``, ``arousal``, ``circumplex`` (both as a plane), ``distance`` (both as distances) or ``structure``.
    value
        The statistic, None where `reason` says why.
    ci_low, ci_high
        95% interval, over resampled categories.
    p
        By permutation; not corrected for the number of figures.
    n
        Categories compared.
    seed
        The seed of permutations and resamples.
    ceiling, ceiling_kind
        What a perfect model would reach, in units of `value`, and how that is known; None where it is not.
    space
        What stands for the model: ``sae``, ``dense`` or ``static`` features.
    norms
        Name of the word norms behind valence and arousal; None against a structure.
    n_features
        Columns of the space.
    n_label, n_derived
        Categories whose human rating is that of their label or a lemma, and those where it is the mean of their
        concepts.
    n_permutations
        Permutations behind p.
    component
        Principal component that was taken, counted from 1.
    controls
        RDMs held constant, joined by " + ".
    baseline, baseline_name
        The same statistic for something simpler, and what that is.
    difference, difference_low, difference_high, difference_p
        What the value has over that of static embeddings, its 95% interval over the same resamples of categories and
        its two-sided p.
    reason
        Why there is no value; beside a value, which pairs are left out.
    """

    language: str
    against: str
    statistic: Statistic
    target: str | None
    value: float | None
    ci_low: float | None
    ci_high: float | None
    p: float | None = P
    ceiling: float | None = None
    ceiling_kind: str | None = None
    space: str = "sae"
    norms: str | None = None
    n_features: int | None = None
    n_label: int | None = None
    n_derived: int | None = None
    n_permutations: int | None = None
    component: int | None = None
    controls: str | None = None
    baseline: float | None = None
    baseline_name: str | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    difference_p: float | None = P


FEWEST_TO_SHOW = 6
"""Categories that an RSA takes to be a figure: resamples of five give almost any value from -1 to 1."""
_OF_VALUE = (
    "value",
    "ci_low",
    "ci_high",
    "p",
    "baseline",
    "difference",
    "difference_low",
    "difference_high",
    "difference_p",
)


class AlignmentRecord(Alignment, Record):
    """`Alignment` of one model; an RSA of fewer categories than `FEWEST_TO_SHOW` has a reason in place of its value."""

    provenance: Provenance | None = None

    @model_validator(mode="before")
    @classmethod
    def _too_few(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or given.get("value") is None:
            return given
        n = given.get("n")
        if not str(given.get("statistic")).startswith("rsa") or not isinstance(n, int) or n >= FEWEST_TO_SHOW:
            return given
        reason = f"too few categories: {n}, with which almost any value would do; at least {FEWEST_TO_SHOW} are needed"
        return {**given, **dict.fromkeys(_OF_VALUE), "reason": reason}


class LanguageRSA(Figure):
    """How alike two languages' spaces are in one model; n counts the categories both have.

    `statistic` ``rsa_spearman`` is the Spearman correlation of their RDMs, ``procrustes`` the fit of their first two
    principal components. `n_shared` counts the latents that are features in both (null where
    features are no latents of one autoencoder, as in dense spaces), `n_spelling` the concepts both
    languages spell alike, and `distinct` is the RSA with these left out of both.
    """

    a: str
    b: str
    statistic: Literal["rsa_spearman", "procrustes"] = "rsa_spearman"
    value: float | None
    ci_low: float | None
    ci_high: float | None
    p: float | None = P
    ceiling: float | None = None
    space: str = "sae"
    n_shared: int | None = None
    n_spelling: int | None = None
    distinct: float | None = None
    n_permutations: int | None = None
    baseline: float | None = None
    baseline_name: str | None = None


class LanguageRSARecord(LanguageRSA, Record):
    """`LanguageRSA` of one model."""


class CrossLanguageRecord(Record):
    """Pearson r of ratings in the language `test` predicted by ridge fitted in `train`; n counts the scored words.

    Concept words of the test language and their inflections are not scored. `features` are those of the training
    language's space, those both languages share, those of the training language alone, those of most languages of
    the study (``universal``), dense states or input embeddings. `p` is against ridge fitted on permuted training
    ratings, whose r has the central 95% `permuted_low` to `permuted_high`; `same_language` is the cross-validated r
    of the same features within the test language, on the same words, and `reference` the r between people's own
    ratings of translated words in two languages.
    """

    figure_field = "r"

    train: str
    test: str
    features: Literal["space", "shared", "specific", "universal", "dense", "static"]
    target: str
    norms_train: str
    norms_test: str
    n_features: int = Field(ge=0)
    r: float | None
    ci_low: float | None
    ci_high: float | None
    p: float | None = P
    p_fdr: float | None = P
    permuted_low: float | None = None
    permuted_high: float | None = None
    same_language: float | None = None
    reference: float | None = None
    reference_name: str | None = None


class CategoryShift(Figure):
    """How differently one category sits in two languages' spaces; n counts the other categories it is placed among.

    `value` is one less the Spearman correlation of its dissimilarities to the other categories in the two languages;
    `noise` what sets of these sizes would give if both agreed, from random halves of the concepts of each; `excess` their
    difference, whose 95% interval resamples the concepts of both. `shifted`: the interval lies above zero; null, with a
    reason, where halves agree no better than chance, so that the category has no place to have moved from.
    """

    a: str
    b: str
    category: str
    space: str = "sae"
    value: float | None
    noise: float | None
    excess: float | None
    ci_low: float | None
    ci_high: float | None
    shifted: bool | None = None


class CategoryShiftRecord(CategoryShift, Record):
    """`CategoryShift` of one model."""


class UniversalCount(Figure):
    """Latents that are emotion features in at least `k` of the languages; n counts the languages.

    `expected` is the mean over draws in which each language's features are exchanged for latents that fire as often
    on its words, `expected_low` to `expected_high` their central 95%, `p` the share of draws with as many.
    """

    figure_field = None

    k: int = Field(gt=0)
    n_latents: int = Field(ge=0)
    expected: float | None = None
    expected_low: float | None = None
    expected_high: float | None = None
    p: float | None = P


class UniversalRecord(UniversalCount, Record):
    """`UniversalCount` of one model."""


class FamilyContrast(Figure):
    """Whether languages of one family have more alike spaces; n counts the languages.

    `value` is the mean RSA `within` families less that `between` them, p one-sided from relabelled languages;
    `n_within` counts the pairs of one family, `cophenetic` is how faithfully the tree of languages shows their RSA.
    """

    space: str = "sae"
    value: float | None
    within: float | None = None
    between: float | None = None
    p: float | None = P
    n_within: int = Field(ge=0)
    n_families: int = Field(ge=0)
    n_permutations: int | None = None
    cophenetic: float | None = None


class FamilyRecord(FamilyContrast, Record):
    """`FamilyContrast` of one model."""


class SteeringRecord(Record):
    """What one vector at one dose does to the tone of answers to neutral prompts.

    `target_rate` is the share of answers the judge takes for the target: among six emotions and neutral for the
    basic six, else among the judge's own labels; `target_rate_masked` the same with the words of all concept-sets
    and their inflections masked, `base_rate` that of unsteered answers, the interval a bootstrap over prompts, `p`
    against the random controls at the same dose, `p_fdr` over categories the judge is fit for: its `judge_auroc` is at
    least `emospace.judges.AUROC_FLOOR`. Where it is known and lower, `caveat` says that the rate is no evidence.
    `judge_calibration_error` is how far the judge's probabilities of the emotion are from the share of held-out texts that
    carry it (expected calibration error, 15 bins).
    `perplexity_ratio` is the median over prompts of steered over unsteered, both under the unsteered model;
    `distinct2_ratio` distinct bigrams over those of the unsteered answers; the shifts are those of the mean human
    rating (-1..1) of the words used. n counts the answers, `layer` is null where several layers act. All that the judge
    says stands on the `n_judged` answers it could judge; `n_unjudged` are missing (refused, no usable reply).
    `source_language` is that of the concepts the vector was made of, where it is not that of the answers, and
    `in_language` the share of answers still in the language of their prompts. `prompt_kind` says whether the answers are
    to questions, or continue stems (beginnings of a text), as a base model does. `vector` ``prompt`` is an `instruction`
    alone, ``prompted`` one together with the vector; `setting` tells another way of applying a vector from the calibrated
    one. `answered` and `answered_sampled` are the shares of `n_facts` factual questions answered rightly, by the likeliest
    tokens and sampled; `facts_kept` both over those of the unsteered model, with a bootstrap over questions.
    """

    figure_field = "target_rate"

    emotion: str
    source_language: str | None = None
    vector: Literal["sae", "dense", "lda", "axis", "mix", "random", "shuffled", "prompt", "prompted", "none"]
    layers: tuple[int, ...] = ()
    mode: Literal["relative", "constant"] | None = None
    dose: float | None
    calibrated: bool = False
    options: str | None = None
    setting: str | None = None
    instruction: str | None = None
    judge: str
    language: str
    prompt_kind: Literal["questions", "stems"] = "questions"
    n_prompts: int = Field(ge=0)
    n_judged: int | None = None
    n_unjudged: int | None = None
    target_rate: float | None = P
    target_rate_masked: float | None = P
    target_probability: float | None = P
    base_rate: float | None = P
    ci_low: float | None = None
    ci_high: float | None = None
    p: float | None = P
    p_fdr: float | None = P
    judge_recall: float | None = P
    judge_recall_masked: float | None = P
    judge_auroc: float | None = P
    judge_calibration_error: float | None = P
    caveat: str | None = None
    perplexity_ratio: float | None
    distinct2_ratio: float | None
    repetition: float | None = P
    early_stop: float | None = P
    similarity: float | None = None
    answered: float | None = P
    answered_sampled: float | None = P
    facts_kept: float | None = None
    facts_kept_low: float | None = None
    facts_kept_high: float | None = None
    n_facts: int | None = None
    in_language: float | None = P
    valence_shift: float | None = None
    arousal_shift: float | None = None
    applications: int | None = None


class SideEffectRecord(Record):
    """What one vector at its calibrated dose changes beside the tone; n counts the requests, claims or answers.

    `figure` ``refusals`` is the share of requests to be refused that are refused, by marks in the answer; ``agreement_false``
    and ``agreement_true`` how likely the answer to "Is it true that ...?" begins with yes rather than no, of false and of
    true claims; ``abuse`` the share of answers to neutral prompts with a word of abuse. `change` is `value` less
    `base_value`, that of unsteered answers to the same, with a 95% interval: Newcombe's for shares, else a bootstrap.
    Without an `emotion` the vector is `n_draws` random directions, whose mean it is.
    """

    figure_field = "value"

    emotion: str | None
    vector: str
    layers: tuple[int, ...] = ()
    mode: Literal["relative", "constant"] | None = None
    dose: float | None
    setting: str | None = None
    language: str
    figure: Literal["refusals", "agreement_false", "agreement_true", "abuse"]
    n_draws: int = Field(default=1, ge=1)
    value: float | None = P
    base_value: float | None = P
    change: float | None
    change_low: float | None = None
    change_high: float | None = None


class ReadingRecord(Record):
    """How well texts are read: Pearson r with people's ratings, or AUROC of a category; n counts the texts.

    `method` is ``features`` (zero-shot, no labelled text), ``ridge`` (the same features, fitted on a training
    split), ``dense_ridge`` (states), ``static`` and ``static_ridge`` (vectors without depth), ``words`` (mean human
    rating of the words). `subset` ``no_concept_word`` holds the texts without any concept word or inflection.
    """

    figure_field = "value"

    source: str
    language: str
    target: str
    method: str
    metric: Literal["r", "auroc"]
    value: float | None
    ci_low: float | None
    ci_high: float | None
    subset: Literal["all", "no_concept_word"] = "all"


class FeatureRecord(Record):
    """How many features one concept-set yields in one language; n counts the words tested, pool included.

    ``auc`` is how well the category's held-out concepts are separated from those of all other categories in dense states,
    layer chosen inside the folds, ``auc_static`` the same in input embeddings: neither looks at features or ratings.
    """

    language: str
    category: str
    n_concepts: int = Field(ge=0)
    n_features: int = Field(ge=0)
    auc: float | None = None
    auc_low: float | None = None
    auc_high: float | None = None
    auc_p: float | None = P
    auc_p_fdr: float | None = P
    auc_static: float | None = None
    basic: bool | None = None
    n_shared: int | None = None
    provenance: Provenance | None = None
