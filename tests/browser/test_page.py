"""The report in a real browser: what a reader does with it."""

from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Page, expect

from tests.helpers.reports import HOSTILE, PROPHAGE, SAMPLES
from virnucpro_kernels.evaluate.command import evaluate_files
from virnucpro_kernels.evaluate.results import Columns
from virnucpro_kernels.pool.tsv import write_table

LIGHT, DARK = "rgb(255, 255, 255)", "rgb(21, 24, 28)"


def column(page: Page, heading: str) -> list[str]:
    """Texts of a column of the table of contigs, on the page of it that is shown."""
    headings = page.locator("#table thead th").all_inner_texts()
    cells = page.locator(f"#table tbody tr[data-row] td:nth-child({headings.index(heading) + 1})")
    return cells.all_inner_texts()


def numbers(page: Page, heading: str) -> list[int]:
    return [int(text.replace(",", "")) for text in column(page, heading)]


def paper(page: Page) -> str:
    colour: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return colour


def test_the_page_shows_the_run_and_its_figures(page: Page) -> None:
    expect(page.locator("h1")).to_have_text("16 of 43 contigs are called viral")
    assert page.locator("#samples tbody th").all_inner_texts() == sorted(SAMPLES)
    for name in ("calls", "scores", "cutoffs", "strips"):
        marks = page.locator(f"figure[data-figure={name}] svg [aria-roledescription]")
        assert marks.count() > 3, name
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_names_are_text_whatever_they_hold(page: Page) -> None:
    page.get_by_placeholder("Search name or description").fill("onerror")
    assert column(page, "contig") == [HOSTILE.name]
    assert column(page, "description") == [HOSTILE.description]
    page.locator("#table tbody tr").first.click()
    expect(page.locator("#track-name")).to_have_text(HOSTILE.name)
    assert page.evaluate("typeof hacked") == "undefined"
    assert page.locator("main img").count() == 0


def test_the_table_sorts(page: Page) -> None:
    heading = page.locator("#table thead th", has_text="length")
    lengths = sorted(contig.length for contigs in SAMPLES.values() for contig in contigs)
    heading.click()
    expect(heading).to_have_attribute("aria-sort", "ascending")
    assert numbers(page, "length") == lengths[:10]
    heading.locator("[tabindex='0']").press("Enter")
    expect(heading).to_have_attribute("aria-sort", "descending")
    assert numbers(page, "length") == lengths[: -10 - 1 : -1]


def test_the_table_is_searched_and_filtered(page: Page) -> None:
    info = page.locator("#contigs .dt-info")
    expect(info).to_have_text("1 to 10 of 43 contigs")
    page.locator("#filter-sample").select_option("last")
    expect(info).to_contain_text("of 10 contigs")
    page.locator("#filter-call").select_option("viral")
    assert column(page, "call") == ["viral"] * 2
    assert column(page, "sample") == ["last"] * 2
    page.locator("#filter-call").select_option("all")
    page.get_by_label("least length").fill("1201")
    assert column(page, "contig") == [PROPHAGE.name]
    page.get_by_placeholder("Search name or description").fill("no such contig")
    expect(page.locator("#table tbody")).to_have_text("No contig is like this.")


def test_a_contig_has_its_track(page: Page) -> None:
    row = page.locator("#table tbody tr", has_text="c12").first
    row.click()
    expect(page.locator("#track-name")).to_have_text("c12")
    expect(page.locator("#track-facts")).to_contain_text("sample first · 1,200 bp · viral · tier low")
    expect(row).to_have_class("chosen")
    scored = [window for window in SAMPLES["first"][12].windows if window[2]]
    page.wait_for_function("document.querySelectorAll('#track svg .mark-rule line').length > 1")
    assert page.locator("#track svg .mark-rule line[aria-label]").count() == len(scored)


def test_a_virus_in_a_contig_of_a_host_is_marked(page: Page) -> None:
    page.locator("#filter-call").select_option("host")
    assert column(page, "contig")[0] == PROPHAGE.name, "most evidence of those called host"
    page.locator("#table tbody tr").first.click()
    expect(page.locator("#track-facts")).to_contain_text("viral region: 1,501 to 3,000 (1.00)")
    expect(page.locator("#track svg [aria-label^='start: 1500; end: 3000; p_virus']")).to_have_count(1)


