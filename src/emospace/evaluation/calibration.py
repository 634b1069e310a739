"""Find how much of each vector is right: the strongest tone, by a judge, at which text stays fluent.

Doses are tried on calibration prompts that no evaluation uses, with the judge that reports nothing. For the
basic six the recipe is chosen too (how much of the shared emotion is taken out, whether features alone do better);
the others take the first of `CalibrationSpec.contrasts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emospace.artefacts import cache_dir, content_hash, read_as, read_object, write_json
from emospace.concepts import unknown_category
from emospace.display import say, track
from emospace.errors import EmospaceError, InvalidInput
from emospace.evaluation.content import answered
from emospace.evaluation.estimates import row_mean
from emospace.evaluation.materials import Materials, materials
from emospace.evaluation.prompts import (
    FactualPrompt,
    PromptKind,
    has_factual,
    load_factual,
    load_prompts,
    prompt_kind,
)
from emospace.evaluation.ranges import Chance, measured_range, shortfall, untried
from emospace.evaluation.scores import counts, hits, is_judged
from emospace.generation import generate, perplexity
from emospace.judges import BASIC, BASIC_SEVEN, Judge, Judgement, load_judge
from emospace.specs import CalibrationSpec, Mode, Sampling, VectorSource
from emospace.steering.bank import AXES, VectorBank, bank_folder
from emospace.steering.plan import SteeringPlan, plan_steering
from emospace.steering.vector import DoseRange, SteeringVector
from emospace.steering.vectors import (
    FEWEST_RATED,
    Recipe,
    affect_axes,
    category_vectors,
)

if TYPE_CHECKING:
    from emospace.models import LanguageModel


OTHERS = 1.25
"""An emotion beyond the basic six may cost this multiple of the budget: it is tried at two doses alone."""

FORMAT = 2
"""Raised when the same inputs give another trial, so that kept ones are not taken for it."""

LEAST_JUDGED = 0.5
"""Share of a trial's answers the judge must have judged for their rate to choose a dose."""

Way = tuple[VectorSource, float]
"""Source and contrast of a recipe."""

Vectors = Mapping[str, SteeringVector]
"""Emotion -> vector."""

FEATURES_ALONE: Way = ("features", 0.0)
"""Vectors made of an SAE's features alone, which have doses of their own."""


class Trial(NamedTuple):
    """A recipe at a dose on the calibration prompts: rate and mean probability of the target, fluency.

    `rate` and `probability` are over the `n_judged` answers the judge could judge, NaN where these are less than
    `LEAST_JUDGED` of them; `facts` is the part of the factual questions answered rightly unsteered that stay right,
    None where none were asked.
    """

    contrast: float
    dose: float
    rate: float
    probability: float
    perplexity_ratio: float
    source: VectorSource = "mix"
    n_judged: int | None = None
    facts: float | None = None

    @property
    def way(self) -> Way:
        """What tells its vector from the others of its emotion: source and contrast."""
        return self.source, self.contrast


