"""The view Steer, used as a person uses it: pointer, keys, sliders, streams, trouble."""

from __future__ import annotations

import re

import pytest
from stub_api import ENDLESS, PLAIN, STEERED
from stub_runs import CARD
from visiting import SIZES, browser_fixture, stub_fixture, visit_fixture  # noqa: F401

KNOB = ".knob"
GO = ".steer button.main"


def _expect():
    from playwright.sync_api import expect

    expect.set_options(timeout=60_000)
    return expect


def tone(page) -> str:
    return page.inner_text(".tone")


def ready(page) -> None:
    page.wait_for_selector(".pad .category")


def answered(page, stub) -> dict:
    """Ask, and return the steered request once both answers stand."""
    page.click(GO)
    page.wait_for_selector(".steer-steered .judged")
    page.wait_for_selector(".steer-unsteered .judged")
    return next(body for body in stub.sent("/v1/chat/completions") if "emotion" in body)


def at(page, valence: float, arousal: float) -> tuple[float, float]:
    """Return the place of a point of the circumplex on the screen, from where two categories stand."""
    places = {
        name: page.locator(f'.pad .category[data-name="{name}"]').bounding_box()
        for name in ("love", "boredom")
    }
    (x0, y0), (x1, y1) = (
        (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) for box in places.values()
    )
    (v0, a0), (v1, a1) = (CARD["positions"][name] for name in places)
    return x0 + (valence - v0) * (x1 - x0) / (v1 - v0), y0 + (arousal - a0) * (y1 - y0) / (a1 - a0)


def test_dragged_point_is_sent(visit, stub) -> None:
    page = visit()
    ready(page)
    box = page.locator(f"{KNOB} .dot").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(*at(page, -0.2, 0.1), steps=4)
    page.mouse.move(*at(page, -0.6, -0.4), steps=4)
    page.mouse.up()
    sent = answered(page, stub)
    assert sent["emotion"]["valence"] == pytest.approx(-0.6, abs=0.03)
    assert sent["emotion"]["arousal"] == pytest.approx(-0.4, abs=0.03)
    assert "dose" not in sent
    page.wait_for_url(re.compile(r"v=-0\.\d+&a=-0\.\d+"))
    axes = dict(zip(("valence", "arousal"), page.locator(".axes output").all_inner_texts(), strict=True))
    assert tone(page) == f"valence {axes['valence']}, arousal {axes['arousal']}"


def test_click_on_category_takes_its_place(visit) -> None:
    page = visit()
    ready(page)
    page.mouse.click(*at(page, *CARD["positions"]["boredom"]))
    assert tone(page) == "valence −.64, arousal −.64"
    assert page.get_attribute(KNOB, "aria-valuetext") == "valence −.64, arousal −.64; nearest: boredom"


def test_tap_beside_the_knob_sets_the_point(visit) -> None:
    page = visit(size="phone")
    ready(page)
    page.touchscreen.tap(*at(page, *CARD["positions"]["calmness"]))
    assert tone(page) == "valence .59, arousal −.31"


def test_keys_move_the_point(visit) -> None:
    page = visit("#/steer?v=0&a=0.2")
    ready(page)
    page.focus(KNOB)
    steps = {
        "ArrowRight": "valence .05, arousal .20",
        "ArrowDown": "valence .05, arousal .15",
        "Shift+ArrowLeft": "valence −.15, arousal .15",
        "PageUp": "valence −.15, arousal .40",
        "End": "valence 1.00, arousal .40",
        "Home": "valence −1.00, arousal .40",
        "0": "neutral",
    }
    for key, expected in steps.items():
        page.keyboard.press(key)
        assert tone(page) == expected, key
    page.focus(".axes input >> nth=1")
    page.keyboard.press("ArrowRight")
    assert tone(page) == "valence .00, arousal .05"


