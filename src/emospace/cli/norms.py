"""`emospace norms`: the bundled word ratings, and how a file of one's own is read."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from emospace.cli.options import split
from emospace.display import say, table
from emospace.errors import EmospaceError, InvalidInput

if TYPE_CHECKING:
    from emospace.norms import Anchors, OpenQuestion, WordNorms

app = typer.Typer(no_args_is_help=True, help="Word norms: list, check, import.")

OPTIONS: dict[str, Any] = {
    "language": Annotated[str | None, typer.Option(help="Language of the words: en, de, zh.")],
    "scale": Annotated[
        list[str] | None,
        typer.Option(
            metavar="[TARGET=]LOW,HIGH", help="Lowest and highest answer: 1,9, or valence=-3,3; repeatable."
        ),
    ],
    "columns": Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="KEY=HEADER",
            help="Where headers are unclear: word=Wort, valence=..., arousal=..., or valence=#3; repeatable.",
        ),
    ],
    "targets": Annotated[
        list[str] | None,
        typer.Option(help="The ratings to take, where not all: valence,arousal; repeatable."),
    ],
    "encoding": Annotated[str | None, typer.Option(help="Encoding, where the detected one is wrong.")],
    "sheet": Annotated[str | None, typer.Option(help="Sheet of a workbook.")],
    "script": Annotated[str | None, typer.Option(help="Of Chinese words: Hans or Hant.")],
    "reversed": Annotated[
        list[str] | None,
        typer.Option(
            metavar="TARGET", help="Its scale runs from high to low; none where no scale does; repeatable."
        ),
    ],
    "layout": Annotated[
        str | None, typer.Option(help="A published layout by name, where the columns do not identify it.")
    ],
    "trials": Annotated[
        bool, typer.Option("--trials", help="Each row is one rating: take mean, SD and n by word.")
    ],
    "duplicates": Annotated[
        str | None, typer.Option(help="Words rated twice with other ratings: drop, or their mean.")
    ],
    "missing": Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="What stands for no rating: -99; repeatable.")
    ],
    "clean": Annotated[
        bool,
        typer.Option(
            "--clean", help="Take quotation marks, asterisks, dots for blanks and capitals off the words."
        ),
    ],
}
"""Key of a card -> the option that says it, the same for each command that reads a file."""


def says_card(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the `OPTIONS` in place of its parameter `said`, which gets what they say as a card."""

    @wraps(command)
    def run(**given: Any) -> None:
        said = {key: given.pop(key) for key in OPTIONS}
        command(**given, said=_said(said))

    signature = inspect.signature(command, eval_str=True)
    own = [parameter for name, parameter in signature.parameters.items() if name != "said"]
    options = [
        inspect.Parameter(
            key,
            inspect.Parameter.KEYWORD_ONLY,
            default=False if get_args(hint)[0] is bool else None,
            annotation=hint,
        )
        for key, hint in OPTIONS.items()
    ]
    parameters = [*(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own), *options]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return run


@app.command("list")
def list_sets(
    languages: Annotated[list[str] | None, typer.Option(help="Comma-separated or repeated.")] = None,
) -> None:
    """Show the bundled norms with their licences."""
    from emospace.norms import list_norms

    found = list_norms()
    wanted = split(languages or ())
    if wanted:
        found = found[found["language"].isin(wanted)]
    if found.empty:
        raise InvalidInput(
            f"--languages {','.join(wanted)}",
            "no norms in these languages are bundled",
            "Give `emospace study --norms` the path of a ratings file.",
        )
    columns = ["name", "language", "words", "targets", "scale", "licence", "note"]
    table("Bundled norms", columns, found[columns].itertuples(index=False))


@app.command()
@says_card
def check(
    norms: Annotated[str, typer.Argument(help="A bundled set or a file of ratings.")],
    said: dict[str, Any],
) -> None:
    """Read a set as a study would and say how it was read and what is odd in it."""
    from emospace.norms import load_norms

    show(norms, load_norms(norms, **said, anchors=bundled_anchors))


@app.command("import")
@says_card
def import_file(
    file: Annotated[Path, typer.Argument(help="A file of ratings.")],
    name: Annotated[str | None, typer.Option(help="Name of the norms in results.")] = None,
    licence: Annotated[str | None, typer.Option(help="Licence of the file.")] = None,
    citation: Annotated[str | None, typer.Option(help="Paper to cite.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Write over a card that says otherwise.")] = False,
    *,
    said: dict[str, Any],
) -> None:
    """Find out how a file is to be read, ask what it does not say, and write that beside it as FILE.toml.

    Nothing else is written. Afterwards `emospace study --norms FILE` needs no more options.
    """
    from emospace.norms import card_path, check_norms, norms_from_file, read_card, write_card
    from emospace.norms.cards import card_text, differences, merged

    before = read_card(file)
    texts = {"name": name, "licence": licence, "citation": citation}
    card = merged(before, {**said, **{key: value for key, value in texts.items() if value is not None}})
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
    if changed and "found" not in before and not yes:
        why = f"it is there, written by hand, and says otherwise ({'; '.join(changed)})"
        if not on_terminal():
            raise InvalidInput(str(beside), why, "Give --yes to write over it, or change it by hand.")
        if not typer.confirm(f"{beside}: {why}. Write over it?", err=True):
            raise typer.Exit(1)
    write_card(file, card)
    for line in changed:
        say(f"Changed in {beside}: {line}")
    found = check_norms(read)
    say(f"Wrote {beside}. {len(read):,} words, {len(read.rejected):,} rows left out, {len(found)} findings.")
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


def _said(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the options say, by the keys of a card."""
    read: dict[str, Callable[[Any], Any]] = {
        "scale": _scale,
        "columns": lambda given: dict(map(_column, given)),
        "reversed": _reversed,
        "targets": split,
    }
    return {key: read.get(key, lambda value: value)(value) for key, value in given.items() if value}


def _complete(card: Mapping[str, Any], read: WordNorms) -> dict[str, Any]:
    """Return the card with what was found out, so that the file is read the same however emospace grows."""
    from emospace.norms.cards import found_in

    how = read.reading
    scales = {target: list(read.scales[target]) for target in read.targets}
    one = len({tuple(scale) for scale in scales.values()}) == 1 and not isinstance(card.get("scale"), Mapping)
    found = {"language": read.language, "script": read.script, "sheet": how["sheet"]}
    found |= {key: getattr(read, key) for key in ("name", "licence", "citation")}
    complete = {**{key: value for key, value in found.items() if value}, **card}
    complete["scale"] = next(iter(scales.values())) if one else scales
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


def _scale(given: list[str]) -> Any:
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


def _reversed(given: list[str]) -> list[str]:
    targets = [target for target in split(given) if target != "none"]
    if targets and "none" in split(given):
        raise InvalidInput(f"--reversed {','.join(given)}", "it says both none and some", "Give one of them.")
    return targets


def _column(given: str) -> tuple[str, str]:
    key, equals, header = given.partition("=")
    if not equals:
        raise InvalidInput(f"--column {given}", "it has no '='", "Write --column word=HEADER.")
    return key.strip(), header.strip()
