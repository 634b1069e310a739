"""A card or setting file that somebody else wrote: what holds no object is refused, and the file named."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from emospace.artefacts import read_tensors, write_parquet, write_tensors
from emospace.cli.options import read_config
from emospace.errors import EmospaceError, InvalidInput
from emospace.evaluation.prompts import load_prompts
from emospace.features import FeatureDictionary
from emospace.judges.classifier import load_classifier
from emospace.norms.cards import read_card
from emospace.sae.files import load_sae
from emospace.sharing import push
from emospace.sharing.hub import _place
from emospace.sharing.kinds import KINDS, MARK, Kind
from emospace.steering import SteeringVector
from emospace.steering.bank import VectorBank
from emospace.steering.directions import read_direction
from emospace.structure.files import read_structure_card

ROWS = {"layer.1": np.ones(4, np.float32)}
VECTORS, RUN, SAE = (next(kind for kind in KINDS if kind.name == name) for name in ("vectors", "run", "sae"))


def vector(folder):
    save_file(ROWS, folder / "joy.safetensors")
    return folder / "joy.json", lambda: SteeringVector.load(folder / "joy")


def direction(folder):
    save_file(ROWS, folder / "joy.safetensors")
    model = SimpleNamespace(d_model=4, n_blocks=2, name="tiny")
    return folder / "joy.json", lambda: read_direction(folder / "joy.safetensors", model)


def bank(folder):
    save_file({}, folder / "vectors.safetensors")
    return folder / "card.json", lambda: VectorBank.load(folder)


def features(folder):
    write_parquet(folder / "features.parquet", pd.DataFrame({"category": ["joy"]}))
    return folder / "features.json", lambda: FeatureDictionary.load(folder)


def autoencoder(name):
    def prepare(folder):
        save_file({"W_dec": np.ones((2, 4), np.float32)}, folder / "sae_weights.safetensors")
        (folder / "cfg.json").write_text("{}", encoding="utf-8")
        return folder / name, lambda: load_sae(str(folder))

    return prepare


def shared(kind):
    return lambda folder: (folder / kind.mark, lambda: push(folder, "me/mine"))


def pulled(folder):
    return folder / MARK, lambda: _place(VECTORS, "me/mine", folder)


def judge(folder):
    file = folder / "labels.json"
    return file, lambda: load_classifier(f"hf:nobody/nothing#{file}")


def settings(folder):
    return folder / "study.json", lambda: read_config(folder / "study.json")


JSON = {
    "vector": vector,
    "direction": direction,
    "bank": bank,
    "features": features,
    "configuration of an autoencoder": autoencoder("cfg.json"),
    "card of an autoencoder": autoencoder("card.json"),
    "vectors to share": shared(VECTORS),
    "run to share": shared(RUN),
    "autoencoder to share": shared(SAE),
    "mark of a pulled folder": pulled,
    "labels of a judge": judge,
    "settings": settings,
}


@pytest.mark.parametrize("content", ["[]", "[1, 2]", "3", '"joy"', "null", "{", "", "[" * 100_000])
@pytest.mark.parametrize("prepare", JSON.values(), ids=JSON)
def test_a_card_that_is_no_object_is_refused_by_name(tmp_path, prepare, content):
    file, read = prepare(tmp_path)
    file.write_text(content, encoding="utf-8")
    with pytest.raises(InvalidInput) as raised:
        read()
    assert str(file) in raised.value.what
    assert raised.value.why and raised.value.hint.endswith(".")


@pytest.mark.parametrize("prepare", JSON.values(), ids=JSON)
def test_a_card_that_is_no_text_is_refused_by_name(tmp_path, prepare):
    file, read = prepare(tmp_path)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput) as raised:
        read()
    assert str(file) in raised.value.what


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("words.csv.toml", lambda path: read_card(path.with_suffix(""))),
        ("sorted.csv.toml", lambda path: read_structure_card(path.with_suffix(""))),
        ("study.toml", read_config),
        ("prompts.toml", lambda path: load_prompts("en", "evaluation", path)),
    ],
)
@pytest.mark.parametrize("content", [b"[1, 2", b"3", b"null", b"\xff\xfe\x00", b"a = " + b"[" * 100_000])
def test_a_card_that_is_no_toml_is_refused_by_name(tmp_path, name, read, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput) as raised:
        read(tmp_path / name)
    assert str(tmp_path / name) in raised.value.what
    assert raised.value.hint.endswith(".")


@pytest.mark.parametrize("card", ["[]", "3", "null", "{"])
def test_a_card_within_a_file_of_tensors_is_an_object(tmp_path, card):
    write_tensors(tmp_path / "space.safetensors", {"matrix": np.ones(2)}, {"card": card})
    with pytest.raises(InvalidInput) as raised:
        read_tensors(tmp_path / "space.safetensors", "card", "emotion space")
    assert raised.value.what == str(tmp_path / "space.safetensors")


@pytest.mark.parametrize(
    ("kind", "card"),
    [
        (VECTORS, {"vectors": [3]}),
        (VECTORS, {"vectors": None}),
        (VECTORS, {"vectors": [{"name": ["joy"]}]}),
        (RUN, {"manifest": []}),
        (RUN, {"manifest": {"sources": [3]}}),
        (RUN, {"manifest": {"languages": [3]}}),
        (RUN, {"model": "tiny"}),
        (SAE, {"metadata": [1]}),
    ],
    ids=lambda value: value.name if isinstance(value, Kind) else str(value),
)
def test_a_card_to_share_whose_parts_are_of_another_kind_is_refused_by_name(tmp_path, kind, card):
    (tmp_path / kind.mark).write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(EmospaceError) as raised:
        push(tmp_path, "me/mine")
    assert str(tmp_path / kind.mark) in raised.value.what


def test_labels_of_a_judge_that_are_no_names_are_refused(monkeypatch):
    config = SimpleNamespace(num_labels=1, id2label={0: "glad"}, problem_type=None)
    loaded = SimpleNamespace(config=config), None
    monkeypatch.setattr("emospace.judges.classifier._load", lambda _: loaded)
    with pytest.raises(InvalidInput, match="is no category"):
        load_classifier("hf:some/judge", {"glad": ["joy"]})
