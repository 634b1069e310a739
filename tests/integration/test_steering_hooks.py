"""Steering held to arithmetic done by hand: every family, scope, cache, padding, mode and way out."""

from __future__ import annotations

import copy
import gc
import logging
import weakref

import numpy as np
import pytest
import torch

from conftest import D_MODEL, FAMILIES, N_BLOCKS, TEXTS, make_hf_model, make_tokenizer, tiny
from emospace.activations import extract, extract_words, token_states
from emospace.errors import EmospaceError
from emospace.models import cache_argument, wrap_model
from emospace.steering import DoseRange, SteeringVector, hooks, plan_steering, steer

TOLERANCE = 1e-5
SCOPES = ("prompt", "response", "all")
N_NEW = 5
GREEDY = {"max_new_tokens": N_NEW, "min_new_tokens": N_NEW, "do_sample": False, "pad_token_id": 0}


def make_vector(layers=(1, 3), seed=0, **given) -> SteeringVector:
    rng = np.random.default_rng(seed)
    fields = {
        "name": f"random-{seed}",
        "kind": "random",
        "directions": {layer: rng.normal(size=D_MODEL) for layer in layers},
        "medians": {layer: 3.0 + layer for layer in layers},
        "model": "tiny",
        "model_hash": "",
    }
    return SteeringVector(**{**fields, **given})


def make_ids(*texts: str) -> list[torch.Tensor]:
    tokenizer = make_tokenizer()
    return [torch.tensor(tokenizer(text)["input_ids"]) for text in texts]


IDS = make_ids(TEXTS[0][:40], TEXTS[1][:25], TEXTS[2][:33])


def pad(rows: list[torch.Tensor], side: str) -> dict[str, torch.Tensor]:
    width = max(len(row) for row in rows)
    ids, mask = torch.zeros(len(rows), width, dtype=torch.long), torch.zeros(len(rows), width).long()
    for index, row in enumerate(rows):
        part = slice(width - len(row), None) if side == "left" else slice(len(row))
        ids[index, part], mask[index, part] = row, 1
    return {"input_ids": ids, "attention_mask": mask}


def by_hand(blocks, change):
    """Hook blocks without emospace: ``change(layer, state) -> state``."""

    def after(layer):
        def hook(_module, _args, output):
            if isinstance(output, tuple):
                return (change(layer, output[0]), *output[1:])
            return change(layer, output)

        return hook

    return [block.register_forward_hook(after(layer)) for layer, block in enumerate(blocks, 1)]


def logits_of(model, change=None, **inputs) -> torch.Tensor:
    handles = by_hand(model.blocks, change) if change else []
    try:
        with torch.no_grad():
            return model.model(**inputs).logits
    finally:
        for handle in handles:
            handle.remove()


def assert_close(actual, expected, tolerance=TOLERANCE):
    scale = float(expected.abs().max())
    assert float((actual - expected).abs().max()) <= tolerance * scale


def is_clean(model) -> bool:
    hooks = [
        hook
        for module in model.modules()
        for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
        if "emospace" in getattr(hook, "__module__", "")
    ]
    return not hooks and "generate" not in vars(model)


# --- arithmetic


@pytest.mark.parametrize("mode", ["relative", "constant"])
@pytest.mark.parametrize("op", ["add", "clamp", "ablate"])
@pytest.mark.parametrize("dose", [0.4, -0.4])
def test_each_mode_and_operation_is_what_its_formula_says(llama, mode, op, dose):
    vector = make_vector((1, 2), shares={1: 0.25, 2: 0.75})
    seen: dict[int, tuple] = {}

    def change(layer, state):
        if layer not in vector.layers:
            return state
        direction = torch.tensor(vector.directions[layer])
        norm = state.norm(dim=-1, keepdim=True) if mode == "relative" else vector.medians[layer]
        size = dose * vector.shares[layer] * norm
        along = (state @ direction)[..., None]
        if op == "add":
            steered = state + size * direction
        elif op == "ablate":
            steered = state - along * direction
        else:
            target = torch.maximum(along, size * torch.ones_like(along))
            if dose < 0:
                target = torch.minimum(along, size * torch.ones_like(along))
            steered = state + (target - along) * direction
        steered = torch.cat([state[:, :1], steered[:, 1:]], 1)
        seen[layer] = (along, (steered @ direction)[..., None])
        return steered

    ids = IDS[0][None]
    expected = logits_of(llama, change, input_ids=ids)
    with steer(llama, vector, dose, mode=mode, op=op) as steering:
        logits = logits_of(llama, input_ids=ids)
    assert_close(logits, expected)
    assert steering.applications == 2 * (ids.shape[1] - 1)
    assert float((logits - logits_of(llama, input_ids=ids)).abs().max()) > 1e-3
    if op == "ablate":
        assert float(seen[2][1][:, 1:].abs().max()) < 1e-5
    if op == "clamp":  # some were there already, some were moved
        moved = (seen[2][0] - seen[2][1]).abs()[:, 1:] > 1e-6
        assert moved.any()


