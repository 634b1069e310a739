"""A steer file run by lm-evaluation-harness itself gives the log-likelihoods of our hook; where lm_eval is installed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from test_steering_exports import make_vector

from conftest import make_hf_model, make_tokenizer
from emospace.models import load_model
from emospace.steering import steer
from emospace.steering.export import export_vector

ROOT = Path(__file__).parents[2]


def answered(model, text: str, choices: list[str]) -> list[float]:
    """Return the log-likelihood of each choice after a text, as the harness asks for it."""
    model_ids = model.tokenizer(text)["input_ids"]
    sums = []
    for choice in choices:
        whole = torch.tensor([model.tokenizer(f"{text} {choice}")["input_ids"]])
        with torch.no_grad():
            logits = model.model(whole[:, :-1]).logits[0].log_softmax(dim=-1)
        places = range(len(model_ids) - 1, whole.shape[1] - 1)
        sums.append(sum(float(logits[place, whole[0, place + 1]]) for place in places))
    return sums


def test_the_harness_steers_as_our_hook_does(tmp_path, monkeypatch):
    pytest.importorskip("lm_eval", reason="lm_eval is not installed")
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    folder = tmp_path / "tiny"
    make_hf_model("llama").save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    model, vector = load_model(str(folder)), make_vector((1, 2, 3))
    file = export_vector(vector, tmp_path / "joy", "lm-eval", model)
    given = {"pretrained": str(folder), "dtype": "float32", "device": "cpu", "steer_path": str(file)}
    done = simple_evaluate(
        model="steered",
        model_args=given,
        tasks=["feelings"],
        task_manager=TaskManager(
            include_path=str(ROOT / "recipes" / "harness_tasks"), include_defaults=False
        ),
        batch_size=1,
        bootstrap_iters=0,
    )
    samples = done["samples"]["feelings"]
    assert len(samples) == 16
    choices = ["happy", "sad", "angry", "afraid"]
    for sample in samples[:4]:
        given = [likelihood for likelihood, _ in sample["filtered_resps"]]
        with steer(model, vector, mode="constant", first_position=True):
            assert given == pytest.approx(answered(model, sample["doc"]["text"], choices), abs=1e-4)
        assert given != pytest.approx(answered(model, sample["doc"]["text"], choices), abs=1e-2)
