from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import emospace
from emospace.cli import app
from emospace.cli.options import build_spec, command_line, options_of, read_config
from emospace.cli.sae import read_corpus
from emospace.cli.tables import alignment_rows, prediction_rows
from emospace.errors import EmospaceError
from emospace.records import (
    EARLIER,
    AlignmentRecord,
    Manifest,
    ModelRecord,
    NotComputed,
    PredictionRecord,
    Results,
    Source,
)
from emospace.specs import (
    CacheSpec,
    CalibrationSpec,
    CheckSpec,
    CompareSpec,
    CrossingSpec,
    ExportSpec,
    ReadSpec,
    ServeSpec,
    ShowSpec,
    SteeringSpec,
    StudySpec,
    TextSpec,
    TrainSpec,
)

WHOLE = {"model": "tiny", "layer": 2, "n": 40, "seed": 0}
FIGURE = {"ci_low": 0.1, "ci_high": 0.3}
RATING = {
    **WHOLE,
    **FIGURE,
    "language": "en",
    "norms": "en_glasgow_2019",
    "target": "valence",
    "n_features": 12,
}


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def small_results() -> Results:
    def rating(features, r, excluded=True, **more):
        return PredictionRecord(**RATING, features=features, excluded_concepts=excluded, r=r, **more)

    shape = {**WHOLE, **FIGURE, "language": "en", "against": "valence_arousal"}
    return Results(
        prediction=(
            rating("space", 0.7, p=0.001, draws_beaten=0.993, ceiling=0.95),
            rating("space", 0.9, excluded=False),
            rating("outside", 0.5),
            rating("dense", 0.8),
            rating("static", 0.61, static_source="input embeddings"),
            rating("static", 0.44, static_source="PPMI-SVD of the corpora"),
        ),
        alignment=(
            AlignmentRecord(
                **shape, statistic="best_pc_r", target="valence", value=0.83, p=0.001, component=2
            ),
            AlignmentRecord(**shape, statistic="rsa_spearman", target=None, value=0.5, p=0.001, baseline=0.3),
            AlignmentRecord(
                **shape, statistic="rsa_spearman", target=None, value=0.3, p=0.001, space="static"
            ),
        ),
        not_computed=(NotComputed(what="CEBRA", why="too few categories", language="en"),),
        model=ModelRecord(**WHOLE),
        manifest=Manifest(
            **WHOLE,
            command="emospace study",
            languages=("en",),
            categories="paper26",
            category_names=("awe", "joy"),
            sources=(Source(kind="concepts", name="concept-sets, en", provenance="curated"),),
        ),
    )


@pytest.fixture
def asked(monkeypatch):
    """Stand in for the study and keep what it was asked."""
    import emospace.study

    calls = []

    def run_study(spec, out, *, command):
        calls.append((spec, out, command))
        results = small_results()
        results.save(out / "results.json")
        return results

    monkeypatch.setattr(emospace.study, "run_study", run_study)
    return calls


def raising(monkeypatch, error):
    import emospace.study

    def run_study(*_, **__):
        raise error

    monkeypatch.setattr(emospace.study, "run_study", run_study)


