"""Which stages are computed anew: for every field of a study's specification, and every file it reads.

Stages compute nothing here: what is tested is what each of them is asked with. The selection of features answers with
latents that differ wherever its arguments do, so that what rests on them is asked anew.
"""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conftest import D_MODEL
from emospace.artefacts import content_hash
from emospace.concepts import load_concepts
from emospace.features import neutral_pool
from emospace.models import load_model
from emospace.sae import load_sae, save_sae
from emospace.steering import DoseRange, SteeringVector
from emospace.steering.bank import VectorBank, bank_folder
from emospace.study import StudySpec, encoding as encodings, inputs, run, run_study, stage, steering
from emospace.study.stage import Stage, StageResult, identity
from small_study import StudyFiles, make_study_files, write_concepts, write_norms

LANGUAGES = ("en", "zh")
NORMS = {"en": "many_en", "zh": "many_zh"}


def of(*stages: str, languages=LANGUAGES) -> set[str]:
    """Return the names of stages of each language."""
    return {
        f"{name}-{language}" + (f"-{NORMS[language]}" if name == "prediction" else "")
        for name in stages
        for language in languages
    }


ENGLISH, CHINESE = ("en",), ("zh",)
TOGETHER = {"languages", "crossing"}
FROM_FEATURES = of("features", "alignment", "cebra", "prediction") | TOGETHER
FIGURES = of("dictionary") | FROM_FEATURES
STEERING = of("steering")
EVERYTHING = FIGURES | STEERING
DENSE = of("features", "alignment", "prediction") | TOGETHER


@dataclass(frozen=True)
class Case:
    """A study, and where its files and stages lie."""

    study_files: StudyFiles
    spec: StudySpec
    folder: Path

    def change(self, **fields) -> Case:
        return replace(self, spec=self.spec.model_copy(update=fields))

    def edit(self, name: str, old: str, new: str) -> Case:
        """Change the text of a file."""
        path = self.study_files.folder / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return self


def bank(model, seed=1) -> None:
    vector = SteeringVector(
        name="joy",
        kind="dense",
        directions={2: np.random.default_rng(seed).standard_normal(D_MODEL)},
        medians={2: 4.0},
        model=model.name,
        model_hash=model.weights_hash,
        calibration={"relative": DoseRange(0.5, 0.1, 1.0)},
    )
    VectorBank({("joy", "relative"): vector}).save(bank_folder(model.weights_hash))


def answer(self, **arguments) -> StageResult:
    """Stand for every stage: features that differ with the arguments, else nothing."""
    if self.function.__name__ == "select_latents":
        sets, language = arguments["sets"], arguments["language"]
        names = [name for name in sets.categories if sets.words(language, name)]
        first = int(content_hash(identity(arguments)), 16) % 10**9
        table = {"category": names, "latent": range(first, first + len(names)), "language": language}
        return StageResult(tables={"features": pd.DataFrame(table)})
    return StageResult({"prediction": []} if self.function.__name__ == "predict" else {})


POOLS: dict = {}


def drawn_once(model, sets, language, seed):
    """Return a neutral pool; drawing one takes as long as the rest of a study without its stages."""
    key = model.content_hash, sets.words(language), seed
    if key not in POOLS:
        POOLS[key] = neutral_pool(model, sets, language, seed)
    return POOLS[key]


def stub_stages(patch, cache: Path) -> None:
    patch.setenv("EMOSPACE_CACHE", str(cache))
    patch.setattr(inputs, "neutral_pool", drawn_once)
    patch.setattr(Stage, "__call__", answer)
    patch.setattr(stage, "_resolved", lambda value: value)


