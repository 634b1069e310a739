"""Steering of compiled models: the compiler does not notice hooks by itself, so ours must make it."""

from __future__ import annotations

from functools import wraps

import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounter

from conftest import D_MODEL, make_hf_model, make_tokenizer
from emospace.errors import EmospaceError
from emospace.models import wrap_model
from emospace.steering import SteeringVector, steer

pytestmark = pytest.mark.skipif(
    torch.__version__.startswith("2.6."),
    reason="torch 2.6 compiles no model of transformers from 5.2 on, steered or not",
)

IDS = torch.tensor([[5, 17, 44, 9, 31, 60, 3, 8]])
N_NEW = 5
GREEDY = {"max_new_tokens": N_NEW, "min_new_tokens": N_NEW, "do_sample": False, "pad_token_id": 0}


def make_vector(layers=(1, 2), seed=0) -> SteeringVector:
    rng = np.random.default_rng(seed)
    return SteeringVector(
        name="random",
        kind="random",
        directions={layer: rng.normal(size=D_MODEL) for layer in layers},
        medians=dict.fromkeys(layers, 3.0),
        model="tiny",
        model_hash="",
    )


@pytest.fixture
def model():
    torch._dynamo.reset()
    yield make_hf_model("llama", num_hidden_layers=2)
    torch._dynamo.reset()


def run(model, ids=IDS, **inputs) -> torch.Tensor:
    with torch.no_grad():
        return model(ids, **inputs).logits


def steered(model, vector, mode="relative", ids=IDS, **inputs) -> torch.Tensor:
    with steer(model, vector, 0.5, mode=mode):
        return run(model, ids, **inputs)


def assert_close(actual, expected):
    assert float((actual - expected).abs().max()) <= 1e-5 * float(expected.abs().max())


def test_a_model_compiled_before_is_steered_inside_and_itself_outside(model):
    vector = make_vector()
    expected, plain = steered(model, vector), run(model)
    compiled = torch.compile(model, backend="eager")
    assert_close(run(compiled), plain)
    with steer(compiled, vector, 0.5) as steering:
        assert_close(run(compiled), expected)
        assert_close(run(compiled), expected)
    assert steering.applications == 2 * 2 * (IDS.shape[1] - 1)
    assert torch.equal(run(compiled), plain)
    assert torch.equal(run(model), plain)


@pytest.mark.slow
def test_contexts_nest_around_a_model_compiled_inside(model):
    vector = make_vector()
    expected, plain = steered(model, vector, "constant"), run(model)
    with steer(model, vector, 0.5, mode="constant"):
        compiled = torch.compile(model, backend="eager")
        assert_close(run(compiled), expected)
        with steer(model, vector, -0.5, mode="constant"):
            assert_close(run(compiled), plain)
        assert_close(run(compiled), expected)
    assert torch.equal(run(compiled), plain)


@pytest.mark.slow
def test_masks_and_lengths_change_from_call_to_call(model):
    vector = make_vector((2,))
    mask = torch.ones_like(IDS)
    mask[:, :3] = 0
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    calls = [
        (IDS, {}),
        (IDS, {"attention_mask": mask, "position_ids": positions}),
        (IDS[:, :5], {}),
        (IDS.repeat(3, 1), {}),
    ]
    expected = [steered(model, vector, ids=ids, **inputs) for ids, inputs in calls]
    compiled = torch.compile(model, backend="eager")
    with steer(model, vector, 0.5) as steering:
        for (ids, inputs), wanted in zip(calls, expected, strict=True):
            assert_close(run(compiled, ids, **inputs), wanted)
    assert steering.applications == 7 + 4 + 4 + 21


@pytest.mark.slow
@pytest.mark.parametrize("how", ["in-place", "forward", "blocks"])
def test_whatever_part_was_compiled(model, how):
    vector = make_vector()
    expected, plain = steered(model, vector), run(model)
    if how == "in-place":
        model.compile(backend="eager")
    elif how == "forward":
        model.forward = torch.compile(model.forward, backend="eager")
    else:
        for block in model.model.layers:
            block.compile(backend="eager")
    assert_close(run(model), plain)
    assert_close(steered(model, vector), expected)
    assert_close(run(model), plain)


