"""The commands of `emospace steer`, on a tiny model with vectors made here."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from conftest import D_MODEL, tiny
from emospace import display
from emospace.cli import app
from emospace.cli.steer import COMMANDS, app as steer_app
from emospace.cli.tone import read_batch, read_tone, window_of
from emospace.errors import EmospaceError
from emospace.evaluation import load_prompts
from emospace.generation import generate, perplexity
from emospace.judges import BASIC_SEVEN, Judgement
from emospace.records import Results, SteeringRecord
from emospace.specs import CalibrationSpec, Sampling, SteeringSpec, ToneSpec, WeightedTone, tone_of
from emospace.steering import DoseRange, SteeringVector
from emospace.steering.bank import VectorBank

PROMPT = "she laughed with"
SHORT = ("--tokens", "6")


def vector(name, seed, mode="relative", **given):
    rng = np.random.default_rng(seed)
    note = {"relative_length": {"2": 0.5}} if name in ("valence", "arousal") else {}
    settings = {"op": "clamp", "window": (0, 4)} if mode == "relative" else {}
    return SteeringVector(
        name=name,
        kind="axis" if note else "mix",
        directions={layer: rng.standard_normal(D_MODEL) for layer in (2, 3)},
        medians={2: 4.0, 3: 5.0},
        model="tiny-llama",
        model_hash="0",
        calibration={mode: DoseRange(0.9, 0.4, 2.0)},
        mode=mode,
        note=note,
        **settings | given,
    )


BANK = VectorBank(
    {
        (name, mode): vector(name, seed, mode)
        for seed, name in enumerate(("joy", "surprise", "valence", "arousal"))
        for mode in ("relative", "constant")
    }
)


@pytest.fixture(autouse=True)
def _model(monkeypatch):
    """Give every command the tiny model and its vectors."""
    import emospace.models
    import emospace.steering.bank

    def load_vectors(model, source=None, language=None):
        if source in (None, "mix"):
            return BANK
        raise EmospaceError("the model", "it has no such vectors", "Calibrate them.")

    monkeypatch.setattr(emospace.models, "load_model", lambda *_, **__: tiny("llama"))
    monkeypatch.setattr(emospace.steering.bank, "load_vectors", load_vectors)


def run(*arguments, **given):
    return CliRunner().invoke(app, ["steer", *map(str, arguments)], **given)


def test_template_arguments_and_revision_reach_the_model(monkeypatch):
    import emospace.models

    given = {}
    monkeypatch.setattr(emospace.models, "load_model", lambda *_, **kw: given.update(kw) or tiny("llama"))
    done = run(
        *("--emotion", "joy", "--tokens", 4, "--revision", "1a2b"),
        *(
            "--template-arg",
            "enable_thinking=false",
            "--template-arg",
            "depth=2",
            "--template-arg",
            "tone=dry",
        ),
        *("--template-arg", "date=False", "Tell me."),
    )
    assert done.exit_code == 0, done.output
    assert given["template_args"] == {"enable_thinking": False, "depth": 2, "tone": "dry", "date": False}
    assert given["revision"] == "1a2b"
    done = run("--emotion", "joy", "--template-arg", "enable_thinking", "Tell me.")
    assert done.exit_code == 2
    assert "--template-arg enable_thinking" in done.output


def answers_of(done):
    """Return heading -> answer of the plain output."""
    parts = [part.partition("\n") for part in done.stdout.split("# ")[1:]]
    return {heading: text.strip() for heading, _, text in parts}


def test_a_mistyped_model_is_said_before_torch_is_imported():
    code = (
        "import sys; from emospace.cli import main; sys.argv[1:] = ['models', 'check', 'gema']\n"
        "try: main()\nexcept SystemExit as end: assert end.code == 2\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "gemma" in done.stderr, done.stderr


def test_help_loads_nothing_heavy_and_shows_commands_and_options():
    heavy = ("torch", "transformers", "pandas", "sklearn", "scipy", "numpy")
    for arguments in (["steer", "--help"], ["steer", "evaluate", "--help"]):
        code = (
            f"import sys; from emospace.cli import main; sys.argv[1:] = {arguments!r}\n"
            "try: main()\nexcept SystemExit as end: assert not end.code\n"
            f"loaded = [name for name in {heavy!r} if name in sys.modules]\nassert not loaded, loaded"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    shown = run("--help").stdout
    assert all(word in shown for word in (*COMMANDS, "--emotion", "--arousal", "--beams"))
    assert "--emotion" in run().output


def test_the_commands_are_those_a_slip_is_compared_with():
    assert {command.name for command in steer_app.registered_commands} == {"text", *COMMANDS}


def test_a_prompt_is_answered_without_and_with_the_tone():
    done = run("--emotion", "joy", *SHORT, PROMPT)
    assert done.exit_code == 0, done.output
    sampling = Sampling(n_tokens=6)
    plain = generate(tiny("llama"), [PROMPT], sampling=sampling)
    steered = generate(tiny("llama"), [PROMPT], BANK.vector("joy"), sampling=sampling)
    shown = answers_of(done)
    assert list(shown) == ["unsteered", "joy"]
    assert shown["unsteered"] == plain.texts[0].strip()
    assert shown["joy"] == steered.texts[0].strip()
    assert shown["joy"] != shown["unsteered"]
    line = done.stderr.strip()
    assert line.startswith("joy (mix) · relative dose 0.9 · layers 2, 3 · ")
    assert f"· {steered.applications:,} applications · perplexity " in line
    assert "\x1b" not in done.output
    ratio = perplexity(tiny("llama"), [PROMPT], steered) / perplexity(tiny("llama"), [PROMPT], plain)
    assert float(line.split("perplexity ")[1].split()[0]) == pytest.approx(ratio[0], rel=0.05)


def test_the_prompt_may_stand_first_and_the_command_be_named():
    first = run(PROMPT, "--emotion", "joy", *SHORT)
    named = run("text", "--emotion", "joy", *SHORT, PROMPT)
    assert first.exit_code == named.exit_code == 0
    assert first.stdout == named.stdout
    assert "# joy" in run("text", "--emotion", "joy", *SHORT, "export").stdout


def test_a_prompt_comes_from_standard_input():
    assert (
        run("--emotion", "joy", *SHORT, "-", input=f"{PROMPT}\n").stdout
        == run("--emotion", "joy", *SHORT, PROMPT).stdout
    )
    assert "the prompt: it is empty" in run("--emotion", "joy", "-", input=" \n").stderr


def test_dose_nought_changes_nothing_and_no_baseline_leaves_it_out():
    shown = answers_of(run("--emotion", "joy", "--dose", 0, *SHORT, "--op", "add", PROMPT))
    assert shown["unsteered"] == shown["joy"]
    done = run("--emotion", "joy", "--no-baseline", *SHORT, PROMPT)
    assert list(answers_of(done)) == ["joy"]
    assert "perplexity ratio not measured" in done.stderr


def test_the_seed_fixes_the_answer():
    first, second, third = (
        run("--emotion", "joy", "--seed", seed, *SHORT, PROMPT).stdout for seed in (1, 1, 2)
    )
    assert first == second != third


def test_emotions_are_mixed_and_points_are_vectors():
    mixed = run("--emotion", "joy:0.7,surprise:0.3", *SHORT, PROMPT)
    assert "joy:0.7,surprise:0.3 (mix)" in mixed.stderr
    point = run("--valence", 0.8, "--arousal", -0.3, *SHORT, PROMPT)
    assert "valence 0.8, arousal -0.3 (axis)" in point.stderr
    alone = run("--arousal", -0.5, *SHORT, PROMPT)
    assert "valence 0, arousal -0.5 (axis) · relative dose 0.45" in alone.stderr


def test_where_and_how_it_acts_can_be_said():
    given = ("--layers", "3", "--scope", "response", "--op", "add", "--window", "1:3", "--mode", "constant")
    done = run("--emotion", "joy", *given, *SHORT, PROMPT)
    assert done.exit_code == 0, done.output
    # Columns 1 and 2 of the answer at one layer.
    line = "constant dose 0.9 · layers 3 · scope response · op add · window 1:3 · 2 applications"
    assert line in done.stderr
    ablated = run("--emotion", "joy", "--op", "ablate", *SHORT, PROMPT)
    assert ablated.exit_code == 0, ablated.output
    assert "dose 0 " in ablated.stderr


def test_a_dose_beyond_the_calibrated_range_is_warned_of_once(caplog):
    done = run("--emotion", "joy", "--dose", 5, *SHORT, PROMPT)
    assert done.exit_code == 0
    assert [record.getMessage() for record in caplog.records if "beyond" in record.getMessage()] == [
        "dose 5 of 'joy' is beyond its calibrated range (relative, up to 2): expect repetition and broken sentences"
    ]


def test_beam_search_goes_through_the_models_own_generate():
    done = run("--emotion", "joy", "--beams", 3, *SHORT, PROMPT)
    assert done.exit_code == 0, done.output
    shown = answers_of(done)
    assert shown["joy"] != shown["unsteered"]
    assert run("--emotion", "joy", "--beams", 3, "--seed", 5, *SHORT, PROMPT).stdout == done.stdout
    assert int(done.stderr.split(" applications")[0].split("· ")[-1].replace(",", "")) > 0


def test_guidance_is_said_and_changes_the_answer():
    plain = run("--emotion", "joy", *SHORT, PROMPT)
    guided = run("--emotion", "joy", "--guidance", 3, "--plausible", 0.05, *SHORT, PROMPT)
    assert guided.exit_code == 0, guided.output
    assert "guidance weight=3 plausible=0.05" in guided.stderr
    assert "guidance" not in plain.stderr
    assert answers_of(guided)["unsteered"] == answers_of(plain)["unsteered"]
    assert answers_of(guided)["joy"] != answers_of(plain)["joy"]


def test_a_batch_gives_one_object_a_prompt(tmp_path):
    prompts = ["the word is", "he wept", "a long rain"]
    file, out = tmp_path / "prompts.txt", tmp_path / "deep" / "answers.jsonl"
    file.write_text("\n\n".join(prompts), encoding="utf-8")
    done = run("--emotion", "joy", "--batch", file, "--out", out, *SHORT)
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [row["prompt"] for row in rows] == prompts
    whole = generate(tiny("llama"), prompts, BANK.vector("joy"), sampling=Sampling(n_tokens=6))
    assert [row["steered"] for row in rows] == whole.texts
    assert all({"unsteered", "perplexity_ratio", "vector", "dose", "layers"} <= set(row) for row in rows)
    assert f"{whole.applications:,} applications" in done.stderr
    assert "3 prompts" in done.stderr
    printed = run("--emotion", "joy", "--batch", file, *SHORT, "--no-baseline").stdout.splitlines()
    assert [json.loads(line)["steered"] for line in printed] == whole.texts
    searched = run("--emotion", "joy", "--batch", file, *SHORT, "--beams", 2)
    assert len(searched.stdout.splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((PROMPT,), "no tone is named"),
        (("calibrat",), "Did you mean calibrate"),
        (("--emotion", "joy"), "there is no prompt"),
        (("--emotion", "jjoy", PROMPT), "emotion 'jjoy': there is no such emotion. Did you mean joy?"),
        (("--emotion", "joy:0.5,surprse:0.5", PROMPT), "surprise"),
        (
            ("--emotion", "joy", "--valence", "0.5", PROMPT),
            "--emotion joy and --valence 0.5: both name the tone",
        ),
        (("--emotion", "joy", "--arousal", "0.5", PROMPT), "both name the tone"),
        (("--emotion", "joy:much", PROMPT), "'much' is no weight"),
        (("--emotion", "joy:", PROMPT), "'' is no weight"),
        (("--emotion", "joy:nan", PROMPT), "no finite weight"),
        (("--emotion", "joy,,", PROMPT), "an emotion has no name"),
        (("--emotion", "joy:1,joy:2", PROMPT), "'joy' stands there twice"),
        (("--emotion", "joy - joy", PROMPT), "'joy' is added and taken away, and nothing is left of it"),
        (("--emotion", "joy + much*fear", PROMPT), "neither side of 'much*fear' is a weight"),
        (("--emotion", "joy |", PROMPT), "an emotion has no name"),
        (("--emotion", "joy | joy", PROMPT), "nothing is left of 'joy' at layer"),
        (("--emotion", "joy | jjoy", PROMPT), "emotion 'jjoy': there is no such emotion. Did you mean joy?"),
        (("--valence", "3", PROMPT), "it lies beyond the scale"),
        (("--valence", "0", "--arousal", "0", PROMPT), "no direction"),
        (("--emotion", "joy", "--layers", "two", PROMPT), "--layers two"),
        (("--emotion", "joy", "--layers", "9", PROMPT), "does not exist at layers [9]"),
        (("--emotion", "joy", "--window", "5:2", PROMPT), "--window 5:2"),
        (("--emotion", "joy", "--window", "5", PROMPT), "--window 5"),
        (("--emotion", "joy", "--tokens", "0", PROMPT), "--n-tokens 0"),
        (("--emotion", "joy", "--top-p", "2", PROMPT), "--top-p 2"),
        (("--emotion", "joy", "--beams", "0", PROMPT), "--beams 0"),
        (("--emotion", "joy", "--guidance", "0", PROMPT), "--guidance 0"),
        (("--emotion", "joy", "--plausible", "2", PROMPT), "--plausible 2"),
        (("--emotion", "joy", "--cost", "nan", PROMPT), "--cost nan"),
        (("--emotion", "joy", "--beams", "2", "--cost", "1", PROMPT), "--beams 2 with guidance cost=1"),
        (("--emotion", "joy", "--beams", "2", "--block", "8", PROMPT), "--beams 2 with guidance block=8"),
        (("--emotion", "joy", "--block", "8", "--candidates", "1", PROMPT), "guidance block=8"),
        (("calibrate", "--block", "8", "--candidates", "1"), "guidance"),
        (("--emotion", "joy", "--source", "sea", PROMPT), "--source sea"),
        (("--emotion", "joy", "--out", "x", PROMPT), "it is for the answers of --batch"),
        (("--emotion", "joy", "--batch", "nowhere.txt"), "--batch nowhere.txt"),
        (("--emotion", "joy", "--dose", "nan", PROMPT), "no finite number"),
        (("export", "--format", "gguf", "--out", "x"), "no tone is named"),
        (("export", "--emotion", "joy", "--format", "ggml", "--out", "x"), "export format 'ggml'"),
        (("evaluate", "--baselines", "dens", "--out", "x"), "--baselines dens"),
        (("evaluate", "--doses", "0,1", "--out", "x"), "--doses"),
        (("evaluate", "--judge", "nobody", "--out", "x"), "judge 'nobody'"),
        (("calibrate", "--budget-perplexity", "0.5"), "--budget-perplexity 0.5"),
        (("calibrate", "--budget", "0.5"), "--budget-perplexity 0.5"),
        (("calibrate", "--source", "sea"), "--source sea"),
    ],
)
def test_a_wrong_input_is_one_message(arguments, named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: ")
    assert named in done.stderr
    assert done.stderr.strip().count("\n") == 0


@pytest.mark.parametrize(
    ("arguments", "ways"),
    [
        (("--emotion", "joy", "--sharpen", "0.5", PROMPT), ("--sharpen", "at least 1", "at most 10")),
        (("--emotion", "joy", "--guidance", "0", PROMPT), ("--guidance", "more than 0", "at most 100")),
        (("--emotion", "joy", "--n-tokens", "0", PROMPT), ("--n-tokens", "more than 0")),
        (("calibrate", "--budget-perplexity", "0.5"), ("--budget-perplexity",)),
    ],
)
def test_a_number_out_of_its_range_is_told_the_range(arguments, ways, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = run(*arguments).stderr
    assert all(way in said.rpartition(". ")[2] for way in ways), said


def test_json_has_both_answers_and_what_was_done(tmp_path):
    done = run("--emotion", "joy", *SHORT, PROMPT, "--json")
    document = json.loads(done.stdout)
    plain = answers_of(run("--emotion", "joy", *SHORT, PROMPT))
    assert {name: text.strip() for name, text in document["texts"].items()} == plain
    assert (document["steered"]["vector"], document["steered"]["dose"]) == ("joy", 0.9)
    assert document["steered"]["applications"] > 0
    file = tmp_path / "prompts.txt"
    file.write_text(PROMPT, encoding="utf-8")
    rows = json.loads(run("--emotion", "joy", "--batch", file, *SHORT, "--json").stdout)["answers"]
    assert [row["prompt"] for row in rows] == [PROMPT]


def test_a_vector_that_reached_no_token_is_an_error():
    done = run("--emotion", "joy", "--scope", "response", "--window", "50:60", *SHORT, PROMPT)
    assert done.exit_code == 2
    assert "applied to no token" in done.stderr


def test_what_the_options_say():
    assert tone_of("joy") == WeightedTone({"joy": 1.0})
    assert tone_of(" joy : 0.7 , fear:-0.3") == WeightedTone({"joy": 0.7, "fear": -0.3})
    assert read_tone(ToneSpec(valence=0.5)) == WeightedTone({"valence": 0.5, "arousal": 0.0})
    assert read_tone(ToneSpec(arousal=-1)) == WeightedTone({"valence": 0.0, "arousal": -1})
    assert (window_of("0:16"), window_of("4:"), window_of(None)) == ((0, 16), (4, None), None)


def test_a_batch_in_jsonl_has_a_prompt_on_every_line(tmp_path):
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "one"}\n\n{"prompt": "two", "id": 3}\n', encoding="utf-8")
    assert read_batch(file) == ["one", "two"]
    file.write_text('{"prompt": "one"}\n{"question": "two"}\n', encoding="utf-8")
    with pytest.raises(EmospaceError, match="line 2: it is no JSON object with a prompt"):
        read_batch(file)
    file.write_text("\n", encoding="utf-8")
    with pytest.raises(EmospaceError, match="it holds no prompt"):
        read_batch(file)


def test_columns_grow_side_by_side_on_a_terminal(monkeypatch):
    import io

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm")
    order = []

    def pieces(name, parts):
        for part in parts:
            order.append(name)
            yield part

    given = {"unsteered": pieces("a", ["one ", "two"]), "joy": pieces("b", ["[b]three", " four\x1b[2J", "!"])}
    assert display.texts(given) == {"unsteered": "one two", "joy": "[b]three four\x1b[2J!"}
    assert order == ["a", "b", "a", "b", "b"]
    last = screen.getvalue().rsplit("one two", 1)[1]
    assert "[b]three four" in last
    assert "\x1b[2J" not in screen.getvalue()


def test_calibration_options_are_those_of_the_specification(monkeypatch, tmp_path):
    import emospace.evaluation.calibration

    asked = []
    made = [BANK]

    def calibrate(spec, out=None):
        asked.append((spec, out))
        return made[0]

    monkeypatch.setattr(emospace.evaluation.calibration, "calibrate", calibrate)
    done = run("calibrate")
    assert done.exit_code == 0, done.output
    assert asked[0] == (CalibrationSpec(), None)
    assert "joy\t-\t-\t-\t0.90 (0.40 to 2.00)\t0.90 (0.40 to 2.00)" in done.stdout
    assert "emospace steer --model embedded --emotion joy 'Tell me about your day.'" in done.stderr
    made[0] = replace(BANK, note={"prompt_kind": "stems"})
    hint = run("calibrate", "--model", "gemma", "--language", "zh").stderr
    assert (
        f"--model gemma --emotion joy {load_prompts('zh', 'calibration', kind='stems')[0]}"
        in hint.replace("'", "")
    )
    made[0] = BANK
    asked[1:] = []
    given = (
        "--emotions",
        "joy,fear",
        "--layers",
        "4,9",
        "--budget",
        "1.8",
        "--doses",
        "1,0.5",
        "--contrasts",
        "0.2",
    )
    assert run("calibrate", *given, "--constant-doses", "0.1", "--out", tmp_path / "bank").exit_code == 0
    spec, out = asked[1]
    assert (spec.emotions, spec.layers, spec.budget) == (("joy", "fear"), (4, 9), 1.8)
    assert set(spec.doses) == {0.5, 1.0}
    assert (spec.contrasts, spec.constant_doses, out) == ((0.2,), (0.1,), tmp_path / "bank")


def test_the_command_in_the_manifest_asks_for_the_same_evaluation(monkeypatch, tmp_path):
    import emospace.evaluation.running
    import emospace.report
    from emospace.evaluation import Evaluation

    asked = []

    def run_evaluation(spec, model, bank, baselines, *, command):
        import pandas as pd

        from emospace.evaluation.frontier import FIGURE_COLUMNS

        asked.append((spec, set(baselines), command))
        tables = dict.fromkeys(("figures", "stability"), pd.DataFrame())
        tables["frontier_figures"] = pd.DataFrame(columns=FIGURE_COLUMNS)
        return Evaluation((), tables, (), 0)

    monkeypatch.setattr(emospace.evaluation.running, "run_evaluation", run_evaluation)
    monkeypatch.setattr(emospace.report, "write_report", lambda folder: folder)
    assert run("evaluate", "--out", tmp_path / "a").exit_code == 0
    spec, baselines, command = asked[0]
    assert spec == SteeringSpec(out=tmp_path / "a")
    assert baselines == {"dense"}
    assert command == f"emospace steer evaluate --out {tmp_path / 'a'}"
    given = [
        *(
            "--emotions",
            "joy,surprise",
            "--doses",
            "0.5,1,2",
            "--random-doses",
            "1,3",
            "--random",
            "2",
            "--shuffled",
            "0",
        ),
        *(
            "--mode",
            "constant",
            "--baselines",
            "both",
            "--judge",
            "ngram",
            "--n-prompts",
            "5",
            "--tokens",
            "9",
            "--least-tokens",
            "2",
        ),
        *(
            "--temperature",
            "0.5",
            "--top-k",
            "3",
            "--top-p",
            "0.9",
            "--instruction",
            "Be {label}, it's time",
            "--seed",
            "4",
        ),
        *(
            "--token-cap",
            "1000",
            "--factual-tokens",
            "3",
            "--baselines-for",
            "all",
            "--batch-size",
            "7",
            "--out",
            "r b",
        ),
        *("--model", "a folder", "--dtype", "float32", "--norms", "mine.csv"),
    ]
    monkeypatch.chdir(tmp_path)
    done = run("evaluate", *given)
    assert done.exit_code == 0, done.output
    spec, baselines, command = asked[1]
    assert baselines == {"dense", "sae"}
    assert (spec.sampling.n_tokens, spec.sampling.least_tokens, spec.sampling.seed, spec.seed) == (9, 2, 4, 4)
    again = CliRunner().invoke(app, shlex.split(command)[1:])
    assert again.exit_code == 0, again.output
    assert asked[2] == asked[1]


class Letters:
    """A judge of letters."""

    name, kind, labels = "subword", "counts letters", ("joy", "surprise", "neutral")

    def auroc(self, language, label):
        return 0.9

    def recall(self, language, label, *, masked=False):
        return 0.3 if masked else 0.7

    def calibration_error(self, language, label):
        return 0.02

    def check_language(self, language):
        pass

    def judge(self, texts, language="en"):
        counts = np.array(
            [[sum(map(text.count, letters)) for letters in ("aei", "st", "z")] for text in texts]
        )
        share = (counts + 0.5) / (counts.sum(axis=1, keepdims=True) + 2)
        seven = np.full((len(texts), 7), 0.01)
        for place, label in enumerate(self.labels):
            seven[:, BASIC_SEVEN.index(label)] = share[:, place]
        return Judgement(self.labels, share, seven / seven.sum(axis=1, keepdims=True))


def test_an_evaluation_ends_with_figures_and_a_report(monkeypatch, tmp_path):
    import emospace.evaluation.running

    monkeypatch.setattr(emospace.evaluation.running, "load_judge", lambda name: Letters())
    given = (
        "--doses",
        "1,2",
        "--random",
        2,
        "--random-doses",
        "1",
        "--shuffled",
        0,
        "--n-prompts",
        4,
        "--tokens",
        4,
    )
    done = run("evaluate", *given, "--factual-tokens", 2, "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    assert f"Report: {tmp_path / 'run' / 'report.html'}" in done.stderr
    assert "baseline of dense vectors: none were calibrated" in done.stderr
    rows = [line.split("\t")[:2] for line in done.stdout.splitlines()]
    assert ["joy", "mix"] in rows
    assert ["surprise", "mix"] in rows
    results = Results.load(tmp_path / "run" / "results.json")
    assert {record.vector for record in results.steering} == {"none", "mix", "random", "prompt", "prompted"}
    assert results.manifest.command.startswith("emospace steer evaluate --doses")
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "What a dose does" in page
    assert 'id="table-steering-samples"' in page


def test_ways_of_steering_to_an_emotion_are_told_apart(capsys):
    """Vectors under guidance and the same without it were both called mix."""
    import pandas as pd

    from emospace.cli.steer_studies import show_evaluation
    from emospace.evaluation import Evaluation
    from emospace.evaluation.frontier import FIGURE_COLUMNS

    shape = {
        "model": "tiny",
        "layer": None,
        "n": 12,
        "seed": 0,
        "emotion": "joy",
        "vector": "mix",
        "dose": 1.0,
    }
    shape |= {"judge": "subword", "language": "en", "calibrated": True, "n_prompts": 12}
    shape |= {"perplexity_ratio": 1.1, "distinct2_ratio": 0.9}
    records = tuple(SteeringRecord(**shape, setting=setting) for setting in (None, "guidance=plain"))
    tables = dict.fromkeys(("figures", "stability"), pd.DataFrame())
    tables["frontier_figures"] = pd.DataFrame(columns=FIGURE_COLUMNS)
    show_evaluation(Evaluation(records, tables, (), 0))
    rows = [line.split("\t")[:2] for line in capsys.readouterr().out.splitlines()]
    assert ["joy", "mix"] in rows
    assert ["joy", "mix guidance=plain"] in rows


def test_an_export_is_the_constant_vector(tmp_path):
    done = run(
        "export", "--emotion", "joy", "--format", "safetensors", "--out", tmp_path / "joy", "--dose", 0.2
    )
    assert done.exit_code == 0, done.output
    assert "constant dose 0.2, layers 2, 3" in done.stderr
    export = SteeringVector.load(tmp_path / "joy.safetensors")
    assert (export.mode, export.dose()) == ("constant", 0.2)
    assert np.allclose(export.directions[2], BANK.vector("joy", "constant").directions[2])
    assert (
        run(
            "export", "--emotion", "joy", "--layers", 2, "--format", "gguf", "--out", tmp_path / "joy"
        ).exit_code
        == 0
    )
    assert (tmp_path / "joy.gguf").is_file()


@pytest.mark.parametrize(
    ("arguments", "language"),
    [
        (["--emotion", "joy", PROMPT], None),
        (["--emotion", "joy", "--concept-language", "zh", PROMPT], "zh"),
        (["evaluate", "--out", "x"], "en"),
        (["evaluate", "--out", "x", "--language", "zh"], "zh"),
        (["evaluate", "--out", "x", "--language", "zh", "--concept-language", "en"], "en"),
    ],
)
def test_vectors_are_of_the_language_named_or_that_of_the_prompts(monkeypatch, tmp_path, arguments, language):
    import emospace.steering.bank

    asked = []

    def load_vectors(model, source=None, language=None):
        asked.append(language)
        raise EmospaceError("the model", "it has no such vectors", "Calibrate them.")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(emospace.steering.bank, "load_vectors", load_vectors)
    assert run(*arguments).exit_code == 2
    assert asked == [language]


def test_a_language_without_vectors_is_named_and_not_replaced():
    done = run("--emotion", "joy", "--concept-language", "xx", PROMPT)
    assert done.exit_code == 2
    assert "--concept-language xx" in done.stderr
    assert "emospace steer calibrate --model embedded --language xx" in done.stderr
    assert run("--emotion", "joy", "--concept-language", "en", "--n-tokens", 2, PROMPT).exit_code == 0


def test_a_vector_is_shown(tmp_path):
    done = run("show", "--emotion", "joy", "--top", 3)
    assert done.exit_code == 0, done.stderr
    assert "# Promoted tokens" in done.stdout
    assert "# Suppressed tokens" in done.stdout
    assert "# Nearest emotions" in done.stdout
    BANK.vector("joy").save(tmp_path / "joy.safetensors")
    of_file = run("show", "--vector", tmp_path / "joy.safetensors", "--top", 3)
    assert of_file.stdout == done.stdout
    both = run("show", "--vector", tmp_path / "joy.safetensors", "--emotion", "joy")
    assert both.exit_code == 2
    assert "both name the tone" in both.stderr


def test_a_model_without_vectors_names_the_command(monkeypatch):
    import emospace.steering.bank

    def nothing(model, source=None, language=None):
        raise EmospaceError("the model 'x'", "no vectors", "make them: emospace steer calibrate --model x")

    monkeypatch.setattr(emospace.steering.bank, "load_vectors", nothing)
    done = run("--emotion", "joy", PROMPT)
    assert "no vectors" in done.stderr
    assert "emospace steer calibrate" in done.stderr