def test_both_columns_stream_and_are_judged(visit, stub) -> None:
    page = visit("#/steer?v=0.8&a=0.5")
    ready(page)
    sent = answered(page, stub)
    assert page.inner_text(".steer-unsteered .answer") == PLAIN
    assert page.inner_text(".steer-steered .answer") == STEERED
    assert "joy" in page.inner_text(".steer-steered .judged h3")
    page.wait_for_selector(".steer-steered :text('× 1.8 unsteered')")
    assert page.inner_text(".steer-steered .change") == (
        "Against the unsteered answer: joy up from 3% to 82%, neutral down from 82% to 3%."
    )
    assert page.locator(".steer-steered .bars .before").count() == 7
    assert page.locator(".steer-unsteered .change, .steer-unsteered .before").count() == 0
    plain = next(body for body in stub.sent("/v1/chat/completions") if "emotion" not in body)
    assert plain["seed"] == sent["seed"]
    assert plain["messages"] == sent["messages"] == [{"role": "user", "content": "Tell me about your day."}]
    assert stub.sent("/v1/judge")[0]["messages"] == sent["messages"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_both_answers_stand_above_the_fold(visit, stub, language) -> None:
    page = visit(f"?lang={language}#/steer?v=0.8&a=0.5")
    ready(page)
    answered(page, stub)
    for column in (".steer-unsteered", ".steer-steered"):
        box = page.locator(f"{column} .answer").bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= SIZES["desktop"]["height"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_words_that_carry_the_tone_are_shaded_and_named(visit, stub, language) -> None:
    page = visit(f"?lang={language}#/steer?mix=joy:1")
    ready(page)
    answered(page, stub)
    assert page.inner_text(".steer-steered .answer") == STEERED
    marks = page.locator(".steer-steered .answer mark")
    # A piece may hold a full stop too, and the tone it carries belongs to its word.
    assert marks.all_inner_texts() == ["wonderful", "danced", "laughed", "baker", "sun"]
    depths = marks.evaluate_all(
        "nodes => nodes.map(node => Number(node.style.background.match(/([\\d.]+)%/)[1]))"
    )
    assert depths[0] > depths[4] > depths[1] > depths[2] > depths[3] > 0
    assert page.locator(".answer mark.against").all_inner_texts() == ["baker"]
    legend = page.inner_text(".steer-steered .shades").replace("\u00a0", " ")
    between = "（" if language == "zh" else " ("
    assert f"wonderful{between}× 30" in legend
    assert legend.index("sun") < legend.index("danced")
    assert page.locator(".steer-unsteered .shades").is_hidden()
    assert page.locator(".steer-unsteered mark").count() == 0
    scheme = page.locator(".steer-steered .swatch").all_inner_texts()
    assert scheme == ["× 3", "× 10", "× 30"]


def test_the_cost_of_the_dose_is_drawn_and_said(visit) -> None:
    page = visit("#/steer?mix=anger:1")
    ready(page)
    shown = page.locator(".cost")
    expect = _expect()
    trials = [
        trial
        for trial in CARD["note"]["trials"]["anger"]
        if all(trial[name] == CARD["note"]["chosen"]["anger"][name] for name in ("source", "contrast"))
    ]
    calibrated = next(
        t for t in trials if t["dose"] == pytest.approx(CARD["note"]["chosen"]["anger"]["dose"])
    )
    sentence = (
        f"In calibration {calibrated['rate']:.0%} of {calibrated['n_judged']} answers at this dose were taken for anger "
        f"(unsteered: {CARD['note']['unsteered']['anger']:.0%}), "
        f"at {calibrated['perplexity_ratio']:.1f} times the perplexity."
    )
    expect(shown).to_contain_text(sentence)
    assert shown.locator("svg.chart").first.get_attribute("aria-label") == sentence
    assert shown.locator(".tried").count() == len(trials)
    where = page.locator(".cost .here").first.bounding_box()
    page.locator(".dose input").fill("0.3")
    expect(shown).not_to_contain_text(sentence)
    assert page.locator(".cost .here").first.bounding_box()["x"] < where["x"]
    page.locator(".dose input").fill("1.3")
    expect(shown).to_contain_text("beyond what calibration tried")
    page.click(".set .link")
    expect(shown).to_be_hidden()


def test_the_cost_of_a_point_is_the_mean_of_the_basic_six(visit) -> None:
    page = visit("?lang=zh#/steer?v=0.5&a=0.5", size="phone")
    ready(page)
    _expect()(page.locator(".cost")).to_contain_text("6 种情绪")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_each_sentence_is_judged_once_and_the_whole_at_the_end(visit, stub) -> None:
    stub.pace = 0.12
    page = visit("#/steer?v=0.8&a=0.5")
    ready(page)
    answered(page, stub)
    for answer in (".steer-unsteered", ".steer-steered"):
        page.wait_for_selector(f"{answer} .facts :text('valence')")
    judged = [body["input"] for body in stub.sent("/v1/judge")]
    first = [text[: re.search(r"[.!]", text).end()] for text in (PLAIN, STEERED)]
    assert sorted(judged) == sorted([*first, PLAIN, STEERED])


@pytest.mark.parametrize("size", ["desktop", "phone"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_labels_of_the_pad_do_not_collide(visit, size, language) -> None:
    page = visit(f"?lang={language}#/steer", size=size)
    ready(page)
    find = """() => {
      const boxes = [...document.querySelectorAll(".pad text, .pad .category, .knob .dot")].map((node) => {
        const { left, right, top, bottom } = node.getBoundingClientRect();
        const word = node.tagName === "text";
        return { word, name: word ? node.textContent : node.dataset.name ?? "knob", left, right, top: top + (word ? 1 : 0), bottom: bottom - (word ? 1 : 0) };
      });
      const meet = (a, b) => a.left < b.right - 0.5 && b.left < a.right - 0.5 && a.top < b.bottom - 0.5 && b.top < a.bottom - 0.5;
      return boxes.flatMap((a, at) => boxes.slice(at + 1).filter((b) => (a.word || b.word) && meet(a, b)).map((b) => `${a.name} / ${b.name}`));
    }"""
    assert page.evaluate(find) == []
    # Names make room for the knob wherever it comes to rest.
    page.mouse.click(*at(page, -0.55, 0.45))
    page.wait_for_timeout(500)
    assert page.evaluate(find) == []
    named = page.locator(".pad .name").count()
    assert named >= (20 if size == "desktop" else 10)


def test_stop_closes_the_streams(visit, stub) -> None:
    page = visit()
    ready(page)
    page.fill("#prompt", f"Go on {ENDLESS}")
    page.click(GO)
    expect = _expect()
    for column in (".steer-unsteered", ".steer-steered"):
        expect(page.locator(f"{column}.busy .answer")).to_contain_text(re.compile(r"(\S+){3}"))
    page.click("text=Stop")
    expect(page.locator(".column.busy")).to_have_count(0)
    assert stub.left.wait(60)
    assert re.match(r"Stopped after \d+ tokens\.", page.inner_text(".steer-steered [role=status]"))
    expect(page.get_by_role("button", name="Stop")).to_be_disabled()


def test_mix_dose_and_scope_are_sent_and_shared(visit, stub) -> None:
    page = visit()
    ready(page)
    page.get_by_label("joy", exact=True).fill("0.7")
    page.click("text=36 more emotions")
    page.fill(".more input[type=search]", "nost")
    assert page.locator(".more .slide:visible").count() == 1
    page.get_by_label("nostalgia").fill("0.3")
    page.get_by_role("slider", name="Dose").fill("1.6")
    page.wait_for_selector(".dose :text('Beyond the calibrated range')")
    page.click("text=Sampling")
    page.select_option("select[name=scope]", "response")
    page.fill("input[name=seed]", "7")
    sent = answered(page, stub)
    assert sent["emotion"] == {"joy": 0.7, "nostalgia": 0.3}
    assert (sent["dose"], sent["scope"], sent["seed"]) == (1.6, "response", 7)

    page.wait_for_url("**seed=7**")
    again = visit(page.url.removeprefix(stub.address))
    ready(again)
    assert tone(again) == "joy .70 + nostalgia .30"
    assert again.input_value(".dose input") == "1.6"
    assert again.input_value("input[name=seed]") == "7"
    again.click("text=Back to the calibrated dose")
    again.wait_for_url(lambda url: "dose=" not in url)


@pytest.mark.parametrize("dose", ["1.6", "9.55"])
def test_a_shared_dose_stands_where_its_range_is_not_known(visit, stub, dose) -> None:
    stub.fail["/v1/emotions/resolve"] = (500, "internal_error", {})
    page = visit(f"#/steer?mix=joy:1&dose={dose}")
    ready(page)
    assert page.input_value(".dose input") == dose


def test_code_is_what_is_sent(visit, stub) -> None:
    page = visit("#/steer?mix=joy:0.5&prompt=It%27s%20%22late%22")
    ready(page)
    page.click("text=Copy the code")
    page.wait_for_selector("text=Copied.")
    code = page.evaluate("navigator.clipboard.readText()")
    calls: list[dict] = []

    class Completions:
        def create(self, **given):
            calls.append(given)
            message = type("Message", (), {"content": ""})
            choice = type("Choice", (), {"message": message})
            return type("Answer", (), {"choices": [choice]})

    chat = type("Chat", (), {"completions": Completions()})
    source = code.replace("from openai import OpenAI", "")
    exec(source, {"OpenAI": lambda **_: type("Client", (), {"chat": chat}), "print": lambda *_: None})
    sent = answered(page, stub)
    extra = calls[0].pop("extra_body")
    assert {**calls[0], **extra} == {
        key: value for key, value in sent.items() if not key.startswith("stream")
    }
    page.click(".share label:has-text('curl')")
    assert "It'\\''s" in page.inner_text(".share pre")


@pytest.mark.parametrize(
    ("status", "code", "headers", "said"),
    [
        (429, "queue_full", {"Retry-After": "7"}, "Many requests are waiting. Try again in 7 s."),
        (500, "internal_error", {}, "Something went wrong in the server; its log says more."),
        (400, "context_length_exceeded", {}, "The text is too long for this model: shorten it."),
    ],
)
def test_trouble_is_said_kindly(visit, stub, status, code, headers, said) -> None:
    page = visit()
    ready(page)
    stub.fail["/v1/chat/completions"] = (status, code, headers)
    page.click(GO)
    page.wait_for_selector(".steer-steered .reason")
    assert page.inner_text(".steer-steered .reason p >> nth=0") == said


def test_trouble_within_a_stream_is_said_kindly(visit, stub) -> None:
    stub.breaks = "shutting_down"
    page = visit()
    ready(page)
    page.click(GO)
    for answer in (".steer-unsteered", ".steer-steered"):
        page.wait_for_selector(f"{answer} [role=alert]:has-text('The server is shutting down.')")


def test_a_tone_that_cannot_be_is_said_until_it_is_changed(visit, stub) -> None:
    stub.fail["/v1/emotions/resolve"] = (400, "unknown_emotion", {})
    page = visit("#/steer?mix=joy:0.5")
    page.wait_for_selector("text=the stub says unknown_emotion")
    page.get_by_role("button", name="Neutral").click()
    _expect()(page.locator(".steer > [role=alert] .reason")).to_have_count(0)


def test_key_is_asked_for(visit, stub) -> None:
    stub.key = "secret"
    page = visit()
    page.fill("input[type=password]", "secret")
    page.keyboard.press("Enter")
    ready(page)
    answered(page, stub)


def test_neutral_tone_asks_once(visit, stub) -> None:
    page = visit("#/steer?v=0&a=0")
    ready(page)
    page.click(GO)
    page.wait_for_selector(".steer-unsteered .judged")
    assert len(stub.sent("/v1/chat/completions")) == 1
    assert "neutral" in page.inner_text(".steer-steered [role=status]")
