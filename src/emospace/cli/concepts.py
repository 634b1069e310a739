"""`emospace concepts`: the concept-sets there are, what is wrong with one's own, and import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from emospace.cli.options import takes
from emospace.display import say, table, written
from emospace.errors import InvalidInput
from emospace.specs import ModelSpec
from emospace.specs.base import COMMA, Spec, option

if TYPE_CHECKING:
    from emospace.concepts import ConceptSets
    from emospace.norms import WordNorms

REFERENCE, FURTHEST = "en", 5
YES_OR_NO: Mapping[bool | None, str | None] = {True: "yes", False: "no", None: None}

app = typer.Typer(no_args_is_help=True, help="Concept-sets: list, check, import.")

CATEGORIES = "all, basic, paper26, goemotions, or a file with a name a line."


class SetsSpec(Spec):
    """Concept-sets to be looked at."""

    path: Path | None = option(
        None, "A TOML file or a folder of them; the bundled sets without one.", argument="PATH"
    )
    languages: tuple[str, ...] = option((), f"{COMMA}; all without it.", comma=True)
    categories: str = option("all", CATEGORIES)

    def load(self) -> ConceptSets:
        """Return the sets, those that cannot be used too."""
        from emospace.concepts import load_concepts

        return load_concepts(self.languages or None, self.categories, path=self.path, strict=False)


class CheckSpec(SetsSpec):
    """Concept-sets to be checked, and against what."""

    model: str | None = option(None, "Also check that this model's tokenizer knows the words.")
    revision: str | None = option(None, ModelSpec.model_fields["revision"].description or "")
    trust_remote_code: bool = option(False, ModelSpec.model_fields["trust_remote_code"].description or "")
    valence: bool = option(False, "Also compare the categories' valence with English, by word norms.")
    norms: tuple[str, ...] = option(
        (), "With --valence: bundled sets or files in place of a language's bundled ones; repeatable."
    )


class ImportSpec(Spec):
    """A file of word associations to be made into concept-sets."""

    path: Annotated[
        Path,
        option(
            ...,
            "Word associations of Small World of Words, USF or EAT: strengths, or participants' answers.",
            argument="PATH",
        ),
    ]
    language: Annotated[str, option(..., "The file's language.")]
    out: Annotated[Path, option(..., "TOML file to write.")]
    categories: str = option("all", CATEGORIES)
    labels: Path | None = option(
        None, 'TOML file of cues, joy = ["joy", "joyful"], for a language without bundled sets.'
    )
    carrier: tuple[str, ...] = option((), "Sentence with {word} in it; repeatable.")
    responses: Literal["R1", "R123"] | None = option(
        None, "Answers that count: the first or all three (R1 or R123); else R123 where the file has it."
    )
    threshold: float = option(0.01, "Least strength, as a share of all answers.")
    min_count: int = option(2, "Least number of answers.")
    min_words: int = option(10, "Fewest concepts a category may have.")
    max_words: int = option(50, "Most concepts a category keeps.")


@app.command("list")
@takes(SetsSpec, config=False)
def list_sets(spec: SetsSpec) -> None:
    """Show how many concepts each category has in each language, and the words specific to one."""
    from emospace.concepts import category_lists

    sets = spec.load()
    lists = category_lists(spec.path)
    rows = []
    for category in sets.categories:
        counts = [
            len(sets.words(language, category)) if category in sets.labels[language] else None
            for language in sets.languages
        ]
        rows.append((category, *("yes" if category in names else "" for names in lists.values()), *counts))
    total = sum(len(sets.words(language)) for language in sets.languages)
    title = f"{sets.provenance} concept-sets: {len(sets.categories)} categories, {total} words"
    table(title, ("category", *lists, *sets.languages), rows)
    specific = [
        (
            language,
            word,
            ", ".join(c for c in sets.labels[language] if word in sets.words(language, c)),
            gloss,
        )
        for language, glosses in sets.specific.items()
        for word, gloss in glosses.items()
    ]
    if specific:
        title = f"{len(specific)} words specific to a language"
        table(title, ("language", "word", "category", "gloss"), specific)


@app.command()
@takes(CheckSpec, config=False)
def check(spec: CheckSpec) -> None:
    """List what is wrong or doubtful; a set that cannot be used ends with exit code 2.

    With --valence also each category's valence, the mean rating of its concepts by their weights, against English.
    That is a report: no concept is chosen by it.
    """
    from emospace.concepts import check_concepts
    from emospace.concepts.checks import FATAL

    if spec.norms and not spec.valence:
        raise InvalidInput(f"--norms {spec.norms[0]}", "ratings are read for valence only", "Add --valence.")
    sets = spec.load()
    tokenizer = None
    if spec.model is not None:
        from emospace.models import load_tokenizer

        tokenizer = load_tokenizer(
            spec.model, revision=spec.revision, trust_remote_code=spec.trust_remote_code
        )
    findings = check_concepts(sets, tokenizer)
    n_sets = sum(len(labels) for labels in sets.labels.values())
    if findings.empty:
        say(f"{n_sets} sets in {len(sets.languages)} languages: nothing wrong.")
    else:
        table(f"{len(findings)} findings", list(findings.columns), findings.itertuples(index=False))
    fatal = findings[findings["problem"].isin(FATAL)]
    if len(fatal):
        raise InvalidInput(
            str(spec.path or "the bundled concept-sets"),
            f"{len(fatal)} findings make sets unusable ({', '.join(dict.fromkeys(fatal['problem']))})",
            "Correct the file where the table says.",
        )
    if spec.valence:
        show_valence(sets, spec.norms)


def show_valence(sets: ConceptSets, given: Sequence[str]) -> None:
    """Show how the valence of the categories agrees with English: figures, and the categories that differ most."""
    from emospace.concepts import load_concepts
    from emospace.norms import default_norms, load_norms
    from emospace.structure import FEWEST_CONCEPTS, FEWEST_RATED, PEOPLE, WANTED, valence_agreement

    norms: dict[str, list[WordNorms]] = {}
    for source in given:
        rated = load_norms(source)
        norms.setdefault(rated.language, []).append(rated)
    for language in dict.fromkeys((*sets.languages, REFERENCE)):
        if language not in norms:
            norms[language] = [load_norms(name) for name in default_norms(language)]
    english = None if REFERENCE in sets.languages else load_concepts([REFERENCE])
    agreements = valence_agreement(sets, norms, REFERENCE, reference_sets=english)
    if not agreements:
        raise InvalidInput(
            "--valence", "there are sets of English alone, the reference", "Name other languages as well."
        )
    table(
        f"Valence of categories against {REFERENCE} ({agreements[0].reference_norms})",
        ("language", "norms", "categories", "r", "from", "to", f"r >= {WANTED:g}", "reason"),
        [
            (
                *(record.language, record.norms or None, record.n, record.r, record.ci_low, record.ci_high),
                *(YES_OR_NO[record.reached], record.reason),
            )
            for record in agreements
        ],
    )
    furthest = [
        (
            *(record.language, record.norms, pair.category),
            *(pair.value, pair.reference, pair.difference, pair.n_words),
        )
        for record in agreements
        for pair in record.pairs[:FURTHEST]
    ]
    if furthest:
        table(
            f"The {FURTHEST} categories of each that differ most (-1 to 1)",
            ("language", "norms", "category", "valence", REFERENCE, "difference", "rated concepts"),
            furthest,
        )
    without = ", ".join(record.language for record in agreements if not record.norms)
    if without:
        say(f"Nothing is known of {without}: give ratings with --norms FILE.")
    say(
        f"A category counts with {FEWEST_CONCEPTS} rated concepts in both languages; r is judged from {FEWEST_RATED} "
        f"categories on, and its interval is a bootstrap over them. People's own r across languages: {PEOPLE:g}."
    )


@app.command("import")
@takes(ImportSpec, config=False)
def import_sets(spec: ImportSpec) -> None:
    """Build concept-sets from a word-association file (Small World of Words, USF, EAT)."""
    from emospace.concepts import import_associations

    out = spec.out
    if out.suffix != ".toml":
        raise InvalidInput(f"--out {out}", "it is no .toml file", f"Name it {out.with_suffix('.toml')}.")
    limits = ("responses", "threshold", "min_count", "min_words", "max_words")
    sets = import_associations(
        spec.path,
        spec.language,
        selection=spec.categories,
        labels=read_labels(spec.labels) if spec.labels else None,
        carriers=spec.carrier or None,
        **{name: getattr(spec, name) for name in limits},
    )
    sets.save(out)
    written("Written", out)
    say(f"Use it with: emospace study --concepts {out} --languages {spec.language}")


def read_labels(path: Path) -> dict[str, list[str]]:
    """Return category -> label lemmas from a TOML file."""
    from emospace.artefacts import parse_object
    from emospace.concepts.files import read_text

    labels = parse_object(read_text(path), path, None, 'Write lines like joy = ["joy"].')
    for category, lemmas in labels.items():
        if not isinstance(lemmas, list) or not all(isinstance(lemma, str) for lemma in lemmas) or not lemmas:
            raise InvalidInput(
                f"{path}: '{category}'", "it is no list of words", 'Write joy = ["joy", "joyful"].'
            )
    return labels
