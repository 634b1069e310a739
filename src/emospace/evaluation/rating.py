"""People's ratings of a study's answers: a blinded sheet, filled sheets read back, and people beside judges."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from emospace import stats
from emospace.artefacts import read_parquet, write_parquet, write_text
from emospace.concepts import load_concepts
from emospace.errors import DiskError, EmospaceError, InvalidInput, unknown
from emospace.evaluation.estimates import NAN, rate
from emospace.judges import BASIC, BASIC_SEVEN, UNJUDGED, load_judge
from emospace.norms.delimited import SEPARATORS, decode
from emospace.records import Results
from emospace.specs import RatingSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLUMNS = ("id", "prompt", "answer", "emotion")
PEOPLE = "people"
EMBEDDED = ("ngram", "subword")
ID_LETTERS = "bcdfghjklmnpqrstvwxz"
"""Without vowels and digits: no spreadsheet takes an id for a word, a date or a number."""
ID_LENGTH = 8
NEUTRAL = {"zh": "中性", "fr": "neutre", "ja": "中立", "ko": "중립", "ru": "нейтрально"}
"""The seventh choice by language, where it is not called neutral."""
_FORMULA = ("=", "+", "-", "@")


class Sheet(NamedTuple):
    """A blinded sheet: its answers with all that raters do not see, its files, and the empty answers left out."""

    answers: pd.DataFrame
    files: tuple[Path, ...]
    n_empty: int


class Ratings(NamedTuple):
    """What people say of answers: rates, agreement, how many answers each rater left out, and what could not be given.

    Tables: `rates` has a row a way, emotion (None: mean over the basic six) and rater (``people``, each judge);
    `agreement` a row a pair: the raters with each other, and people's majority with each judge.
    """

    rates: pd.DataFrame
    agreement: pd.DataFrame
    unrated: dict[str, int]
    not_given: tuple[str, ...]


def write_sheet(spec: RatingSpec) -> Sheet:
    """Write a blinded sheet of a study's answers, as CSV and as a page that works without a network.

    Every way of steering gives its answers to the same prompts at the calibrated dose, or at the highest below it; raters
    see prompt and answer alone, in random order. The key, which says what each answer is, stays with the run.

    Parameters
    ----------
    spec
        The run folder, which answers, and where the sheet is written.

    Raises
    ------
    EmospaceError
        If the run holds no such answers, or a sheet lies there already, which somebody may be filling.
    """
    table = _answers(spec.run)
    chosen = _chosen(table, spec)
    empty = chosen["text"].str.strip() == ""
    answers = chosen[~empty].sample(frac=1, random_state=spec.seed).reset_index(drop=True)
    if answers.empty:
        raise InvalidInput(
            str(spec.run), "all answers that were chosen are empty", "Choose other ways or emotions."
        )
    folder = spec.out or spec.run / "rating"
    sheet, page = folder / "sheet.csv", folder / "sheet.html"
    if there := [path for path in (sheet, page) if path.exists()]:
        raise InvalidInput(
            str(there[0]),
            "a sheet is there already, which somebody may be filling",
            "Read it back with --sheet, delete it, or name another folder with --out.",
        )
    language = _language(Results.load(spec.run / "results.json"))
    rows = [(row["id"], _one_line(row["prompt"]), _one_line(row["text"]), "") for row in _records(answers)]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([COLUMNS, *rows])
    # A byte-order mark, without which a spreadsheet takes the letters for those of another alphabet.
    write_text(sheet, "\ufeff" + text.getvalue())
    write_text(page, _page(answers, language))
    write_parquet(spec.run / "tables" / "steering_rated.parquet", _kept(spec.run, answers))
    return Sheet(answers, (sheet, page), int(empty.sum()))


def read_sheets(spec: RatingSpec) -> Ratings:
    """Read filled sheets back, and write people's rates beside the judges' into the run's tables.

    Parameters
    ----------
    spec
        The run folder and the sheets, one a rater, whose name is the file's.

    Raises
    ------
    EmospaceError
        If a sheet cannot be read, has ids that the run does not know or twice, an emotion that is none of the seven, or
        not a single rating.
    """
    key = read_parquet(spec.run / "tables" / "steering_rated.parquet").set_index("id")
    language = _language(results := Results.load(spec.run / "results.json"))
    names = _rater_names(spec.sheets)
    known = _known_labels(language)
    by_rater = {
        name: read_sheet(path, key["text"], known) for name, path in zip(names, spec.sheets, strict=True)
    }
    ratings = pd.DataFrame(by_rater).reindex(key.index).dropna(how="all")
    rated = key.loc[ratings.index]
    n_asked = len(set().union(*(sheet.index for sheet in by_rater.values())))
    unrated = {name: n_asked - int(sheet.notna().sum()) for name, sheet in by_rater.items()}
    judges, missing = _judged(rated, language, results.steering[0].judge)
    shares = {PEOPLE: _shares(ratings)} | {
        name: _shares(choices.to_frame()) for name, choices in judges.items()
    }
    rates = _rate_table(rated, shares, seed=spec.seed)
    agreement = _agreement_table(ratings, judges, seed=spec.seed)
    write_parquet(spec.run / "tables" / "steering_people.parquet", rates)
    write_parquet(spec.run / "tables" / "steering_agreement.parquet", agreement)
    return Ratings(rates, agreement, unrated, missing)


def read_sheet(path: Path, texts: pd.Series, known: Mapping[str, str]) -> pd.Series:
    """Return the emotions of a filled sheet by id, NaN where there is none yet.

    A sheet that a spreadsheet saved again is read too: semicolons or tabs, other encodings, columns in another order.

    Parameters
    ----------
    texts
        The run's answers by id.
    known
        What may be written for an emotion, in lower case, and its name.

    Raises
    ------
    EmospaceError
        As `read_sheets`.
    """
    given = f"sheet {path}"
    rows = read_rows(path, given)
    answer_ids: dict[str, set[str]] = {}
    for name, text in texts.items():
        answer_ids.setdefault(_letters(text), set()).add(str(name))
    emotions: dict[str, str | float] = {}
    for number, row in enumerate(rows, 1):
        name, written = row["id"].strip(), row["emotion"].strip()
        where = f"{given}, answer {number}"
        if not name and not written:
            continue
        if name not in texts.index:
            raise InvalidInput(
                where,
                f"the run has no answer with the id '{name}'",
                "Leave the ids as they were written, and read the sheet with the run it was written for.",
            )
        if name in emotions:
            raise InvalidInput(where, f"the id '{name}' is there twice", "Delete one of the two rows.")
        alike = answer_ids.get(_letters(row.get("answer", "")), set())
        if alike and name not in alike:
            raise InvalidInput(
                where,
                f"the answer beside the id '{name}' is that of another id",
                "Sort whole rows, never one column, and rate these answers again.",
            )
        if written and written.casefold() not in known:
            raise InvalidInput(
                where, f"'{written}' is none of the emotions", f"Write one of {', '.join(BASIC_SEVEN)}."
            )
        emotions[name] = known[written.casefold()] if written else np.nan
    if not any(isinstance(emotion, str) for emotion in emotions.values()):
        raise InvalidInput(given, "not a single answer is rated", f"Write one of {', '.join(BASIC_SEVEN)}.")
    return pd.Series(emotions, dtype=object)


def read_rows(path: Path, given: str) -> list[dict[str, str]]:
    """Return the rows of a sheet that a rater filled, by the names of its columns; `given` names it in errors."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DiskError(
            given, f"it cannot be read ({error.strerror})", "Give the sheet that a rater filled."
        ) from error
    if content.startswith((b"PK", b"\xd0\xcf\x11\xe0")):
        raise InvalidInput(given, "it is a workbook", "Save it as CSV (UTF-8) and give that file.")
    try:
        text = decode(content)[0]
    except UnicodeDecodeError as error:
        raise InvalidInput(given, "it is no text", "Save the sheet as CSV (UTF-8).") from error
    for separator in SEPARATORS:
        table = csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""), delimiter=separator)
        try:
            header = [name.strip().casefold() for name in next(table, [])]
            if {"id", "emotion"} <= set(header):
                return [dict(zip(header, [*row, "", "", "", ""], strict=False)) for row in table if any(row)]
        except csv.Error as error:
            raise InvalidInput(given, f"it is no CSV ({error})", "Save the sheet as CSV (UTF-8).") from error
    raise InvalidInput(
        given,
        "its first line does not name the columns id and emotion",
        "Keep the first line as it was written.",
    )


