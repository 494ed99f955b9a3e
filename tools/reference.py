"""The reference in the built pages: an entry for every public name of hssl, and links between entries and chapters.

A Sphinx extension, and the scan that the tests share with it:

- the directive `library` writes the entries of a module from its docstrings, `library-overview` a table of them;
- a docstring's `Taught in: chapter, "section"` becomes a link to that section, and a missing section is a warning;
- a link that a cell's output makes to another notebook leads to that page, so that it works in JupyterLab and here;
- a function's name in backticks, in a chapter or a docstring, becomes a link to its entry where only one is meant.
"""

import ast
import importlib
import inspect
import json
import pkgutil
import re
import textwrap
from collections import defaultdict
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx import addnodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

NOTEBOOK = re.compile(r'href="(\w+)\.ipynb')
SOURCE = re.compile(r"^(\w+)\.(?:ipynb|md)(?=#|$)")
TAUGHT = re.compile(r'Taught in:\s+(\w+),\s+"([^"]+)"')


# What is public.


@cache
def modules() -> tuple[str, ...]:
    """Names of all modules of hssl."""
    package = importlib.import_module("hssl")
    return ("hssl", *sorted(found.name for found in pkgutil.walk_packages(package.__path__, "hssl.")))


@cache
def public() -> dict[str, dict[str, Any]]:
    """The public functions and classes, by the module from which one imports them, in the order of the source.

    That is the module whose `__all__` lists them, or else the one that defines them.
    """
    loaded = {name: importlib.import_module(name) for name in modules()}
    listed = {name: getattr(module, "__all__", ()) for name, module in loaded.items()}
    homes = {name: {key: vars(loaded[name])[key] for key in keys} for name, keys in listed.items()}
    homes = {name: {key: thing for key, thing in found.items() if _documented(thing)} for name, found in homes.items()}
    exported = {id(thing) for found in homes.values() for thing in found.values()}
    for name, module in loaded.items():
        for key, thing in vars(module).items():
            own = not key.startswith("_") and "._" not in name and _documented(thing) and thing.__module__ == name
            if own and id(thing) not in exported:
                homes[name][key] = thing
    return homes


def _documented(thing: Any) -> bool:
    return inspect.isfunction(thing) or inspect.isclass(thing) or hasattr(thing, "__wrapped__")


@cache
def entries() -> frozenset[str]:
    """Every public name in full, methods with docstrings included."""
    found = set()
    for module, things in public().items():
        for key, thing in things.items():
            found.add(f"{module}.{key}")
            if inspect.isclass(thing):
                found |= {f"{module}.{key}.{method}" for method in vars(thing) if not method.startswith("_")}
    return frozenset(found)


@cache
def _by_ending() -> dict[str, list[str]]:
    """Full names by each way to shorten them: fit, training.fit, hssl.training.fit."""
    found = defaultdict(list)
    for name in sorted(entries()):
        parts = name.split(".")
        for start in range(len(parts)):
            found[".".join(parts[start:])].append(name)
    return found


@cache
def _parameters() -> frozenset[str]:
    """Names of arguments: in prose these mean the argument, not a function that happens to be called the same."""
    functions = [thing for things in public().values() for thing in things.values()]
    functions += [
        member for thing in functions if inspect.isclass(thing) for member in vars(thing).values() if callable(member)
    ]
    found = set()
    for function in functions:
        try:
            found |= set(inspect.signature(function).parameters)
        except (TypeError, ValueError):
            continue
    return frozenset(found)


def entry_of(words: str, imported: dict[str, str], defined: frozenset[str] | set[str] = frozenset()) -> str | None:
    """The full name that words in backticks mean, or None where that is not certain.

    Args:
        words: `info_nce`, `losses.info_nce` or `fit(…)`.
        imported: what the page imports, the full name by the short one.
        defined: names that the page gives to something of its own.
    """
    match = re.fullmatch(r"([A-Za-z_][\w.]*)(\(.*\))?", words.strip(), re.DOTALL)
    if not match:
        return None
    name = match[1]
    first, _, rest = name.partition(".")
    if first in defined:
        return None
    if first in imported:
        full = imported[first] + (f".{rest}" if rest else "")
        return full if full in entries() else _only(full)
    found = _by_ending().get(name, [])
    if len(found) != 1 or "." in name:
        return found[0] if len(found) == 1 else None
    certain = found[0].rpartition(".")[0] in public() and (match[2] or name not in _parameters())
    return found[0] if certain else None


