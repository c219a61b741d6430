"""A directive of the reference: every public name of a room, as users write it.

::

    .. public-names:: session opening

A room's own list says what it offers; a name that `gemini_live` does not offer is left out. So a name that is added is
documented, and one that is taken away is gone.
"""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode
from sphinx.util.typing import stringify_annotation

from gemini_live import Credential
from gemini_live.media.g711 import Companding
from gemini_live.media.player import MODEL_RATE_HZ
from gemini_live.media.video import PixelOrder
from gemini_live.speech import NATIVE_RATE_HZ, Encoding, Layout

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


# What other rooms of the package call, and users do not.
INSIDE = {"Cursor": ("end", "keep_no_audio", "put", "put_audio")}

# Names in signatures that are not offered: what they stand for.
SPELLED = {
    "Block": "npt.NDArray[np.float32]",
    "Companding": str(Companding),
    "Encoding": str(Encoding),
    "Frame": "npt.NDArray[np.uint8]",
    "Layout": str(Layout),
    "MODEL_RATE_HZ": f"{MODEL_RATE_HZ:_}",
    "NATIVE_RATE_HZ": f"{NATIVE_RATE_HZ:_}",
    "PixelOrder": str(PixelOrder),
    "Samples": "Buffer | npt.NDArray[Any]",
    "_Served": "Emulator",
}
_SPELLED = re.compile(rf"(?<![\w.])(?:{'|'.join(SPELLED)})\b")


class PublicNames(SphinxDirective):
    """``.. public-names:: ROOM ROOM …``; with ``:package: gemini_live.emulator`` the names of another package.

    ``:under: Event`` leaves out what is no subclass of that name, and ``:but: Event`` what is one, or is it.
    """

    required_arguments = 1
    optional_arguments = 100
    option_spec = {"package": str, "under": str, "but": str}  # noqa: RUF012 - how docutils reads it

    def run(self) -> list[nodes.Node]:
        """Write the directives of autodoc, and let them be read as if they stood on the page."""
        package = self.options.get("package", "gemini_live")
        chosen = {option: self.options.get(option, "") for option in ("under", "but")}
        lines = [line for room in self.arguments for line in _of_room(package, room, **chosen)]
        container = nodes.container()
        self.state.nested_parse(StringList(lines, source=f"the names of {package}"), self.content_offset, container)
        return container.children


def names_of(package: str, room: str, *, under: str = "", but: str = "") -> list[str]:
    """The names of a room that its package offers: functions first, then in the room's order."""
    offered = set(import_module(package).__all__)
    module = import_module(f"{package}.{room}")
    names = [name for name in module.__all__ if name in offered]
    if under:
        names = [name for name in names if _is_under(module, name, under)]
    if but:
        names = [name for name in names if not _is_under(module, name, but)]
    return sorted(names, key=lambda name: not name.islower())


def _is_under(module: object, name: str, base: str) -> bool:
    thing = getattr(module, name)
    return inspect.isclass(thing) and issubclass(thing, getattr(module, base))


def _of_room(package: str, room: str, *, under: str = "", but: str = "") -> Iterator[str]:
    yield f".. currentmodule:: {package}"
    yield ""
    for name in names_of(package, room, under=under, but=but):
        thing: Any = getattr(import_module(package), name)
        if inspect.isclass(thing):
            yield from [f".. autoclass:: {name}", "   :members:"]
            if name in INSIDE:
                yield f"   :exclude-members: {', '.join(INSIDE[name])}"
            if _is_enum(thing):
                yield "   :undoc-members:"
            if any(_is_shown(thing, base) for base in thing.__bases__):
                yield "   :show-inheritance:"
            yield from ["", *_described(thing), ""]
        elif inspect.isroutine(thing):
            yield from [f".. autofunction:: {name}", ""]
        else:  # a value, or an alias for annotations: its words stand behind it in the source
            said = ModuleAnalyzer.for_module(f"{package}.{room}").find_attr_docs().get(("", name), [""])
            if isinstance(thing, UnionType):
                yield from [f".. py:type:: {name}", f"   :canonical: {_canonical(name, thing)}"]
            else:
                yield f".. py:data:: {name}"
            yield from ["", *(f"   {line}" for line in said), ""]


