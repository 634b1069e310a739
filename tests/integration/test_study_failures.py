"""What passes is told and tried again; what a stage found out is kept; no two runs write into one folder."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

import pytest

from emospace.concepts import load_concepts
from emospace.errors import EmospaceError
from emospace.study import aligning, encoding, run_study, selecting, stage
from emospace.study.lock import LOCK, sole_writer
from emospace.study.stage import Stage
from small_study import StudyFiles, make_study_files, write_concepts, write_norms

QUICK = {"n_draws": 0, "n_shuffled": 0, "steering": False}


@pytest.fixture(scope="module")
def study_files(tmp_path_factory) -> StudyFiles:
    return make_study_files(tmp_path_factory.mktemp("study_files"))


def stages(out: Path) -> set[str]:
    return {path.name.rpartition("-")[0] for path in (out / "stages").glob("*")}


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("activations/ab/c.safetensors", "the disk is full"),
        ("one word alone", "it does not fit into memory"),
        ("layer 2 of 'model'", "the state of '快乐' is not finite"),
    ],
)
def test_what_hinders_one_language_stops_the_study_and_is_not_remembered(study_files, tmp_path, what, why):
    spec = study_files.both(**QUICK)
    stream = encoding.stream_words

    def hindered(model, words, *args, **options):
        if "快乐" in words:
            raise EmospaceError(what, why, "Run it again.")
        return stream(model, words, *args, **options)

    with mock.patch.object(encoding, "stream_words", hindered), pytest.raises(EmospaceError) as caught:
        run_study(spec, tmp_path)
    assert (caught.value.what, caught.value.why) == (what, why)
    assert stages(tmp_path) == {"dictionary-en", "features-en"}
    assert not (tmp_path / "results.json").exists()
    results = run_study(spec, tmp_path)
    assert {row.language for row in results.features} == {"en", "zh"}
    assert not any(why in row.why for row in results.not_computed)


def test_a_stage_that_cannot_be_written_is_computed_by_the_next_run(study_files, tmp_path):
    spec = study_files.spec(**QUICK)
    write = stage.write_json

    def full(path, value):
        if path.parent.name.startswith("alignment"):
            raise EmospaceError(str(path), "the disk is full", "Free some space.")
        write(path, value)

    with mock.patch.object(stage, "write_json", full), pytest.raises(EmospaceError, match="the disk is full"):
        run_study(spec, tmp_path)
    assert not list(tmp_path.glob("stages/alignment-*/records.json"))
    assert run_study(spec, tmp_path).alignment


def test_a_library_that_is_missing_is_told_and_looked_for_again(study_files, tmp_path):
    """CEBRA decodes categories with ratings of their own, of which there must be fifteen."""
    sets = load_concepts(["en"], "paper26")
    listed = {name: " ".join(sets.words("en", name)[:5]) for name in sets.categories[:17]}
    write_concepts(tmp_path / "en.toml", "en", listed)
    write_norms(tmp_path / "many.csv", "en", listed, n=120)
    given = {"concepts": tmp_path / "en.toml", "norms": (str(tmp_path / "many.csv"),), "q": 0.99}
    spec = study_files.spec(**QUICK, **given, cebra=True)
    missing = ImportError("No module named 'cebra'")
    with mock.patch.object(aligning, "cebra_alignment", side_effect=missing):
        results = run_study(spec, tmp_path)
    (said,) = [row for row in results.not_computed if row.what == "CEBRA"]
    assert said.language == "en"
    assert "No module named 'cebra'" in said.why and "emospace[cebra]" in said.why
    assert results.alignment
    assert "cebra-en" not in stages(tmp_path)
    with mock.patch.object(aligning, "cebra_alignment", return_value=[]) as decoding:
        again = run_study(spec, tmp_path)
        run_study(spec, tmp_path)
    assert decoding.call_count == 1
    assert "CEBRA" not in {row.what for row in again.not_computed}
    assert again.alignment == results.alignment


def test_a_language_without_features_is_a_result_and_kept(study_files, tmp_path):
    select = selecting.select_features

    def only_english(*args, **options):
        if args[3] == "zh":
            raise EmospaceError("the concept-sets of 'zh'", "no latent passes", "Use more concepts.")
        return select(*args, **options)

    spec = study_files.both(**QUICK)
    with mock.patch.object(selecting, "select_features", only_english):
        results = run_study(spec, tmp_path)
    with mock.patch.object(Stage, "__call__", side_effect=AssertionError("a stage is computed")):
        again = run_study(spec, tmp_path)
    assert again == results
    assert [row.language for row in results.not_computed if row.what == selecting.NOTHING] == ["zh"]


def test_a_second_study_in_a_folder_stops_and_names_the_first(study_files, tmp_path):
    with sole_writer(tmp_path):
        with pytest.raises(
            EmospaceError, match=f"another run is writing into it \\(process {os.getpid()} on"
        ):
            run_study(study_files.spec(), tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]


def test_a_study_needs_none_of_the_extras(study_files, tmp_path):
    """What comes with an extra alone cannot be imported, and CEBRA's result is all that is missing."""
    import subprocess
    import sys

    extras = (
        "sae_lens",
        "transformer_lens",
        "cebra",
        "datasets",
        "wandb",
        "ray",
        "pyreadstat",
        "odf",
    )
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({extras!r}))\n"
        "from pathlib import Path\n"
        "from emospace.study import StudySpec, run_study\n"
        f"spec = StudySpec.model_validate_json({study_files.spec(**QUICK).model_dump_json()!r})\n"
        f"assert run_study(spec, Path({str(tmp_path / 'run')!r})).alignment\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