def study(folder: Path) -> Case:
    """Return a study in two languages with all stages, of the files in a folder."""
    norms = tuple(str(folder / f"many_{language}.csv") for language in LANGUAGES)
    return Case(StudyFiles(folder), StudyFiles(folder).both(norms=norms, cebra=True), folder / "run")


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    """Return a folder with a study's files, each category rated, and its finished run."""
    folder = tmp_path_factory.mktemp("keys")
    make_study_files(folder)
    bundled = load_concepts(LANGUAGES, "goemotions")
    for language in LANGUAGES:
        sets = {name: " ".join(bundled.words(language, name)[:5]) for name in bundled.categories[:17]}
        write_concepts(folder / "concepts" / f"{language}.toml", language, sets)
        write_norms(folder / f"many_{language}.csv", language, sets, n=120)
    (folder / "small.txt").write_text("fear\ngrief\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        stub_stages(patch, folder / "cache")
        case = study(folder)
        bank(load_model(case.spec.model, device="cpu"))
        run_study(case.spec, case.folder)
    return folder


@pytest.fixture
def case(original, tmp_path, monkeypatch) -> Case:
    """Return a study of which all stages lie in its folder."""
    shutil.copytree(original, tmp_path / "study_files")
    stub_stages(monkeypatch, tmp_path / "study_files" / "cache")
    return study(tmp_path / "study_files")


def stages(case: Case) -> set[str]:
    return {path.name for path in (case.folder / "stages").iterdir()}


def computed(before: Case, change) -> set[str]:
    """Return the stages that are computed for a changed study after those of the first."""
    first, changed = stages(before), change(before)
    run_study(changed.spec, changed.folder)
    return {name.rpartition("-")[0] for name in stages(changed) - first}


def without_sae(case: Case) -> Case:
    """Return the study without an autoencoder, finished as well."""
    dense = case.change(sae="none", cebra=False)
    run_study(dense.spec, dense.folder)
    return dense


def other_structures(case: Case) -> Case:
    """Return the study with a structure of the categories in English."""
    path = case.study_files.folder / "sorting.csv"
    names = list(load_concepts(["en"], path=case.spec.concepts).categories)
    values = np.random.default_rng(0).random((len(names), len(names)))
    pd.DataFrame(values + values.T, index=names, columns=names).to_csv(path)
    path.with_name("sorting.csv.toml").write_text("language = 'en'\nvalues = 'similarity'\n")
    return case.change(structures=(path,))


def other_norms(case: Case) -> Case:
    folder = case.folder.parent / "other"
    folder.mkdir()
    sets = load_concepts(["zh"], path=case.spec.concepts)
    listed = {name: " ".join(sets.words("zh", name)) for name in sets.categories}
    write_norms(folder / "many_zh.csv", "zh", listed, seed=1, n=120)
    return case.change(norms=(case.spec.norms[0], str(folder / "many_zh.csv")))


def other_sae(case: Case) -> Case:
    sae = load_sae(case.spec.sae)
    save_sae(replace(sae, b_enc=sae.b_enc + 1), case.study_files.folder / "other", model_name="tiny")
    return case.change(sae=str(case.study_files.folder / "other"))


def other_model(case: Case) -> Case:
    shutil.copytree(case.spec.model, case.study_files.folder / "renamed")
    model = load_model(str(case.study_files.folder / "renamed"), device="cpu")
    bank(model)
    return case.change(model=str(case.study_files.folder / "renamed"))


def other_concepts(case: Case) -> Case:
    shutil.copytree(case.spec.concepts, case.study_files.folder / "other")
    changed = case.change(concepts=case.study_files.folder / "other")
    return changed.edit("other/en.toml", 'words = ["', 'words = ["table", "')


FIELDS = {
    "model": (other_model, EVERYTHING),
    "revision": (None, EVERYTHING),
    "languages": (
        lambda case: case.change(languages=ENGLISH, norms=case.spec.norms[:1]),
        of("prediction", languages=ENGLISH),
    ),
    "norms": (
        other_norms,
        of("alignment", "cebra", "prediction", "steering", languages=CHINESE) | {"crossing"},
    ),
    "structures": (other_structures, of("alignment", languages=ENGLISH)),
    "categories": (
        lambda case: case.change(categories=str(case.study_files.folder / "small.txt")),
        FIGURES - of("cebra"),
    ),
    "concepts": (
        other_concepts,
        of("dictionary", "features", "alignment", "cebra", languages=ENGLISH) | of("prediction") | TOGETHER,
    ),
    "sae": (other_sae, FIGURES),
    "sae_corpus": ({"sae_corpus": (Path("texts.txt"),)}, set()),
    "sae_tokens": ({"sae_tokens": 1000}, set()),
    "dtype": ({"dtype": "bfloat16"}, EVERYTHING),
    "device": ({"device": "auto"}, set()),
    "trust_remote_code": ({"trust_remote_code": True}, set()),
    "template_args": (None, STEERING),
    "pooling": ({"pooling": "mean"}, FIGURES),
    "engine": (None, set()),
    "workers": ({"workers": 2}, set()),
    "n_carriers": ({"n_carriers": 1}, FIGURES),
    "layer": ({"layer": 2}, set()),
    "rule": ({"rule": "rank"}, FIGURES),
    "q": ({"q": 0.1}, FIGURES),
    "max_features": ({"max_features": 20}, FIGURES),
    "universal": ({"universal": 1}, of("prediction") | {"crossing"}),
    "n_draws": ({"n_draws": 9}, of("prediction")),
    "n_shuffled": ({"n_shuffled": 3}, of("prediction")),
    "n_permutations": ({"n_permutations": 59}, of("alignment", "cebra") | {"languages"}),
    "folds": ({"folds": 4}, of("features", "prediction") | {"crossing"}),
    "cebra": ({"cebra": False}, set()),
    "steering": ({"steering": False}, set()),
    "seed": ({"seed": 4}, EVERYTHING),
}
"""Field -> how it is changed, and the stages that are computed anew."""

OF_LATENTS = ("rule", "q", "max_features", "universal", "n_draws")
"""Fields that nothing hangs on in a study without an autoencoder."""


def changed(case: Case, field: str) -> Case:
    change, _ = FIELDS[field]
    return case.change(**change) if isinstance(change, dict) else change(case)


def all_changed(case: Case, fields) -> Case:
    for field in fields:
        case = changed(case, field)
    return case


def test_every_field_is_named():
    assert set(FIELDS) == set(StudySpec.model_fields)


@pytest.mark.parametrize("field", [name for name, (change, stages) in FIELDS.items() if change and stages])
def test_a_field_asks_anew_for_the_stages_that_hang_on_it(case, field):
    assert computed(case, lambda case: changed(case, field)) == FIELDS[field][1]


def test_fields_that_no_figure_hangs_on_ask_for_nothing_anew(case):
    without = [name for name, (change, stages) in FIELDS.items() if change and not stages]
    assert len(without) == 8
    assert computed(case, lambda case: all_changed(case, without)) == set()


def test_without_an_autoencoder_latents_have_no_settings(case):
    dense = without_sae(case)
    assert computed(dense, lambda case: all_changed(case, OF_LATENTS)) == set()
    assert computed(dense, lambda case: case.change(layer=1)) == DENSE
    assert computed(dense, lambda case: changed(case, "n_shuffled")) == of("prediction")


def test_another_revision_is_another_model(case, monkeypatch):
    import emospace.models

    model = load_model(case.spec.model, device="cpu")

    def loaded(*_, revision, **__):
        return replace(model, identity={**model.identity, "revision": revision})

    monkeypatch.setattr(emospace.models, "load_model", loaded)
    assert computed(case, lambda case: case.change(revision="0123abc")) == FIELDS["revision"][1]


def test_other_template_arguments_ask_for_other_answers(case, monkeypatch):
    import emospace.models

    model = load_model(case.spec.model, device="cpu")
    monkeypatch.setattr(
        emospace.models,
        "load_model",
        lambda *_, template_args, **__: replace(model, template_args=template_args),
    )
    assert computed(case, lambda case: case.change(template_args={"a": 1})) == FIELDS["template_args"][1]


def test_another_engine_gives_the_same(case, monkeypatch):
    monkeypatch.setattr(run, "running_on", lambda *_, **__: nullcontext())
    assert computed(case, lambda case: case.change(engine="ray")) == FIELDS["engine"][1]


def sae_weights(case: Case) -> Case:
    sae = load_sae(case.spec.sae)
    save_sae(replace(sae, b_enc=sae.b_enc + 1), Path(case.spec.sae), model_name="tiny")
    return case


def vectors(case: Case) -> Case:
    bank(load_model(case.spec.model, device="cpu"), seed=2)
    return case


OF_ENGLISH = (
    of("dictionary", "features", "alignment", "cebra", languages=ENGLISH) | of("prediction") | TOGETHER
)
FILES = {
    "a word": (lambda case: case.edit("concepts/en.toml", 'words = ["', 'words = ["table", "'), OF_ENGLISH),
    "a label": (lambda case: case.edit("concepts/en.toml", 'labels = ["', 'labels = ["so", "'), OF_ENGLISH),
    "a language's family": (
        lambda case: case.edit("concepts/en.toml", "\n", '\nfamily = "indo-european"\n'),
        of("alignment", languages=ENGLISH) | {"languages"},
    ),
    "a language's name": (lambda case: case.edit("concepts/en.toml", "\n", '\nname = "English"\n'), set()),
    "a carrier": (
        lambda case: case.edit("concepts/en.toml", "The word is", "A word is"),
        of("dictionary", "features", "alignment", "cebra", languages=ENGLISH) | of("prediction") | TOGETHER,
    ),
    "a carrier that is not used": (
        lambda case: case.edit("concepts/en.toml", '{word}"]', '{word}", "So {word}"]'),
        set(),
    ),
    "a rating": (
        lambda case: case.edit("many_en.csv", "\n", "\ntablecloth,5,1.5,20,5,1.5,20\n"),
        of("prediction", "steering", languages=ENGLISH) | {"crossing", "languages"},
    ),
    "the scale of ratings": (
        lambda case: case.edit("many_zh.csv.toml", "[1, 9]", "[0, 10]"),
        of("alignment", "cebra", "prediction", "steering", languages=CHINESE) | {"crossing"},
    ),
    "the source of ratings": (
        lambda case: case.edit("many_en.csv.toml", "\n", '\ncitation = "We (2026)"\n'),
        set(),
    ),
    "weights of the autoencoder": (sae_weights, FIGURES),
    "the model's settings": (
        lambda case: case.edit("model/config.json", "{", '{"rms_norm_eps": 0.5,'),
        EVERYTHING - STEERING,
    ),
    "steering vectors": (vectors, STEERING),
}


@pytest.mark.parametrize("file", FILES)
def test_a_file_asks_anew_for_the_stages_that_hang_on_it(case, file):
    change, expected = FILES[file]
    assert computed(case, change) == expected


def other(function, changing):
    """Return a function whose result is changed, as if its file were."""
    return lambda *args, **options: changing(function(*args, **options))


BUNDLED = {
    "a structure": (
        inputs,
        "load_structure",
        lambda structure: (
            replace(structure, similarity=structure.similarity * 0.9)
            if structure.name == "goemotions"
            else structure
        ),
        of("alignment", languages=ENGLISH),
    ),
    "the prompts": (steering, "load_prompts", lambda prompts: prompts[1:], STEERING),
    "word frequencies": (encodings, "table_hash", lambda digest: f"{digest}0", of("prediction")),
    "vectors from text": (encodings, "vectors_hash", lambda digest: f"{digest}0", of("prediction")),
}


@pytest.mark.parametrize("file", BUNDLED)
def test_a_bundled_file_asks_anew_for_the_stages_that_hang_on_it(case, monkeypatch, file):
    room, name, changing, expected = BUNDLED[file]

    def change(case: Case) -> Case:
        monkeypatch.setattr(room, name, other(getattr(room, name), changing))
        return case

    assert computed(case, change) == expected


def test_nothing_changed_computes_nothing(case):
    assert {name.rpartition("-")[0] for name in stages(case)} == EVERYTHING
    assert computed(case, lambda case: case) == set()
