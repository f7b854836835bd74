"""What README and docs point at exists: files, headings, scripts, and the tests that show what reliability promises."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
SCRIPT = re.compile(r"(?<![\w./-])(?:benchmarks|tests)/[\w/.-]+\.(?:py|sh|csv|xz|gz|yml|yaml|toml)\b")
TEST = re.compile(r"`((?:tests/)?[\w/]*test_\w+\.py)?(?:::|…)?(?:…?(test_\w+?)(…)?)?`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name, anchor in LINK.findall(text):
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name} links to {name}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{page.name} links to {name}#{anchor}"
    for path in SCRIPT.findall(text):
        assert (ROOT / path).exists(), f"{page.name} names {path}"


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub makes anchors of them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_reliability_names_tests_that_exist() -> None:
    named = 0
    for line in (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8").splitlines():
        source = ""
        for file, test, is_cut in TEST.findall(line):
            if file:
                path = ROOT / file if file.startswith("tests/") else ROOT / "tests" / "integration" / file
                assert path.is_file(), f"no file {file}"
                source = path.read_text(encoding="utf-8")
            if test:
                rest = r"\w*" if is_cut else r"\b"
                assert re.search(rf"def {test}{rest}\(", source), f"no test {test} in the file named before it"
            named += bool(file) + bool(test)
    assert named > 40