def test_help_and_version_load_nothing_heavy():
    heavy = ("torch", "transformers", "pandas", "sklearn", "scipy", "numpy")
    for arguments in (["--help"], ["study", "--help"], ["--version"]):
        code = (
            "import sys; from emospace.cli import main; sys.argv[1:] = "
            f"{arguments!r}\ntry: main()\nexcept SystemExit as end: assert not end.code\n"
            f"loaded = [name for name in {heavy!r} if name in sys.modules]\nassert not loaded, loaded"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "emospace" in done.stdout


def test_importing_the_package_loads_nothing_and_every_public_name_is_there():
    code = "import sys, emospace; assert not {'numpy', 'pandas', 'torch'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    for name in emospace.__all__:
        assert getattr(emospace, name).__name__ == name
    for old, new in emospace._RENAMED.items():
        with pytest.warns(DeprecationWarning, match=f"emospace.{old} is now emospace.{new}"):
            assert getattr(emospace, old) is getattr(emospace, new)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        emospace.nothing  # noqa: B018


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_version(flag):
    assert run(flag).stdout.split() == ["emospace", emospace.__version__]


def test_python_m_is_the_command():
    asked = [sys.executable, "-m", "emospace", "--version"]
    process = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert process.stdout.split() == ["emospace", emospace.__version__]


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_closed_pipe_ends_the_command_as_it_ends_others(flags):
    reader, writer = os.pipe()
    os.close(reader)
    asked = [sys.executable, "-m", "emospace", *flags, "norms", "list"]
    done = subprocess.run(asked, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def commands(group, name=""):
    for part, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{name} {part}")
        else:
            yield f"{name} {part}".strip(), command


def test_every_command_that_loads_a_model_can_pin_its_revision():
    options = {
        name: {option for parameter in command.params for option in parameter.opts}
        for name, command in commands(typer.main.get_command(app))
    }
    loading = {name for name, known in options.items() if "--model" in known}
    loading.add("models check")
    assert {"study", "serve", "read", "steer text", "steer calibrate", "sae train"} <= loading
    assert {name for name, known in options.items() if "--revision" in known} == loading


def test_study_defaults_are_those_of_the_specification(asked, tmp_path):
    assert run("study", "--out", tmp_path / "run").exit_code == 0
    spec, out, command = asked[0]
    assert spec == StudySpec()
    assert out == tmp_path / "run"
    assert command == f"emospace study --out {tmp_path / 'run'}"


def test_the_command_in_the_manifest_asks_for_the_same_study(asked, tmp_path):
    given = [
        *(
            "study",
            "--model",
            "a folder/model",
            "--revision",
            "1a2b3c",
            "--template-arg",
            "enable_thinking=false",
            "--template-arg",
            "tone=dry",
            "--languages",
            "en",
            "--languages",
            "de,zh",
            "--norms",
            "glasgow",
        ),
        *(
            "--norms",
            "it's mine.csv",
            "--structure",
            "piles.csv",
            "--categories",
            "paper26",
            "--concepts",
            "own.toml",
            "--sae",
            "train",
        ),
        *("--sae-corpus", "a.txt", "--sae-corpus", "b.txt", "--sae-tokens", "5000", "--dtype", "bfloat16"),
        *("--device", "cpu", "--trust-remote-code", "--carriers", "2", "--layer", "0", "--rule", "rate"),
        *("--pooling", "mean", "--q", "0.1", "--engine", "ray://head:10001", "--workers", "2"),
        *("--max-features", "40", "--draws", "0", "--shuffled", "1", "--permutations", "99"),
        *(
            "--folds",
            "4",
            "--universal",
            "2",
            "--no-cebra",
            "--no-steering",
            "--seed",
            "7",
            "--out",
            tmp_path / "r",
        ),
    ]
    assert run(*given).exit_code == 0
    spec, _, command = asked[0]
    assert spec.languages == ("en", "de", "zh")
    assert all(getattr(spec, name) != field.default for name, field in StudySpec.model_fields.items())
    assert run(*shlex.split(command)[1:]).exit_code == 0
    assert asked[1] == asked[0]


SPECS = {
    "study": StudySpec,
    "compare": CompareSpec,
    "read": ReadSpec,
    "serve": ServeSpec,
    "models check": CheckSpec,
    "cache gc": CacheSpec,
    "sae train": TrainSpec,
    "steer text": TextSpec,
    "steer calibrate": CalibrationSpec,
    "steer evaluate": SteeringSpec,
    "steer export": ExportSpec,
    "steer show": ShowSpec,
    "steer languages": CrossingSpec,
}


def given_of(command):
    return {word for parameter in command.params for word in (*parameter.opts, parameter.name)}


@pytest.mark.parametrize(("name", "spec"), SPECS.items())
def test_every_field_of_a_specification_is_an_option_under_its_default(name, spec):
    command = dict(commands(typer.main.get_command(app)))[name]
    fields = {path[0] for option in options_of(spec) for path in option.paths}
    assert fields == set(spec.model_fields)
    shown = {parameter.name: parameter for parameter in command.params}
    assert {option.name for option in options_of(spec)} <= set(shown)
    assert all(parameter.help or parameter.hidden for parameter in command.params)
    for option in options_of(spec):
        assert option.shown.get("argument") or option.flag in shown[option.name].opts
    if "--model" in given_of(command):
        assert shown["dtype"].default == "auto"


def test_every_command_with_a_specification_reads_one_from_a_file():
    with_config = {
        name for name, command in commands(typer.main.get_command(app)) if "--config" in given_of(command)
    }
    assert with_config == set(SPECS)


def test_a_former_name_of_an_option_is_accepted_and_hidden(asked, tmp_path):
    assert run("study", "--draws", 7, "--shuffled", 1, "--out", tmp_path).exit_code == 0
    assert (asked[0][0].n_draws, asked[0][0].n_shuffled) == (7, 1)
    assert run("study", "--draws", 7, "--n-draws", 8, "--out", tmp_path).exit_code == 0
    assert asked[1][0].n_draws == 8
    shown = run("study", "--help").stdout
    assert "--n-draws" in shown
    assert " --draws" not in shown


@pytest.mark.parametrize(("size", "shown"), [(2_500_000_000, True), (1_000, False)])
def test_a_study_says_how_much_room_its_states_take(asked, tmp_path, size, shown):
    (tmp_path / "activations" / "ab").mkdir(parents=True)
    with (tmp_path / "activations" / "ab" / "x.safetensors").open("wb") as file:
        file.truncate(size)
    done = run("study", "--out", tmp_path)
    assert done.exit_code == 0
    assert (f"{tmp_path / 'activations'} holds 2.5 GB of states" in done.stderr) is shown


def test_the_line_of_a_training_has_what_is_not_default():
    line = command_line("emospace sae train", TrainSpec(corpus=("a b.txt",), layer=3, k=8), Path("runs/x"))
    assert line == "emospace sae train --k 8 --corpus 'a b.txt' --layer 3 --out runs/x"


@pytest.mark.parametrize("suffix", [".json", ".toml"])
def test_a_file_of_settings_gives_the_study_and_options_override_it(asked, tmp_path, suffix):
    spec = StudySpec(
        model="m",
        languages=("de",),
        norms=("a,b.csv",),
        n_draws=3,
        cebra=False,
        template_args={"x": [1]},
        q=0.1,
    )
    file = tmp_path / f"mine{suffix}"
    toml = 'model = "m"\nlanguages = ["de"]\nnorms = ["a,b.csv"]\nn-draws = 3\ncebra = false\nq = 0.1\n'
    toml += "[template_args]\nx = [1]\n"
    file.write_text(spec.model_dump_json() if suffix == ".json" else toml, encoding="utf-8")
    assert run("study", "--config", file, "--out", tmp_path / "r").exit_code == 0
    assert asked[0][0] == spec
    over = ("--q", 0.05, "--cebra", "--languages", "en,zh")
    assert run("study", "--config", file, *over, "--out", tmp_path / "r").exit_code == 0
    changed = {"q": 0.05, "cebra": True, "languages": ("en", "zh")}
    assert asked[1][0] == spec.model_copy(update=changed)
    assert run(*shlex.split(asked[1][2])[1:]).exit_code == 0
    assert asked[2][0] == asked[1][0]


def test_nested_settings_are_merged_and_one_seed_serves_all(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("seed = 4\n[sampling]\ntop_k = 3\n", encoding="utf-8")
    spec = build_spec(SteeringSpec, (), file)
    assert (spec.seed, spec.sampling.seed, spec.sampling.top_k, spec.sampling.n_tokens) == (4, 4, 3, 48)
    assert build_spec(TextSpec, (), None).sampling.n_tokens == 96
    file.write_text("[sampling]\ntop_k = 3\n", encoding="utf-8")
    assert build_spec(TextSpec, (), file).sampling.n_tokens == 96


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("a.toml", "fold = 5", "setting 'fold'"),
        ("a.toml", "folds = 1", "--folds 1"),
        ("a.toml", "folds", "it is not valid"),
        ("a.json", "[1]", "it is no JSON object"),
        ("a.json", None, "it cannot be read"),
    ],
)
def test_settings_that_cannot_be_used_are_named(asked, tmp_path, name, content, named):
    file = tmp_path / name
    if content is not None:
        file.write_text(content, encoding="utf-8")
    done = run("study", "--config", file, "--out", tmp_path / "r")
    assert done.exit_code == 2
    assert named in done.stderr
    assert not asked


def test_what_is_required_may_stand_in_the_file(tmp_path):
    done = run("sae", "train", "--out", tmp_path / "x")
    assert done.exit_code == 2
    assert "--corpus: it is required" in done.stderr
    file = tmp_path / "a.json"
    file.write_text('{"corpus": ["nowhere.txt"]}', encoding="utf-8")
    assert read_config(file) == {"corpus": ["nowhere.txt"]}
    assert "corpus 'nowhere.txt'" in run("sae", "train", "--config", file, "--out", tmp_path / "x").stderr


def test_json_is_all_there_is_on_the_output(asked, tmp_path):
    done = run("study", "--json", "--out", tmp_path)
    assert done.exit_code == 0
    document = json.loads(done.stdout)
    ratings = document["tables"][1]
    assert ratings["columns"][:3] == ["language", "norms", "rating"]
    assert ratings["rows"][0][4] == 0.7
    assert {"kind": "report", "path": str(tmp_path / "report.html")} in document["files"]
    listed = json.loads(run("models", "list", "--json").stdout)
    assert any("embedded" in row for row in listed["tables"][0]["rows"])


def test_json_of_an_error_is_empty(tmp_path):
    done = run("--json", "report", tmp_path)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: ")


def test_quiet_leaves_results_and_errors(asked, tmp_path):
    done = run("study", "--quiet", "--out", tmp_path)
    assert done.exit_code == 0
    assert done.stderr == ""
    assert "en_glasgow_2019" in done.stdout
    assert run("study", "--quiet", "--folds", 1).stderr.startswith("Error: --folds 1")
    assert "Report" in run("study", "--out", tmp_path).stderr


def test_study_ends_with_key_figures_beside_their_baselines(asked, tmp_path):
    done = run("study", "--out", tmp_path)
    row = next(line for line in done.stdout.splitlines() if line.startswith("en\ten_glasgow_2019"))
    assert row.split("\t") == [
        *("en", "en_glasgow_2019", "valence", "40", "0.700", "0.10 to 0.30"),
        *("0.500", "99.3%", "-", "0.800", "0.610", "0.950"),
    ]
    assert "best of five PCs (PC2) with valence\t-\t40\t0.830" in done.stdout
    assert "en\tvalence\tpartly\t-\t-" in done.stdout
    assert f"Not answered: {EARLIER}" in done.stderr
    assert "CEBRA: too few categories" in done.stderr
    assert "2 categories (paper26)" in done.stderr
    assert "curated" in done.stderr
    assert f"Report: {tmp_path / 'report.html'}" in done.stderr
    assert (tmp_path / "report.html").is_file()


def test_rows_leave_other_spaces_and_concept_words_out():
    assert len(prediction_rows(small_results())) == 1
    assert [record.value for record in alignment_rows(small_results())] == [0.83, 0.5]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["study", "--folds", "1"], "--folds 1"),
        (["study", "--rule", "luck"], "--rule luck"),
        (["study", "--languages", ","], "--languages"),
        (["study", "--q", "2"], "--q 2: "),
        (["study", "--q", "much"], "--q much: "),
        (["study", "--seed", "1.5"], "--seed 1.5: "),
        (["steer", "--emotion", "joy", "--dose", "abc", "Hello."], "--dose abc: "),
        (["steer", "--emotion", "hapiness", "Hello."], "joy ('happiness' is a word of it)"),
        (["norms", "check", "nowhere.csv"], "nowhere.csv: there is no such file"),
        (["norms", "check", "glasgow", "--scale", "9"], "--scale 9"),
        (["norms", "check", "glasgow", "--column", "word"], "--column word"),
        (["norms", "list", "--languages", "tlh"], "--languages tlh"),
        (["concepts", "list", "--languages", "tlh"], "language 'tlh'"),
        (["concepts", "list", "nowhere.toml"], "nowhere.toml"),
        (["concepts", "list", "--categories", "papr26"], "papr26"),
        (["concepts", "import", "nowhere.csv", "--language", "en", "--out", "x.toml"], "nowhere.csv"),
        (["concepts", "import", "nowhere.csv", "--language", "en", "--out", "x.txt"], "--out x.txt"),
        (["sae", "train", "--corpus", "nowhere.txt", "--out", "x"], "corpus 'nowhere.txt'"),
        (["sae", "train", "--corpus", "nowhere.txt:much", "--out", "x"], "'much' is no share"),
        (["models", "check", "./nowhere"], "model './nowhere'"),
        (["report", "nowhere"], "results.json: there is no such file"),
    ],
)
def test_a_wrong_input_is_one_message_that_names_it(arguments, named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: ")
    assert named in done.stderr
    assert done.stderr.strip().count("\n") == 0
    assert "Traceback" not in done.output


def test_an_unknown_category_is_named_with_the_nearest(tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text("joy\nsadnes\n", encoding="utf-8")
    done = run("concepts", "list", "--categories", file)
    assert done.exit_code == 2
    assert "category 'sadnes'" in done.stderr
    assert "sadness" in done.stderr


def test_norms_without_a_word_column(tmp_path):
    file = tmp_path / "ratings.csv"
    file.write_text("a,b\n1,2\n3,4\n", encoding="utf-8")
    done = run("norms", "check", file)
    assert done.exit_code == 2
    assert f"{file}: it has no word column" in done.stderr


def test_out_that_is_a_file(tmp_path):
    file = tmp_path / "taken"
    file.touch()
    done = run("study", "--out", file)
    assert done.exit_code == 2
    assert "it is a file" in done.stderr


def test_a_wrong_option_is_the_parsers_own_message():
    done = run("study", "--modle", "x")
    assert done.exit_code == 2
    assert "--modle" in done.stderr


def test_what_nobody_planned_for_gives_no_traceback(monkeypatch, tmp_path):
    raising(monkeypatch, KeyError("W_enc"))
    done = run("study", "--out", tmp_path)
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: KeyError: 'W_enc'")
    assert "--debug" in done.stderr
    assert "Traceback" not in done.output


def test_debug_shows_the_traceback_wherever_it_stands(monkeypatch, tmp_path):
    raising(monkeypatch, EmospaceError("this", "that", "Mend it."))
    for arguments in (("--debug", "study", "--out", tmp_path), ("study", "--out", tmp_path, "--debug")):
        done = run(*arguments)
        assert done.exit_code == 2
        assert "Traceback" in done.stderr
        assert "Error: this: that. Mend it." in done.stderr


def test_an_interruption_says_that_the_same_command_goes_on(monkeypatch, tmp_path):
    raising(monkeypatch, KeyboardInterrupt())
    done = run("study", "--out", tmp_path)
    assert done.exit_code == 130
    assert done.stderr.count("\n") == 1
    assert "the same command goes on" in done.stderr


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device", "x"), RuntimeError("I/O error: No space left on device")]
)
def test_a_full_disk_is_called_so(monkeypatch, tmp_path, error):
    raising(monkeypatch, error)
    done = run("study", "--out", tmp_path)
    assert done.exit_code == 2
    assert "the disk is full" in done.stderr


def test_concepts_list_counts_by_language_and_says_the_provenance():
    done = run("concepts", "list", "--categories", "basic")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("# curated concept-sets: 6 categories")
    columns = lines[1].split("\t")
    assert columns[:4] == ["category", "basic", "paper26", "goemotions"] and {"en", "zh"} <= set(columns[4:])
    assert {line.split("\t")[0] for line in lines[2:8]} == {
        "anger",
        "disgust",
        "fear",
        "joy",
        "sadness",
        "surprise",
    }


def test_concepts_list_shows_the_specific_words_and_their_categories(tmp_path):
    file = tmp_path / "pt.toml"
    words = 'labels = ["saudade"]\nwords = ["saudade", "longe:0.5"]\n'
    file.write_text(
        f'language = "pt"\nspecific = ["saudade: longing"]\n[nostalgia]\n{words}[sadness]\n{words}',
        encoding="utf-8",
    )
    lines = run("concepts", "list", file).stdout.splitlines()
    assert lines[-3:] == [
        "# 1 words specific to a language",
        "language\tword\tcategory\tgloss",
        "pt\tsaudade\tnostalgia, sadness\tlonging",
    ]


def test_concepts_check_ends_with_2_where_a_set_cannot_be_used(tmp_path):
    file = tmp_path / "en.toml"
    file.write_text('language = "en"\n[joy]\nlabels = ["joy"]\nwords = ["glad", "glad"]\n', encoding="utf-8")
    done = run("concepts", "check", file)
    assert done.exit_code == 2
    assert "duplicate word\ten\tjoy\tglad" in done.stdout
    assert "duplicate word" in done.stderr
    assert run("concepts", "check", "--languages", "en", "--categories", "basic").exit_code == 0


def test_concepts_check_compares_valence_with_english_and_names_who_has_no_norms(tmp_path):
    english = tmp_path / "sets" / "en.toml"
    done = run("concepts", "import", written_associations(tmp_path), "--language", "en", "--out", english)
    assert done.exit_code == 0, done.stderr
    german = english.read_text(encoding="utf-8").replace('language = "en"', 'language = "xx"')
    (english.parent / "xx.toml").write_text(german, encoding="utf-8")
    done = run("concepts", "check", english.parent, "--valence")
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    at = lines.index("# Valence of categories against en (en_glasgow_2019)")
    assert lines[at + 2].split("\t") == [
        *("xx", "-", "0", "-", "-", "-", "-", "no word norms of 'xx' are bundled or given"),
    ]
    assert "Nothing is known of xx: give ratings with --norms FILE." in done.stderr


def written_associations(folder):
    file = folder / "swow.csv"
    rows = [f"joy,word{letter},{20 - n},100,0.1" for n, letter in enumerate("abcdefghijkl")]
    file.write_text("\n".join(["cue,response,R123,N,R123.Strength", *rows]), encoding="utf-8")
    return file


def test_concepts_check_of_valence_refuses_what_it_cannot_use():
    done = run("concepts", "check", "--languages", "en", "--categories", "basic", "--norms", "glasgow")
    assert done.exit_code == 2 and "Add --valence" in done.stderr
    command = ("concepts", "check", "--languages", "zh", "--categories", "basic", "--valence")
    done = run(*command, "--norms", "anpw")
    assert done.exit_code == 2 and "no concept-sets of 'pl'" in done.stderr
    done = run("concepts", "check", "--languages", "en", "--categories", "basic", "--valence")
    assert done.exit_code == 2 and "English alone" in done.stderr


def test_concepts_import_writes_sets_that_can_be_listed(tmp_path):
    out = tmp_path / "own" / "en.toml"
    done = run(
        "concepts",
        "import",
        written_associations(tmp_path),
        "--language",
        "en",
        "--out",
        out,
        "--max-words",
        11,
    )
    assert done.exit_code == 0, done.stderr
    assert "# associations concept-sets: 1 categories, 11 words" in run("concepts", "list", out).stdout


def test_concepts_import_of_a_new_language_takes_labels_from_a_file(tmp_path):
    file = tmp_path / "swow.csv"
    rows = [f"freude,wort{letter},{20 - n},100,0.1" for n, letter in enumerate("abcdefghijkl")]
    file.write_text("\n".join(["cue,response,R123,N,R123.Strength", *rows]), encoding="utf-8")
    labels, out = tmp_path / "labels.toml", tmp_path / "de.toml"
    labels.write_text('joy = ["Freude"]\n', encoding="utf-8")
    given = ["concepts", "import", file, "--language", "de", "--out", out, "--labels", labels]
    assert run(*given, "--carrier", "Das Wort ist {word}").exit_code == 0
    assert "Das Wort ist {word}" in out.read_text(encoding="utf-8")
    labels.write_text('joy = "Freude"\n', encoding="utf-8")
    assert "it is no list of words" in run(*given).stderr


def test_norms_list_and_check():
    listed = run("norms", "list", "--languages", "zh").stdout
    assert "zh_liu_2021\tzh\t2061" in listed
    assert "en_glasgow_2019" not in listed
    done = run("norms", "check", "glasgow")
    assert "words\t5553" in done.stdout
    assert "valence\t1 to 9" in done.stdout
    assert "sense-marked entries" in done.stdout


def test_norms_check_of_a_file_says_what_was_left_out(tmp_path):
    file = tmp_path / "mine.csv"
    rows = [f"wort{n},{1 + n % 7},3" for n in range(20)]
    file.write_text("\n".join(["Wort,gut,wach", *rows, "schlecht,99,3"]), encoding="utf-8")
    columns = [part for pair in ("word=Wort", "valence=gut", "arousal=wach") for part in ("--column", pair)]
    done = run("norms", "check", file, "--language", "de", "--scale", "1,7", *columns)
    assert done.exit_code == 0, done.stderr
    assert "rows left out\t1" in done.stdout
    assert "schlecht" in done.stdout


def test_models_list():
    assert "embedded" in run("models", "list").stdout


def test_a_corpus_has_the_share_after_its_name(tmp_path):
    file, odd = tmp_path / "a.txt", tmp_path / "b:0.txt"
    file.write_text("one\n\ntwo\n", encoding="utf-8")
    odd.write_text("three\n", encoding="utf-8")
    corpus = read_corpus(f"{file}:0.25")
    assert (corpus.name, list(corpus.texts), corpus.share) == ("a.txt", ["one", "two"], 0.25)
    assert read_corpus(str(file)).share == 1.0
    assert list(read_corpus(str(odd)).texts) == ["three"]
    with pytest.raises(EmospaceError, match="no share"):
        read_corpus(f"{file}:-1")


def test_all_languages_are_those_with_concept_sets(asked, tmp_path):
    from emospace.concepts import bundled_languages

    assert run("study", "--languages", "all", "--out", tmp_path / "r").exit_code == 0
    assert asked[0][0].languages == bundled_languages()