def test_clamp_leaves_alone_what_is_beyond_the_dose(llama):
    vector = make_vector((2,))
    direction = torch.tensor(vector.directions[2])
    states = token_states(llama, IDS[0][None], 2)
    dose = float((states @ direction)[0, 1:].median()) / vector.medians[2]
    with steer(llama, vector, dose, mode="constant", op="clamp"):
        steered = token_states(llama, IDS[0][None], 2)
    was, now = (states @ direction)[0, 1:], (steered @ direction)[0, 1:]
    threshold = dose * vector.medians[2]
    assert 0 < int((was < threshold).sum()) < len(was)
    torch.testing.assert_close(now, was.clamp(min=threshold), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", ["relative", "constant"])
def test_nested_vectors_add_up_whatever_the_order(llama, mode):
    first, second = make_vector((1, 2), 1), make_vector((2, 3), 2)
    ids = IDS[0][None]

    def change(layer, state):
        total = torch.zeros_like(state)
        for vector, dose in ((first, 0.3), (second, -0.2)):
            if layer in vector.layers:
                norm = state.norm(dim=-1, keepdim=True) if mode == "relative" else vector.medians[layer]
                total += dose * vector.shares[layer] * norm * torch.tensor(vector.directions[layer])
        total[:, 0] = 0
        return state + total

    expected = logits_of(llama, change, input_ids=ids)
    with steer(llama, first, 0.3, mode=mode) as a, steer(llama, second, -0.2, mode=mode) as b:
        assert_close(logits_of(llama, input_ids=ids), expected)
    with steer(llama, second, -0.2, mode=mode), steer(llama, first, 0.3, mode=mode):
        assert_close(logits_of(llama, input_ids=ids), expected)
    assert a.applications == b.applications == 2 * (ids.shape[1] - 1)
    # Left in another order than entered.
    a, b = steer(llama, first, 0.3, mode=mode), steer(llama, second, -0.2, mode=mode)
    plain = logits_of(llama, input_ids=ids)
    a.__enter__()
    b.__enter__()
    logits_of(llama, input_ids=ids)
    a.__exit__(None, None, None)
    with steer(llama, second, -0.2, mode=mode):
        pass_alone = None
        b_twice = logits_of(llama, input_ids=ids)
    b.__exit__(None, None, None)
    with steer(llama, second, -0.4, mode=mode):
        pass_alone = logits_of(llama, input_ids=ids)
    assert_close(b_twice, pass_alone)
    assert torch.equal(logits_of(llama, input_ids=ids), plain)


def test_addition_comes_before_clamp_and_ablation(llama):
    vector, other = make_vector((2,), 1), make_vector((2,), 2)
    direction = torch.tensor(vector.directions[2])
    for order in (0, 1):
        contexts = [steer(llama, other, 0.5), steer(llama, vector, op="ablate")]
        with contexts[order], contexts[1 - order]:
            states = token_states(llama, IDS[0][None], 2)
        assert float((states @ direction)[0, 1:].abs().max()) < 1e-5


# --- every family


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_scopes_with_and_without_cache_in_every_family(family):
    """The peers' defect: a scope counted on the current chunk does nothing once there is a cache."""
    model = tiny(family)
    batch = pad(IDS, "left")
    vector = make_vector((1, N_BLOCKS))
    options = {**GREEDY, "output_logits": True, "return_dict_in_generate": True}
    plain = model.model.generate(**batch, **options)
    n_prompt = int(batch["attention_mask"].sum()) - len(IDS)
    n_fed = (N_NEW - 1) * len(IDS)
    logits = {}
    for scope in SCOPES:
        runs = []
        for use_cache in (True, False):
            with steer(model, vector, 0.8, mode="relative", scope=scope) as steering:
                run = model.model.generate(**batch, **options, use_cache=use_cache)
            runs.append(run)
            if use_cache:
                expected = {"prompt": n_prompt, "response": n_fed, "all": n_prompt + n_fed}[scope]
                assert steering.applications == 2 * expected
        cached, uncached = (torch.stack(run.logits) for run in runs)
        assert torch.equal(runs[0].sequences, runs[1].sequences)
        assert_close(cached, uncached, 2e-5)
        logits[scope] = cached
        # The first answer token depends on the prompt alone.
        assert torch.equal(cached[0], plain.logits[0]) == (scope == "response")
        assert float((cached[1:] - torch.stack(plain.logits)[1:]).abs().max()) > 1e-3
    assert not torch.allclose(logits["prompt"], logits["all"])
    again = model.model.generate(**batch, **options)
    assert torch.equal(torch.stack(again.logits), torch.stack(plain.logits))
    assert is_clean(model.model)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_padded_rows_equal_single_runs(family, side):
    model = tiny(family)
    batch = pad(IDS, side)
    if family != "bloom":
        batch["position_ids"] = (batch["attention_mask"].cumsum(1) - 1).clamp(min=0)
    vector = make_vector((1, N_BLOCKS))
    for mode in ("relative", "constant"):
        with steer(model, vector, 0.5, mode=mode) as steering:
            together = logits_of(model, **batch)
        assert steering.applications == 2 * sum(len(row) - 1 for row in IDS)
        for index, row in enumerate(IDS):
            with steer(model, vector, 0.5, mode=mode):
                alone = logits_of(model, input_ids=row[None])[0]
            assert_close(together[index][batch["attention_mask"][index].bool()], alone)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3"])
def test_generated_rows_of_a_padded_batch_equal_single_ones(family):
    model, vector = tiny(family), make_vector((2,))
    batch = pad(IDS, "left")
    for scope in SCOPES:
        with steer(model, vector, 0.8, scope=scope):
            together = model.model.generate(**batch, **GREEDY)[:, -N_NEW:]
            alone = [model.model.generate(row[None], **GREEDY)[0, -N_NEW:] for row in IDS]
        assert torch.equal(together, torch.stack(alone))


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_hidden_states_are_the_steered_ones_and_the_first_position_keeps_its_own(family):
    model = wrap_model(make_hf_model(family), make_tokenizer())
    vector, ids = make_vector((1, 2)), IDS[0][None]

    def hidden():
        with torch.no_grad():
            return model.model(ids, output_hidden_states=True).hidden_states

    # Recorded with hooks that are installed at the first such call: here after ours.
    with steer(model, vector, 0.5, mode="constant"):
        steered = hidden()
    plain = hidden()
    with steer(model, vector, 0.5, mode="constant"):
        assert all(torch.equal(a, b) for a, b in zip(steered, hidden(), strict=True))
    change = 0.5 * vector.shares[1] * vector.medians[1] * torch.tensor(vector.directions[1])
    assert_close(steered[1][:, 1:] - plain[1][:, 1:], change.expand(ids.shape[1] - 1, -1), 1e-4)
    assert all(torch.equal(a[:, 0], b[:, 0]) for a, b in zip(steered, plain, strict=True))
    assert torch.equal(steered[0], plain[0])


# --- captures


def test_captures_show_steered_states(llama):
    vector, text = make_vector((2,)), TEXTS[0]
    before = extract(llama, [text, TEXTS[1]], [1, 2, 3])
    with steer(llama, vector, 0.5, mode="constant") as steering:
        inside = extract(llama, [text, TEXTS[1]], [1, 2, 3])
        states = token_states(llama, IDS[0][None], 2)
    after = extract(llama, [text, TEXTS[1]], [1, 2, 3])
    change = 0.5 * vector.medians[2] * vector.directions[2]
    np.testing.assert_allclose(inside.layer(2) - before.layer(2), np.stack([change] * 2), atol=1e-4)
    np.testing.assert_array_equal(inside.layer(1), before.layer(1))
    assert np.abs(inside.layer(3) - before.layer(3)).max() > 0.1
    np.testing.assert_array_equal(after.states, before.states)
    plain = token_states(llama, IDS[0][None], 2)
    assert torch.equal(states[:, 0], plain[:, 0])
    np.testing.assert_allclose(
        (states - plain)[0, 1:].numpy(), np.stack([change] * (len(IDS[0]) - 1)), atol=1e-4
    )
    assert steering.applications > 0


def test_a_store_is_left_aside_while_the_model_is_steered(llama, tmp_path, caplog):
    def states():
        return extract_words(llama, ["joy", "grief"], "She felt {word}", [1, 2, 3], store=tmp_path)

    plain = states()
    kept = sorted(tmp_path.rglob("*.safetensors"))
    assert kept
    with caplog.at_level(logging.WARNING), steer(llama, make_vector((2,)), 2.0):
        steered, elsewhere = states(), extract(llama, ["joy and grief"], [3], store=tmp_path)
    assert [record.message.count("store is left aside") for record in caplog.records] == [1, 1]
    np.testing.assert_array_equal(steered.layer(1), plain.layer(1))
    assert np.abs(steered.layer(2) - plain.layer(2)).max() > 0.1
    assert sorted(tmp_path.rglob("*.safetensors")) == kept
    np.testing.assert_array_equal(states().states, plain.states)
    assert (
        np.abs(elsewhere.states - extract(llama, ["joy and grief"], [3], store=tmp_path).states).max() > 0.1
    )


def test_hooks_that_record_or_come_later_leave_the_store_in_use(llama, tmp_path, caplog):
    llama.model(IDS[0][None], output_hidden_states=True)
    with caplog.at_level(logging.WARNING), steer(llama, make_vector((3,)), 2.0):
        extract_words(llama, ["joy"], "She felt {word}", [1, 2], store=tmp_path)
        assert list(tmp_path.rglob("*.safetensors"))
        llama.model(IDS[0][None])
    assert not caplog.records


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_a_shared_beginning_is_prompt_and_so_is_what_follows(family):
    model, vector = tiny(family), make_vector((2,))
    words, carrier = (
        ["joy", "grief", "calm", "anger", "rain", "hope"],
        "The word for what they felt is {word}",
    )
    with steer(model, vector, 0.5, scope="prompt"):
        shared = extract_words(model, words, carrier, [3]).states
        alone = np.concatenate([extract_words(model, [word], carrier, [3]).states for word in words])
    plain = extract_words(model, words, carrier, [3]).states
    np.testing.assert_allclose(shared, alone, atol=1e-4 * np.abs(alone).max())
    assert np.abs(shared - plain).max() > 0.01
    with steer(model, vector, 0.5, scope="response"):
        np.testing.assert_array_equal(extract_words(model, words, carrier, [3]).states, plain)


# --- generate in all its ways


def test_windows_count_tokens_of_the_answer(llama):
    vector, ids = make_vector((2,)), IDS[0][None]
    options = {**GREEDY, "output_logits": True, "return_dict_in_generate": True}
    plain = torch.stack(llama.model.generate(ids, **options).logits)
    for use_cache in (True, False):
        with steer(llama, vector, 1.5, scope="response", window=(2, 4)) as steering:
            logits = torch.stack(llama.model.generate(ids, **options, use_cache=use_cache).logits)
        if use_cache:
            assert steering.applications == 2
        # Answer tokens 0 and 1 give the logits 1 and 2; token 2, the first steered one, gives logits 3.
        assert_close(logits[:3], plain[:3])
        assert float((logits[3] - plain[3]).abs().max()) > 1e-3
    with steer(llama, vector, 1.5, scope="all", window=(0, 1)) as steering:
        llama.model.generate(ids, **GREEDY)
    assert steering.applications == ids.shape[1] - 1 + 1


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "gemma3"])
def test_a_static_cache_changes_nothing(family):
    model, vector, batch = tiny(family), make_vector((1, 3)), pad(IDS, "left")
    for scope in SCOPES:
        counts, runs = [], []
        for cache in ("static", "dynamic"):
            with steer(model, vector, 0.8, scope=scope) as steering:
                runs.append(model.model.generate(**batch, **GREEDY, cache_implementation=cache))
            counts.append(steering.applications)
        assert torch.equal(*runs)
        assert counts[0] == counts[1]


