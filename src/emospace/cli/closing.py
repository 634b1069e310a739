"""What `emospace study` ends with: the key figures on the terminal, each beside its baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emospace.display import say, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emospace.records import AlignmentRecord, PredictionRecord, Results

BESIDE = ("outside", "top_firing", "dense", "static")
"""Feature sets shown beside the space; of several static sources the better one."""

PREDICTION = (
    *("language", "norms", "rating", "words", "space r", "95% CI"),
    *("outside r", "above draws", "top firing r", "dense r", "static r", "ceiling"),
)
MANY = 3
"""From so many languages on, each has one line of alignment."""
BY_LANGUAGE = (
    *(
        "language",
        "categories",
        "best PC, valence",
        "best PC, arousal",
        "RSA with valence-arousal",
        "p",
        "static",
    ),
    *("co-annotation", "static", "colexification", "static"),
)
BETWEEN = ("figure", "pairs", "mean", "lowest", "of", "highest", "of", "static, mean")
ACROSS = (
    *("rating", "features", "directions", "r, mean", "lowest", "highest", "same language", "permuted 97.5%"),
    *("beyond permuted", "people"),
)
ALIGNMENT = ("language", "figure", "norms", "categories", "value", "95% CI", "p", "static", "ceiling")
VERDICT = ("language", "of", "is it there", "in the concept features", "beyond the embeddings")
STEERING = ("language", "emotion", "answers", "heard", "masked", "unsteered", "perplexity ratio", "judge")


def show_results(results: Results) -> None:
    """Print the closing tables of a study.

    Ratings are given with concept words out of the test folds; p of the best component is that of the choice.
    """
    answered = list(verdict_rows(results))
    if answered:
        table("Three questions: not shown is not no (docs/method.md)", VERDICT, answered)
        unanswered = (one.reason for one in results.verdicts if one.answer is None and one.reason)
        for reason in dict.fromkeys(unanswered):
            say(f"Not answered: {reason}")
    rows = list(prediction_rows(results))
    if rows:
        table(
            "Ratings predicted from the emotion space, concept words out of the test folds", PREDICTION, rows
        )
    many = len(results.manifest.languages) >= MANY
    found = list(alignment_by_language(results) if many else alignment_rows(results))
    if found:
        table("Categories in the model and in people", BY_LANGUAGE if many else ALIGNMENT, found)
    between = list(language_rows(results))
    if between:
        table("Languages against one another", BETWEEN, between)
    across = list(crossing_rows(results))
    if across:
        table("Ratings read in one language from another", ACROSS, across)
    steered = list(steering_rows(results))
    if steered:
        table("Steering, an illustration on a few prompts", STEERING, steered)
    together: dict[tuple[str, str], list[str]] = {}
    for missing in results.not_computed:
        together.setdefault((missing.what, missing.why), []).append(missing.language or "")
    for (what, why), languages in together.items():
        named = ", ".join(dict.fromkeys(language for language in languages if language))
        say(f"Not computed{f' ({named})' if named else ''}: {what}: {why}")
    if chosen := results.manifest.category_list:
        say(f"Figures are of {chosen}.")
    curated = {source.provenance for source in results.manifest.sources if source.kind == "concepts"}
    if "curated" in curated:
        say("Concept-sets are curated: written for emospace, not association data.")


def verdict_rows(results: Results) -> Iterator[tuple[object, ...]]:
    """Yield the three answers of each language, and of each thing asked about where languages are few."""
    from emospace.report.verdict import about_name, answer_rows

    languages = results.languages
    for language, about, answers in answer_rows(results, languages):
        if about is None or len(languages) < MANY:
            yield (language, about_name(about), *(one.answer for one in answers))


def prediction_rows(results: Results) -> Iterator[tuple[object, ...]]:
    """Yield one row for each language, norms set and rating."""
    panels: dict[tuple[str, str, str], dict[str, PredictionRecord]] = {}
    for record in results.prediction:
        if not record.excluded_concepts or record.r is None:
            continue
        sets = panels.setdefault((record.language, record.norms, record.target), {})
        other = sets.get(record.features)
        if other is None or (other.r or 0.0) < record.r:
            sets[record.features] = record
    for (language, norms, target), sets in panels.items():
        if "space" not in sets:
            continue
        space = sets["space"]
        beside = {name: sets[name].r if name in sets else None for name in BESIDE}
        yield (
            language,
            norms,
            target,
            space.n,
            space.r,
            _interval(space),
            beside["outside"],
            None if space.draws_beaten is None else f"{space.draws_beaten:.1%}",
            beside["top_firing"],
            beside["dense"],
            beside["static"],
            space.ceiling,
        )


def alignment_rows(results: Results) -> Iterator[tuple[object, ...]]:
    """Yield one row for each axis and RSA figure of the model's own space (SAE, else dense)."""
    kinds = {record.space for record in results.alignment}
    kind = "sae" if "sae" in kinds else "dense"
    for record in results.alignment:
        if record.space != kind or record.value is None:
            continue
        name = _figure_name(record)
        if name:
            yield (
                record.language,
                name,
                record.norms,
                record.n,
                record.value,
                _interval(record),
                None if record.p is None else f"{record.p:.4f}",
                record.baseline,
                record.ceiling,
            )