def calibrate(
    spec: CalibrationSpec, out: Path | None = None, *, model: LanguageModel | None = None
) -> VectorBank:
    """Make the vectors of a model and calibrate them in both modes; what was tried is kept and never tried twice.

    Parameters
    ----------
    spec
        Model, language, emotions, doses to try and the fluency budget. Its seed decides the neutral words (and so the
        features) and the answers.
    out
        Where to save them; the cache, where `load_vectors` finds them, unless given.
    model
        The model, already loaded; None loads that of the specification.

    Raises
    ------
    EmospaceError
        An unknown emotion, none with a feature, a language without concept-sets, prompts or a judge; budgets that were set
        and that no dose keeps.
    """
    from emospace.models import load_model

    model = model or load_model(spec.model, **spec.loading)
    made = materials(model, spec)
    source: VectorSource = spec.source if made.sae is not None else "dense"
    banks = _vectors_by_way(spec, made, source)
    wanted = _emotions(spec, made, source, next(iter(banks.values())))
    trials = _Trials(model, spec, load_judge(spec.judge), cache_dir() / "steering" / "trials")
    basic = [name for name in wanted if name in BASIC]
    tried, chosen = trials.choose(banks, basic if basic and spec.others == "median" else wanted)
    made_into = {name: banks[trial.way][name] for name, trial in chosen.items()}
    swept = (basic or wanted[: len(BASIC)]) if spec.constant_doses else []
    tried_constant, constant = trials.choose_constant({name: made_into[name] for name in swept})
    if trials.n_unjudged:
        say(
            f"Judge '{spec.judge}' could not judge {trials.n_unjudged} of {trials.n_answers} calibration answers: "
            "the rates are over the others."
        )
    # Those not swept take the usual proportion between the modes, so that each needs one sweep.
    ratios = [trial.dose / chosen[name].dose for name, trial in constant.items()]
    proportion = float(np.median(ratios)) if ratios else None
    vectors: dict[tuple[str, Mode], SteeringVector] = {}
    for name, trial in chosen.items():
        vector = _named(made_into[name], source)
        chance = trials.chance(name)
        alike = [attempt for attempt in tried[name] if attempt.way == trial.way]
        vectors[name, "relative"] = _relative(
            vector, measured_range(trial.dose, alike, spec.ceiling, chance), spec
        )
        if proportion is not None:
            dose = constant[name].dose if name in constant else trial.dose * proportion
            swept_doses = tried_constant.get(name, ())
            vectors[name, "constant"] = _constant(
                vector, measured_range(dose, swept_doses, spec.ceiling, chance)
            )
    dose = float(np.median([trial.dose for trial in chosen.values()]))
    usual = next(iter(banks.values()))
    rest = {name: _named(usual[name], source) for name in wanted if name not in chosen}
    for name, vector in {**rest, **_axes(spec, made)}.items():
        vectors[name, "relative"] = _relative(vector, untried(dose), spec)
        if proportion is not None:
            vectors[name, "constant"] = _constant(vector, untried(dose * proportion))
    note = {
        "spec": spec.model_dump(mode="json", exclude={"model", "device"}),
        "source": source,
        "judge": spec.judge,
        "prompt_kind": prompt_kind(model, spec.prompts),
        "n_unjudged": trials.n_unjudged,
        "trials": {name: [trial._asdict() for trial in attempts] for name, attempts in tried.items()},
        "chosen": {name: trial._asdict() for name, trial in chosen.items()},
        "unsteered": {name: trials.chance(name).rate for name in chosen},
        "constant_trials": {name: trial._asdict() for name, trial in constant.items()},
        "constant_proportion": proportion,
    }
    positions = {name: made.positions[name] for name in wanted if name in made.positions}
    bank = VectorBank(vectors, positions, note)
    folder = bank.save(out or bank_folder(made.states.model_hash, source, spec.language))
    say(f"{len(bank.names)} emotions calibrated: {folder}")
    return bank


def _vectors_by_way(spec: CalibrationSpec, made: Materials, source: VectorSource) -> dict[Way, Vectors]:
    """Return the vectors of each source and contrast that is tried, the usual ones first."""
    ways: list[Way] = [(source, contrast) for contrast in spec.contrasts]
    if source == "mix" and spec.feature_doses:
        ways.append(FEATURES_ALONE)
    return {
        way: category_vectors(
            made.states,
            made.sets,
            Recipe(source=way[0], contrast=way[1], cleaned=spec.cleaned),
            sae=made.sae,
            features=made.features,
            layers=made.layers,
        )
        for way in ways
    }


def _emotions(spec: CalibrationSpec, made: Materials, source: VectorSource, vectors: Vectors) -> list[str]:
    """Return the emotions to calibrate, all that have a vector unless some are named."""
    names = [name for name in made.sets.categories if made.sets.words(spec.language, name)]
    for name in spec.emotions:
        if name not in names:
            raise unknown_category(name, names, "emotion")
    wanted = spec.emotions or names
    lacking = [name for name in wanted if name not in vectors]
    if len(lacking) == len(wanted):
        raise EmospaceError(
            f"vectors of source '{source}' for {', '.join(lacking)}",
            "the SAE has no feature for them",
            "Use source mix or dense, or more concepts.",
        )
    if lacking:
        say(f"No vector, since no feature was found, for {len(lacking)} emotions: {', '.join(lacking)}")
    return [name for name in wanted if name in vectors]