@pytest.mark.slow
@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_generate_with_a_compiled_forward(model, cache):
    vector = make_vector((2,))
    options = {**GREEDY, "cache_implementation": cache}
    plain = model.generate(IDS, **options)
    wanted, counts = {}, {}
    for scope in ("prompt", "response"):
        with steer(model, vector, 1.0, scope=scope) as steering:
            wanted[scope] = model.generate(IDS, **options)
        counts[scope] = steering.applications
    assert counts == {"prompt": 7, "response": N_NEW - 1}
    model.forward = torch.compile(model.forward, backend="eager")
    for scope, expected in wanted.items():
        with steer(model, vector, 1.0, scope=scope) as steering:
            assert torch.equal(model.generate(IDS, **options), expected)
        assert steering.applications == counts[scope]
    assert torch.equal(model.generate(IDS, **options), plain)


@pytest.mark.parametrize(("mode", "op"), [("constant", "add"), ("constant", "clamp"), ("relative", "clamp")])
def test_the_step_of_a_static_cache_is_one_graph_and_stays_it(model, mode, op):
    """As `generate` compiles it: the prompt as it comes, every step after it by the same graph."""
    vector, counter = make_vector(), CompileCounter()
    options = {**GREEDY, "cache_implementation": "static"}
    with steer(model, vector, 0.5, mode=mode, op=op):
        expected = model.generate(IDS, **options)
    original, compiled = model.forward, torch.compile(model.forward, backend=counter, fullgraph=True)

    @wraps(original)
    def forward(*args, **kwargs):
        return (compiled if kwargs["input_ids"].shape[1] == 1 else original)(*args, **kwargs)

    model.forward = forward
    with steer(model, vector, 0.5, mode=mode, op=op) as steering:
        for _ in range(2):
            assert torch.equal(model.generate(IDS, **options), expected)
    assert counter.frame_count == 1
    assert steering.applications == 2 * 2 * (IDS.shape[1] - 1 + N_NEW - 1)


@pytest.mark.slow
def test_a_compiled_loop_of_ones_own(model):
    vector, compiled = make_vector((2,)), torch.compile(model, backend="eager")
    for scope in ("response", "all"):
        with steer(model, vector, 1.0, scope=scope) as steering, torch.no_grad():
            tokens, cache, answer = IDS, None, []
            for _ in range(N_NEW):
                out = compiled(tokens, past_key_values=cache, use_cache=True)
                cache, tokens = out.past_key_values, out.logits[:, -1:].argmax(-1)
                answer.append(tokens)
        with steer(model, vector, 1.0, scope=scope) as expected:
            wanted = model.generate(IDS, **GREEDY)[:, -N_NEW:]
        assert torch.equal(torch.cat(answer, 1), wanted)
        assert steering.applications == expected.applications


@pytest.mark.slow
def test_gradients_flow_through_a_compiled_steered_model(model):
    vector, gradients = make_vector((2,)), []
    for forward in (model, torch.compile(model, backend="aot_eager")):
        model.zero_grad()
        with steer(model, vector, 0.5):
            forward(IDS, labels=IDS).loss.backward()
        gradients.append(model.model.layers[0].mlp.up_proj.weight.grad.clone())
    assert_close(gradients[1], gradients[0])


@pytest.mark.slow
def test_a_model_that_cannot_be_reached_is_a_named_error(model):
    """An exported program keeps no hooks: nothing is steered, and that is said."""
    exported = torch.export.export(model, (IDS,), kwargs={"use_cache": False}).module()
    with pytest.raises(EmospaceError, match="applied to no token"), steer(model, make_vector(), 0.5):
        exported(IDS, use_cache=False)


@pytest.mark.slow
def test_a_language_model_of_a_compiled_module(model):
    vector = make_vector()
    expected = steered(model, vector)
    language_model = wrap_model(torch.compile(model, backend="eager"), make_tokenizer(), identity={})
    with steer(language_model, vector, 0.5):
        assert_close(run(language_model.model), expected)
    assert "generate" not in vars(model)