def _only(full: str) -> str | None:
    """A name imported from the module that defines it, whose entry stands where it is exported."""
    module, _, key = full.rpartition(".")
    thing = getattr(importlib.import_module(module), key, None) if module in modules() else None
    return next((f"{home}.{k}" for home, found in public().items() for k, of in found.items() if of is thing), None)


# What a page imports and defines.


def names_on(path: Path) -> tuple[dict[str, str], set[str]]:
    """What the code of a notebook imports from hssl, in full by its short name, and what it defines itself."""
    if path.suffix != ".ipynb":
        return {}, set()
    imported, defined = {}, set()
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] != "code":
            continue
        try:
            tree = ast.parse(re.sub(r"(?m)^\s*[%!].*$", "", "".join(cell["source"])))
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "hssl":
                imported |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                defined.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                defined.add(node.id)
    return imported, defined - set(imported)


# From docstrings to reStructuredText.


def rewrite(lines: list[str]) -> list[str]:
    """A docstring as Sphinx reads it: single backticks are code, signs are no markup, where it is taught is a link."""
    text = TAUGHT.sub(lambda match: f"Taught in: :section:`{match[1]}|{' '.join(match[2].split())}`", "\n".join(lines))
    text = re.sub(r"(?m)(?<=\S)\n(?= *(Source|Taught in): )", "\n\n", text)
    parts = re.split(r"(?m)(^ *>>> .*(?:\n.*\S.*)*)", text)  # examples stay as they are
    return "".join(part if index % 2 else _plain(part) for index, part in enumerate(parts)).split("\n")


def _plain(text: str) -> str:
    parts = re.split(r"(:section:`[^`]*`|``[^`]*``|`[^`]*`)", text)
    for index, part in enumerate(parts):
        if index % 2 == 0:
            parts[index] = re.sub(r"([*|])|(?<=\w)(_)(?!\w)", r"\\\1\2", part)
        elif not part.startswith((":", "``")):
            before, after = parts[index - 1][-1:], parts[index + 1][:1]
            parts[index] = f"{_apart(before)}`{part}`{_apart(after)}"
    return "".join(parts)


def _apart(neighbour: str) -> str:
    """What makes code end beside a sign: an escaped space, which is not shown."""
    return "" if not neighbour or neighbour.isspace() else "\\ "


def signature(thing: Any) -> tuple[str, str] | None:
    """Arguments and result as the source declares them, shapes and all; None where the source cannot say."""
    try:
        node = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(thing)))).body[0]
    except (OSError, TypeError, SyntaxError):
        return None
    if isinstance(node, ast.ClassDef):
        made = next((m for m in node.body if isinstance(m, ast.FunctionDef) and m.name == "__init__"), None)
        if made is None:
            return _fields(thing, node)
        arguments, result = made.args, ""
    elif isinstance(node, ast.FunctionDef):
        arguments, result = node.args, ast.unparse(node.returns) if node.returns else ""
    else:
        return None
    for kind in (arguments.posonlyargs, arguments.args):
        if kind and kind[0].arg in ("self", "cls"):
            del kind[0]
            break
    return f"({ast.unparse(arguments)})", result


def _fields(thing: Any, node: ast.ClassDef) -> tuple[str, str] | None:
    """The arguments of a dataclass or a named tuple are its fields."""
    if not hasattr(thing, "__dataclass_fields__") and not hasattr(thing, "_fields"):
        return ("()", "") if thing.__init__ is object.__init__ else None
    found = []
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            value = f" = {ast.unparse(item.value)}" if item.value else ""
            found.append(f"{item.target.id}: {ast.unparse(item.annotation)}{value}")
    return f"({', '.join(found)})", ""


# Directives.


class Library(SphinxDirective):
    """`library`: the entries of a module; its modules beneath it follow only where they are named themselves."""

    required_arguments = 1

    def run(self):
        name = self.arguments[0]
        members = public()[name]
        lines = [f".. automodule:: {name}"]
        lines += [f"   :members: {', '.join(members)}"] if members else ["   :no-members:"]
        lines = [f"``{name}``", "", *lines] if name != "hssl" else lines
        return _parse(self, lines, [name])


