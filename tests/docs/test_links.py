"""Links between the documents lead somewhere, for who reads them as files."""

from pathlib import Path

import pytest
from documents import ALL, ROOT, anchors, links, name


@pytest.mark.parametrize("page", ALL, ids=name)
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    dead = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        there = target.exists() and (not anchor or anchor in anchors(target))
        dead += [] if there else [link]
    assert not dead


def test_what_code_says_of_documents_is_there() -> None:
    """Comments and messages name pages by their path from the project."""
    import re

    sources = [p for top in ("kmpl", "flows", "tests", "findings") for p in (ROOT / top).rglob("*.py")]
    named = {(p, found) for p in sources for found in re.findall(r"docs/[\w/-]+\.md", p.read_text(encoding="utf-8"))}
    assert named
    assert not [(name(p), found) for p, found in named if not (ROOT / found).exists()]