def _axes(spec: CalibrationSpec, made: Materials) -> Vectors:
    """Return the axes of valence and arousal at the layers steered, none where too few categories are rated."""
    with_words = [name for name in made.sets.categories if made.sets.words(spec.language, name)]
    rated = [name for name in with_words if name in made.positions]
    if len(rated) < FEWEST_RATED:
        say(f"No axes of valence and arousal: {len(rated)} rated categories, {FEWEST_RATED} are needed.")
        return {}
    axes = affect_axes(made.states, made.sets, made.positions, Recipe(cleaned=spec.cleaned))
    return {name: axes[name].at(made.layers) for name in AXES}


def best_together(
    tried: Mapping[str, Sequence[Trial]], budget: float, ceiling: float, facts: float = 0.0
) -> dict[str, Trial]:
    """Return the best trial of each emotion so that together they keep the budgets.

    The median of their perplexity ratios is `budget` at most, the mean of their facts `facts` at least. Some emotions cost
    more than others: each may cost up to the ceiling, which is lowered until both fit; where facts never do, until the
    median fits.
    """
    within_perplexity: dict[str, Trial] | None = None
    limits = sorted({ceiling, *(t.perplexity_ratio for ts in tried.values() for t in ts)}, reverse=True)
    chosen: dict[str, Trial] = {}
    for limit in [limit for limit in limits if limit <= ceiling] or [ceiling]:
        chosen = {name: best(trials, limit) for name, trials in tried.items()}
        if not chosen or np.median([trial.perplexity_ratio for trial in chosen.values()]) <= budget:
            within_perplexity = within_perplexity or chosen
            if not (kept_facts(chosen.values()) < facts):
                return chosen
    return within_perplexity or chosen


def kept_facts(trials: Iterable[Trial]) -> float:
    """Return the mean of the facts kept, NaN where none were asked for."""
    kept = [trial.facts for trial in trials if trial.facts is not None]
    return float(np.mean(kept)) if kept else float("nan")


