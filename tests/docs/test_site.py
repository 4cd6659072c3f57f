"""The documents as a site: built strictly, and complete without the network."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from documents import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build what `make docs` builds, in a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copy(ROOT / "zensical.toml", folder)
    (folder / "kmpl").symlink_to(ROOT / "kmpl")
    zensical = Path(sys.prefix) / "bin" / "zensical"
    made = subprocess.run([zensical, "build", "--strict"], cwd=folder, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    return folder / "site"


def pages(site: Path) -> dict[str, str]:
    return {path.relative_to(site).as_posix(): path.read_text(encoding="utf-8") for path in site.rglob("*.html")}


def test_every_document_is_a_page_and_in_the_menu(site: Path) -> None:
    made = pages(site)
    for path in (ROOT / "docs").rglob("*.md"):
        page = path.relative_to(ROOT / "docs").with_suffix(".html").as_posix().replace("README.html", "index.html")
        assert page in made
        assert page == "index.html" or f'href="./{page}"' in made["index.html"], page


def test_pages_fetch_nothing_from_elsewhere(site: Path) -> None:
    for page, html in pages(site).items():
        fetched = re.findall(r"<(?:script|img|iframe|source)[^>]*\bsrc=\"([^\"]+)\"", html)
        fetched += re.findall(r"<link[^>]*\bhref=\"([^\"]+)\"", html)
        assert not [address for address in fetched if re.match(r"(https?:)?//", address)], page
        assert 'class="mermaid"' not in html, f"{page}: a diagram whose script would be fetched"


def test_pictures_are_there(site: Path) -> None:
    for page, html in pages(site).items():
        for source in re.findall(r"<img[^>]*\bsrc=\"([^\"]+)\"", html):
            assert ((site / page).parent / source).is_file(), (page, source)


def test_what_github_shows_as_tables_and_lists_are_some_here_too(site: Path) -> None:
    for page, html in pages(site).items():
        assert not re.findall(r"<p>(?:\| |- |\d+\. ).*", html), page


def test_the_python_page_has_the_estimators_parameters(site: Path) -> None:
    assert all(word in pages(site)["reference/python.html"] for word in ("KMeansPseudoLabeller", "random_state", "fit"))


def test_a_dead_link_ends_the_build(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "README.md").write_text("# Here\n\n[there](there.md)\n", encoding="utf-8")
    (tmp_path / "zensical.toml").write_text('[project]\nsite_name = "x"\n', encoding="utf-8")
    zensical = Path(sys.prefix) / "bin" / "zensical"
    made = subprocess.run([zensical, "build", "--strict"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert made.returncode != 0
    assert "page does not exist" in re.sub(r"\x1b\[[0-9;]*m", "", made.stdout + made.stderr)
