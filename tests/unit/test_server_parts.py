"""The parts of the server that need no model: queue, text, keys, settings, what requests may hold."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError

from emospace import server
from emospace.errors import EmospaceError
from emospace.generation.decoding import EMPTY, AnswerStream, split_reasoning
from emospace.records import Results
from emospace.server.beside import beside
from emospace.server.emotions import tried_doses
from emospace.server.engine import FairQueue, QueueFull
from emospace.server.failures import api_error, from_validation
from emospace.server.runs import Runs
from emospace.server.schemas import ChatRequest, CompletionRequest
from emospace.server.settings import Settings, read_keys
from emospace.steering.bank import VectorBank
from planted_runs import write_run


def always(_):
    return True


def test_each_client_gives_one_in_turn():
    queue = FairQueue(10)
    queue.put("greedy", ["g1", "g2", "g3"])
    queue.put("late", ["l1"])
    queue.put("third", ["t1", "t2"])
    assert [queue.take(always) for _ in range(7)] == ["g1", "l1", "t1", "g2", "t2", "g3", None]


def test_an_item_that_does_not_fit_holds_up_its_own_client_alone():
    queue = FairQueue(10)
    queue.put("a", ["large", "small"])
    queue.put("b", ["small too"])
    assert queue.take(lambda item: item.startswith("small")) == "small too"
    assert queue.take(lambda item: item.startswith("small")) is None
    assert [queue.take(always), queue.take(always)] == ["large", "small"]


def test_a_queue_takes_all_of_a_request_or_nothing():
    queue = FairQueue(3)
    queue.put("a", [1, 2])
    with pytest.raises(QueueFull):
        queue.put("b", [3, 4])
    assert len(queue) == 2
    assert queue.sweep(lambda item: item == 1) == [1]
    queue.put("b", [3, 4])
    assert queue.sweep(always) == [2, 3, 4]
    assert queue.take(always) is None


def utf8(tokens) -> str:
    return bytes(tokens).decode(errors="replace")


@pytest.mark.parametrize("whole", ["naïve 🙂 joy", "快乐", "👩‍🚀", "a\x00b"])
def test_bytes_become_text_a_whole_character_at_a_time(whole):
    text = AnswerStream(utf8)
    pieces = [text.push(byte).answer for byte in whole.encode()]
    assert "".join([*pieces, text.close().answer]) == whole
    assert not any("\ufffd" in piece for piece in pieces)


def test_a_character_that_never_ends_is_shown_at_the_end():
    text = AnswerStream(utf8)
    assert [text.push(byte).answer for byte in "é".encode()[:1]] == [""]
    assert text.close().answer == "\ufffd"


def test_a_space_that_a_decoder_drops_in_front_is_kept_between_pieces():
    words = ["▁the", "▁joy", "ful"]
    text = AnswerStream(
        lambda tokens: "".join(words[token] for token in tokens).replace("▁", " ").removeprefix(" ")
    )
    assert [text.push(token).answer for token in range(3)] == ["the", " joy", "ful"]


@pytest.mark.parametrize(
    ("stops", "whole", "shown"),
    [
        (["\n\n"], "one\ntwo\n\nthree", "one\ntwo"),
        (["abc", "bcd"], "xxabxbcdx", "xxabx"),
        (["aab"], "aaab", "a"),
        (["zz"], "ends in z", "ends in z"),
        (["🙂"], "so 🙂 far", "so "),
        ([], "all", "all"),
    ],
)
def test_stop_texts_end_the_text_wherever_tokens_were_cut(stops, whole, shown):
    text, pieces = AnswerStream(utf8, stops=stops), []
    for byte in whole.encode():
        pieces.append(text.push(byte).answer)
        assert shown.startswith("".join(pieces))
        if text.stopped:
            break
    assert "".join([*pieces, text.close().answer]) == shown
    assert text.stopped == (shown != whole)


@pytest.mark.parametrize(
    ("opened", "whole", "answer", "reasoning"),
    [
        (False, "<think>hm</think>\n\nJoy.", "Joy.", "hm"),
        (False, "\n<think>\nhm\n</think>Joy.\n", "Joy.\n", "hm"),
        (True, "hm\nhm</think>\n\nJoy.", "Joy.", "hm\nhm"),
        (True, "hm, cut <thi", "", "hm, cut <thi"),
        (False, "<think>cut", "", "cut"),
        (False, "hm</think>Joy.", "Joy.", "hm"),
        (False, "<think>\n\n</think>\n\nJoy.", "Joy.", ""),
        (False, "<think>a</think>One. <think>b</think>Two.", "One. Two.", "a\n\nb"),
        (False, "\n a < b </p> ", "\n a < b </p> ", ""),
        (None, "<think>hm</think>Joy.", "<think>hm</think>Joy.", ""),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_thought_is_parted_from_the_answer_wherever_tokens_were_cut(opened, whole, answer, reasoning, size):
    text = AnswerStream(lambda tokens: "".join(tokens), opened)
    piece = EMPTY
    for start in range(0, len(whole), size):
        piece = piece.then(text.push(whole[start : start + size]))
    piece = piece.then(text.close())
    assert (piece.answer, piece.reasoning) == (answer, reasoning)
    assert split_reasoning(whole, opened)[:2] == (answer, reasoning)


def test_a_stop_text_ends_the_answer_and_not_the_thought():
    text, piece = AnswerStream(utf8, True, ["end"]), EMPTY
    for byte in b"the end is near</think>Joy without end.":
        piece = piece.then(text.push(byte))
        if text.stopped:
            break
    assert (piece.answer, piece.reasoning, text.stopped) == ("Joy without ", "the end is near", True)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_others_are_let_in_with_keys_only(host):
    with pytest.raises(EmospaceError, match="--api-key-file"):
        Settings(host=host).check()
    Settings(host=host, api_keys=("k" * 20,)).check()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]", "localhost", "127.5.5.5"])
def test_this_machine_needs_no_key(host):
    Settings(host=host).check()


def test_keys_are_read_and_hidden(tmp_path):
    path = tmp_path / "keys.txt"
    path.write_text("# for the lab\n" + "a" * 20 + "  # Ann\n\n" + "b" * 16 + "\n" + "a" * 20 + "\n")
    path.chmod(0o640)
    keys = read_keys(path)
    assert [key.get_secret_value() for key in keys] == ["a" * 20, "b" * 16]
    assert "aaa" not in repr(Settings(api_keys=keys))


@pytest.mark.parametrize("held", ["", "# none\n", "short\n", "ключ-ключ-ключ-ключ\n"])
def test_a_file_without_a_secret_key_is_refused(tmp_path, held):
    path = tmp_path / "keys.txt"
    path.write_text(held)
    path.chmod(0o600)
    with pytest.raises(EmospaceError, match="api-key-file"):
        read_keys(path)
    with pytest.raises(EmospaceError, match="cannot be read"):
        read_keys(tmp_path / "none")


@pytest.mark.skipif(os.name != "posix", reason="other systems have no such permissions")
@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602])
def test_a_key_file_open_to_all_is_refused(tmp_path, mode):
    path = tmp_path / "keys.txt"
    path.write_text("a" * 20)
    path.chmod(mode)
    with pytest.raises(EmospaceError, match="chmod 600"):
        read_keys(path)


@pytest.mark.parametrize(
    "origin", ["*", "null", "lab.example", "https://lab.example/page", "ftp://lab.example"]
)
def test_an_origin_that_names_no_page_is_refused(origin):
    with pytest.raises(EmospaceError, match="--allow-origin"):
        Settings(origins=(origin,)).check()
    Settings(origins=("https://lab.example", "http://localhost:3000")).check()


@pytest.mark.parametrize(
    "given",
    [
        {"tools": [{"type": "function"}]},
        {"logit_bias": {"5": 1}},
        {"response_format": {"type": "json_object"}},
        {"n_predict": 5},
        {"frequency_penalty": 0.5},
        {"repeat_penalty": 1.1},
        {"stop": ["a"] * 5},
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(given):
    with pytest.raises(ValidationError) as raised:
        ChatRequest(messages=[{"role": "user", "content": "x"}], **given)
    error = from_validation(raised.value.errors())
    assert (error.status, error.body.error.param) == (400, *given)
    assert error.body.error.code == ("invalid_value" if "stop" in given else "unsupported")


def test_what_common_clients_send_is_taken():
    message = {
        "role": "assistant",
        "content": "x",
        "refusal": None,
        "annotations": [],
        "tool_calls": None,
        "reasoning_content": "hm",
    }
    asked = ChatRequest(
        messages=[message],
        **dict.fromkeys(("stop", "max_tokens", "n", "temperature", "top_p", "seed", "stream", "tools")),
        **{"logit_bias": {}, "response_format": {"type": "text"}, "user": "me", "tool_choice": "auto"},
        **{"n_predict": -1, "dry_multiplier": 0, "skip_special_tokens": True, "repeat_last_n": 64},
        **{"presence_penalty": 0, "frequency_penalty": 0.0, "modalities": ["text"], "repeat_penalty": 1.0},
        stream_options={"include_usage": True, "include_obfuscation": False},
    )
    assert asked.messages[0].text == "x"
    assert asked.stops == ()


def test_minus_one_leaves_a_field_to_the_server():
    names = ("max_tokens", "max_completion_tokens", "seed", "top_k")
    asked = ChatRequest(messages=[{"role": "user", "content": "x"}], **dict.fromkeys(names, -1))
    assert [getattr(asked, name) for name in names] == [None] * 4


def test_prompts_are_texts_or_token_ids():
    for prompt, expected in (
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        ([1, 2], [[1, 2]]),
        ([[1], [2]], [[1], [2]]),
    ):
        assert CompletionRequest(prompt=prompt).prompts == expected


def test_an_error_nobody_foresaw_tells_nothing():
    text = api_error(KeyError("/secret")).body.model_dump_json()
    assert "secret" not in text
    assert api_error(KeyError("x")).status == 500


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--host", "0.0.0.0"], "--api-key-file"),
        (["--runs", "nowhere"], "it is no folder"),
        (["--allow-origin", "*"], "it is no origin"),
        (["--api-key-file", "nowhere"], "it cannot be read"),
    ],
)
def test_the_command_refuses_before_a_model_is_loaded(given, said, monkeypatch):
    from typer.testing import CliRunner

    from emospace.cli import app

    monkeypatch.setattr("emospace.models.load_model", lambda *_, **__: pytest.fail("a model was loaded"))
    result = CliRunner().invoke(app, ["serve", *given])
    assert result.exit_code == 2
    assert said in result.output


def test_the_command_loads_in_a_thread_that_ends(monkeypatch):
    from typer.testing import CliRunner

    from emospace.cli import app

    loading, served = [], []
    note = lambda *_, **__: loading.append(threading.current_thread())  # noqa: E731
    for name in ("models.load_model", "steering.bank.load_vectors", "reading.load_reader"):
        monkeypatch.setattr(f"emospace.{name}", note)
    monkeypatch.setattr("emospace.server.engine.Engine", lambda *parts: parts)
    monkeypatch.setattr("emospace.server.app.serve", lambda engine, settings: served.append(engine))
    result = CliRunner().invoke(app, ["serve"])
    assert result.exit_code == 0, result.output
    assert len(loading) == 3
    assert len(served) == 1
    assert len({thread.ident for thread in loading}) == 1
    assert not loading[0].is_alive()


def test_what_is_done_beside_the_engine_has_one_processor():
    import torch

    before = torch.get_num_threads()
    assert asyncio.run(beside(torch.get_num_threads)) == 1
    assert torch.get_num_threads() == before


def test_all_that_is_done_beside_the_engine_is_done_there():
    folder = Path(server.__file__).parent
    calls = {path.name: path.read_text(encoding="utf-8").count("to_thread(") for path in folder.glob("*.py")}
    # The end of the engine computes nothing.
    assert {name: n for name, n in calls.items() if n} == {"app.py": 1, "beside.py": 1}


def test_words_of_a_feature_are_those_of_the_language_read_where_it_has_some(tmp_path):
    folder = write_run(tmp_path / "run", languages=("de", "en"))
    results = Results.load(folder / "results.json")
    sae = results.sae.model_copy(update={"file_hash": "abc"})
    results.model_copy(update={"sae": sae}).save(folder / "results.json")
    rows = [(1, "Glück, Freude", "de"), (2, "Wut", "de"), (1, "luck, joy", "en")]
    frame = pd.DataFrame(rows, columns=["latent", "top_words", "language"])
    frame.to_parquet(folder / "tables" / "features.parquet")
    runs = Runs(tmp_path)
    assert runs.feature_words("abc", "en") == {1: ["luck", "joy"], 2: ["Wut"]}
    assert runs.feature_words("abc", "de")[1] == ["Glück", "Freude"]
    assert runs.feature_words("another", "en") == {}


def test_doses_tried_are_those_of_the_vector_that_was_chosen():
    trial = {"source": "mix", "contrast": 0.5, "probability": 0.3, "facts": None, "n_judged": 20}
    tried = [
        trial | {"dose": 0.5, "rate": 0.2, "perplexity_ratio": 1.2},
        trial | {"dose": 0.8, "rate": 0.6, "perplexity_ratio": 1.6},
        trial | {"dose": 0.8, "rate": 0.7, "perplexity_ratio": 2.9, "contrast": 0.0},
        trial | {"dose": 0.9, "rate": None, "perplexity_ratio": None},
    ]
    silent = [trial | {"dose": 0.5, "rate": 0.0, "probability": 0.0, "perplexity_ratio": 1.2}]
    note = {
        "trials": {"joy": tried, "awe": silent},
        "chosen": {"joy": tried[1], "awe": silent[0]},
        "unsteered": {"joy": 0.1, "awe": 0.0},
    }
    bank = VectorBank({}, {}, note)
    result = tried_doses(bank, "joy")
    assert result["base_rate"] == 0.1
    assert result["tried"] == [
        {"dose": 0.5, "rate": 0.2, "perplexity_ratio": 1.2, "facts": None, "n_judged": 20},
        {"dose": 0.8, "rate": 0.6, "perplexity_ratio": 1.6, "facts": None, "n_judged": 20},
    ]
    assert tried_doses(bank, "awe")["tried"] == []
    assert tried_doses(VectorBank({}), "joy") == {"base_rate": None, "tried": []}