def _answers(run: Path) -> pd.DataFrame:
    """Return the answers of a study."""
    try:
        return read_parquet(run / "tables" / "steering_answers.parquet")
    except DiskError as error:
        raise DiskError(
            str(run),
            "it holds no answers of a study of steering (tables/steering_answers.parquet)",
            "Name a run folder of emospace steer evaluate; one of an earlier version is completed by the same command "
            "again, which generates nothing anew.",
        ) from error


def _chosen(table: pd.DataFrame, spec: RatingSpec) -> pd.DataFrame:
    """Return the answers of all ways, or those asked for, to the same prompts, with their ids."""
    ways, emotions = tuple(table["way"].unique()), tuple(table["emotion"].dropna().unique())
    for kind, wanted, there in (("way", spec.ways, ways), ("emotion", spec.emotions, emotions)):
        for name in wanted:
            if name not in there or (kind == "emotion" and name not in BASIC):
                raise unknown(kind, name, [each for each in there if kind == "way" or each in BASIC])
    wanted = spec.emotions or BASIC
    table = table[table["way"].isin(spec.ways or ways)]
    table = table[table["emotion"].isna() | table["emotion"].isin(wanted)]
    table = table[table["factor"].isna() | (table["factor"] <= 1)]
    highest = table.groupby("way")["factor"].transform("max")
    table = table[table["factor"].isna() | (table["factor"] == highest)]
    if table.empty:
        raise InvalidInput(
            str(spec.run),
            "it has no answers of the basic six at the calibrated dose or below",
            "Choose others.",
        )
    places = np.sort(table["place"].unique())
    drawn = np.random.default_rng(spec.seed).permutation(places)[: spec.n_prompts]
    # Draws of one thing take turns over the prompts.
    turn = {place: number for number, place in enumerate(drawn)}
    table = table[table["place"].isin(drawn)]
    n_draws = table.groupby("way")["draw"].transform("max") + 1
    table = table[table["place"].map(turn) % n_draws == table["draw"]]
    return table.assign(id=[_id(row) for row in _records(table)])


