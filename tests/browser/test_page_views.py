"""The views Read, Space and Compare, and what all views share: language, scheme, names for screen readers, width."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest
from stub_runs import BASIC
from visiting import SIZES, browser_fixture, stub_fixture, visit_fixture  # noqa: F401

FIGURE = "[data-figure^={}] .main-svg"
VIEWS = ("steer", "read", "space", "compare")
SHOWN = {
    "steer": ".pad .category",
    "read": ".token",
    "space": FIGURE.format("plane"),
    "compare": ".compare table",
}
NAMED = {
    "button", "link", "textbox", "searchbox", "slider", "combobox", "checkbox", "radio", "spinbutton", "listbox", "option",
    "image", "img", "region", "navigation",
}  # fmt: skip


def shown(page, view: str) -> None:
    """Bring a view to where it has something to show."""
    if view == "read":
        page.click(".read button.main")
    page.wait_for_selector(SHOWN[view])
    if view == "space":
        page.wait_for_selector(FIGURE.format("bars-"))
        page.wait_for_selector("[data-figure^=rdm-] .heatmaplayer image >> nth=1")
        page.wait_for_selector(".space .find + .table td")
    if view == "compare":
        page.wait_for_selector(FIGURE.format("beside-"))
        page.wait_for_selector(".compare section h2:text-is('How alike the runs are')", state="attached")


def test_read_colours_tokens_and_shows_features(visit, stub) -> None:
    page = visit("#/read")
    page.fill("#read-text", "😀 She laughed, then it was raining.")
    shown(page, "read")
    colour = "(word) => getComputedStyle([...document.querySelectorAll('.token')].find((one) => one.textContent.trim() === word)).backgroundColor"
    assert page.evaluate(colour, "laughed") != page.evaluate(colour, "raining")
    assert stub.sent("/v1/read")[0]["features"] == 5
    assert "laughed" in page.inner_text(".detail h2")
    assert "#100" in page.inner_text(".features")
    page.click(".token:has-text('raining')")
    assert "fear" in page.inner_text(".features")
    before = page.evaluate(colour, "raining")
    page.select_option("#read-by", "fear")
    assert page.evaluate(colour, "raining") != before
    page.wait_for_url("**by=fear**")
    assert page.locator(".trace rect.high").count() > 1


def test_read_walks_by_keys(visit) -> None:
    page = visit("?lang=en#/read?text=One%20wonderful%20day")
    page.wait_for_selector(".token")
    page.focus("[role=listbox]")
    page.keyboard.press("Home")
    assert "One" in page.inner_text(".detail h2")
    page.keyboard.press("ArrowRight")
    assert "wonderful" in page.inner_text(".detail h2")
    assert page.get_attribute(".token >> nth=1", "aria-selected") == "true"
    assert page.get_attribute("[role=listbox]", "aria-activedescendant") == "token-1"


def traces(page, figure: str) -> list[dict]:
    """Return what Plotly has drawn in a figure: names, places and texts."""
    return page.evaluate(
        "(key) => document.querySelector(`[data-figure^=${key}]`).data.map(({name, x, y}) => ({name, x, y}))",
        figure,
    )


def test_space_layers_languages_and_dictionary(visit) -> None:
    page = visit("#/space")
    shown(page, "space")
    assert [(trace["name"], len(trace["x"])) for trace in traces(page, "plane")[:3]] == [
        ("English", 6), ("Chinese", 6), ("People", 6)
    ]  # fmt: skip
    page.click(".split label:has-text('Spanish')")
    page.wait_for_selector("[data-figure=plane] .legend :text('Spanish')")
    page.click(".split label:has-text('one layer')")
    page.get_by_label("Layer", exact=True).fill("6")
    page.wait_for_selector(".note:has-text('Layer 6')")
    page.wait_for_selector("h3:text-is('Layer 6')")
    page.wait_for_url("**layer=6**")
    page.wait_for_selector("[data-figure=plane][aria-label*='layer 6']")
    # A late layer of the planted run is people's plane with little noise: turned back, joy lies near their joy.
    *languages, people = [trace for trace in traces(page, "plane") if trace["name"]]
    assert [trace["name"] for trace in languages] == ["English", "Chinese", "Spanish"]
    at = BASIC.index("joy")
    for trace in languages:
        assert abs(trace["x"][at] - people["x"][at]) + abs(trace["y"][at] - people["y"][at]) < 0.6
    page.click(".split label:has-text('People')")
    page.wait_for_selector("[data-figure=plane]:not([aria-label*=People])")
    page.fill(".find input", "remorse")
    page.wait_for_selector(".find output:text-is('3 features')")
    assert page.locator(".space .find + .table tbody").inner_text().count("remorse") == 6


def test_a_figure_says_what_is_under_the_pointer(visit) -> None:
    page = visit("#/space")
    shown(page, "space")
    matrix = page.locator("[data-figure^=rdm-] .nsewdrag").first
    matrix.scroll_into_view_if_needed()
    matrix.hover(position={"x": 60, "y": 20})
    page.wait_for_selector(".hoverlayer :text('dissimilarity')")
    assert "×" in page.text_content("[data-figure^=rdm-] .hoverlayer")


def test_dissimilarities_have_the_names_of_their_categories(visit) -> None:
    page = visit("#/space")
    shown(page, "space")
    for matrix in page.locator("[data-figure^=rdm-]").all():
        for axis in ("x", "y"):
            names = matrix.locator(f".{axis}axislayer-above .{axis}tick text").all_text_contents()
            assert len(names) > 8
            assert len(set(names)) == len(names)
        frame = matrix.bounding_box()
        boxes = sorted(
            (node.bounding_box() for node in matrix.locator(".ytick text").all()), key=lambda box: box["y"]
        )
        assert all(above["y"] + above["height"] < below["y"] + 5 for above, below in pairwise(boxes))
        assert all(box["x"] >= frame["x"] - 1 for box in boxes)
    page.click(".tools :text('中文')")
    page.wait_for_selector("[data-figure^=rdm-] .ytick :text-is('快乐')")


def test_figures_are_in_the_language_of_the_page(visit) -> None:
    page = visit("?lang=zh#/space")
    shown(page, "space")
    page.wait_for_selector("figcaption:has-text('静态词嵌入')")
    page.wait_for_selector("[data-figure=plane] .legend :text('人类')")
    page.wait_for_selector("[data-figure^=bars-] :text('静态词嵌入')")
    page.wait_for_selector("[data-figure^=bars-] .xtitle:has-text('折外')")
    written = page.inner_text(".space") + " ".join(
        node.get_attribute("aria-label") or "" for node in page.locator(".space [aria-label]").all()
    )
    assert "input embeddings" not in written
    assert "Emotion space" not in page.text_content(".space")


def test_plotly_comes_when_a_figure_is_shown(visit) -> None:
    page = visit("#/steer")
    page.wait_for_selector(".pad .category")
    assert not page.evaluate("'Plotly' in window")
    page.click("nav a[href='#/space']")
    shown(page, "space")
    assert page.evaluate("'Plotly' in window")


def test_more_figures_of_the_report_are_drawn_when_asked_for(visit) -> None:
    page = visit("#/space")
    shown(page, "space")
    assert page.locator("[data-figure^=circumplex-]").count() == 0
    page.select_option("section:has(h2:text-is('More figures of the report')) select", "circumplex")
    page.wait_for_selector("[data-figure=circumplex-en-people] .main-svg")
    page.wait_for_selector("[data-figure=circumplex-en-model] .main-svg")


def test_space_answers_three_questions_of_a_language(visit) -> None:
    page = visit("#/space")
    shown(page, "space")
    rows = [row.inner_text() for row in page.locator(".space table tbody >> nth=0").locator("tr").all()]
    assert [row.split("\t")[0] for row in rows] == ["all", "Valence", "Arousal", "valence-arousal distance"]
    assert "partly" in rows[1] and "exceeds: chance" in rows[1]
    assert rows[1].count("–") == 2
    assert "–: an earlier version wrote results.json without it" in page.inner_text(".space")


def test_space_shows_prediction_under_the_ceiling(visit) -> None:
    page = visit("#/space?run=gemma&target=arousal")
    shown(page, "space")
    bars = page.locator("[data-figure^=bars-]")
    assert "emotion space r .51" in bars.get_attribute("aria-label")
    page.wait_for_selector("[data-figure^=bars-] .annotation-text:has-text('ceiling .96')")
    page.click("summary:text-is('As a table')")
    assert "Emotion space\t.51" in page.inner_text(".space details table")


def test_compare_needs_two_runs(visit) -> None:
    page = visit("#/compare")
    shown(page, "compare")
    page.wait_for_selector("[data-figure=beside-prediction] .legend :text('demo (baseline)')")
    assert page.locator(".compare section h2").first.inner_text() == "Predicted ratings"
    assert "colexification, Indo-European, Emotion space" in page.text_content(".compare")
    page.click(".compare label:has-text('gemma')")
    page.wait_for_selector("text=Choose two or more runs.")
    assert page.locator(".compare table").count() == 0


def test_compare_pairs_languages_in_either_order(visit) -> None:
    page = visit("#/compare?of=es")
    shown(page, "compare")
    page.wait_for_selector("[data-figure=beside-language_rsa] .main-svg")
    rows = "document.querySelector('[data-figure=beside-language_rsa]').layout.yaxis.ticktext"
    assert {name.split(",")[0] for name in page.evaluate(rows)} == {"English", "Chinese"}
    drawn = traces(page, "beside-language_rsa")
    assert [(trace["name"], trace["x"]) for trace in drawn] == [
        ("demo (baseline)", [0.5, 0.5]), ("gemma", [0.5, 0.5])
    ]  # fmt: skip


@pytest.mark.parametrize("view", ["space", "compare"])
def test_runs_of_another_version_are_said_kindly(visit, view) -> None:
    page = visit(f"#/{view}")
    shown(page, view)
    page.click("summary:text-is('Not shown, as this version cannot read them: old')")
    assert "writes it anew" in page.inner_text(".left-out")
    assert "old: language_rsa" in page.inner_text(".left-out")


def test_language_switches_and_is_remembered(visit, stub) -> None:
    page = visit()
    page.wait_for_selector(".pad .category")
    page.fill("#prompt", "kept")
    page.click("#language")
    page.wait_for_selector("h1:has-text('设定语气')")
    assert page.get_attribute("html", "lang") == "zh-Hans"
    assert page.input_value("#prompt") == "kept"
    assert "快乐" in page.text_content(".pad")
    assert "lang=zh" in page.url
    page.goto(stub.address)
    page.wait_for_selector("h1:has-text('设定语气')")
    page.goto(f"{stub.address}?lang=en#/read")
    page.wait_for_selector("h1:has-text('What the model finds')")


def test_scheme_switches_and_is_remembered(visit) -> None:
    page = visit(scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(18, 22, 27)"
    page.click("#theme")
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    page.reload()
    assert page.evaluate(ground) == "rgb(255, 255, 255)"


def test_an_empty_server_says_what_to_do(visit, stub, monkeypatch) -> None:
    import stub_api

    monkeypatch.setattr(stub_api, "run_list", list)
    page = visit("#/space")
    page.wait_for_selector("text=emospace study --out runs/mine")


@pytest.mark.parametrize("view", VIEWS)
def test_controls_have_names_and_nothing_overflows(visit, tmp_path, view) -> None:
    """Pictures, wide and narrow, light and dark, are kept where PAGE_SHOTS says, to be looked at."""
    page = visit(f"#/{view}")
    shown(page, view)
    nodes = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    seen = [
        (node["role"]["value"], node.get("name", {}).get("value")) for node in nodes if not node["ignored"]
    ]
    assert [role for role, name in seen if role in NAMED and not name] == []
    assert {"main", "navigation", "heading", "button"} <= {role for role, _ in seen}
    assert page.locator("[data-t]:empty").count() == 0
    folder = Path(os.environ.get("PAGE_SHOTS", tmp_path))
    for size, scheme in (("desktop", "light"), ("desktop", "dark"), ("phone", "light")):
        page.set_viewport_size(SIZES[size])
        page.emulate_media(color_scheme=scheme)
        # Charts are drawn anew at their new width in the next frame.
        page.evaluate(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(done))))"
        )
        assert page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        ), size
        place = folder / f"{view}-{size}-{scheme}.png"
        page.screenshot(path=place, full_page=True)
        assert place.stat().st_size > 20_000
