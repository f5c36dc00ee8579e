# SPDX-License-Identifier: Apache-2.0
"""Sphinx configuration."""

import runpy
from pathlib import Path

import monai_dino

runpy.run_path(str(Path(__file__).parent / "gallery.py"), run_name="__main__")

project = "monai_dino"
author = "the monai_dino developers"
copyright = author
release = monai_dino.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = "monai_dino"