def _id(row: Mapping[str, Any]) -> str:
    """Return the id of an answer: letters that say nothing of it, and are the same on every sheet."""
    parts = [row[name] for name in ("way", "emotion", "factor", "draw", "place", "text")]
    digest = hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).digest()
    return "".join(ID_LETTERS[byte % len(ID_LETTERS)] for byte in digest[:ID_LENGTH])


def _kept(run: Path, answers: pd.DataFrame) -> pd.DataFrame:
    """Return the key with the answers of this sheet and of sheets before it."""
    path = run / "tables" / "steering_rated.parquet"
    before = [read_parquet(path)] if path.exists() else []
    return pd.concat([*before, answers]).drop_duplicates("id", keep="last").reset_index(drop=True)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[Any] = table.to_dict("records")
    return rows


def _language(results: Results) -> str:
    return results.steering[0].language or "en"


def _one_line(text: str) -> str:
    """Return a text for a cell: without breaks, and without a beginning that a spreadsheet takes for a formula."""
    line = " ".join(text.split())
    return f" {line}" if line.startswith(_FORMULA) else line


def _letters(text: str) -> str:
    """Return what stays of a text that a spreadsheet saved again."""
    return "".join(filter(str.isalnum, str(text))).casefold()


def _local_labels(language: str) -> dict[str, str]:
    """Return the emotions with their names in a language, where there are any."""
    labels = load_concepts([language]).labels.get(language, {})
    local = {emotion: labels[emotion][0] for emotion in BASIC if labels.get(emotion)}
    return {emotion: local.get(emotion, emotion) for emotion in BASIC} | {
        "neutral": NEUTRAL.get(language, "neutral")
    }


def _known_labels(language: str) -> dict[str, str]:
    local = {label.casefold(): emotion for emotion, label in _local_labels(language).items()}
    return {emotion: emotion for emotion in BASIC_SEVEN} | local