@pytest.mark.parametrize("sampling", [{"do_sample": True, "top_k": 20}, {"num_beams": 3, "do_sample": False}])
def test_beams_samples_and_several_answers(llama, sampling):
    batch, vector = pad(IDS, "left"), make_vector((2,))
    options = {**GREEDY, **sampling, "num_return_sequences": 2}
    outputs = []
    for scope in SCOPES:
        for use_cache in (True, False):
            torch.manual_seed(5)
            with steer(llama, vector, 0.8, scope=scope) as steering:
                outputs.append(llama.model.generate(**batch, **options, use_cache=use_cache))
            assert steering.applications > 0
        assert torch.equal(outputs[-1], outputs[-2])
    torch.manual_seed(5)
    assert not torch.equal(outputs[-1], llama.model.generate(**batch, **options))
    # A padded row's own beginning is left out for each of its answers too.
    torch.manual_seed(5)
    with steer(llama, vector, 0.8, scope="prompt") as steering:
        llama.model.generate(**batch, **options)
    n_rows = 2 if sampling["do_sample"] else sampling["num_beams"]
    assert steering.applications == n_rows * sum(len(row) - 1 for row in IDS)


def test_prompts_come_as_embeddings_or_not_at_all(llama):
    vector, ids = make_vector((2,)), IDS[0][None]
    embedded = llama.model.get_input_embeddings()(ids).detach()
    for scope in SCOPES:
        with steer(llama, vector, 0.8, scope=scope):
            by_ids = llama.model.generate(ids, **GREEDY)[:, -N_NEW:]
            by_states = llama.model.generate(inputs_embeds=embedded, **GREEDY)[:, -N_NEW:]
        assert torch.equal(by_ids, by_states)
    with steer(llama, vector, 0.8, scope="response") as steering:
        llama.model.generate(**GREEDY)
    assert steering.applications == N_NEW - 1
    with steer(llama, vector, 0.8, scope="prompt") as steering:
        llama.model.generate(**GREEDY)
    assert steering.applications == 0


