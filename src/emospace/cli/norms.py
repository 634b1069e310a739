"""`emospace norms`: the bundled word ratings, and how a file of one's own is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emospace.cli.options import takes
from emospace.display import say, table
from emospace.errors import EmospaceError, InvalidInput
from emospace.specs.base import Spec, option

if TYPE_CHECKING:
    from emospace.norms import Anchors, OpenQuestion, WordNorms

app = typer.Typer(no_args_is_help=True, help="Word norms: list, check, import.")


class CardSpec(Spec):
    """What the options say of a ratings file: the keys of its card, the same for each command that reads one."""

    language: str | None = option(None, "Language of the words: en, de, zh.")
    scale: tuple[str, ...] = option(
        (),
        "Lowest and highest answer: 1,9, or valence=-3,3; repeatable.",
        metavar="[TARGET=]LOW,HIGH",
    )
    columns: tuple[str, ...] = option(
        (),
        "Where headers are unclear: word=Wort, valence=..., arousal=..., or valence=#3; repeatable.",
        flag="--column",
        metavar="KEY=HEADER",
    )
    targets: tuple[str, ...] = option(
        (), "The ratings to take, where not all: valence,arousal; repeatable.", comma=True
    )
    encoding: str | None = option(None, "Encoding, where the detected one is wrong.")
    sheet: str | None = option(None, "Sheet of a workbook.")
    script: str | None = option(None, "Of Chinese words: Hans or Hant.")
    reversed: tuple[str, ...] = option(
        (),
        "Its scale runs from high to low; none where no scale does; repeatable.",
        metavar="TARGET",
        comma=True,
    )
    layout: str | None = option(None, "A published layout by name, where the columns do not identify it.")
    trials: bool = option(False, "Each row is one rating: take mean, SD and n by word.")
    duplicates: str | None = option(None, "Words rated twice with other ratings: drop, or their mean.")
    missing: tuple[str, ...] = option((), "What stands for no rating: -99; repeatable.", metavar="TEXT")
    clean: bool = option(
        False, "Take quotation marks, asterisks, dots for blanks and capitals off the words."
    )

    def card(self) -> dict[str, Any]:
        """Return what they say, by the keys of a card."""
        readers: dict[str, Callable[[Any], Any]] = {
            "scale": _scale,
            "columns": lambda given: dict(map(_column, given)),
            "reversed": _reversed,
            "missing": list,
        }
        values = {key: getattr(self, key) for key in CardSpec.model_fields}
        return {key: readers.get(key, lambda value: value)(value) for key, value in values.items() if value}


class NormsSpec(CardSpec):
    """Norms to be read."""

    norms: Annotated[str, option(..., "A bundled set or a file of ratings.", argument="NORMS")]


class ImportSpec(CardSpec):
    """A file of ratings whose card is to be written."""

    file: Annotated[Path, option(..., "A file of ratings.", argument="FILE")]
    name: str | None = option(None, "Name of the norms in results.")
    licence: str | None = option(None, "Licence of the file.")
    citation: str | None = option(None, "Paper to cite.")
    yes: bool = option(False, "Write over a card that says otherwise.")

    def card(self) -> dict[str, Any]:
        """Return what they say, name, licence and citation too."""
        texts = {key: getattr(self, key) for key in ("name", "licence", "citation")}
        return super().card() | {key: text for key, text in texts.items() if text is not None}


class ListSpec(Spec):
    """Languages of norms."""

    languages: tuple[str, ...] = option((), "Comma-separated or repeated.", comma=True)


@app.command("list")
@takes(ListSpec, config=False)
def list_sets(spec: ListSpec) -> None:
    """Show the bundled norms with their licences."""
    from emospace.norms import list_norms

    bundled = list_norms()
    if spec.languages:
        bundled = bundled[bundled["language"].isin(spec.languages)]
    if bundled.empty:
        raise InvalidInput(
            f"--languages {','.join(spec.languages)}",
            "no norms in these languages are bundled",
            "Give `emospace study --norms` the path of a ratings file.",
        )
    columns = ["name", "language", "words", "targets", "scale", "licence", "note"]
    table("Bundled norms", columns, bundled[columns].itertuples(index=False))


@app.command()
@takes(NormsSpec, config=False)
def check(spec: NormsSpec) -> None:
    """Read a set as a study would and say how it was read and what is odd in it."""
    from emospace.norms import load_norms

    show(spec.norms, load_norms(spec.norms, **spec.card(), anchors=bundled_anchors))


@app.command("import")
@takes(ImportSpec, config=False)
def import_file(spec: ImportSpec) -> None:
    """Find out how a file is to be read, ask what it does not say, and write that beside it as FILE.toml.

    Nothing else is written. Afterwards `emospace study --norms FILE` needs no more options.
    """
    from emospace.norms import card_path, check_norms, norms_from_file, read_card, write_card
    from emospace.norms.cards import card_text, differences, merged

    file = spec.file
    before = read_card(file)
    card = merged(before, spec.card())
    while True:
        try:
            read = norms_from_file(file, card, anchors=bundled_anchors, settle=True)
            _refuse_foreign(read, card)
            break
        except EmospaceError as error:
            card = _answered(card, error)
    card = _complete(card, read)
    beside = card_path(file)
    show(str(file), read)
    if before and card_text(before) == card_text(card):
        say(f"{beside} says all this already.")
        return
    changed = differences(before, card) if beside.exists() else []
    if changed and "found" not in before and not spec.yes:
        why = f"it is there, written by hand, and says otherwise ({'; '.join(changed)})"
        if not on_terminal():
            raise InvalidInput(str(beside), why, "Give --yes to write over it, or change it by hand.")
        if not typer.confirm(f"{beside}: {why}. Write over it?", err=True):
            raise typer.Exit(1)
    write_card(file, card)
    for line in changed:
        say(f"Changed in {beside}: {line}")
    n_findings = len(check_norms(read))
    say(f"Wrote {beside}. {len(read):,} words, {len(read.rejected):,} rows left out, {n_findings} findings.")
    say(f"Now: emospace study --norms {file}")


def bundled_anchors(language: str) -> Anchors | None:
    """Return the words by which a reversed scale is seen in a language with bundled concept-sets."""
    from emospace.concepts import bundled_languages, load_concepts
    from emospace.norms import anchor_words

    return anchor_words(load_concepts([language]), language) if language in bundled_languages() else None


def on_terminal() -> bool:
    """Return whether a person can be asked."""
    import sys

    return sys.stdin.isatty() and sys.stderr.isatty()


def show(given: str, read: WordNorms) -> None:
    """Write how a set was read, its ratings, what is odd and what was left out."""
    from emospace.norms import check_norms

    facts: dict[str, Any] = {"name": read.name, "language": read.language, "script": read.script}
    facts |= {"words": len(read), "licence": read.licence, "citation": read.citation, "note": read.note}
    how = read.reading
    unverified = "" if how.get("verified", True) else " (unverified: the published file was not seen)"
    facts |= {"layout": str(how.get("layout", "")) + unverified}
    facts |= {key: how.get(key, "") for key in ("encoding", "sheet", "decimal", "direction")}
    facts["separator"] = repr(how["separator"]) if how.get("separator") == "\t" else how.get("separator", "")
    facts["columns"] = ", ".join(f"{key} = {header}" for key, header in how.get("columns", {}).items())
    facts["reversed"] = ", ".join(how.get("reversed", ()))
    facts["said over its card"] = "; ".join(how.get("said_over_card", ()))
    facts["rows left out"] = len(read.rejected)
    table(given, ("what", "value"), [(key, value) for key, value in facts.items() if value != ""])
    rows = []
    for target in read.targets:
        low, high = read.scales[target]
        ratings = read.ratings(target)
        spread = (float(ratings.mean()), float(ratings.std()), read.reliability(target), read.ceiling(target))
        rows.append((target, f"{low:g} to {high:g}", *spread))
    table("Ratings", ("target", "scale", "mean", "SD", "reliability", "highest r"), rows)
    findings: list[tuple[object, ...]] = list(check_norms(read).itertuples(index=False, name=None))
    foreign = "" if read.redistributable else other_language(read)
    if foreign:
        findings.append(("words look like another language", "", len(read), foreign))
    if findings:
        table("Findings", ("problem", "target", "n", "detail"), findings)
    if len(read.rejected):
        table("Rows left out", list(read.rejected.columns), read.rejected.head(20).itertuples(index=False))
        if len(read.rejected) > 20:
            say(f"... and {len(read.rejected) - 20} more")


def other_language(read: WordNorms) -> str:
    """Return in words that the words are those of another language rather than the one said; nothing if not.

    Of the 20,000 most frequent words of each language with a table, another must hold at least a third of the words,
    and 1.5 times as many as the language said; of fewer than 20 words half of them, and 3 times as many.
    """
    from itertools import islice

    from emospace.lexicon import frequency_table, lexicon_languages, spelling

    words = {spelling(word) for word in read.words}
    if read.language not in lexicon_languages() or len(words) < 8:
        return ""
    shares = {}
    for language in lexicon_languages():
        counts = frequency_table(language).counts
        frequent = islice(sorted(counts, key=counts.__getitem__, reverse=True), 20_000)
        shares[language] = len(words & set(frequent)) / len(words)
    best = max(shares, key=lambda language: shares[language])
    least, times = (1 / 2, 3) if len(words) < 20 else (1 / 3, 1.5)
    if shares[best] < max(least, times * shares[read.language]):
        return ""
    return (
        f"{shares[best]:.0%} are frequent words of '{best}', {shares[read.language]:.0%} of '{read.language}': "
        "the column of words may be the wrong one"
    )


def _complete(card: Mapping[str, Any], read: WordNorms) -> dict[str, Any]:
    """Return the card with what was found out, so that the file is read the same however emospace grows."""
    from emospace.norms.cards import found_in

    how = read.reading
    scales = {target: list(read.scales[target]) for target in read.targets}
    is_shared = len({tuple(scale) for scale in scales.values()}) == 1
    facts = {"language": read.language, "script": read.script, "sheet": how["sheet"]}
    facts |= {key: getattr(read, key) for key in ("name", "licence", "citation")}
    complete = {**{key: value for key, value in facts.items() if value}, **card}
    by_target = not is_shared or isinstance(card.get("scale"), Mapping)
    complete["scale"] = scales if by_target else next(iter(scales.values()))
    if len(set(how["columns"].values())) == len(how["columns"]):
        complete["columns"] = dict(how["columns"])
    if "reversed" in card or how["reversed"] or not how["direction"].startswith("not checked"):
        complete["reversed"] = list(how["reversed"])
    complete["found"] = found_in(card, complete)
    return complete


def _refuse_foreign(read: WordNorms, card: Mapping[str, Any]) -> None:
    """Ask for the language of words that are those of another than layout or headers say."""
    from emospace.norms import OpenQuestion
    from emospace.norms.cards import without_found

    foreign = "" if "language" in without_found(card) else other_language(read)
    if foreign:
        raise OpenQuestion(
            read.source,
            f"its layout or headers say that its words are '{read.language}', but {foreign}",
            f"Say --language {read.language} if they are, or the language they are in, or the right column with "
            "--column word=HEADER.",
            key="language",
        )


def _answered(card: Mapping[str, Any], error: EmospaceError) -> dict[str, Any]:
    """Ask what a file does not say and return the card with the answers; raise where nobody can be asked."""
    from emospace.norms import OpenQuestion
    from emospace.norms.cards import merged

    if not isinstance(error, OpenQuestion) or not on_terminal():
        raise error
    answered = dict(card)
    for question in error.questions:
        say(f"{question.what}: {question.why}.")
        answered = merged(answered, _answer(question))
    return answered


def _answer(question: OpenQuestion) -> dict[str, Any]:
    """Ask one thing and return the answer by the keys of a card."""
    kind, _, what = question.key.partition(".")
    shown = ", ".join(question.choices)
    if kind == "language":
        return {"language": _ask(f"Language of the words ({shown or 'en, de, zh, ...'})")}
    if kind == "scale":
        return {"scale": _ask_scales((what,) if what else question.choices)}
    if kind == "columns":
        header = _ask(f"Column of {what} ({shown})" if shown else f"Column of {what}")
        return {"columns": {what: header}}
    if kind == "sheet":
        return {"sheet": _ask(f"Sheet ({shown})")}
    wrong = [
        target
        for target in question.choices
        if typer.confirm(f"Does the {target} scale run from high to low?", err=True)
    ]
    return {"reversed": wrong}


def _ask_scales(targets: tuple[str, ...]) -> dict[str, list[float]]:
    """Ask for the scales of targets, one pair for all or one for each, until the answer can be read."""
    each = " ".join(f"{target}=1,9" for target in targets)
    by_target = f", or {each}" if len(targets) > 1 else ""
    while True:
        answer = _ask(f"Lowest and highest answer for {' and '.join(targets)} (as 1,9{by_target})")
        try:
            scale = _scale(re.sub(r"\s*([,=])\s*", r"\1", answer).split())
            pairs = scale if isinstance(scale, Mapping) else dict.fromkeys(targets, scale)
            return {target: list(pairs[target]) for target in targets}
        except KeyError as missing:
            say(f"It lacks {missing}.")
        except EmospaceError as error:
            say(f"{error.why}. {error.hint}")


def _ask(question: str) -> str:
    return str(typer.prompt(question, err=True)).strip()


def _scale(given: Sequence[str]) -> Any:
    """Return one scale for all targets as a pair, or scales by target."""
    by_target = {}
    for item in given:
        target, equals, ends = item.rpartition("=")
        pair = _pair(ends)
        if not equals:
            if len(given) > 1:
                raise InvalidInput(
                    f"--scale {item}", "it stands beside others", "Say of which target: --scale valence=-3,3."
                )
            return pair
        by_target[target.strip()] = pair
    return by_target


def _pair(given: str) -> tuple[float, float]:
    try:
        low, high = (float(end) for end in given.split(","))
    except ValueError as error:
        raise InvalidInput(
            f"--scale {given}", "it is not two numbers", "Write the lowest and highest answer: --scale 1,9."
        ) from error
    return low, high


def _reversed(given: Sequence[str]) -> list[str]:
    targets = [target for target in given if target != "none"]
    if targets and "none" in given:
        raise InvalidInput(f"--reversed {','.join(given)}", "it says both none and some", "Give one of them.")
    return targets


def _column(given: str) -> tuple[str, str]:
    key, equals, header = given.partition("=")
    if not equals:
        raise InvalidInput(f"--column {given}", "it has no '='", "Write --column word=HEADER.")
    return key.strip(), header.strip()
