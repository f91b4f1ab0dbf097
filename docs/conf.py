"""The documentation site: the Markdown of the repository as it is, by Sphinx and MyST. `make docs` builds it."""

from sphinx.application import Sphinx

from virnucpro_kernels import __version__

project = "VirNucPro"
version = release = __version__
html_title = f"VirNucPro {__version__}"
html_theme = "furo"
extensions = ["myst_parser", "sphinx_copybutton", "sphinxcontrib.mermaid"]

root_doc = "README"
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "benchmarks/README.md",
    "config/README.md",
    "docs/*.md",
]
myst_heading_anchors = 4
# The workflow catalog shows config/README.md below a heading of its own.
suppress_warnings = ["myst.header"]
myst_fence_as_directive = ["mermaid"]
copybutton_exclude = ".linenos, .gp, .go"

#: The side bar, which the README itself does not need.
_CONTENTS = """

```{toctree}
:hidden:
:caption: Use

docs/tutorial
docs/usage
docs/sweeps
config/README
docs/output
docs/next-steps
docs/models
docs/training
docs/evaluation
docs/switching
docs/performance
```

```{toctree}
:hidden:
:caption: Develop

docs/architecture
docs/development
benchmarks/README
CONTRIBUTING
CHANGELOG
```
"""


def _add_contents(app: Sphinx, name: str, source: list[str]) -> None:
    if name == root_doc:
        source[0] += _CONTENTS


def setup(app: Sphinx) -> None:
    """Add the side bar to the first page."""
    app.connect("source-read", _add_contents)