def test_a_pipeline_is_steered(llama):
    from transformers import pipeline

    pipe = pipeline("text-generation", model=llama.model, tokenizer=llama.tokenizer)
    call = {**GREEDY, "return_full_text": False, "batch_size": 2}
    texts = [TEXTS[0][:30], TEXTS[1][:20]]
    plain = pipe(texts, **call)
    with steer(llama.model, make_vector((2,)), 1.5) as steering:
        steered = pipe(texts, **call)
    assert steered != plain
    assert steering.applications > 0
    assert pipe(texts, **call) == plain


@pytest.mark.parametrize("given_cache", [True, False])
def test_a_loop_of_ones_own_tells_prompt_from_answer(llama, given_cache):
    from transformers import DynamicCache

    vector, batch = make_vector((2,)), pad(IDS, "left")

    def loop():
        ids, mask = batch["input_ids"], batch["attention_mask"]
        cache, answer = DynamicCache() if given_cache else None, []
        for _ in range(N_NEW):
            positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
            with torch.no_grad():
                out = llama.model(
                    ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
                )
            cache, ids = out.past_key_values, out.logits[:, -1:].argmax(-1)
            mask = torch.cat([mask, torch.ones_like(ids)], 1)
            answer.append(ids)
        return torch.cat(answer, 1)

    for scope in SCOPES:
        with steer(llama, vector, 1.0, scope=scope) as steering:
            first, second = loop(), loop()
        assert torch.equal(first, second)
        with steer(llama, vector, 1.0, scope=scope) as expected:
            assert torch.equal(llama.model.generate(**batch, **GREEDY)[:, -N_NEW:], first)
        assert steering.applications == 2 * expected.applications


