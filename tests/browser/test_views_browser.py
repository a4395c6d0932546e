"""Every other view in a real browser: numbers against Python's, selections that carry over, live answers, and axe."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

pytestmark = pytest.mark.slow

VIEWS = ("runs", "run", "example", "gallery", "thresholds", "map", "robustness", "live", "compare", "glossary")


@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing(visit, axe, start, page, view):
    extra = {"example": {"example": start, "graph": "1"}, "live": {"from": start}}.get(view, {})
    visit(view=view, **extra)
    page.wait_for_load_state("networkidle")
    expect(page.locator("h1").first).to_be_visible()
    page.evaluate(axe)
    for colours in ("light", "dark"):
        page.emulate_media(color_scheme=colours)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        faults = [(each["id"], [node["html"][:160] for node in each["nodes"][:3]]) for each in found["violations"]]
        assert faults == [], colours


def test_gallery_filters_count_like_python(visit, api):
    gallery = api("runs/walk/gallery")
    detector = gallery["detectors"][0]
    column = api(f"runs/walk/gallery/{detector['id']}")
    page = visit(view="gallery")
    heading = page.locator("#examples")
    expect(heading).to_have_attribute("data-count", str(gallery["n"]))
    cases = np.array(column["case"])
    missed = gallery["cases"].index("false negative: fooled the classifier, no alarm")
    chip = page.locator(f"[data-facet=case][data-value='{missed}']")
    expect(chip).to_contain_text("false negative: fooled the classifier, no alarm")
    if (cases == missed).any():
        chip.click()
        expect(heading).to_have_attribute("data-count", str(int((cases == missed).sum())))
        chip.click()
    attack = np.array([gallery["sets"][place]["attack"] == "fgsm" for place in gallery["set"]])
    three = np.array(gallery["label"]) == 3
    page.locator("[data-facet=attack][data-value=fgsm]").click()
    expect(heading).to_have_attribute("data-count", str(int(attack.sum())))
    page.locator("[data-facet=class][data-value='3']").click()
    expect(heading).to_have_attribute("data-count", str(int((attack & three).sum())))
    page.reload()
    expect(heading).to_have_attribute("data-count", str(int((attack & three).sum())))
    page.go_back()
    expect(heading).to_have_attribute("data-count", str(int(attack.sum())))


def test_gallery_sorts_and_draws_only_what_is_seen(visit, api):
    gallery = api("runs/walk/gallery")
    margins = [(value, i) for i, value in enumerate(gallery["margin"]) if value is not None]
    least = min(margins)[1]
    page = visit(view="gallery", sort="margin")
    first = page.locator("[data-example]").first
    expected = f"{gallery['sets'][gallery['set'][least]]['id']}~{gallery['index'][least]}"
    expect(first).to_have_attribute("data-example", expected)
    assert page.locator("[data-example]").count() < gallery["n"] / 2
    page.get_by_role("listbox").focus()
    page.keyboard.press("End")
    expect(page.locator(f"#cell-{gallery['n'] - 1}")).to_be_visible()


def test_thresholds_count_like_python(visit, api):
    found = api("runs/walk/thresholds")
    against = found["against"][0]
    scores = api(against["scores"]["href"])
    space = against["spaces"][1]
    row = scores[1]
    page = visit(view="thresholds", layer=space["name"])
    card = page.locator(f"[data-layer={space['name']}]")
    for threshold in (space["threshold"], 0.0, 2.25):
        if threshold != space["threshold"]:
            card.get_by_role("slider").fill(str(threshold))
        alarm = row > np.float32(threshold)
        clean = np.arange(len(row)) < against["clean"]
        for cell, members in {
            "tp": alarm & ~clean,
            "fn": ~alarm & ~clean,
            "fp": alarm & clean,
            "tn": ~alarm & clean,
        }.items():
            expect(card.locator(f"[data-cell={cell}]")).to_have_text(str(int(members.sum())))
    point = page.locator("[data-roc-point]").get_attribute("data-roc-point")
    fpr, tpr = (float(value) for value in point.split(","))
    assert fpr == pytest.approx((alarm & clean).sum() / clean.sum())
    assert tpr == pytest.approx((alarm & ~clean).sum() / (~clean).sum())
    expect(page).to_have_url(re.compile(f"t-{space['name']}=2.25"))


def test_the_threshold_lies_where_the_pointer_is(visit):
    page = visit(view="thresholds")
    drawing = page.locator("rect.grab")
    box = drawing.bounding_box()
    line = page.locator("line.at").first  # the second one is the k of the curve beside it
    for share in (0.25, 0.75):
        at = box["x"] + share * box["width"]
        page.mouse.click(at, box["y"] + box["height"] / 2)
        expect(page).to_have_url(re.compile("t-"))
        page.wait_for_timeout(100)
        assert line.bounding_box()["x"] == pytest.approx(at, abs=3)


def test_a_lasso_opens_in_the_gallery(visit, api):
    card = api("runs/walk/maps")["maps"][0]
    projection = api(f"runs/walk/maps/{card['id']}")
    page = visit(view="map", map=card["id"])
    canvas = page.locator("canvas[data-painter]")
    canvas.wait_for()
    box = canvas.bounding_box()
    corners = [(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75), (0.25, 0.26)]
    at = [(box["x"] + u * box["width"], box["y"] + v * box["height"]) for u, v in corners]
    page.mouse.move(*at[0])
    page.mouse.down()
    for x, y in at[1:]:
        page.mouse.move(x, y, steps=6)
    page.mouse.up()
    selection = page.locator("[data-inside]:not([data-inside=''])")
    selection.wait_for()
    inside = int(selection.get_attribute("data-inside"))
    assert 0 < inside < projection["n"]
    page.get_by_role("link", name="Open in the gallery").click()
    expect(page.locator("#examples")).to_have_attribute("data-count", str(inside))
    page.reload()
    expect(page.locator("#examples")).to_have_attribute("data-count", str(inside))


def test_the_legend_greys_out_and_the_drawing_changes(visit):
    page = visit(view="map", by="outcome")
    canvas = page.locator("canvas[data-painter]")
    canvas.wait_for()
    drawn = "document.querySelector('canvas[data-painter]').toDataURL()"
    before = page.evaluate(drawn)
    page.get_by_role("button", name=re.compile("^fooled")).click()
    expect(page).to_have_url(re.compile("only=fooled"))
    page.wait_for_timeout(100)
    assert page.evaluate(drawn) != before


def test_a_point_of_a_curve_leads_to_its_examples(visit, api):
    gallery = api("runs/walk/gallery")
    page = visit(view="robustness")
    point = page.locator("[data-attack=fgsm][data-eps='0.25']")
    point.wait_for()
    point.focus()
    page.keyboard.press("Enter")
    expect(page.locator("[data-point]")).to_have_attribute("data-point", "fgsm:0.25")
    page.get_by_role("link", name="Its examples").click()
    kept = sum(
        gallery["sets"][place]["attack"] == "fgsm" and gallery["sets"][place]["eps"] == 0.25 for place in gallery["set"]
    )
    expect(page.locator("#examples")).to_have_attribute("data-count", str(kept))


@pytest.fixture
def easel(visit, start):
    page = visit(view="live", **{"from": start})
    expect(page.locator("#now")).to_have_attribute("data-predicted", re.compile(r"\d"))
    return page


def test_painted_pixels_change_the_verdict(easel, api, start):
    example = api(f"runs/walk/examples/{start}")
    adversarial = api(f"runs/walk/examples/{start}/pixels.f32")[1, 0]
    expect(easel.locator("#now")).to_have_attribute("data-predicted", str(example["clean"]["predicted"]))
    # Painting the adversarial image over the clean one, pixel by pixel in 8 bits, is what the address can hold.
    edits = ",".join(f"{place}.{round(255 * float(value)):02x}" for place, value in enumerate(adversarial.flat))
    easel.evaluate("query => { location.hash = location.hash + '&edits=' + query }", edits)
    rounded = np.round(255 * adversarial) / 255
    said = judge(easel, rounded)
    expect(easel.locator("#now")).to_have_attribute("data-predicted", str(said["output"]["predicted"]))
    for layer in said["layers"]:
        expect(easel.locator(f"#live-layers ~ [data-layer='{layer['name']}']")).to_have_attribute(
            "data-alarm", str(layer["decision"]["alarm"]).lower()
        )


def judge(page, pixels):
    """What the server says of an image, asked beside the page."""
    body = {"session": "test", "sequence": 1, "pixels": base64.b64encode(pixels.astype("<f4").tobytes()).decode()}
    base = page.url.split("/#")[0]
    return page.request.post(f"{base}/api/runs/walk/live/judge", data=body, headers={"Origin": base}).json()


def test_one_stroke_with_the_mouse_or_the_keyboard_is_judged(easel, api, start):
    bar = easel.locator("#now")
    before = bar.inner_text()
    pixels = api(f"runs/walk/examples/{start}/pixels.f32")[0]
    brightest = int(pixels.argmax())
    row, column = divmod(brightest, 8)
    easel.locator("[data-grey]").fill("0")
    frame = easel.locator("[data-easel]")
    side = frame.bounding_box()["width"] / 8
    frame.click(position={"x": (column + 0.5) * side, "y": (row + 0.5) * side})
    expect(easel).to_have_url(re.compile(rf"edits={brightest}\.00"))
    painted = pixels.copy()
    painted.flat[brightest] = 0
    output = judge(easel, painted)["output"]
    share = 100 * output["probabilities"][output["predicted"]]
    expect(bar).to_contain_text(f"Taken for '{output['predicted']}', {share:.1f} %")
    frame.focus()
    step = -1 if column == 7 else 1
    easel.keyboard.press("ArrowLeft" if step < 0 else "ArrowRight")
    easel.keyboard.press("Enter")
    expect(easel).to_have_url(re.compile(rf"edits={brightest}\.00,{brightest + step}\.00"))
    easel.reload()
    expect(easel.locator("h1 + p")).to_contain_text("of 64 pixels changed")
    expect(bar).not_to_have_text(before)
    easel.get_by_role("button", name="Start again").click()
    expect(bar).to_have_text(before)


def test_an_attack_runs_step_by_step(easel):
    easel.locator("[data-attack]").select_option("pgd")
    easel.get_by_role("button", name="Run pgd").click()
    status = easel.locator("[data-done]")
    expect(status).to_have_attribute("data-done", "true", timeout=30_000)
    expect(easel.get_by_role("group", name=re.compile("Step")).or_(easel.get_by_label("Step shown"))).to_be_visible()
    easel.get_by_label("Step shown").fill("0")
    easel.get_by_role("button", name="Go on from this step").click()
    expect(status).to_have_count(0)


def test_an_attack_can_be_cancelled(easel):
    easel.locator("[data-attack]").select_option("cw")
    easel.get_by_label("steps", exact=True).fill("10000")
    easel.get_by_role("button", name="Run cw").click()
    cancel = easel.get_by_role("button", name="Cancel")
    expect(cancel).to_be_enabled()
    cancel.click()
    status = easel.locator("[data-done]")
    expect(status).to_have_attribute("data-done", "true")
    expect(status).to_contain_text("cancelled")
    expect(easel.get_by_role("button", name="Run cw")).to_be_enabled()


def test_an_upload_is_made_to_fit_and_judged(easel, start):
    rng = np.random.default_rng(0)
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(file, "PNG")
    easel.locator("input[type=file]").set_input_files(
        {"name": "mine.png", "mimeType": "image/png", "buffer": file.getvalue()}
    )
    expect(easel.locator("h1 + p")).to_contain_text("Your image, 60 × 40")
    expect(easel.locator(".warning")).not_to_be_empty()


def test_a_walk_with_the_keyboard_alone(visit, page):
    visit(view="runs")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    follow(page, "Gallery")
    expect(page.locator("#examples")).to_be_visible()
    page.keyboard.press("/")
    expect(page.locator("[data-first-filter]")).to_be_focused()
    page.get_by_role("listbox").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_have_attribute("data-view", "example")
    expect(page.locator("#lane")).to_be_visible()
    follow(page, "Robustness")
    expect(page.get_by_role("heading", name="Robustness", exact=True)).to_be_visible()


def follow(page, name):
    """Tab back from the content until the link of that name has the focus, and press Enter."""
    page.locator("main").focus()
    for _ in range(20):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == name:
            page.keyboard.press("Enter")
            return
    raise AssertionError(f"the link {name} cannot be reached by the Tab key")


def test_the_tour_has_six_stops(visit, page, start):
    visit(view="example", example=start)
    page.get_by_role("link", name="Tour").click()
    for stop in range(1, 7):
        card = page.get_by_role("region").filter(has_text=f"{stop} of 6")
        expect(card).to_be_visible()
        expect(page.locator(".toured")).to_have_count(1)
        if stop < 6:
            card.get_by_role("link", name="Next").click()
    page.get_by_role("button", name="Done").click()
    expect(page.locator(".toured")).to_have_count(0)


def test_exports_hold_the_figures(visit, page, api):
    visit(view="robustness")
    page.locator("summary[aria-label^='Export Robust accuracy']").first.click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="CSV").click()
    lines = waiting.value.path().read_text().splitlines()
    points = [
        point for curve in api("runs/walk/robustness")["curves"] if curve["norm"] == "linf" for point in curve["points"]
    ]
    assert len(lines) == 1 + len([point for point in points if point["eps"] is not None])
    for kind, head in {"SVG": b"<svg", "PNG": b"\x89PNG"}.items():
        page.locator("summary[aria-label^='Export Robust accuracy']").first.click()
        with page.expect_download() as waiting:
            page.get_by_role("button", name=kind).click()
        assert waiting.value.path().read_bytes().startswith(head)


def test_what_is_not_there_is_said(visit, page, site):
    page.goto(f"{site}/#view=gallery&run=nowhere")
    expect(page.get_by_role("alert")).to_contain_text("There is no run 'nowhere' here")
