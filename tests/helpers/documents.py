"""The documents that people read, and what stands in them: commands, examples, links, figures."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
WITH_COMMANDS = [README, *GUIDES, ROOT / "docs" / "results" / "remake.md", ROOT / "CONTRIBUTING.md"]
"""Every command in these is run by a test."""
ALL = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md")), ROOT / "findings" / "README.md"]


def name(page: Path) -> str:
    """Return a page's path below the project."""
    return page.relative_to(ROOT).as_posix()


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    """Return the contents of all blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text(page), re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[str]:
    """Return the lines of all sh blocks, without comments."""
    lines = (line.split("  #")[0].strip() for block in blocks(page, "sh") for line in block.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def all_commands() -> list[str]:
    """Return the commands of all pages, each once, in the order of the pages."""
    return list(dict.fromkeys(command for page in WITH_COMMANDS for command in commands(page)))


def prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", text(page), flags=re.DOTALL | re.MULTILINE)


def links(page: Path) -> list[str]:
    """Return the targets of all links and pictures in prose that lead to this project's files."""
    said = re.sub(r"`[^`\n]*`", "", prose(page))
    targets = [*re.findall(r"\]\(([^()\s]+)\)", said), *re.findall(r"<img src=\"([^\"]+)\"", said)]
    return [target for target in targets if not target.startswith(("http:", "https:"))]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower().replace("`", "")).replace(" ", "-") for head in heads}
