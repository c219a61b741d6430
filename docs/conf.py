"""How Sphinx builds the site. Everything comes from this tree: `make docs` needs no network."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import gemini_live

project = "gemini-live"
author = copyright = "the authors of gemini-live"  # noqa: A001 - Sphinx's name for it
release = version = gemini_live.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "myst_parser",
    "sphinx_copybutton",
    "docs.public_names",
]
exclude_patterns = ["__pycache__"]
suppress_warnings = [
    "myst.xref_missing"
]  # a link out of the site, to a file of the tree; tests/test_docs_site.py follows it

# Quotes are typed as they are meant: JSON and Python stand in running text too.
smartquotes_action = "D"  # dashes only: quotation marks may stand in what is to be copied

# What stands between single backquotes in a docstring is a name of ours.
default_role = "py:obj"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88

# Names in backquotes must be ours; what annotations name may be anybody's.
nitpicky = True
nitpick_ignore_regex = [("py:class", ".*"), ("py:obj", r"typing\..*")]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"gemini-live {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}
# A prompt and what a program prints are not to be copied.
copybutton_exclude = ".linenos, .gp, .go"
