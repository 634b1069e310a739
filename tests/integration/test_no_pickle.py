"""No file that emospace reads can run code: a pickle in any of them is refused, and an ordinary run unpickles nothing."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import emospace as es
from conftest import make_hf_model, make_tokenizer
from emospace.concepts import ConceptSets
from emospace.errors import EmospaceError
from emospace.evaluation.prompts import load_prompts
from emospace.reading import ReaderWeights
from emospace.sae import load_sae
from emospace.space import EmotionSpace


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return open, (str(self.mark), "w")


def plain(mark: Path) -> bytes:
    return pickle.dumps(Payload(mark))


def of_torch(mark: Path) -> bytes:
    stream = io.BytesIO()
    torch.save({"w_enc": Payload(mark)}, stream)
    return stream.getvalue()


def of_numpy(mark: Path) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([Payload(mark)], dtype=object), allow_pickle=True)
    return stream.getvalue()


def of_numpy_archive(mark: Path) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in ("w_enc", "b_enc", "w_dec", "b_dec", "threshold"):
            archive.writestr(f"{name}.npy", of_numpy(mark))
    return stream.getvalue()


def read_sae(path: Path) -> None:
    (path.parent / "cfg.json").write_text(json.dumps({"architecture": "standard", "d_in": 32, "d_sae": 8}))
    load_sae(str(path.parent))


def read_model(path: Path) -> None:
    make_hf_model("llama").config.save_pretrained(path.parent)
    make_tokenizer().save_pretrained(path.parent)
    es.load_model(str(path.parent), device="cpu")


def read_dictionary(path: Path) -> None:
    es.FeatureDictionary.load(path.parent)


READERS = {
    "features.parquet": read_dictionary,
    "norms.csv": es.load_norms,
    "norms.xlsx": es.load_norms,
    "norms.parquet": es.load_norms,
    "norms.sav": es.load_norms,
    "norms.json": es.load_norms,
    "norms.pkl": es.load_norms,
    "norms.csv.gz": es.load_norms,
    "concepts.toml": lambda path: es.load_concepts(["en"], path=path),
    "sets.json": ConceptSets.load,
    "responses.csv": lambda path: es.import_associations(path, "en"),
    "vector.safetensors": es.SteeringVector.load,
    "space.safetensors": EmotionSpace.load,
    "reader.safetensors": ReaderWeights.load,
    "results.json": es.Results.load,
    "prompts.toml": lambda path: load_prompts("en", "evaluation", path),
    "texts.parquet": es.read_texts,
    "texts.txt.xz": es.read_texts,
    "params.npz": read_sae,
    "sae_weights.safetensors": read_sae,
    "model.safetensors": read_model,
    "pytorch_model.bin": read_model,
    "model.gguf": lambda path: es.load_model(str(path)),
}


@pytest.mark.parametrize("payload", [plain, of_torch, of_numpy, of_numpy_archive])
@pytest.mark.parametrize("name", READERS)
def test_a_pickle_is_refused_and_does_not_run(name, payload, tmp_path):
    mark = tmp_path / "it-ran"
    path = tmp_path / "folder" / name
    path.parent.mkdir()
    path.write_bytes(payload(mark))
    with pytest.raises(EmospaceError):
        READERS[name](path)
    assert not mark.exists()


def test_the_payload_would_run():
    mark = Path(os.devnull)
    assert pickle.loads(plain(mark)).name == os.devnull


STUDY = """
import sys
import torch, numpy, pandas, sklearn, scipy, transformers  # what libraries unpickle of their own stays theirs

seen = []
sys.addaudithook(lambda event, given: seen.append(given) if event == "pickle.find_class" else None)

from pathlib import Path
from emospace.report import write_report
from emospace.study import run_study
from small_study import make_study_files

folder = Path(sys.argv[1])
run_study(make_study_files(folder).spec(), folder / "run")
write_report(folder / "run")
print("UNPICKLED", seen)
"""


@pytest.mark.slow
def test_a_study_unpickles_nothing(tmp_path):
    paths = os.pathsep.join([str(Path(es.__file__).parents[1]), str(Path(__file__).parents[1])])
    environment = {**os.environ, "PYTHONPATH": paths, "EMOSPACE_CACHE": str(tmp_path / "cache")}
    run = subprocess.run(
        [sys.executable, "-c", STUDY, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == "UNPICKLED []"