@pytest.mark.parametrize("scope", SCOPES)
def test_rows_may_leave_a_loop_of_ones_own(llama, scope):
    """Rows of different padding: what is left of the batch is steered as before."""
    vector, batch = make_vector((2,)), pad(IDS, "left")

    def loop(leave: bool) -> torch.Tensor:
        ids, mask, cache, logits = batch["input_ids"], batch["attention_mask"], None, []
        for step in range(3):
            positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
            with torch.no_grad():
                out = llama.model(
                    ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
                )
            kept = [1] if leave and step == 0 else slice(None)
            cache = out.past_key_values
            if leave and step == 0:
                cache.batch_select_indices(torch.tensor(kept))
            ids, mask = out.logits[kept, -1:].argmax(-1), mask[kept]
            mask = torch.cat([mask, torch.ones_like(ids)], 1)
            logits.append(out.logits[kept, -1][1 if len(ids) > 1 else 0])
        return torch.stack(logits)

    with steer(llama, vector, 0.8, scope=scope):
        assert_close(loop(True), loop(False))


def test_a_cache_is_known_by_what_it_is_and_not_by_its_name(llama):
    """As where a version of transformers gives the argument another name, or code passes it by place."""
    from transformers import DynamicCache

    vector, ids, cache = make_vector((2,)), IDS[0][None], DynamicCache()

    class Renamed(torch.nn.Module):
        config, dtype, device = llama.model.config, llama.model.dtype, llama.model.device
        generation_config = llama.model.generation_config
        generate = llama.model.generate

        def __init__(self, inner):
            super().__init__()
            self.base_model = Inner(inner)

        def get_submodule(self, _path):
            return llama.blocks

    class Inner(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, ids, memory):
            return (
                self.inner(ids, use_cache=True, **{cache_argument(llama.arguments, "x"): memory})[0],
                memory,
            )

    model = Renamed(llama.model.base_model)
    for by_name in (True, False):
        with torch.no_grad(), steer(model, vector, 1.0, scope="response") as steering:
            for tokens in (ids, ids[:, :1], ids[:, :1]):
                model.base_model(tokens, memory=cache) if by_name else model.base_model(tokens, cache)
        assert steering.applications == 2
        cache = DynamicCache()


def test_a_pass_whose_cache_is_not_seen_is_an_error(llama, monkeypatch):
    """Taken for a prompt, each token of the answer would be left as it is, and nothing would say so."""
    vector, ids = make_vector((2,)), IDS[0][None]
    with pytest.raises(EmospaceError, match="key-value cache"), steer(llama, vector, 1.0):
        llama.model(ids[:, -1:], attention_mask=torch.ones_like(ids))
    monkeypatch.setattr(hooks, "find_cache", lambda _values: None)
    with pytest.raises(EmospaceError, match="key-value cache"), steer(llama, vector, 1.0):
        llama.model.generate(ids, **GREEDY)
    assert is_clean(llama.model)


@pytest.mark.parametrize("scope", SCOPES)
def test_looking_ahead_in_the_prompt_changes_nothing(llama, scope):
    vector, ids = make_vector((2,)), IDS[0][None]
    with steer(llama, vector, 0.8, scope=scope):
        expected = llama.model.generate(ids, **GREEDY)
        assert torch.equal(llama.model.generate(ids, **GREEDY, prompt_lookup_num_tokens=3), expected)


def test_a_static_cache_in_a_loop_of_ones_own(llama):
    from transformers import StaticCache

    vector, ids = make_vector((2,)), IDS[0][None]
    for scope in SCOPES:
        cache = StaticCache(config=llama.model.config, max_cache_len=64)
        for _ in range(2):
            tokens, answer = ids, []
            with torch.no_grad(), steer(llama, vector, 1.0, scope=scope) as steering:
                for _ in range(N_NEW):
                    out = llama.model(tokens, past_key_values=cache, use_cache=True)
                    tokens = out.logits[:, -1:].argmax(-1)
                    answer.append(tokens)
            cache.reset()
            with steer(llama, vector, 1.0, scope=scope) as expected:
                wanted = llama.model.generate(ids, **GREEDY)[:, -N_NEW:]
            assert torch.equal(torch.cat(answer, 1), wanted)
            assert steering.applications == expected.applications


