"""The task for Inspect: its prompts, what it asks the server, and its score; where inspect_ai is installed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from emospace.evaluation.prompts import load_prompts

ROOT = Path(__file__).parents[2]


def test_the_task_for_inspect_asks_for_the_tone_and_its_judge_scores_answers(monkeypatch):
    pytest.importorskip("inspect_ai", reason="inspect_ai is not installed")
    monkeypatch.syspath_prepend(ROOT / "recipes")
    from inspect_ai.model import ModelOutput
    from inspect_ai.scorer import Target
    from inspect_ai.solver import TaskState

    from inspect_tone import tone, tone_found

    task = tone("joy", dose=0.3)
    assert task.config.extra_body == {"emotion": "joy", "dose": 0.3}
    assert [sample.input for sample in task.dataset] == list(load_prompts("en", "evaluation"))
    assert tone(asked=False).config.extra_body == {}
    score = tone_found()
    happy = "I am so happy! What a wonderful, joyful day, I love it."
    output = ModelOutput.from_content("mockllm/model", happy)
    state = TaskState(
        model="mockllm/model", sample_id=1, epoch=1, input="Tell me.", messages=[], output=output
    )
    values = {target: asyncio.run(score(state, Target(target))).value for target in ("joy", "fear")}
    assert values == {"joy": 1.0, "fear": 0.0}
    with pytest.raises(ValueError, match="the judge chooses among"):
        tone("awe")
