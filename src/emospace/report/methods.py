"""The methods of a run in words that an author can paste, from its manifest and records, with what they cite."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from emospace.artefacts import read_object, write_text
from emospace.errors import EmospaceError
from emospace.evaluation.summary import calibrated
from emospace.records import Source
from emospace.report.run import Run, load_run
from emospace.report.steering import is_steering_run
from emospace.report.texts import phrase
from emospace.report.wording import language_name, structure_name

_ENTRY = re.compile(r"^@\w+\{([\w-]+),.*?^\}\n", re.MULTILINE | re.DOTALL)
_CITED = re.compile(r"\[@([^\]]+)\]")
_WORK = re.compile(r"(?P<authors>.+?) \((?P<year>\d{4})\)(?: (?P<rest>.+))?", re.DOTALL)
_SPECIAL = re.compile(r"([&%$#_])")

TITLE = "emospace: emotion in language models, measured against people and set with human concepts"


class Methods(NamedTuple):
    """Paragraphs in Markdown with citations as ``[@key]`` (Pandoc), and the BibTeX entries of all keys in them."""

    paragraphs: tuple[str, ...]
    bibtex: str


def methods(run: Run) -> Methods:
    """Return the methods of a study, or of an evaluation of steering, as its manifest and records have them.

    What a run does not hold is not said; nothing is taken from anywhere else but the specification beside it.
    """
    works = _Works()
    say = _steering if is_steering_run(run) else _study
    paragraphs = tuple(
        " ".join(sentence.split())
        for sentence in (" ".join(filter(None, part)) for part in say(run, works))
        if sentence
    )
    cited = {key for text in paragraphs for group in _CITED.findall(text) for key in group.split("; @")}
    entries = {match[1]: match[0] for match in _ENTRY.finditer(_read("methods.bib"))} | works.entries
    return Methods(paragraphs, "\n".join(entry for key, entry in entries.items() if key in cited))


def write_methods(run_dir: Path | str) -> tuple[Path, Path]:
    """Write ``methods.md`` and ``references.bib`` into a run folder, and return their paths.

    Parameters
    ----------
    run_dir
        Folder of a finished study, or of an evaluation of steering.

    Raises
    ------
    EmospaceError
        If the folder has no `results.json`, or one that this version cannot read.
    """
    run = load_run(run_dir)
    made = methods(run)
    text, references = run.folder / "methods.md", run.folder / "references.bib"
    write_text(text, "\n\n".join(made.paragraphs) + "\n")
    write_text(references, made.bibtex)
    return text, references


class _Works:
    """The works that sources name in their citations, as BibTeX entries by key."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def add(self, kind: str, key: str, **fields: object) -> str:
        """Return the key of a work; one that is there already is not added again."""
        escaped = {name: _SPECIAL.sub(r"\\\1", str(value)) for name, value in fields.items() if value}
        lines = [f"  {name} = {{{value}}}" for name, value in escaped.items()]
        body = ",\n".join(lines) + "\n}\n"
        stem = re.sub(r"[^a-z0-9]+", "", key.lower()) or "work"
        for name in (stem, *(f"{stem}{letter}" for letter in "bcdefghijklmnopqrstuvwxyz")):
            entry = f"@{kind}{{{name},\n{body}"
            if self.entries.setdefault(name, entry) == entry:
                return name
        return stem

    def cite(self, source: Source) -> str:
        """Return the citation of a source, such as `` [@scott2019]``; nothing where it names no work."""
        keys = []
        for part in re.split(r"; (?=[^;]*\(\d{4}\))", source.citation or ""):
            work = _WORK.match(part)
            if work is None:
                if part:
                    keys.append(self.add("misc", source.name, title=source.name, note=part))
                continue
            names = re.split(r", | & ", work["authors"].replace(" et al.", ", others"))
            title, _, venue = (work["rest"] or source.name).partition(". ")
            keys.append(
                self.add(
                    "misc", f"{names[0]}{work['year']}", author=" and ".join(names), title=title,
                    howpublished=venue, year=work["year"],
                )
            )  # fmt: skip
        return f" [@{'; @'.join(dict.fromkeys(keys))}]" if keys else ""

    def model(self, run: Run) -> str:
        """Return the key of the model, with what tells it from others of its name."""
        model = run.results.model
        known = {
            "revision": model.revision,
            "sha256": (model.file_hash or "")[:16],
            "quantisation": model.quantisation,
        }
        note = "; ".join(f"{name} {value}" for name, value in known.items() if value)
        return self.add("misc", run.title, title=run.title, howpublished=model.source, note=note)

    def emospace(self, run: Run) -> str:
        """Return the key of this package, in the version that made the run."""
        version = run.results.manifest.versions.get("emospace")
        return self.add(
            "software", "emospace", author="{The emospace authors}",
            title=TITLE, version=version,
        )  # fmt: skip


def _study(run: Run, works: _Works) -> Iterator[Sequence[str]]:
    results, spec = run.results, _spec(run)
    sources = {
        kind: [s for s in results.manifest.sources if s.kind == kind]
        for kind in ("norms", "concepts", "structure")
    }
    yield _model(run, works), _concepts(run, sources["concepts"]), _space(run, spec)
    yield _alignment(run, works, sources["structure"]), _prediction(run, works, spec, sources["norms"])
    yield (_made_with(run, works),)