def test_prompt_length_cuts_a_plain_pass(llama):
    vector, ids, n = make_vector((2,)), IDS[0][None], 7
    states = {}
    for scope in SCOPES:
        with steer(llama, vector, 0.5, mode="constant", scope=scope, prompt_length=n) as steering:
            states[scope] = token_states(llama, ids, 2)
        assert steering.applications == {"prompt": n - 1, "response": ids.shape[1] - n}.get(
            scope, ids.shape[1] - 1
        )
    plain = token_states(llama, ids, 2)
    changed = {scope: ((state - plain).abs().amax(-1) > 1e-4)[0] for scope, state in states.items()}
    columns = torch.arange(ids.shape[1])
    assert torch.equal(changed["prompt"], (columns > 0) & (columns < n))
    assert torch.equal(changed["response"], columns >= n)
    assert torch.equal(changed["all"], columns > 0)


def test_the_first_position_only_on_request(llama):
    vector, batch = make_vector((2,)), pad(IDS, "left")
    with steer(llama, vector, 0.5, first_position=True) as steering:
        logits_of(llama, **batch)
    assert steering.applications == sum(len(row) for row in IDS)


# --- ways in and out


def test_leaving_restores_the_model_to_the_bit(llama):
    ids = IDS[0][None]
    before = logits_of(llama, input_ids=ids)
    weights = {name: value.clone() for name, value in llama.model.state_dict().items()}
    steering = steer(llama, make_vector(), 0.8)
    with pytest.raises(RuntimeError, match="inside"), steering:
        logits_of(llama, input_ids=ids)
        raise RuntimeError("inside")
    assert is_clean(llama.model)
    with pytest.raises(IndexError), steering:  # an error of the model itself
        llama.model(torch.tensor([[10**6]]))
    assert is_clean(llama.model)
    assert torch.equal(logits_of(llama, input_ids=ids), before)
    assert all(torch.equal(value, weights[name]) for name, value in llama.model.state_dict().items())


def test_an_exception_in_generate_leaves_no_prompt_behind(llama):
    vector, ids = make_vector((2,)), IDS[0][None]

    class Stop(Exception): ...

    def stop(*_):
        raise Stop

    with steer(llama, vector, 0.5, scope="prompt") as steering:
        with pytest.raises(Stop):
            llama.model.generate(ids, **GREEDY, stopping_criteria=[stop])
        counted = steering.applications
        logits_of(llama, input_ids=IDS[1][None])
        assert steering.applications - counted == len(IDS[1]) - 1


def test_dose_zero_is_the_model_itself(llama):
    ids = IDS[0][None]
    plain = logits_of(llama, input_ids=ids)
    with steer(llama, make_vector(), 0.0) as steering:
        assert torch.equal(logits_of(llama, input_ids=ids), plain)
    assert steering.applications == 0


def test_one_object_enters_twice_and_again(llama):
    ids = IDS[0][None]
    steering = steer(llama, make_vector((2,)), 0.2, mode="constant")
    with steering:
        once = logits_of(llama, input_ids=ids)
        with steering:
            twice = logits_of(llama, input_ids=ids)
        assert torch.equal(logits_of(llama, input_ids=ids), once)
    with steer(llama, make_vector((2,)), 0.4, mode="constant"):
        assert_close(twice, logits_of(llama, input_ids=ids))
    assert steering.applications == 4 * (ids.shape[1] - 1)
    with steering:
        assert torch.equal(logits_of(llama, input_ids=ids), once)
    assert steering.applications == 5 * (ids.shape[1] - 1)


def test_a_generate_of_the_models_own_comes_back():
    model = make_hf_model("llama")

    def overridden(*args, **kwargs):
        return type(model).generate(model, *args, **kwargs)

    model.generate = overridden
    with steer(model, make_vector((2,)), 0.5):
        model.generate(IDS[0][None], **GREEDY)
    assert vars(model)["generate"] is overridden


def test_two_models_at_once():
    first, other = tiny("llama"), tiny("gpt2")
    ids = IDS[0][None]
    plain = [logits_of(model, input_ids=ids) for model in (first, other)]
    with steer(first, make_vector((2,), 1), 0.5) as a:
        alone = logits_of(first, input_ids=ids)
        assert torch.equal(logits_of(other, input_ids=ids), plain[1])
        with steer(other, make_vector((3,), 2), 0.5) as b:
            logits_of(other, input_ids=ids)
            assert torch.equal(logits_of(first, input_ids=ids), alone)
    assert (a.applications, b.applications) == (2 * (ids.shape[1] - 1), ids.shape[1] - 1)
    assert torch.equal(logits_of(first, input_ids=ids), plain[0])


