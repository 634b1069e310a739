"""Commands that load a model, on a tiny one with random weights saved as a folder."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from conftest import D_MODEL, N_BLOCKS, make_hf_model, make_tokenizer
from emospace.artefacts import read_json
from emospace.cli import app
from emospace.models import load_model
from emospace.steering import DoseRange, SteeringVector
from emospace.steering.bank import VectorBank, bank_folder
from small_study import make_study_files


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny")
    make_hf_model("llama").save_pretrained(path)
    make_tokenizer().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    rng = np.random.default_rng(0)
    words = [
        "joy",
        "grief",
        "calm",
        "rain",
        "spring",
        "quiet",
        "evening",
        "hope",
        "fear",
        "anger",
        "laughed",
        "wept",
        "she",
        "he",
        "they",
        "the",
    ]
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    path.write_text("\n".join(" ".join(rng.choice(words, 30)) for _ in range(300)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def sae(folder, corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("sae")
    small = ["--tokens", 4000, "--heldout", 1000, "--latents", 48, "--k", 4, "--batch", 256, "--layer", 2]
    done = run("sae", "train", "--model", folder, "--corpus", f"{corpus}:0.5", "--out", out, *small)
    assert done.exit_code == 0, done.output
    return out


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_models_check_says_what_it_is_and_that_it_runs(folder):
    done = run("models", "check", folder)
    assert done.exit_code == 0, done.output
    facts = dict(line.split("\t") for line in done.stdout.splitlines()[1:])
    assert (facts["family"], facts["blocks"], facts["d_model"]) == ("llama", str(N_BLOCKS), str(D_MODEL))
    assert "none ships" in facts["SAE"]
    assert "It works." in done.stderr


_OLD_NAMES = """
import warnings, transformers
from transformers.utils import logging
load = transformers.AutoTokenizer.from_pretrained
def warned(*args, **options):
    warnings.warn("`old` is deprecated", FutureWarning)
    warnings.warn("`older` is deprecated", DeprecationWarning)
    logging.get_logger("transformers.somewhere").warning("`oldest` is deprecated. Use `new`.")
    logging.get_logger("transformers.somewhere").warning("the config is odd")
    return load(*args, **options)