def test_a_contig_without_a_score_says_why_it_has_no_track(page: Page) -> None:
    page.get_by_placeholder("Search name or description").fill("masked")
    page.locator("#table tbody tr").first.click()
    expect(page.locator("#track")).to_contain_text("No window of this contig has a score")
    expect(page.locator("#track-facts")).to_contain_text("no call (no codon)")


def test_a_point_of_the_figure_leads_to_the_track(page: Page) -> None:
    point = page.locator("figure[data-figure=scores] svg [aria-roledescription=circle]", has_text="").first
    label = point.get_attribute("aria-label") or ""
    point.click(force=True)
    name = page.locator("#track-name").inner_text()
    assert f"contig: {name};" in label


def test_the_keyboard_is_enough(page: Page) -> None:
    rows = page.locator("#table tbody tr")
    rows.nth(0).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#track-name")).to_have_text(column(page, "contig")[2])
    page.get_by_label("Next contig of the table").press("Enter")
    expect(page.locator("#track-name")).to_have_text(column(page, "contig")[3])


def test_tables_and_figures_are_downloaded(page: Page) -> None:
    page.locator("#filter-call").select_option("viral")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download TSV").click()
    assert waiting.value.suggested_filename == "contigs.tsv"
    lines = [line.split("\t") for line in Path(waiting.value.path()).read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 1 + 16
    assert lines[0][:4] == ["contig", "sample", "length", "call"]
    assert {line[3] for line in lines[1:]} == {"viral"}
    assert HOSTILE.name in {line[0] for line in lines}
    for name, beginning in (("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        with page.expect_download() as waiting:
            page.locator("#track").get_by_text(name).click()
        content = Path(waiting.value.path()).read_bytes()
        assert content.startswith(beginning)
        assert b"var(--" not in content, "a file has no style sheet that would say its colours"


def test_the_methods_are_copied(page: Page) -> None:
    page.get_by_role("button", name="Copy the text").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    text = page.evaluate("navigator.clipboard.readText()")
    assert text.startswith("Viral sequences were identified by the method of VirNucPro [1]")
    assert "43 contigs" in text


def test_light_dark_and_print(page: Page) -> None:
    assert paper(page) == LIGHT
    page.emulate_media(color_scheme="dark")
    assert paper(page) == DARK
    button = page.locator("#theme")
    button.click()
    expect(button).to_have_text("Theme: light")
    assert paper(page) == LIGHT
    button.click()
    assert paper(page) == DARK
    label = page.locator("figure[data-figure=calls] svg text").first
    assert label.evaluate("element => getComputedStyle(element).fill") != "rgb(91, 101, 112)", "figures follow"
    page.emulate_media(media="print", color_scheme="dark")
    assert paper(page) == LIGHT
    expect(button).to_be_hidden()


def test_a_narrow_window_has_everything(page: Page) -> None:
    page.set_viewport_size({"width": 420, "height": 800})
    page.wait_for_timeout(400)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1")
    for drawing in page.locator(".drawing").all():
        assert drawing.evaluate("drawing => drawing.scrollWidth <= drawing.clientWidth"), "nothing is cut off"


def test_the_page_of_an_evaluation_draws_every_figure_it_has_room_for(browser: Browser, tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    kinds = [("virus", "phage", 0.7), ("virus", "plant virus", 0.6), ("host", "bacteria", 0.4), ("host", "plant", 0.3)]
    rows = [(f"c{i}", *kinds[i % 4][:2], f"G{i % 40}", 200 * (1 + i % 9)) for i in range(400)]
    truth, scores = tmp_path / "truth.tsv", tmp_path / "scores.tsv"
    write_table(truth, ["contig", "label", "category", "group", "length"], rows)
    values = (float(chance.beta(8 * kinds[i % 4][2], 8 * (1 - kinds[i % 4][2]))) for i in range(400))
    write_table(scores, ["contig", "score"], ((f"c{i}", value) for i, value in enumerate(values)))
    evaluate_files([str(scores)], truth, tmp_path, Columns(), draws=50, seed=0, say=lambda text: None)
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((tmp_path / "evaluation.html").as_uri())
    page.wait_for_selector("html[data-ready=true]")
    names = ["roc", "precision", "kinds", "false_positives", "lengths", "reliability", "fdr"]
    for name in names:
        expect(page.locator(f"figure[data-figure={name}] svg [aria-roledescription]").first).to_be_attached()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    with page.expect_download() as download:
        page.locator("figure[data-figure=roc]").get_by_text("SVG").click()
    assert "#0072B2" in download.value.path().read_text()
    assert complaints == []
    page.close()