def test_nothing_is_kept_of_a_model():
    model = make_hf_model("llama")
    steering = steer(model, make_vector((2,)), 0.5)
    with steering:
        model(IDS[0][None])
    gone = weakref.ref(model)
    del model, steering
    gc.collect()
    assert gone() is None


def test_a_cache_is_not_kept_alive(llama):
    with torch.no_grad(), steer(llama, make_vector((2,)), 0.5):
        gone = weakref.ref(llama.model(IDS[0][None], use_cache=True).past_key_values)
        gc.collect()
        assert gone() is None


# --- errors


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dose": float("nan")}, "the dose nan"),
        ({"dose": float("inf")}, "the dose inf"),
        ({"dose": 0.1, "mode": "additive"}, "no such mode of dose"),
        ({"dose": 0.1, "scope": "promt"}, "Did you mean prompt"),
        ({"dose": 0.1, "op": "multiply"}, "no such operation"),
        ({"dose": 0.1, "layers": [2]}, "does not exist at layers \\[2\\]"),
        ({"dose": 0.1, "window": (2, 1)}, "window"),
        ({}, "no calibrated dose"),
    ],
)
def test_settings_that_mean_nothing_are_named(llama, options, said):
    with pytest.raises(EmospaceError, match=said):
        steer(llama, make_vector((1, 3)), **options)


def test_a_vector_of_another_model_is_named(llama):
    wide = make_vector(directions={1: np.ones(D_MODEL + 1)}, medians={1: 1.0})
    with pytest.raises(EmospaceError, match=f"width {D_MODEL + 1}.*width {D_MODEL}"):
        steer(llama, wide, 0.1)
    for layer in (0, N_BLOCKS + 1):
        with pytest.raises(EmospaceError, match=f"acts at layers \\[{layer}\\]"):
            steer(llama, make_vector((layer,)), 0.1)


def test_a_vector_with_no_token_in_scope_says_so(llama, caplog):
    vector, ids = make_vector((2,)), IDS[0][None]
    with steer(llama, vector, 0.5, scope="response"):
        llama.model.generate(ids, **{**GREEDY, "max_new_tokens": 1, "min_new_tokens": 1})
    with steer(llama, vector, 0.5, scope="response"):
        logits_of(llama, input_ids=ids)
    with steer(llama, vector, 0.5):
        logits_of(llama, input_ids=ids[:, :1])
    assert [("changed no state" in said, "prompt_length" in said) for said in caplog.messages] == [
        (True, True)
    ] * 3
    assert is_clean(llama.model)


