"""Sphinx configuration."""

import re

from miniDLF import __version__

project = "miniDLF"
author = "The miniDLF developers"
copyright = "2026, the miniDLF developers"
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build"]
html_theme = "furo"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
default_role = "code"
myst_heading_anchors = 3


def escape_stars(app, what, name, obj, options, lines):
    """Keep the star of a shape such as (N, *output_shape) from being read as emphasis."""
    lines[:] = [re.sub(r"(?<![\w*`])\*(?=[A-Za-z_])", r"\\*", line) for line in lines]


def setup(app):
    app.connect("autodoc-process-docstring", escape_stars, priority=100)
