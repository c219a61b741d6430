"""A directive of the reference: every public name of a room, as users write it.

::

    .. public-names:: session opening

A room's own list says what it offers; a name that `gemini_live` does not offer is left out. So a name that is added is
documented, and one that is taken away is gone.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

# What `connect` and its methods give, and nobody makes.
GIVEN = {
    "Connecting",
    "Cursor",
    "Ledger",
    "SessionLedger",
    "ConnectionLedger",
    "Entry",
    "PendingCall",
    "Session",
    "ToolStats",
}


class PublicNames(SphinxDirective):
    """``.. public-names:: ROOM ROOM …``; with ``:package: gemini_live.emulator`` the names of another package."""

    required_arguments = 1
    optional_arguments = 100
    option_spec = {"package": str}  # noqa: RUF012 - how docutils reads it

    def run(self) -> list[nodes.Node]:
        """Write the directives of autodoc, and let them be read as if they stood on the page."""
        package = self.options.get("package", "gemini_live")
        lines = [line for room in self.arguments for line in _of_room(package, room)]
        container = nodes.container()
        self.state.nested_parse(StringList(lines, source=f"the names of {package}"), self.content_offset, container)
        return container.children


def names_of(package: str, room: str) -> list[str]:
    """The names of a room that its package offers: functions first, then in the room's order."""
    offered = set(import_module(package).__all__)
    names = [name for name in import_module(f"{package}.{room}").__all__ if name in offered]
    return sorted(names, key=lambda name: not name.islower())


def _of_room(package: str, room: str) -> Iterator[str]:
    yield f".. currentmodule:: {package}"
    yield ""
    for name in names_of(package, room):
        thing: Any = getattr(import_module(package), name)
        if inspect.isclass(thing):
            yield from [f".. autoclass:: {name}", "   :members:"]
            if _is_enum(thing):
                yield "   :undoc-members:"
            if issubclass(thing, BaseException):
                yield "   :show-inheritance:"
            yield from ["", *_described(thing), ""]
        elif inspect.isroutine(thing):
            yield from [f".. autofunction:: {name}", ""]
        else:  # a value, or an alias for annotations: its words stand behind it in the source
            said = ModuleAnalyzer.for_module(f"{package}.{room}").find_attr_docs().get(("", name), [""])
            yield from [f".. py:data:: {name}", "", *(f"   {line}" for line in said), ""]


def _described(thing: type) -> Iterator[str]:
    """The fields of a struct that have their words in their annotation, where the command line finds them as well."""
    for name, hint in _hints(thing).items():
        meta = next((one for one in getattr(hint, "__metadata__", ()) if isinstance(one, msgspec.Meta)), None)
        if meta is not None:
            yield f"   :ivar {name}: {meta.description}"


def _hints(thing: type) -> dict[str, Any]:
    return get_type_hints(thing, include_extras=True) if issubclass(thing, msgspec.Struct) else {}


def _is_enum(thing: type) -> bool:
    return hasattr(thing, "__members__")


def _signature(
    _app: Sphinx, kind: str, name: str, thing: type, _options: object, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Leave out how a thing is made that users are given, and a signature that says what the list of fields says."""
    if kind == "class" and (name.rpartition(".")[2] in GIVEN or any(_described(thing))):
        return "", None
    return signature, returned


def _docstring(_app: Sphinx, kind: str, _name: str, _thing: object, _options: object, lines: list[str]) -> None:
    """Keep napoleon from taking what stands before a colon for a type: our types stand in annotations.

    It looks for one in the first line only, so that line becomes a comment without words.
    """
    if kind in {"attribute", "property", "data"} and lines:
        lines[:0] = ["..", ""]


def _elsewhere(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.reference | None:
    """Find what a docstring names without saying whose it is: a name of the package, a session's method, a field."""
    names = env.domains.python_domain.objects
    for target in _candidates(str(node.get("reftarget"))):
        if node.get("refdomain") == "py" and target in names:
            entry = names[target]
            return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, [content], target)
    return None


def _candidates(name: str) -> Iterator[str]:
    yield f"gemini_live.{name}"
    yield f"gemini_live.Session.{name}"
    owner, _, field = name.rpartition(".")
    if field in getattr(getattr(import_module("gemini_live"), owner, None), "__struct_fields__", ()):
        yield f"gemini_live.{owner}"  # whose list of fields has it


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-process-docstring", _docstring, priority=400)  # before napoleon's
    app.connect("missing-reference", _elsewhere)
    app.add_directive("public-names", PublicNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
