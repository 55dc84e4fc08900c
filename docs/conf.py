"""Sphinx configuration."""

import re

from miniDLF import __version__

project = "miniDLF"
author = "The miniDLF developers"
copyright = "2026, the miniDLF developers"
release = version = __version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build"]
html_theme = "furo"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints = "none"
autodoc_inherit_docstrings = False  # what overrides a contract says nothing new
autodoc_member_order = "bysource"
napoleon_google_docstring = False
default_role = "code"
myst_heading_anchors = 3

#: What the parts of the package ask of one another: it has docstrings for readers of
#: the code, and is no promise to users. Of models, layers, losses, and all exceptions.
MACHINERY = frozenset(
    re.findall(
        r"\w+",
        """
        compose converter described engine executor graph ready resume_training
        training_state held_weights check_data_info
        absorbable absorbs_enlarging absorbs_pooling absorbs_rectifier argument chooses
        enlarges folded joins parts pools recurrence rectifies rises says
        misfit settle_state freezes absorb reads_logits finished restart completed
        logit_terms mean_and_scale smoothed SHORTEST
        add_note with_traceback
        """,
    )
)


def skip_machinery(app, what, name, obj, skip, options):
    """Leave out machinery, and the functions that make the messages of errors."""
    makes_messages = getattr(obj, "__module__", "") == "miniDLF.errors"
    if name in MACHINERY or (makes_messages and not isinstance(obj, type)):
        return True
    return None


def escape_stars(app, what, name, obj, options, lines):
    """Keep the star of a shape like (N, *output_shape) from becoming emphasis."""
    lines[:] = [re.sub(r"(?<![\w*`])\*(?=[A-Za-z_])", r"\\*", line) for line in lines]


def setup(app):
    app.connect("autodoc-skip-member", skip_machinery)
    app.connect("autodoc-process-docstring", escape_stars, priority=100)
