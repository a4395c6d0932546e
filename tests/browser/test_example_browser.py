"""The example page in a real browser, on a real run: what is shown is what the server says."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.slow


@pytest.fixture
def page_of(api, start):
    return api(f"runs/walk/examples/{start}")


def judged(example):
    return [layer["name"] for layer in example["layers"] if layer["clean"]]


def test_every_layer_shows_its_alarm_in_words(visit, start, page_of):
    page = visit(view="example", example=start)
    lane = page.locator("section", has=page.locator("#lane"))
    for layer in page_of["layers"]:
        if layer["adversarial"]:
            card = lane.locator("button.layer").filter(has=page.locator(f".name:text-is('{layer['name']}')"))
            word = "alarm" if layer["adversarial"]["alarm"] else "no alarm"
            assert card.locator(".state").inner_text() == word
            strangers = f"{layer['adversarial']['strangers']}/{layer['adversarial']['k']} strangers"
            expect(card).to_contain_text(strangers)
    expect(page.locator("h1")).to_have_text(page_of["sentence"])


def test_a_deep_link_survives_reload_and_the_back_button(visit, start, page_of):
    layer = judged(page_of)[-1]
    page = visit(view="example", example=start, layer=layer, metric="manhattan", k="5", side="clean", pixel="2,3")
    chosen = page.locator("button.layer[aria-pressed=true] .name")
    expect(chosen).to_have_text(layer)
    expect(page.locator("[data-metric]")).to_have_value("manhattan")
    expect(page.locator(".neighbour")).to_have_count(5)
    expect(page.locator("[data-reading]")).to_contain_text("Row 2, column 3")
    page.reload()
    expect(chosen).to_have_text(layer)
    expect(page.locator(".neighbour")).to_have_count(5)
    other = judged(page_of)[0]
    page.locator("button.layer").filter(has=page.locator(f".name:text-is('{other}')")).click()
    expect(chosen).to_have_text(other)
    page.go_back()
    expect(chosen).to_have_text(layer)
    page.go_forward()
    expect(chosen).to_have_text(other)


def test_a_click_on_a_node_compares_activations(visit, api, start, page_of):
    layer = judged(page_of)[0]
    page = visit(view="example", example=start, layer=layer, graph="1")
    node = page.locator("[data-node]:not([data-node=adversarial])").first
    node.wait_for()
    image = node.get_attribute("data-node")
    node.locator("rect").click()
    expect(page.locator("[data-pair]")).to_have_attribute("data-pair", f"adversarial~{image}")
    metric = page.locator("[data-metric]").input_value()
    said = api(f"runs/walk/examples/{start}/difference/{layer}/{metric}/adversarial/{image}")
    expect(page.locator("[data-sentence]")).to_have_text(said["sentence"])
    assert f"b={image}" in page.url
    first = page.locator("[data-unit]").first
    expect(first).to_have_attribute("data-unit", str(said["units"][0]["unit"]))
    second = page.locator("[data-unit]").nth(1)
    second.click()
    expect(page.get_by_role("heading", name=f"Unit {said['units'][1]['unit']} of", exact=False)).to_be_visible()


def test_a_click_on_a_link_compares_its_two_ends(visit, start, page_of):
    page = visit(view="example", example=start, layer=judged(page_of)[0], graph="1", k="6")
    link = page.locator("[data-link^=adversarial-]").first
    link.wait_for()
    ends = link.get_attribute("data-link").split("-", 1)
    link.dispatch_event("click")
    expect(page.locator("[data-pair]")).to_have_attribute("data-pair", "~".join(ends))


def test_the_metric_and_k_change_the_neighbours(visit, api, start, page_of):
    layer = judged(page_of)[0]
    page = visit(view="example", example=start, layer=layer, k="9")
    for metric in ("euclidean", "manhattan", "chebyshev", "cosine"):
        page.locator("[data-metric]").select_option(metric)
        said = api(f"runs/walk/examples/{start}/neighbours/{layer}/{metric}")["adversarial"]
        strangers = sum(label != page_of["adversarial"]["predicted"] for label in said["label"][:9])
        expect(page.locator(".neighbour").first).to_have_attribute(
            "title", re.compile(f"Training image {said['index'][0]},")
        )
        expect(page.locator("[data-strangers]")).to_have_attribute("data-strangers", str(strangers))
        assert f"metric={metric}" in page.url
    page.get_by_label("k, number of neighbours").fill("3")
    expect(page.locator(".neighbour")).to_have_count(3)


def test_the_crosshair_reads_out_exact_values(visit, api, start):
    values = api(f"runs/walk/examples/{start}/pixels.f32")
    page = visit(view="example", example=start, pixel="4,4")
    page.locator("[data-panel=clean] [role=application]").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    reading = page.locator("[data-reading]")
    expect(reading).to_contain_text(f"Row 5, column 5: clean {values[0, 0, 5, 5]:.3f}")
    expect(reading).to_contain_text(f"adversarial {values[1, 0, 5, 5]:.3f}")
    for _ in range(3):
        page.keyboard.press("+")
    scale = "getComputedStyle(document.querySelector('[data-panel=perturbation] .inner')).transform"
    assert page.evaluate(scale).startswith("matrix(3.375"), "one zoom moves all images"


def test_keys_flip_the_image_and_walk_the_set(visit, api, start):
    gallery = api("runs/walk/gallery")
    page = visit(view="example", example=start)
    page.locator("h1").wait_for()
    page.keyboard.press("f")
    expect(page.get_by_role("button", name="Clean", exact=True)).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("f")
    expect(page.get_by_role("button", name="Adversarial", exact=True)).to_have_attribute("aria-pressed", "true")
    name, index = start.rsplit("~", 1)
    place = next(i for i, each in enumerate(gallery["sets"]) if each["id"] == name)
    own = [number for number, of in zip(gallery["index"], gallery["set"], strict=True) if of == place]
    following = own[own.index(int(index)) + 1]
    expect(page.get_by_role("button", name="Next example")).to_be_enabled()
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile(f"example={name}~{following}".replace("~", "(~|%7E)")))
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("previous, next example")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_the_truth_can_be_hidden(visit, start, page_of):
    page = visit(view="example", example=start, truth="0")
    expect(page.locator("h1")).not_to_have_text(page_of["sentence"])
    expect(page.locator("main")).not_to_contain_text("true positive")
    page.get_by_role("button", name="Truth hidden").click()
    expect(page.locator("h1")).to_have_text(page_of["sentence"])