def test_a_failure_on_entering_leaves_the_model_as_it_was(llama, monkeypatch):
    """As where memory of a device runs out: nobody leaves a context that was never entered."""
    from emospace.steering.hooks import _STAGES, ContextSteering, Stage
    from emospace.steering.kernel import Kernel

    ids, first, second = IDS[0][None], make_vector((1,), 1), make_vector((2, 3), 2)
    plain = logits_of(llama, input_ids=ids)

    def fail(*_):
        raise torch.OutOfMemoryError

    with monkeypatch.context() as patch, steer(llama, first, 0.5):
        steered = logits_of(llama, input_ids=ids)
        patch.setattr(Kernel, "place", fail)
        with pytest.raises(torch.OutOfMemoryError), steer(llama, second, 0.5):
            pass
        patch.undo()
        assert torch.equal(logits_of(llama, input_ids=ids), steered)
    for part, name in (
        (Kernel, "place"),
        (ContextSteering, "counter_on"),
        (hooks, "_Hook"),
        (Stage, "_generate"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(part, name, fail)
            with pytest.raises(torch.OutOfMemoryError), steer(llama, second, 0.5):
                pass
        assert id(llama.model) not in _STAGES
        assert is_clean(llama.model)
        assert torch.equal(logits_of(llama, input_ids=ids), plain)


def test_a_vector_applied_to_nothing_is_an_error(llama):
    vector, ids = make_vector((2,)), IDS[0][None]
    with pytest.raises(EmospaceError, match="applied to no token"), steer(llama, vector, 0.5):
        logits_of(tiny("gpt2"), input_ids=ids)
    with (
        pytest.raises(ZeroDivisionError),
        steer(llama, vector, 0.5),
    ):  # the first error is the one that is seen
        raise ZeroDivisionError
    assert is_clean(llama.model)


def test_a_dose_beyond_the_calibrated_range_warns(llama, caplog):
    vector = make_vector((2,), calibration={"relative": DoseRange(0.1, 0.05, 0.2)})
    with caplog.at_level(logging.WARNING):
        steer(llama, vector)
        steer(llama, vector, 0.2)
        steer(llama, vector, 5.0, op="ablate")
        assert not caplog.records
        steer(llama, vector, -0.3)
    assert "beyond its calibrated range" in caplog.text
    assert "expect repetition" in caplog.text


# --- training, dtypes, devices


def test_a_training_step_learns_under_steering(llama):
    model = copy.deepcopy(llama.model).train()
    vector, ids = make_vector((1, 2)), IDS[0][None]
    with steer(model, vector, 0.3) as steering:
        with torch.inference_mode():
            model(ids)
        model.generate(ids, **GREEDY)
        count = steering.applications
        loss = model(ids, labels=ids).loss
        loss.backward()
        assert steering.applications - count == 2 * (ids.shape[1] - 1)
    gradient = model.model.layers[0].mlp.up_proj.weight.grad
    assert torch.isfinite(gradient).all()
    assert float(gradient.abs().max()) > 0

    def at(scale: float) -> float:
        with torch.no_grad(), steer(model, vector, 0.3):
            weight = model.model.layers[0].mlp.up_proj.weight
            weight += scale * gradient
            loss = model(ids, labels=ids).loss
            weight -= scale * gradient
        return float(loss)

    step = 1e-3 / float(gradient.norm())
    slope = (at(step) - at(-step)) / (2 * step)
    assert slope == pytest.approx(float((gradient**2).sum()), rel=0.02)


@pytest.mark.parametrize("how", ["blocks", "model"])
@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing_gives_the_same_gradients_and_count(llama, how, reentrant):
    from torch.utils.checkpoint import checkpoint

    vector, batch = make_vector((1, 2)), pad(IDS, "left")
    gradients, counts = [], []
    for checkpointing in (False, True):
        model = copy.deepcopy(llama.model).train()
        embedded = model.get_input_embeddings()(batch["input_ids"])

        def loss(states, model=model):
            inputs = {"attention_mask": batch["attention_mask"], "use_cache": False}
            return model(inputs_embeds=states, labels=batch["input_ids"], **inputs).loss

        if checkpointing and how == "blocks":
            model.gradient_checkpointing_enable({"use_reentrant": reentrant})
        with steer(model, vector, 0.3) as steering:
            if checkpointing and how == "model":  # the whole pass, hooks and all, runs again
                checkpoint(loss, embedded, use_reentrant=reentrant).backward()
            else:
                loss(embedded).backward()
        gradients.append(model.model.layers[0].mlp.up_proj.weight.grad)
        counts.append(steering.applications)
    assert_close(gradients[1], gradients[0])
    assert counts[0] == counts[1] == 2 * sum(len(row) - 1 for row in IDS)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_steered_in_its_own_precision(dtype):
    model = make_hf_model("llama").to(dtype)
    vector, ids = make_vector((2,)), IDS[0][None]
    with steer(model, vector, 0.3) as steering, torch.no_grad():
        out = model(ids, output_hidden_states=True)
    with torch.no_grad():
        plain = model(ids, output_hidden_states=True)
    assert out.logits.dtype == dtype
    change = (out.hidden_states[2] - plain.hidden_states[2])[0, 1:].float()
    size = 0.3 * plain.hidden_states[2][0, 1:].float().norm(dim=-1, keepdim=True)
    assert_close(change, size * torch.tensor(vector.directions[2]), 0.05)
    assert steering.applications == ids.shape[1] - 1


def test_autocast_makes_states_of_another_dtype(llama):
    with torch.autocast("cpu", dtype=torch.bfloat16), steer(llama, make_vector((2,)), 0.3) as steering:
        logits_of(llama, input_ids=IDS[0][None])
    assert steering.applications == len(IDS[0]) - 1


def test_blocks_whose_weights_lie_elsewhere_until_they_run():
    """Accelerate's offload: the weights are on `meta` when the context is entered."""
    accelerate = pytest.importorskip("accelerate")
    model, ids = make_hf_model("llama"), IDS[0][None]
    vector = make_vector((1, 3))
    with steer(model, vector, 0.5), torch.no_grad():
        expected = model(ids).logits
    accelerate.cpu_offload(model, execution_device=torch.device("cpu"))
    assert model.model.layers[0].mlp.up_proj.weight.device.type == "meta"
    with steer(model, vector, 0.5) as steering, torch.no_grad():
        assert torch.equal(model(ids).logits, expected)
    assert steering.applications == 2 * (ids.shape[1] - 1)


def test_each_device_has_its_own_direction_and_counter(llama):
    """A model over several devices, as far as one machine without any can show it."""
    active = hooks.ContextSteering(plan_steering(llama, make_vector((1, 3)), 0.5))
    rows = [active.kernels[1].place(torch.device(device), torch.float32) for device in ("cpu", "meta", "cpu")]
    assert [row[0].device.type for row in rows] == ["cpu", "meta", "cpu"]
    assert rows[0] is rows[2]
    active.begin(torch.tensor([[False, True, True]]), torch.float32)
    mask = active.note(torch.zeros(1, 3, D_MODEL, device="meta"))
    assert mask.device.type == "meta"
    assert active.note(torch.zeros(1, 3, D_MODEL)).device.type == "cpu"
    assert sorted(device.type for device in active._counters) == ["cpu", "meta"]