def _page(answers: pd.DataFrame, language: str) -> str:
    """Return the page: a template, and the answers with nothing that says where they come from."""
    content = {
        "language": language,
        "labels": list(_local_labels(language).items()),
        "answers": answers[["id", "prompt", "text"]].to_numpy().tolist(),
    }
    # Nothing an answer says may end the element that holds it.
    data = json.dumps(content, ensure_ascii=False).replace("<", "\\u003c")
    template = (files("emospace.evaluation") / "rating.html").read_text(encoding="utf-8")
    return template.replace("{{data}}", data.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def _rater_names(sheets: Sequence[Path]) -> list[str]:
    names = [path.stem for path in sheets]
    for name in names:
        if names.count(name) > 1 or name in (PEOPLE, *EMBEDDED):
            why = "two sheets have that name" if names.count(name) > 1 else "it is the name of a judge here"
            raise InvalidInput(f"sheet {name}", why, "Name each file after its rater.")
    return names


def _judged(
    rated: pd.DataFrame, language: str, judge: str | None
) -> tuple[dict[str, pd.Series], tuple[str, ...]]:
    """Return what each embedded judge, and that of the study, takes the answers for, and which cannot."""
    judged: dict[str, pd.Series] = {}
    missing: list[str] = []
    if judge and judge not in EMBEDDED:
        judged[judge] = rated["judged"].where(rated["judged"] != UNJUDGED)
    for name in EMBEDDED:
        try:
            choice = load_judge(name).judge(list(rated["text"]), language).choice
        except EmospaceError as error:
            missing.append(str(error))
            continue
        judged[name] = pd.Series(choice, index=rated.index, dtype=object)
    return judged, tuple(missing)


def _shares(ratings: pd.DataFrame) -> pd.DataFrame:
    """Return the share of the ratings of each answer that name each of the seven; NaN where nobody rated it."""
    counts = pd.DataFrame({label: (ratings == label).sum(axis=1) for label in BASIC_SEVEN})
    return counts.div(ratings.notna().sum(axis=1).replace(0, np.nan), axis=0)


def _rate_table(rated: pd.DataFrame, shares: Mapping[str, pd.DataFrame], *, seed: int) -> pd.DataFrame:
    """Return how often each way's answers are taken for its target by people and judges, on the same answers."""
    emotions = [emotion for emotion in BASIC if emotion in set(rated["emotion"])]
    rows = []
    for way, answers in rated.groupby("way", sort=False):
        targets = {
            emotion: answers[answers["emotion"].isna() | (answers["emotion"] == emotion)]
            for emotion in emotions
        }
        for rater, share in shares.items():
            values = {
                emotion: share.loc[part.index, emotion].set_axis(part["place"])
                for emotion, part in targets.items()
                if len(part)
            }
            for emotion, value in [*values.items(), (None, pd.DataFrame(values).T)]:
                estimate = rate(value.to_numpy(dtype=float), seed=seed)
                rows.append(
                    {
                        "way": way,
                        "emotion": emotion,
                        "rater": rater,
                        **estimate.named("rate"),
                        "n": estimate.n,
                    }
                )
    return pd.DataFrame(rows)


def _agreement_table(ratings: pd.DataFrame, judges: Mapping[str, pd.Series], *, seed: int) -> pd.DataFrame:
    """Return Krippendorff's alpha of the raters, and of people's majority with each judge."""
    majority = ratings.apply(_majority, axis=1)
    pairs: Iterable[tuple[str, str, pd.DataFrame]] = [
        (PEOPLE, PEOPLE, ratings),
        *((PEOPLE, name, pd.DataFrame({PEOPLE: majority, name: choice})) for name, choice in judges.items()),
    ]
    rows = []
    for first, second, table in pairs:
        agreement = stats.nominal_alpha(_codes(table), seed=seed)
        same = _same(table)
        alike = rate(same, seed=seed)
        rows.append(
            {
                "first": first,
                "second": second,
                **{"alpha": agreement.alpha, "alpha_low": agreement.low, "alpha_high": agreement.high},
                **alike.named("equal"),
                **{"n_answers": agreement.n_units, "n_ratings": agreement.n_ratings},
                "reason": _why_no_alpha(agreement, table.shape[1]),
            }
        )
    return pd.DataFrame(rows)


def _majority(ratings: pd.Series) -> str | float:
    """Return what most raters say of an answer, NaN where two emotions share the first place."""
    counts = ratings.value_counts()
    return np.nan if len(counts) > 1 and counts.iloc[0] == counts.iloc[1] else str(counts.index[0])


def _codes(table: pd.DataFrame) -> NDArray[np.float64]:
    """Return ``[n_raters, n_answers]`` the places of the emotions among the seven."""
    places = {label: float(place) for place, label in enumerate(BASIC_SEVEN)}
    codes: NDArray[np.float64] = np.array(
        [[places.get(label, NAN) for label in table[name]] for name in table], dtype=np.float64
    )
    return codes


def _same(table: pd.DataFrame) -> NDArray[np.float64]:
    """Return for each answer the share of the pairs of its ratings that are equal; NaN with fewer than two."""
    counts = np.stack([(table == label).sum(axis=1) for label in BASIC_SEVEN])
    n = counts.sum(axis=0)
    pairs = n * (n - 1)
    same: NDArray[np.float64] = np.divide(
        (counts * (counts - 1)).sum(axis=0), pairs, out=np.full(len(n), NAN), where=pairs > 0
    )
    return same


def _why_no_alpha(agreement: stats.Agreement, n_raters: int) -> str | None:
    if np.isfinite(agreement.alpha):
        return None
    if n_raters < 2:
        return "there is one rater"
    return "all ratings are of one emotion" if agreement.n_units else "no answer has two ratings"