def judged(name: str, trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials whose answers the judge could judge.

    Raises
    ------
    EmospaceError
        If there is none: no dose is chosen blindly.
    """
    with_rate = [trial for trial in trials if np.isfinite(trial.rate)]
    if trials and not with_rate:
        most = max(trial.n_judged or 0 for trial in trials)
        raise EmospaceError(
            f"calibration of '{name}'",
            f"the judge could judge {most} answers at most at any dose, less than half of them",
            "Name another judge (--judge), or look at its replies where it keeps them.",
        )
    return with_rate


def best(trials: Sequence[Trial], budget: float) -> Trial:
    """Return the trial with the most of the target within the budget, or the most fluent where none keeps it.

    Fluency breaks near-ties: a tenth of the target's probability is worth a factor of two in perplexity. A target the
    judge never found takes the largest dose within the budget.
    """
    fluent = [trial for trial in trials if trial.perplexity_ratio <= budget]
    if not fluent:
        return min(trials, key=lambda trial: trial.perplexity_ratio)
    if not any(trial.rate or trial.probability for trial in fluent):
        return max(fluent, key=lambda trial: trial.dose)
    return max(fluent, key=worth)


def worth(trial: Trial) -> float:
    """Return how much of the target a trial has, less what it costs in fluency."""
    return float((trial.rate + trial.probability) / 2 - 0.1 * np.log2(max(trial.perplexity_ratio, 1.0)))


class _Trials:
    """The calibration prompts, their unsteered answers, and the judge of every trial."""

    def __init__(self, model: LanguageModel, spec: CalibrationSpec, judge: Judge, folder: Path) -> None:
        self.model, self.spec, self.judge, self.folder = model, spec, judge, folder
        kind = prompt_kind(model, spec.prompts)
        self.prompts = load_prompts(spec.language, "calibration", spec.prompts, kind)[: spec.n_prompts]
        self.sampling = Sampling(n_tokens=spec.n_tokens, least_tokens=spec.least_tokens, seed=spec.seed)
        plain = generate(model, self.prompts, sampling=self.sampling, batch_size=spec.batch_size)
        self.base = perplexity(model, self.prompts, plain)
        self.unsteered = judge.judge(plain.texts, spec.language)
        self.known = self._known(spec, kind)
        self.n_answers = self.n_unjudged = 0

    def chance(self, name: str) -> Chance:
        """Return how often the judge takes unsteered answers for an emotion."""
        rate, _, n_judged = rates(self.unsteered, name)
        return Chance(rate, n_judged)

    def choose(
        self, banks: Mapping[Way, Vectors], wanted: Sequence[str]
    ) -> tuple[dict[str, list[Trial]], dict[str, Trial]]:
        """Return what was tried of each emotion, and the best of it: the basic six in every way, the others in the first."""
        spec, first = self.spec, next(iter(banks.values()))
        basic = [name for name in wanted if name in BASIC]
        tried: dict[str, list[Trial]] = {}
        for name in track(basic, "Calibrating the basic six", "emotions"):
            tried[name] = []
            for way, vectors in banks.items():
                doses = spec.feature_doses if way == FEATURES_ALONE else spec.doses
                tried[name] += self.climb(vectors[name], "relative", doses) if name in vectors else []
        usable = {name: judged(name, attempts) for name, attempts in tried.items()}
        chosen = best_together(usable, spec.budget, spec.ceiling, spec.budget_facts)
        why = shortfall(chosen, usable, spec)
        if why is not None and spec.model_fields_set & {"budget", "budget_facts"}:
            raise InvalidInput("the budgets", why, "Give wider ones, smaller --doses, or a lower --cost.")
        if why is not None:
            say(f"Beyond the usual budgets: {why}.")
        others = [name for name in wanted if name not in BASIC]
        for name in track(others, "Calibrating the others", "emotions"):
            tried[name] = self.bracket(first[name])
            chosen[name] = best(judged(name, tried[name]), OTHERS * spec.budget)
        return tried, chosen

    def choose_constant(self, vectors: Vectors) -> tuple[dict[str, list[Trial]], dict[str, Trial]]:
        """Return what was tried of each vector in the constant mode, and the best of it."""
        tried = {
            name: self.climb(vectors[name], "constant", self.spec.constant_doses)
            for name in track(list(vectors), "Calibrating the constant mode", "emotions")
        }
        # Without guidance, which no other engine has, the same tone costs more.
        return tried, {name: best(judged(name, trials), self.spec.ceiling) for name, trials in tried.items()}

    def climb(self, vector: SteeringVector, mode: Mode, doses: Sequence[float]) -> list[Trial]:
        """Try doses from low to high until text falls apart."""
        trials: list[Trial] = []
        for dose in doses:
            trials.append(self._trial(vector, dose, mode))
            if trials[-1].perplexity_ratio > self.spec.ceiling:
                break
        return trials

    def bracket(self, vector: SteeringVector) -> list[Trial]:
        """Try the middle dose, and the next one up or down as fluency allows."""
        doses = self.spec.doses
        middle = len(doses) // 2
        first = self._trial(vector, doses[middle], "relative")
        place = middle + 1 if first.perplexity_ratio <= OTHERS * self.spec.budget else middle - 1
        if not 0 <= place < len(doses):
            return [first]
        return [first, self._trial(vector, doses[place], "relative")]

    def _known(self, spec: CalibrationSpec, kind: PromptKind) -> tuple[FactualPrompt, ...]:
        """Return the factual questions that the unsteered model answers rightly."""
        if not (spec.n_factual and has_factual(spec.language, spec.prompts, kind, "calibration")):
            return ()
        asked = load_factual(spec.language, spec.prompts, kind, "calibration")[: spec.n_factual]
        right = self._answered(asked, None)
        return tuple(fact for fact, is_right in zip(asked, right, strict=True) if is_right)

    def _answered(self, asked: Sequence[FactualPrompt], plan: SteeringPlan | None) -> np.ndarray:
        """Return whether each question is answered rightly by the likeliest tokens."""
        spec = self.spec
        greedy = Sampling(n_tokens=spec.factual_tokens, temperature=0.0, seed=spec.seed)
        questions = [fact.prompt for fact in asked]
        answers = generate(self.model, questions, plan, sampling=greedy, batch_size=spec.batch_size)
        return answered(answers.texts, [fact.answers for fact in asked])

    def _trial(self, vector: SteeringVector, dose: float, mode: Mode) -> Trial:
        alone = untried(dose)
        acting = _relative(vector, alone, self.spec) if mode == "relative" else _constant(vector, alone)
        asked = self.known if mode == "relative" and vector.name in BASIC else ()
        card = {name: value for name, value in acting.card().items() if name not in ("calibration", "note")}
        rows = np.stack([vector.directions[layer] for layer in vector.layers])
        if self.model.template_args:
            card["template_args"] = dict(self.model.template_args)
        key = content_hash(
            *(FORMAT, card, rows, dose, list(self.prompts), self.sampling.model_dump()),
            *(self.model.content_hash, self.judge.name, self.judge.content_hash, self.spec.language),
            *([[fact.prompt for fact in asked], self.spec.factual_tokens] if asked else []),
        )
        path = self.folder / f"{key}.json"
        if not path.is_file():
            write_json(path, self._tried(vector.name, acting, dose, mode, asked)._asdict())
        # JSON has neither infinity nor NaN.
        blank = {"perplexity_ratio": np.inf, "rate": np.nan, "probability": np.nan}
        fields = read_object(path, hint="Delete it: it is made again.")
        kept = {name: blank.get(name) if value is None else value for name, value in fields.items()}
        with read_as(path, "trial of a calibration"):
            trial = Trial(**kept)  # type: ignore[arg-type]
        recipe = vector.note["recipe"]
        trial = trial._replace(contrast=recipe["contrast"], source=recipe["source"])
        self.n_answers += len(self.prompts)
        self.n_unjudged += len(self.prompts) - (trial.n_judged or 0)
        return trial

    def _tried(
        self, target: str, acting: SteeringVector, dose: float, mode: Mode, asked: Sequence[FactualPrompt]
    ) -> Trial:
        """Return how often the judge finds the target in steered answers; the recipe is left to the caller."""
        answers = generate(
            self.model,
            self.prompts,
            acting,
            dose=dose,
            mode=mode,
            sampling=self.sampling,
            batch_size=self.spec.batch_size,
        )
        ratio = median_ratio(perplexity(self.model, self.prompts, answers), self.base)
        rate, probability, n_judged = rates(self.judge.judge(answers.texts, self.spec.language), target)
        facts = None
        if asked:
            facts = float(self._answered(asked, plan_steering(self.model, acting, dose, mode=mode)).mean())
        return Trial(0.0, dose, rate, probability, ratio, n_judged=n_judged, facts=facts)


def median_ratio(perplexities: np.ndarray, unsteered: np.ndarray) -> float:
    """Return the median ratio of perplexities ``[n_prompts]`` to those of unsteered answers; infinite without a token."""
    ratios = perplexities / unsteered
    return float(np.nanmedian(ratios)) if not np.isnan(ratios).all() else np.inf


def rates(judgement: Judgement, target: str) -> tuple[float, float, int]:
    """Return how often the target is chosen, its mean probability, and of how many judged answers.

    NaN where too few could be judged, zeros for a category the judge does not know.
    """
    n_judged = counts([judgement])["n_judged"]
    if n_judged < LEAST_JUDGED * len(judgement.seven):
        return np.nan, np.nan, n_judged
    if not is_judged(judgement, target):
        return 0.0, 0.0, n_judged
    likely = (
        judgement.seven[:, BASIC_SEVEN.index(target)] if target in BASIC else judgement.for_category(target)
    )
    return row_mean(hits(judgement, target)), row_mean(likely), n_judged


def _named(vector: SteeringVector, source: VectorSource) -> SteeringVector:
    """Return a vector under the name of its source, of which the features alone are part."""
    return replace(vector, kind="mix") if source == "mix" else vector


def _relative(vector: SteeringVector, doses: DoseRange, spec: CalibrationSpec) -> SteeringVector:
    return replace(
        vector,
        mode="relative",
        op="clamp",
        guidance=None if spec.guidance.is_plain else spec.guidance.over(None),
        calibration={"relative": doses},
    )


def _constant(vector: SteeringVector, doses: DoseRange) -> SteeringVector:
    return replace(vector, mode="constant", op="add", calibration={"constant": doses})