def _model(run: Run, works: _Works) -> str:
    model = run.results.model
    return phrase(
        "methods.model",
        title=run.title,
        cite=works.model(run),
        parameters=""
        if model.n_parameters is None
        else f"{model.n_parameters / 1e6:,.0f} million parameters, ",
        blocks=model.n_blocks or 0,
        dtype=model.dtype or "its own precision",
    )


def _concepts(run: Run, sets: Sequence[Source]) -> str:
    manifest = run.results.manifest
    if not sets:
        return ""
    counts = [f"{source.n:,} in {language_name(source.language or '')}" for source in sets if source.n]
    return phrase(
        "methods.concepts",
        n=len(manifest.category_names) or len({record.category for record in run.results.features}),
        categories=Path(manifest.categories or "all").name,
        provenance=run.provenance,
        counts=counts,
        carriers=max(map(len, manifest.carriers.values()), default=0),
    )


def _space(run: Run, spec: Mapping[str, Any]) -> str:
    sae, layer = run.results.sae, run.results.manifest.layer
    if sae is None:
        return phrase("methods.dense", layer=layer)
    rule, q, most = (spec.get(name) for name in ("rule", "q", "max_features"))
    chosen = phrase("methods.selection", rule=rule, q=q, most=most) if rule and q and most else ""
    return phrase(
        "methods.sae",
        architecture=sae.architecture,
        latents=sae.n_latents,
        layer=layer,
        tokens=sae.n,
        hash=sae.file_hash or "unknown",
        l0="" if sae.l0 is None else f", {sae.l0:g} active a token",
    ) + (f" {chosen}" if chosen else "")


def _alignment(run: Run, works: _Works, structures: Sequence[Source]) -> str:
    given = [
        record for record in run.results.alignment if record.statistic == "rsa_spearman" and record.given
    ]
    if not given:
        return ""
    cited = {source.name: works.cite(source) for source in structures}
    names = [
        f"{structure_name(name)}{cited.get(name, '')}"
        for name in dict.fromkeys(record.against for record in given)
    ]
    n = max((record.n_permutations or 0 for record in given), default=0)
    p = phrase("methods.mantel", n=n) if n else ""
    return phrase("methods.alignment", structures=names, p=p)


def _prediction(run: Run, works: _Works, spec: Mapping[str, Any], norms: Sequence[Source]) -> str:
    if not run.results.prediction:
        return ""
    draws = max((record.n_draws or 0 for record in run.results.prediction), default=0)
    named = [
        f"{s.name} ({language_name(s.language or '')}, {s.n or 0:,} words){works.cite(s)}" for s in norms
    ]
    return phrase(
        "methods.prediction",
        norms=named or list(dict.fromkeys(record.norms for record in run.results.prediction)),
        folds="in folds" if "folds" not in spec else f"in {spec['folds']} folds",
        drawn=phrase("methods.drawn", draws=draws) if draws else "",
    )


def _steering(run: Run, works: _Works) -> Iterator[Sequence[str]]:
    spec, records = _spec(run), run.results.steering
    main = next(iter(calibrated(records)), records[0])
    n_tokens, temperature = (spec.get("sampling", {}).get(name) for name in ("n_tokens", "temperature"))
    yield (
        _model(run, works),
        phrase(
            "methods.vectors",
            n=len({record.emotion for record in records}),
            layers=list(map(str, main.layers)) or ["none"],
            mode=main.mode or "relative",
            options=f" ({main.options})" if main.options else "",
        ),
    )
    aurocs = [record.judge_auroc for record in calibrated(records) if record.judge_auroc is not None]
    rated = (run.folder / "tables" / "steering_agreement.parquet").is_file()
    yield (
        phrase(
            "methods.evaluation",
            n=main.n_prompts,
            kind="questions" if main.prompt_kind == "questions" else "beginnings of texts",
            language=main.language,
            sampled=phrase("methods.sampled", n_tokens=n_tokens, temperature=temperature) if n_tokens else "",
            judge=main.judge,
            auroc="" if not aurocs else f" (held-out AUROC {min(aurocs):.2f} to {max(aurocs):.2f})",
        ),
        (phrase("methods.people") if rated else ""),
    )
    yield (_made_with(run, works),)


def _made_with(run: Run, works: _Works) -> str:
    manifest = run.results.manifest
    versions = [f"{name} {version}" for name, version in manifest.versions.items() if name != "emospace"]
    return phrase(
        "methods.made_with",
        cite=works.emospace(run),
        version=manifest.versions.get("emospace", "of unknown version"),
        command=manifest.command,
        seed=manifest.seed,
        versions=versions or ["unknown versions"],
    )


def _spec(run: Run) -> dict[str, Any]:
    """Return the specification that lies beside a run, empty where there is none or it cannot be read."""
    try:
        return read_object(run.folder / "spec.json")
    except EmospaceError:
        return {}


def _read(name: str) -> str:
    return (files("emospace.report") / name).read_text(encoding="utf-8")
