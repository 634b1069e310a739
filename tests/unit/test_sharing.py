"""Push and pull against a hub that is a folder."""

from __future__ import annotations

import json
import shutil
from fnmatch import fnmatch
from pathlib import Path

import pytest
from huggingface_hub.errors import RepositoryNotFoundError

from emospace.errors import EmospaceError
from emospace.sharing import pull, push
from planted_runs import write_run

TOKEN = "hf_secretsecretsecret"


class FolderHub:
    """The methods of `HfApi` that are used, over a folder."""

    endpoint = "https://hub.example"

    def __init__(self, root: Path) -> None:
        self.root, self.calls = root, []

    def create_repo(self, repo, *, repo_type, private, exist_ok):
        self.calls.append((repo, repo_type, private, exist_ok))
        (self.root / repo_type / repo).mkdir(parents=True, exist_ok=True)

    def upload_folder(self, *, repo_id, repo_type, folder_path, commit_message):
        assert commit_message
        shutil.copytree(folder_path, self.root / repo_type / repo_id, dirs_exist_ok=True)

    def snapshot_download(self, repo, *, repo_type, revision, local_dir, allow_patterns):
        source = self.root / repo_type / repo
        if not source.is_dir():
            error = RepositoryNotFoundError.__new__(RepositoryNotFoundError)
            Exception.__init__(error, f"404 for {TOKEN}")
            raise error
        for path in source.rglob("*"):
            name = path.relative_to(source).as_posix()
            if path.is_file() and any(fnmatch(name, pattern) for pattern in allow_patterns):
                (Path(local_dir) / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, Path(local_dir) / name)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    made = FolderHub(tmp_path / "hub")
    monkeypatch.setattr("emospace.sharing.hub._api", lambda: made)
    monkeypatch.setenv("EMOSPACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return made


def folder_of(path: Path, **files) -> Path:
    path.mkdir()
    for name, content in files.items():
        file = path / name.replace("__", ".")
        file.write_text(json.dumps(content) if isinstance(content, dict) else content, encoding="utf-8")
    return path


def test_vectors_are_pulled_to_where_steering_finds_them(hub, tmp_path):
    card = {"model": "tiny", "model_hash": "abc", "vectors": [{"name": "joy", "mode": "constant"}]}
    files = {"card__json": card, "vectors__safetensors": "tensors", "notes__txt": "private"}
    folder = folder_of(tmp_path / "abc-mix", **files)
    assert push(folder, "me/vectors", private=True) == "https://hub.example/me/vectors"
    assert hub.calls == [("me/vectors", "model", True, True)]
    sent = hub.root / "model" / "me" / "vectors"
    assert {path.name for path in sent.iterdir()} == {
        "card.json",
        "vectors.safetensors",
        "README.md",
        "emospace.json",
    }
    readme = (sent / "README.md").read_text(encoding="utf-8")
    assert "library_name: emospace" in readme and "| vectors | joy |" in readme
    assert TOKEN not in readme
    (sent / "evil.pkl").write_text("x")
    place = pull("me/vectors")
    assert place == tmp_path / "cache" / "steering" / "abc-mix"
    assert (place / "vectors.safetensors").read_text(encoding="utf-8") == "tensors"
    assert not (place / "evil.pkl").exists()
    with pytest.raises(EmospaceError, match="something is there already"):
        pull("me/vectors")


def test_autoencoders_lie_where_saelens_looks_and_one_is_pulled(hub, tmp_path):
    for name, n in (("layer-6", 64), ("layer-9", 32)):
        card = {"architecture": "topk", "d_sae": n}
        folder = folder_of(tmp_path / name, cfg__json=card, sae_weights__safetensors="tensors")
        push(folder, "me/sae")
        if n == 64:
            assert (pull("me/sae", tmp_path / "first") / "cfg.json").is_file()
    sent = hub.root / "model" / "me" / "sae"
    assert {path.name for path in sent.iterdir()} == {"layer-6", "layer-9", "README.md", "emospace.json"}
    assert "emospace hub pull me/sae/layer-9" in (sent / "README.md").read_text(encoding="utf-8")
    place = pull("me/sae/layer-9", tmp_path / "new")
    assert json.loads((place / "cfg.json").read_text(encoding="utf-8"))["d_sae"] == 32
    with pytest.raises(EmospaceError, match="it holds several: layer-6, layer-9"):
        pull("me/sae", tmp_path / "other")
    with pytest.raises(EmospaceError, match="layer-7"):
        pull("me/sae/layer-7", tmp_path / "other")
    with pytest.raises(EmospaceError, match="no NAME/REPO"):
        pull("me/../x", tmp_path / "other")


def test_a_run_keeps_ratings_that_may_not_be_passed_on(hub, tmp_path):
    run = tmp_path / "run"
    write_run(run, "tiny", seed=1)
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    (run / "report.html").write_text("words and their ratings")
    (run / "activations").mkdir()
    (run / "activations" / "states.safetensors").write_text("large")
    results["manifest"]["sources"] = [{"kind": "norms", "name": "en_glasgow_2019"}]
    (run / "results.json").write_text(json.dumps(results), encoding="utf-8")
    push(run, "me/open")
    results["manifest"]["sources"] = [{"kind": "norms", "name": "mine"}]
    (run / "results.json").write_text(json.dumps(results), encoding="utf-8")
    push(run, "me/closed")
    names = {
        repo: {
            path.relative_to(hub.root / "dataset" / "me" / repo).as_posix()
            for path in (hub.root / "dataset" / "me" / repo).rglob("*")
            if path.is_file()
        }
        for repo in ("open", "closed")
    }
    assert {"results.json", "report.html"} <= names["open"]
    assert not any("activations" in name for name in names["open"])
    left = names["open"] - names["closed"]
    assert "report.html" in left and all(
        "predictions" in n or "circumplex" in n or "rdm_human" in n or "report" in n for n in left
    )
    place = pull("me/closed", tmp_path / "pulled")
    assert (place / "results.json").is_file()


def test_what_the_hub_refuses_is_one_message_without_the_token(hub, tmp_path):
    with pytest.raises(EmospaceError, match="the hub did not do it") as refused:
        pull("me/absent")
    assert TOKEN not in str(refused.value)
    with pytest.raises(EmospaceError, match="no NAME/REPO"):
        pull("absent")
    with pytest.raises(EmospaceError, match=r"it holds none of results\.json"):
        push(folder_of(tmp_path / "other", notes__txt="x"), "me/other")
    with pytest.raises(EmospaceError, match="no such folder"):
        push(tmp_path / "nowhere", "me/other")
