"""How Sphinx builds the documentation site; ``make docs`` runs it. Nothing is fetched from a network."""

import inspect
import os
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
os.environ["PYTHONPATH"] = str(HERE.parent)

import pages  # noqa: E402
from docstrings import as_rst  # noqa: E402
from latex2mathml.converter import convert  # noqa: E402
from sphinx.pycode import ModuleAnalyzer  # noqa: E402

pages.write(HERE / "generated")

project = "hlieconv"
author = copyright = "The hlieconv authors"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the notebooks are committed with their outputs
nb_ipywidgets_js = {}

autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
autosummary_generate = False
add_module_names = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 90
toc_object_entries_show_parents = "hide"
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True
# A name in backticks may be found in several packages: any will do.
suppress_warnings = ["ref.python"]

html_theme = "pydata_sphinx_theme"
html_title = "hlieconv"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_math_renderer = "mathml"
html_sidebars = {page: [] for page in ("index", "gallery", "contributing", "changelog")}
html_theme_options = {
    "logo": {"text": "hlieconv"},
    "header_links_before_dropdown": 6,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}


def setup(app):
    app.add_html_math_renderer("mathml", (_inline_math, None), (_displayed_math, None))
    app.connect("autodoc-process-docstring", _docstring, priority=100)  # before napoleon
    app.connect("source-read", _links_to_pages)


def _inline_math(writer, node):
    writer.body.append(convert(node.astext()))
    raise _skip()


def _displayed_math(writer, node):
    writer.body.append(convert(node.astext(), display="block"))
    raise _skip()


def _skip():
    from docutils.nodes import SkipNode

    return SkipNode()


def _docstring(app, what, name, obj, options, lines):
    if what == "data" and "\n".join(lines).strip() == inspect.getdoc(type(obj)):  # of the type, not of this constant
        lines[:] = _comment_on(name.rpartition(".")[2], obj)
    lines[:] = as_rst(lines)
    if what in ("attribute", "property"):
        lines.insert(0, "")  # else napoleon takes the words before a colon for a type


def _comment_on(name, value):
    """The ``#:`` comment on a constant, in the module that defines it."""
    for module in [*sys.modules]:
        if module.startswith(("hlieconv", "systems")) and vars(sys.modules[module]).get(name) is value:
            comment = ModuleAnalyzer.for_module(module).find_attr_docs().get(("", name))
            if comment:
                return comment
    return []


def _links_to_pages(app, name, source):
    """Files outside docs/ that are pages of the site: links to them lead there."""
    page = re.sub(r"\]\((?:\.\./)+notebooks/(\w+)\.ipynb", r"](/generated/tutorials/\1.ipynb", source[0])
    page = re.sub(r"\]\((?:\.\./)+CONTRIBUTING\.md", r"](/contributing.md", page)
    source[0] = re.sub(r"\]\((?:\.\./)+CHANGELOG\.md", r"](/changelog.md", page)