class Overview(SphinxDirective):
    """`library-overview`: for each of some modules what it is for, and a table of its names, each with a link."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self):
        lines, names = [], self.arguments[0].split()
        for name in names:
            about = inspect.getdoc(importlib.import_module(name)).split("\n\n")[0].replace("\n", " ")
            lines += [f"**{name}**\u2002{_plain(about)}", "", ".. autosummary::", "   :nosignatures:", ""]
            lines += [*(f"   ~{name}.{key}" for key in public()[name]), ""]
        return _parse(self, lines, names)


def _parse(directive: SphinxDirective, lines: list[str], names: list[str]) -> list[nodes.Node]:
    """reStructuredText inside a page of Markdown, which is made anew when these modules change, or what makes it."""
    for path in (__file__, *(inspect.getsourcefile(importlib.import_module(name)) for name in names)):
        directive.env.note_dependency(path)
    source = StringList(["```{eval-rst}", *lines, "```"], source="library")
    parent = nodes.container()
    directive.state.nested_parse(source, directive.content_offset, parent)
    return parent.children


def section_role(name, rawtext, text, lineno, inliner, options=None, content=None):
    """`section`: a link to a section of a chapter, `chapter|section`; resolved when all pages are read."""
    chapter, title = text.split("|")
    reference = addnodes.pending_xref("", reftype="section", reftarget=title, chapter=chapter, refwarn=True)
    reference += nodes.inline("", f"{chapter}, “{title}”")
    return [reference], []


def find_section(app, env, node, contnode):
    """To Sphinx: where the section of a docstring stands."""
    if node.get("reftype") != "section":
        return None
    chapter = f"book/{node['chapter']}"
    for found in env.tocs.get(chapter, nodes.paragraph()).findall(nodes.reference):
        if nodes.make_id(found.astext()) == nodes.make_id(node["reftarget"]):
            address = app.builder.get_relative_uri(node["refdoc"], chapter) + found["anchorname"]
            title = env.titles[chapter].astext()
            text = title if title == found.astext() else f"{title}, “{found.astext()}”"
            return nodes.reference("", "", nodes.Text(text), internal=True, refuri=address, classes=["taught-in"])
    return None


class LinkNames(SphinxPostTransform):
    """Names of the library in backticks lead to their entries; headings and links stay as they are."""

    default_priority = 15

    def run(self, **kwargs):
        document = self.env.docname
        objects = {name: (page, anchor) for name, _, _, page, anchor, _ in self.env.get_domain("py").get_objects()}
        imported, defined = names_on(Path(self.env.doc2path(document)))
        for literal in list(self.document.findall(nodes.literal)):
            above = list(_ancestors(literal))
            if any(isinstance(node, (nodes.title, nodes.reference, addnodes.pending_xref)) for node in above):
                continue
            here = next((node[0] for node in above if isinstance(node, addnodes.desc)), None)
            full = entry_of(literal.astext(), imported or _beside(here), defined)
            page, anchor = objects.get(full, (None, None))
            if page is None or (here is not None and anchor in here.get("ids", ())):
                continue
            address = self.app.builder.get_relative_uri(document, page) if page != document else ""
            link = nodes.reference("", "", internal=True, refuri=f"{address}#{anchor}", reftitle=full)
            literal.replace_self(link)
            link += literal


class LinkOutputs(SphinxPostTransform):
    """Tables that code prints link to notebooks, as JupyterLab wants it; here they link to the pages."""

    default_priority = 15

    def run(self, **kwargs):
        known = self.env.found_docs
        folder = self.env.docname.rpartition("/")[0]

        def page(found: re.Match) -> str:
            return f'href="{found[1]}.html' if f"{folder}/{found[1]}" in known else found[0]

        for link in self.document.findall(nodes.reference):  # in Markdown that code prints
            found = SOURCE.match(link.get("refuri", ""))
            if found and f"{folder}/{found[1]}" in known:
                link["refuri"] = f"{found[1]}.html{link['refuri'][found.end() :]}"
        for output in self.document.findall(nodes.raw):
            if 'href="' in output.astext():
                output.children = [nodes.Text(NOTEBOOK.sub(page, output.astext()))]


def _beside(entry: nodes.Element | None) -> dict[str, str]:
    """What the docstring of an entry means by a short name: the one in its own module, unless it is an argument."""
    module = entry.get("module") if entry is not None else None
    return {name: f"{module}.{name}" for name in public().get(module, ()) if name not in _parameters()}


def _ancestors(node):
    while node.parent is not None:
        node = node.parent
        yield node


def setup(app):
    app.add_directive("library", Library)
    app.add_directive("library-overview", Overview)
    app.add_role("section", section_role)
    app.add_post_transform(LinkNames)
    app.add_post_transform(LinkOutputs)
    app.connect("missing-reference", find_section)
    app.connect("autodoc-process-docstring", lambda app, what, name, thing, options, lines: _in_place(lines), 0)
    app.connect("autodoc-process-signature", _use_signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _in_place(lines: list[str]) -> None:
    lines[:] = rewrite(lines)


def _use_signature(app, what, name, thing, options, arguments, result):
    if what == "module" or isinstance(thing, ModuleType):
        return None
    return signature(thing) if callable(thing) else None