transformers.AutoTokenizer.from_pretrained = warned
from emospace.cli import main
main()
"""


@pytest.mark.parametrize("flags", [(), ("--verbose",)])
def test_deprecations_of_libraries_go_to_the_log(folder, flags):
    """Planted ones, and whatever the installed releases say: only what is meant for a user is on the streams."""
    command = [sys.executable, "-W", "always", "-c", _OLD_NAMES, "models", "check", str(folder), *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said = done.stdout + done.stderr
    assert "the config is odd" in said
    assert [name in said for name in ("`old`", "`older`", "`oldest`")] == [bool(flags)] * 3
    assert ("deprecated" in said) == bool(flags)


@pytest.mark.parametrize("more", [(), ("--beams", "2")])
def test_steering_says_nothing_of_libraries(folder, more):
    """Generation, captures and perplexity under the installed releases, streamed and searched."""
    key = load_model(str(folder)).weights_hash
    vector = SteeringVector(
        name="joy",
        kind="mix",
        directions={2: np.ones(D_MODEL)},
        medians={2: 3.0},
        model="tiny",
        model_hash=key,
        calibration={"relative": DoseRange(0.5, 0.2, 0.8)},
    )
    VectorBank({("joy", "relative"): vector}, {}, {}).save(bank_folder(key))
    command = [
        sys.executable,
        "-W",
        "always",
        "-m",
        "emospace",
        "steer",
        "she laughed",
        "--tokens",
        "4",
        *more,
    ]
    command += ["--emotion", "joy", "--model", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "applications" in done.stderr, done.stderr
    assert "Warning" not in done.stderr + done.stdout
    assert "deprecated" not in done.stderr + done.stdout


@pytest.mark.parametrize(("scale", "dtype"), [(1e5, "float16"), (1e5, "float32"), (1, "float16")])
def test_models_check_says_where_float16_overflows(folder, tmp_path, scale, dtype):
    model = make_hf_model("llama")
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight *= scale
        model.model.layers[1].mlp.up_proj.weight *= min(scale, 1e3)
    model.save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    done = run("models", "check", tmp_path, "--dtype", dtype)
    if scale == 1:
        assert done.exit_code == 0
        assert "Not in float16" not in done.stderr
    elif dtype == "float32":
        assert done.exit_code == 0
        assert "Not in float16" in done.stderr
    else:
        assert done.exit_code == 2
        assert "layer 2 of" in done.stderr
        assert "not finite" in done.stderr
        assert "bfloat16" in done.stderr


def test_a_trained_sae_fits_its_model_and_keeps_the_command(folder, sae):
    card = read_json(sae / "card.json")
    assert card["n_latents"] == 48
    assert card["command"].startswith("emospace sae train --model")
    assert "--layer 2" in card["command"]
    done = run("models", "check", folder, "--sae", sae)
    assert done.exit_code == 0, done.output
    assert "48 latents at layer 2, fits" in done.stdout


def test_an_sae_of_another_width_is_refused(sae, tmp_path):
    make_hf_model("gpt2", n_embd=16, n_head=2).save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    done = run("models", "check", tmp_path, "--sae", sae)
    assert done.exit_code == 2
    assert f"it reads states {D_MODEL} wide" in done.stderr
    done = run("study", "--model", tmp_path, "--sae", sae, "--languages", "en", "--out", tmp_path / "run")
    assert done.exit_code == 2
    assert f"it reads states {D_MODEL} wide" in done.stderr


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--languages", "tlh"], "language 'tlh'"),
        (["--languages", "en", "--norms", "nowhere.csv"], "nowhere.csv"),
        (["--languages", "en", "--norms", "zh_liu_2021"], "norms 'zh_liu_2021'"),
        (["--languages", "en", "--categories", "nowhere.txt"], "nowhere.txt"),
        (["--languages", "en", "--concepts", "nowhere.toml"], "nowhere.toml"),
        (["--languages", "en", "--sae", "nowhere"], "SAE 'nowhere'"),
        (["--languages", "en", "--sae", "train"], "--sae train"),
        (["--languages", "en", "--device", "abacus"], "abacus"),
        (["--languages", "en", "--dtype", "float7"], "dtype 'float7'"),
    ],
)
def test_what_a_study_cannot_use_is_one_message_that_names_it(folder, tmp_path, options, named):
    done = run("study", "--model", folder, "--out", tmp_path, *options)
    assert done.exit_code == 2
    assert named in done.stderr
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--layer", 9], "--layer 9"),
        (["--k", 64, "--latents", 8], "--k 64"),
        (["--tokens", 0], "--n-tokens 0"),
    ],
)
def test_sae_options_that_do_not_fit_are_named(folder, corpus, tmp_path, options, named):
    done = run("sae", "train", "--model", folder, "--corpus", corpus, "--out", tmp_path, *options)
    assert done.exit_code == 2
    assert named in done.stderr


def test_a_damaged_sae_folder_gives_one_message(folder, tmp_path):
    (tmp_path / "cfg.json").write_text("{}", encoding="utf-8")
    done = run("models", "check", folder, "--sae", tmp_path)
    assert done.exit_code == 2
    assert str(tmp_path) in done.stderr
    assert "Traceback" not in done.output


def test_the_spec_of_a_run_does_its_study_again(tmp_path):
    """`--config spec.json` gives the same results.json, but for the folder in its command."""
    spec = make_study_files(tmp_path).spec()
    first, again, other = (tmp_path / name for name in ("first", "again", "other"))
    given = tmp_path / "given.json"
    given.write_text(spec.model_dump_json(), encoding="utf-8")
    for config, out in ((given, first), (first / "spec.json", again)):
        done = run("study", "--config", config, "--out", out)
        assert done.exit_code == 0, done.output
    results = [(out / "results.json").read_text("utf-8") for out in (first, again)]
    assert results[0].replace(str(first), str(again)) == results[1]
    assert read_json(first / "spec.json") == read_json(again / "spec.json")
    done = run("study", "--config", first / "spec.json", "--seed", 4, "--json", "--quiet", "--out", other)
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    assert read_json(other / "spec.json") == {**read_json(first / "spec.json"), "seed": 4}
    assert json.loads(done.stdout)["files"][-1]["path"] == str(other / "report.html")


def test_concepts_check_reads_the_tokenizer_alone(folder, monkeypatch):
    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", lambda *_, **__: pytest.fail())
    done = run("concepts", "check", "--languages", "en", "--categories", "basic", "--model", folder)
    assert done.exit_code == 0, done.output
