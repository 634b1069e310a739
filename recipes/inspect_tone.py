"""A task of Inspect (inspect_ai): how often a judge finds the tone that the server was asked for.

    emospace serve --port 8000
    export EMOSPACE_BASE_URL=http://127.0.0.1:8000/v1 EMOSPACE_API_KEY=none
    inspect eval recipes/inspect_tone.py --model openai-api/emospace/embedded -T emotion=joy

The prompts are the bundled ones that figures are reported on, the judge is emospace's own, which knows no model. Any other
model of Inspect can be asked the same with ``-T asked=false``, which leaves the tone out of the request.
"""

from __future__ import annotations

from typing import Any

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import Score, Target, mean, scorer, stderr
from inspect_ai.solver import TaskState, generate

from emospace.evaluation.prompts import load_prompts
from emospace.judges import BASIC, BASIC_SEVEN, load_judge


@scorer(metrics=[mean(), stderr()])
def tone_found(language: str = "en", judge: str = "subword") -> Any:
    """Score 1 where the judge's choice among the basic six and neutral is the target."""
    judging = load_judge(judge)

    async def score(state: TaskState, target: Target) -> Score:
        text = state.output.completion
        seven = judging.judge([text], language).seven[0]
        choice = BASIC_SEVEN[int(seven.argmax())] if seven.sum() > 0 else "unjudged"
        return Score(value=float(choice == target.text), answer=choice, explanation=text)

    return score


@task
def tone(emotion: str = "joy", asked: bool = True, language: str = "en", dose: float | None = None) -> Task:
    """Return the task: bundled prompts, answered in a tone where it is asked for."""
    if emotion not in BASIC:
        raise ValueError(f"the judge chooses among {', '.join(BASIC)}, not {emotion!r}")
    tone_of_request = {"emotion": emotion, "dose": dose} if asked else {}
    prompts = load_prompts(language, "evaluation")
    return Task(
        dataset=MemoryDataset([Sample(input=prompt, target=emotion) for prompt in prompts]),
        solver=generate(),
        scorer=tone_found(language),
        config=GenerateConfig(max_tokens=64, seed=1, extra_body=tone_of_request),
    )