def alignment_by_language(results: Results) -> Iterator[tuple[object, ...]]:
    """Yield one row for each language: best axes, and RSA with each kind of human structure beside static embeddings.

    Of several norms the first counts; of several structures of a kind the one of most categories.
    """
    kinds = {record.space for record in results.alignment}
    kind = "sae" if "sae" in kinds else "dense"
    for language in results.manifest.languages:
        own = [
            r for r in results.alignment if (r.language, r.space) == (language, kind) and r.value is not None
        ]
        axes = {
            target: next((r.value for r in own if (r.statistic, r.target) == ("best_pc_r", target)), None)
            for target in ("valence", "arousal")
        }
        rsa = sorted((r for r in own if r.statistic == "rsa_spearman"), key=lambda r: -r.n)
        people = next(
            (r for r in own if (r.statistic, r.against) == ("rsa_spearman", "valence_arousal")), None
        )
        words = next((r for r in rsa if r.against.startswith("clics")), None)
        texts = next((r for r in rsa if r not in (people, words) and _is_annotated(r)), None)
        if not own:
            continue
        yield (
            *(language, max(r.n for r in own), *axes.values()),
            *(people and people.value, None if people is None or people.p is None else f"{people.p:.4f}"),
            people and people.baseline,
            *(texts and texts.value, texts and texts.baseline),
            *(words and words.value, words and words.baseline),
        )


def _is_annotated(record: AlignmentRecord) -> bool:
    return record.against != "valence_arousal" and not record.against.startswith("clics")


def language_rows(results: Results) -> Iterator[tuple[object, ...]]:
    """Yield the RSA and the Procrustes fit over the pairs of languages."""
    names = {"rsa_spearman": "RSA", "procrustes": "Procrustes fit"}
    kinds = dict.fromkeys((r.statistic, r.space) for r in results.language_rsa)
    for statistic, space in kinds:
        name = f"{names[statistic]}, {space}"
        found = [
            (r.value, r)
            for r in results.language_rsa
            if (r.statistic, r.space) == (statistic, space) and r.value is not None
        ]
        if not found:
            continue
        found.sort(key=lambda pair: pair[0])
        (low, first), (high, last) = found[0], found[-1]
        mean, static = (
            results.mean("language_rsa", name, statistic=statistic, space=space)
            for name in ("value", "baseline")
        )
        yield (
            *(name, len(found), mean),
            *(low, f"{first.a}-{first.b}", high, f"{last.a}-{last.b}"),
            static,
        )


def crossing_rows(results: Results) -> Iterator[tuple[object, ...]]:
    """Yield one row for each rating and feature set: r across languages beside its references."""
    from emospace.study.summary import transfers_of

    for one in transfers_of(results).values():
        yield (
            *(one.target, one.features, one.n, one.r, one.low, one.high, one.same, one.permuted),
            *(f"{one.beyond} of {one.tested}", one.reference),
        )


def steering_rows(results: Results) -> Iterator[tuple[object, ...]]:
    """Yield one row for each emotion at its calibrated dose: the share of answers heard as it, and if that is evidence."""
    for record in results.steering:
        if record.calibrated:
            yield (
                *(record.language, record.emotion, record.n, record.target_rate),
                *(record.target_rate_masked, record.base_rate, record.perplexity_ratio, record.caveat),
            )


def _figure_name(record: AlignmentRecord) -> str:
    against = record.against.replace("_", "-")
    if record.statistic == "rsa_partial" and record.against.startswith(("clics", "brighter")):
        return ""
    if record.statistic == "best_pc_r":
        return f"best of five PCs (PC{record.component}) with {record.target}"
    if record.statistic == "pc1_r":
        return f"PC1 with {record.target}"
    if record.statistic == "rsa_spearman":
        return f"RSA with {against}"
    if record.statistic == "rsa_partial":
        return f"RSA with {against}, given {record.controls}"
    return ""


def _interval(record: PredictionRecord | AlignmentRecord) -> str | None:
    if record.ci_low is None or record.ci_high is None:
        return None
    return f"{record.ci_low:.2f} to {record.ci_high:.2f}"
