"""The steering study: every cell answered, judged and set beside its baselines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from emospace.errors import InvalidInput
from emospace.evaluation.answers import Answers, answer
from emospace.evaluation.cells import Cell, check_cap
from emospace.evaluation.content import answered, distinct_n, in_language, repetition, similarity
from emospace.evaluation.prompts import FactualPrompt, load_factual, load_prompts, prompt_kind
from emospace.evaluation.scores import Scored, adjusted, counts, measure
from emospace.evaluation.side_effects import n_requests, side_effects
from emospace.evaluation.stability import stability_table
from emospace.evaluation.tables import study_tables
from emospace.judges import AUROC_FLOOR, BASIC, is_fit, weakness
from emospace.judges.masking import mask_concepts
from emospace.judges.words import rate_words
from emospace.records import NotComputed, SideEffectRecord, SteeringRecord
from emospace.specs import SteeringSpec

if TYPE_CHECKING:
    import pandas as pd

    from emospace.concepts import ConceptSets
    from emospace.judges import Judge
    from emospace.models import LanguageModel
    from emospace.norms import WordNorms


class Evaluation(NamedTuple):
    """What a steering study found: records to publish, tables behind them, and what could not be given.

    Tables: ``cells`` (every figure of every cell), ``dose_response``, ``confusion``, ``affect`` (word shifts beside
    people's ratings of the categories), ``random`` (random directions at matched perplexity), ``figures`` (the
    study in a few numbers), ``samples`` (three answers a cell), ``frontier``, ``frontier_figures`` and
    ``frontier_tests`` (each way's curve of tone over cost, and ways at equal cost: `emospace.evaluation.frontier`), and
    ``stability`` (answers with other seeds) and ``side_effects`` where they were asked for.
    `n_answers` counts the answers to evaluation prompts.
    """

    records: tuple[SteeringRecord, ...]
    tables: dict[str, pd.DataFrame]
    not_computed: tuple[NotComputed, ...]
    n_answers: int
    side_effects: tuple[SideEffectRecord, ...] = ()


@dataclass(frozen=True, eq=False)
class Group:
    """Cells that stand for one thing at one dose (one, or several draws), for one target, and their random controls."""

    target: str
    cells: tuple[Cell, ...]
    scored: tuple[Scored, ...]
    figures: dict[str, Any]
    controls: tuple[Scored, ...] = ()

    @property
    def cell(self) -> Cell:
        """The first of its cells."""
        return self.cells[0]

    @property
    def source(self) -> str | None:
        """The language of the concepts its vector was made of, where the vector says so."""
        return self.cell.source


class Judged(NamedTuple):
    """What was asked, answered and judged, cell by cell, the groups it makes, and what could not be given."""

    cells: Sequence[Cell]
    prompts: Sequence[str]
    answers: Sequence[Answers]
    scored: Sequence[Scored]
    groups: Sequence[Group]
    not_computed: tuple[NotComputed, ...] = ()

    @property
    def base(self) -> Scored:
        """The unsteered answers."""
        return next(
            scores for cell, scores in zip(self.cells, self.scored, strict=True) if cell.kind == "none"
        )

    @property
    def n_answers(self) -> int:
        """How many answers to the prompts there are."""
        return sum(len(given.texts) for given in self.answers)


def evaluate(
    spec: SteeringSpec,
    model: LanguageModel,
    cells: Sequence[Cell],
    judge: Judge,
    *,
    sets: ConceptSets,
    norms: WordNorms | None = None,
    prompts: Sequence[str] | None = None,
    factual: Sequence[FactualPrompt] | None = None,
) -> Evaluation:
    """Answer, judge and score all cells.

    Parameters
    ----------
    spec
        Language, sampling, bounds and run folder; answers found there are not generated again. Its seed decides the
        bootstrap intervals, that of ``spec.sampling`` the answers.
    model
        The model whose vectors the cells have.
    cells
        As from `emospace.evaluation.cells.standard_cells`; exactly one is unsteered (kind ``none``).
    judge
        The one that reports, of another kind than the one doses were calibrated with: it was not chosen by.
    sets
        Concept-sets whose words are masked, all categories of the language.
    norms
        Ratings of the words of the answers; without them there are no word shifts.
    prompts, factual
        Those of the language's file that the model takes (`prompt_kind`) unless given, of the evaluation prompts the
        first `SteeringSpec.n_prompts`.

    Raises
    ------
    EmospaceError
        Before anything is generated: more tokens than the cap, no unsteered cell, or a language the judge has no
        held-out score for.
    """
    kind = prompt_kind(model, spec.prompts)
    if prompts is None:
        prompts = load_prompts(spec.language, "evaluation", spec.prompts, kind)[: spec.n_prompts]
    if factual is None:
        factual = load_factual(spec.language, spec.prompts, kind)[: spec.n_factual] if spec.n_factual else ()
    judged = judge_cells(spec, model, cells, judge, sets=sets, norms=norms, prompts=prompts, factual=factual)
    tables = study_tables(spec, judged, sets=sets, norms=norms)
    records = records_of(spec, model, judge, judged.groups)
    tables["stability"] = stability_table(spec, model, judged, judge)
    missing, beside = judged.not_computed, None
    if spec.side_effects:
        beside = side_effects(spec, model, cells, judged.answers)
        tables["side_effects"] = beside.table
        missing = (*missing, *beside.not_computed)
    return Evaluation(records, tables, missing, judged.n_answers, beside.records if beside else ())


def judge_cells(
    spec: SteeringSpec,
    model: LanguageModel,
    cells: Sequence[Cell],
    judge: Judge,
    *,
    sets: ConceptSets,
    norms: WordNorms | None,
    prompts: Sequence[str],
    factual: Sequence[FactualPrompt] = (),
    masked_in: Sequence[str] = (),
) -> Judged:
    """Answer, judge and score all cells, without tables; takes and raises what `evaluate` does.

    `masked_in` names the languages whose concept words are masked, that of the answers unless given.
    """
    if sum(cell.kind == "none" for cell in cells) != 1:
        raise InvalidInput(
            "the cells of a steering study",
            "unsteered answers are what all others are compared with",
            "Give exactly one cell of kind 'none'.",
        )
    check_cap(spec, cells, len(prompts), len(factual), n_requests(spec))
    judge.check_language(spec.language)
    answers = answer(spec, model, cells, prompts, [question.prompt for question in factual])
    scored = score(
        answers,
        cells,
        judge,
        spec.language,
        sets=sets,
        norms=norms,
        factual=factual,
        masked_in=masked_in,
    )
    groups = group_cells(spec, cells, scored, judge)
    missing = tuple(_not_computed(spec, judge, groups, norms))
    return Judged(cells, prompts, answers, scored, groups, missing)


def records_of(
    spec: SteeringSpec, model: LanguageModel, judge: Judge, groups: Sequence[Group]
) -> tuple[SteeringRecord, ...]:
    """Return one record a group."""
    return tuple(_record(spec, model, judge, group) for group in groups)


def score(
    answers: Sequence[Answers],
    cells: Sequence[Cell],
    judge: Judge,
    language: str,
    *,
    sets: ConceptSets,
    norms: WordNorms | None = None,
    factual: Sequence[FactualPrompt] = (),
    masked_in: Sequence[str] = (),
) -> list[Scored]:
    """Return each cell's answers as judged; similarity is to those of the unsteered cell.

    An answer the judge could not judge, as it is or with its concept words masked, is unjudged in both forms.
    """
    base = next(given for given, cell in zip(answers, cells, strict=True) if cell.kind == "none")
    texts = [text for given in answers for text in given.texts]
    judged = judge.judge(texts, language)
    hidden = texts
    for name in masked_in or (language,):
        hidden = mask_concepts(hidden, sets, name)
    masked = judge.judge(hidden, language)
    # Rates with and without concept words are of the same answers: those judged in both forms.
    unjudged = judged.unjudged | masked.unjudged
    judged, masked = judged.without(unjudged), masked.without(unjudged)
    ends = np.cumsum([len(given.texts) for given in answers])[:-1]
    places = np.split(np.arange(len(texts)), ends)
    rated = rate_words(texts, norms, language) if norms is not None else None
    unknown = np.full(len(texts), np.nan)
    valence = np.split(unknown if rated is None else rated.valence, ends)
    arousal = np.split(unknown if rated is None else rated.arousal, ends)
    accepted = [question.answers for question in factual]
    return [
        Scored(
            judgement=judged.rows(places[place]),
            masked=masked.rows(places[place]),
            perplexity=np.array(given.perplexity, dtype=np.float64),
            valence=valence[place],
            arousal=arousal[place],
            repetition=np.array([repetition(text) for text in given.texts]),
            similarity=similarity(given.texts, base.texts, language),
            stopped=np.array(given.stopped, dtype=bool),
            distinct2=distinct_n(given.texts, 2),
            facts=np.stack([answered(texts, accepted) for texts in (given.factual, given.factual_sampled)])
            if given.factual
            else None,
            applications=given.applications,
            in_language=in_language(given.texts, language),
        )
        for place, given in enumerate(answers)
    ]


def group_cells(
    spec: SteeringSpec, cells: Sequence[Cell], scored: Sequence[Scored], judge: Judge
) -> list[Group]:
    """Return the figures of every target under everything tried on it.

    Draws of one thing at one dose are taken together; answers that serve all targets are read for each of them. The
    controls of a cell are the random directions at its layers (at any where there are none) at the nearest dose (of
    ratio), those of the prompt-only baseline at the nearest to the median calibrated one; `p_fdr` is over the
    categories, and languages of concepts, of one kind and multiple of the dose.
    """
    pairs = list(zip(cells, scored, strict=True))
    base = next(scores for cell, scores in pairs if cell.kind == "none")
    targets = tuple(dict.fromkeys(cell.emotion for cell in cells if cell.emotion is not None))
    together: dict[tuple[Any, ...], list[tuple[Cell, Scored]]] = {}
    for cell, scores in pairs:
        for target in targets if cell.emotion is None else (cell.emotion,):
            # Draws of a shuffled set may differ in their layers and still be one thing, random directions not.
            where = cell.layers if cell.kind == "random" else ()
            key = (target, cell.kind, cell.factor, cell.options, cell.source, where)
            together.setdefault(key, []).append((cell, scores))
    groups = []
    for (target, *_), members in together.items():
        controls = tuple(_controls(members[0][0], pairs))
        figures = measure([scores for _, scores in members], base, target, controls, seed=spec.seed)
        figures["judge_auroc"] = judge.auroc(spec.language, target)
        figures["judge_calibration_error"] = judge.calibration_error(spec.language, target)
        if target in BASIC:
            figures["judge_recall"] = judge.recall(spec.language, target)
            figures["judge_recall_masked"] = judge.recall(spec.language, target, masked=True)
        alike, scored_alike = zip(*members, strict=True)
        groups.append(Group(target, alike, scored_alike, figures, controls))
    families: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for group in groups:
        if "p" in group.figures:
            families.setdefault((group.cell.way, group.cell.factor), []).append(group.figures)
    for family in families.values():
        p_fdr = adjusted([figures["p"] for figures in family], [figures["judge_auroc"] for figures in family])
        for figures, value in zip(family, p_fdr.tolist(), strict=True):
            figures["p_fdr"] = value
    return groups


def _controls(cell: Cell, pairs: Sequence[tuple[Cell, Scored]]) -> list[Scored]:
    random = [(drawn, scores) for drawn, scores in pairs if drawn.kind == "random"]
    if cell.kind in ("none", "random") or not random:
        return []
    random = [(drawn, scores) for drawn, scores in random if drawn.layers == cell.layers] or random

    def distance(drawn: Cell) -> float:
        if cell.dose is None:
            return abs(float(np.log(drawn.factor or 1.0)))
        return abs(float(np.log((drawn.dose or 1.0) / cell.dose)))

    nearest = min(map(distance, (drawn for drawn, _ in random)))
    return [scores for drawn, scores in random if distance(drawn) <= nearest + 1e-9]


def _record(spec: SteeringSpec, model: LanguageModel, judge: Judge, group: Group) -> SteeringRecord:
    cell = group.cell
    figures = {name: value for name, value in group.figures.items() if name in SteeringRecord.model_fields}
    return SteeringRecord(
        model=model.name,
        layer=cell.layers[0] if len(cell.layers) == 1 else None,
        layers=cell.layers,
        seed=spec.seed,
        emotion=group.target,
        source_language=group.source if group.source != spec.language else None,
        vector=cell.kind,
        mode=cell.mode,
        dose=0.0 if cell.kind == "none" else cell.dose,
        calibrated=cell.factor == 1.0 and cell.kind not in ("random", "shuffled"),
        options=cell.options,
        setting=cell.setting,
        instruction=cell.instruction,
        judge=judge.name,
        language=spec.language,
        prompt_kind=prompt_kind(model, spec.prompts),
        caveat=weakness(figures["judge_auroc"]),
        **figures,
    )


def _not_computed(
    spec: SteeringSpec, judge: Judge, groups: Sequence[Group], norms: WordNorms | None
) -> Iterable[NotComputed]:
    unknown = dict.fromkeys(group.target for group in groups if group.figures["target_rate"] is None)
    if unknown:
        why = f"the judge '{judge.name}' has no such label: {', '.join(unknown)}"
        yield NotComputed(what="target rates", why=why, language=spec.language)
    weak = [
        target
        for target in dict.fromkeys(group.target for group in groups)
        if target not in unknown and not is_fit(judge.auroc(spec.language, target))
    ]
    if weak:
        why = f"the held-out AUROC of '{judge.name}' is below {AUROC_FLOOR:g} or unknown: {', '.join(weak)}"
        yield NotComputed(what="p over categories", why=why, language=spec.language)
    judgements = {id(scored): scored.judgement for group in groups for scored in group.scored}
    if judgements and (number := counts(list(judgements.values())))["n_unjudged"]:
        n_answers = sum(number.values())
        why = (
            f"'{judge.name}' could not judge {number['n_unjudged']} of {n_answers} answers, as they are or with their "
            "concept words masked; they are left out of every rate, interval and p"
        )
        yield NotComputed(what="judgements", why=why, language=spec.language)
    silent = sum(group.figures["n_without_perplexity"] for group in groups if group.cell.emotion is not None)
    if silent:
        why = (
            f"{silent} answers, steered or unsteered, have no token; their prompts are left out of the ratios"
        )
        yield NotComputed(what="perplexity of empty answers", why=why, language=spec.language)
    if norms is None:
        yield NotComputed(
            what="valence and arousal of words", why="no word norms were given", language=spec.language
        )
