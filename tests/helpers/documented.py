"""What the page about the output says."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "output.md"


def columns_on_the_page(table: str) -> list[str]:
    """The columns of a table, in their order."""
    section = PAGE.read_text().partition(f"### {table}\n")[2].partition("\n##")[0]
    return [
        name for cell in re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
    ]
