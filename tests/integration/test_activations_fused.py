"""Blocks in fewer passes: what they give is what the modules give, and where they are not known to, modules run."""

from __future__ import annotations

import pytest
import torch
from test_activations import CARRIER, TEXTS, TOLERANCE, WORDS, relative_error

from conftest import FAMILIES, make_hf_model, make_tokenizer, tiny
from emospace.activations import capture, extract, extract_words, fused, token_states
from emospace.models import onednn, wrap_model

LLAMAS = ("llama", "mistral", "qwen2", "qwen3")
MANY = tuple(f"{word} {number}" for word in WORDS for number in range(12))


@pytest.fixture(params=[False, True], ids=["oneDNN", "MKL"])
def passes(request, monkeypatch):
    """Count the blocks that ran in fewer passes, by the products of either library."""
    monkeypatch.setattr(fused, "_mkl_is_at_home", lambda: request.param)
    ran, inner = [], fused._rms_norm
    monkeypatch.setattr(fused, "_rms_norm", lambda *given: ran.append(0) or inner(*given))
    monkeypatch.setattr(fused, "FEWEST_TOKENS", 1)
    return ran


def fresh(family="llama", **settings):
    return wrap_model(make_hf_model(family, **settings), make_tokenizer())


@pytest.mark.skipif(not onednn.has_onednn(), reason="this torch has no oneDNN")
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", LLAMAS)
@pytest.mark.parametrize("short_row", [0, 160])
def test_states_are_those_of_the_modules(family, attention, short_row, passes, monkeypatch):
    monkeypatch.setattr(fused, "_SHORT_ROW", short_row)
    model = fresh(family, sliding_window=None) if family == "mistral" else fresh(family)
    model.model.set_attn_implementation(attention)
    layers = range(model.n_blocks + 1)

    def states():
        words = extract_words(model, MANY, CARRIER, layers).states
        return words, extract(model, TEXTS, layers).states

    ours = states()
    assert passes
    monkeypatch.setattr(fused, "FEWEST_TOKENS", 10**9)
    passes.clear()
    for actual, expected in zip(ours, states(), strict=True):
        assert relative_error(actual, expected) <= TOLERANCE
    assert not passes


@pytest.mark.skipif(not onednn.has_onednn(), reason="this torch has no oneDNN")
def test_bfloat16_is_as_near_to_float32_as_the_modules_are(passes, monkeypatch):
    exact = extract_words(fresh(), MANY, CARRIER, [3]).states
    model = wrap_model(make_hf_model("llama").to(torch.bfloat16), make_tokenizer())
    passes.clear()
    states = extract_words(model, MANY, CARRIER, [3]).states
    assert bool(passes) is torch.ops.mkldnn._is_mkldnn_bf16_supported()
    monkeypatch.setattr(fused, "FEWEST_TOKENS", 10**9)
    modules = extract_words(model, MANY, CARRIER, [3]).states
    assert relative_error(states, exact) <= 1.2 * relative_error(modules, exact)


def test_few_tokens_and_other_families_run_as_they_are(passes, monkeypatch):
    for family in sorted({*FAMILIES} - {*LLAMAS}):
        token_states(tiny(family), torch.tensor([[1, 40, 41]]), 2)
    monkeypatch.setattr(fused, "FEWEST_TOKENS", 4)
    token_states(tiny(), torch.tensor([[1, 40, 41]]), 2)
    assert not passes


class Doubled(torch.nn.Linear):
    """What an adapter puts in the place of a linear layer."""

    def forward(self, rows):
        return 2 * super().forward(rows)


def hooked(block):
    block.mlp.down_proj.register_forward_hook(lambda _module, _args, output: 2 * output)


def adapted(block):
    linear = block.mlp.down_proj
    block.mlp.down_proj = Doubled(linear.in_features, linear.out_features, bias=False)
    block.mlp.down_proj.weight = linear.weight


def patched(block):
    inner = block.mlp.down_proj.forward
    block.mlp.down_proj.forward = lambda rows: 2 * inner(rows)


@pytest.mark.parametrize("change", [hooked, adapted, patched])
def test_a_block_that_was_changed_inside_runs_as_it_is(change, passes):
    ids = torch.tensor([[1, 40, 41, 42]])
    model = fresh()
    before = token_states(model, ids, 1)
    assert bool(passes) is onednn.has_onednn()
    passes.clear()
    change(model.blocks[0])
    after = token_states(model, ids, 1)
    assert not passes
    hidden = model.model(ids, output_hidden_states=True, use_cache=False).hidden_states[1]
    assert torch.allclose(after, hidden, atol=1e-5)
    assert not torch.allclose(after, before, atol=1e-2)


def test_weights_are_read_anew(passes):
    ids = torch.tensor([[1, 40, 41, 42]])
    model = fresh()
    before = token_states(model, ids, 2)
    with torch.no_grad():
        model.blocks[0].mlp.down_proj.weight.mul_(2)
    assert not torch.allclose(token_states(model, ids, 2), before, atol=1e-2)


def test_nobody_elses_gradients_are_lost(passes):
    model = fresh()
    ids = torch.tensor([[1, 40, 41, 42]])
    with fused.fused(model, model.n_blocks):
        model.model(ids).logits.sum().backward()
    assert not passes
    assert model.blocks[0].mlp.gate_proj.weight.grad.abs().sum() > 0


def test_autocast_has_its_way(passes):
    model, ids = fresh(), torch.tensor([[1, 40, 41, 42]])
    exact = token_states(model, ids, 2)
    passes.clear()
    with torch.autocast("cpu", torch.bfloat16):
        states = token_states(model, ids, 2)
        with torch.no_grad():  # torch 2.6 keeps the weights it has cast for inference
            hidden = model.model(ids, output_hidden_states=True, use_cache=False).hidden_states[2]
        # Threads of their own would not know of it.
        assert capture._at_once(model, [2], 10**6) == 1
    assert not passes
    assert torch.equal(states, hidden)
    assert not torch.equal(states, exact)


def test_passes_in_two_threads_do_not_meet(passes):
    model = fresh()
    with fused.fused(model, 3):
        with fused.fused(model, 3):
            token_states(model, torch.tensor([[1, 40, 41, 42]]), 2)
        assert all("forward" in vars(block) for block in model.blocks)
        vars(model.blocks[0]).pop("forward")
    assert not any("forward" in vars(block) for block in model.blocks)


def test_asking_for_the_operators_moves_no_seed():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    onednn.has_onednn.__wrapped__()
    assert torch.equal(torch.rand(4), expected)


def test_the_model_is_left_as_it_was(passes):
    model = fresh()
    extract_words(model, MANY, CARRIER, [2])
    assert not any("forward" in vars(part) for part in model.model.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.blocks)


def test_without_the_operators_modules_run(passes, monkeypatch):
    monkeypatch.setattr(fused, "has_onednn", lambda: False)
    token_states(fresh(), torch.tensor([[1, 40, 41]]), 2)
    assert not passes


@pytest.mark.parametrize(("name", "expected"), [("Intel Xeon", True), ("AMD EPYC", False), (None, False)])
def test_products_are_those_of_the_processors_maker(name, expected, monkeypatch):
    known = {} if name is None else {"cpu_name": name}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    assert fused._mkl_is_at_home.__wrapped__() is expected


def test_the_products_are_tried_in_float32_though_the_first_caller_is_under_autocast():
    known = onednn.has_onednn()
    onednn.has_onednn.cache_clear()
    with torch.autocast("cpu", torch.bfloat16):
        assert onednn.has_onednn() == known