def _canonical(name: str, alias: UnionType) -> str:
    """What an alias stands for, in which `Credential` stands for itself."""
    whole = stringify_annotation(alias, "smart")
    credential = stringify_annotation(Credential, "smart")
    return whole if name == "Credential" else whole.replace(credential, "~gemini_live.Credential")


def _described(thing: type) -> Iterator[str]:
    """The fields of a struct that have their words in their annotation, where the command line finds them as well.

    They stand under the headings of the command line, because their words go on from those.
    """
    if not issubclass(thing, msgspec.Struct):
        return
    group = ""
    hints = get_type_hints(thing, include_extras=True)
    for field in msgspec.structs.fields(thing):
        hint = hints[field.name]
        if get_origin(hint) is not Annotated:
            continue
        plain, meta = get_args(hint)
        if meta.extra["group"] != group:
            group = meta.extra["group"]
            yield from ["", f"   *{group}:*", ""]
        kind = stringify_annotation(plain, "smart").replace("~typing.", "")
        default = "" if "(default:" in meta.description else f"; default ``{field.default!r}``"
        yield f"   * **{field.name}** (``{kind}``) – {meta.description}{default}."


def _is_shown(thing: type, base: type) -> bool:
    """Whether a class says that it has this base: an error does, and so does what inherits methods."""
    if issubclass(thing, BaseException):
        return True
    package = base.__module__.rpartition(".")[0]
    offered = import_module(package).__all__ if package.startswith("gemini_live") else ()
    return base.__name__ in offered and not issubclass(thing, msgspec.Struct)


def _is_enum(thing: type) -> bool:
    return hasattr(thing, "__members__")


def _signature(
    _app: Sphinx, kind: str, name: str, thing: type, _options: object, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Leave out how a thing is made that users are given, and a signature that says what the list of fields says."""
    is_shape = getattr(thing, "_is_protocol", False)  # of what others make; a protocol itself is never called
    if kind == "class" and (is_shape or name.rpartition(".")[2] in GIVEN or any(_described(thing))):
        return "", None
    if signature and "<factory>" in signature:  # as msgspec shows a default that is made anew each time
        made = iter(_made(thing))
        signature = re.sub("<factory>", lambda _: next(made), signature)
    return _spelled(signature), _spelled(returned)


def _made(thing: type) -> Iterator[str]:
    for field in msgspec.structs.fields(thing):
        if callable(field.default_factory):
            yield repr(field.default_factory())


def _spelled(text: str | None) -> str | None:
    return text and _SPELLED.sub(lambda found: SPELLED[found[0]].replace("typing.", ""), text)


def _bases(_app: Sphinx, _name: str, thing: type, _options: object, bases: list[type]) -> None:
    bases[:] = [base for base in bases if _is_shown(thing, base)]


def _docstring(_app: Sphinx, kind: str, _name: str, _thing: object, _options: object, lines: list[str]) -> None:
    """Keep napoleon from taking what stands before a colon for a type: our types stand in annotations.

    It looks for one in the first line only, so that line becomes a comment without words.
    """
    if kind in {"attribute", "property", "data"} and lines:
        lines[:0] = ["..", ""]


def _types(_app: Sphinx, _kind: str, _name: str, _thing: object, _options: object, lines: list[str]) -> None:
    """Name a type of a field as signatures name it, which napoleon does not."""
    lines[:] = [line.replace("collections.abc.", "") if line.startswith(":vartype ") else line for line in lines]


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
    first, _, rest = name.partition(".")
    if first == "gemini_live":  # a type by the room that defines it
        package = next((one for one in ("emulator.", "media.") if rest.startswith(one)), "")
        yield f"gemini_live.{package}{name.rpartition('.')[2]}"
    yield f"gemini_live.{name}"
    yield f"gemini_live.Session.{name}"
    owner, _, field = name.rpartition(".")
    if field in getattr(getattr(import_module("gemini_live"), owner, None), "__struct_fields__", ()):
        yield f"gemini_live.{owner}"  # whose list of fields has it


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-process-bases", _bases)
    app.connect("autodoc-process-docstring", _docstring, priority=400)  # before napoleon's
    app.connect("autodoc-process-docstring", _types, priority=600)  # after napoleon's
    app.connect("missing-reference", _elsewhere)
    app.add_directive("public-names", PublicNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
