"""A typed Python function → what the service is told of it, and how the model's arguments are read for it.

The name, the docstring and the hints become a declaration whose parameters are JSON Schema, made by msgspec; the same
hints then check every call's arguments.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import re
import textwrap
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, overload

import msgspec

from gemini_live.errors import ConfigError
from gemini_live.interop import struct_from
from gemini_live.messages import Scheduling
from gemini_live.setup_message import FunctionDeclaration, Tool

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Function", "declarations", "tool", "tools_from"]

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])

# Live API reference, FunctionDeclaration.name
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}", re.ASCII)
# Without a declared behavior these wait for the answer, and forget the call when they are interrupted. 3.8 models were
# seen to go on talking, and so does whatever is not known here: an answer too many is ignored, one too few is missed.
_WAIT_FOR_ANSWERS = re.compile(r"(?:.*/)?gemini-(?:2|3\.1)")
# Every number of a call is a double; up to here a double that is whole is the integer that the model meant.
_EXACT = 2**53


class _Options(msgspec.Struct, frozen=True, kw_only=True):
    name: str | None = None
    behavior: Literal["BLOCKING", "NON_BLOCKING"] | None = None
    scheduling: Scheduling | None = None
    timeout_s: float | None = 60.0
    cancel_on_interrupt: bool | None = None


@overload
def tool(function: AnyFunction, /) -> AnyFunction: ...


@overload
def tool(
    *,
    name: str | None = None,
    behavior: Literal["BLOCKING", "NON_BLOCKING"] | None = None,
    scheduling: Scheduling | None = None,
    timeout_s: float | None = 60.0,
    cancel_on_interrupt: bool | None = None,
) -> Callable[[AnyFunction], AnyFunction]: ...


def tool(  # noqa: PLR0913 - each is one thing a user may want to say
    function: AnyFunction | None = None,
    /,
    *,
    name: str | None = None,
    behavior: Literal["BLOCKING", "NON_BLOCKING"] | None = None,
    scheduling: Scheduling | None = None,
    timeout_s: float | None = 60.0,
    cancel_on_interrupt: bool | None = None,
) -> AnyFunction | Callable[[AnyFunction], AnyFunction]:
    """Say how a function is to be used as a tool; the function itself stays as it is.

    ::

        @live.tool(behavior="NON_BLOCKING", scheduling="WHEN_IDLE", timeout_s=10)
        async def order(item: str, count: int = 1) -> str:
            '''Place an order.'''

    Only options need this: ``connect(…, tools=[function])`` takes any typed function.

    Args:
        function: when used without parentheses.
        name: what the model calls it; by default the function's own name.
        behavior: whether the model waits for the answer; by default as the model does.
        scheduling: when the model speaks about the answer; for ``NON_BLOCKING`` only.
        timeout_s: the model is told of a failure when the answer takes longer; ``None`` waits for ever.
        cancel_on_interrupt: whether a call ends when the user cuts in. By default, calls that the model waits for end.

    Raises:
        ConfigError: options that do not go together.
    """
    given = {
        "name": name,
        "behavior": behavior,
        "scheduling": scheduling,
        "timeout_s": timeout_s,
        "cancel_on_interrupt": cancel_on_interrupt,
    }
    options = struct_from(_Options, given, "tool")
    if options.timeout_s is not None and not options.timeout_s > 0:
        raise ConfigError(f"timeout_s must be above 0, got {timeout_s}; None waits for ever", path="tool.timeout_s")
    if options.scheduling is not None and options.behavior != "NON_BLOCKING":
        raise ConfigError(
            "scheduling is for functions that the model does not wait for; add behavior='NON_BLOCKING'",
            path="tool.scheduling",
        )

    def mark(marked: AnyFunction) -> AnyFunction:
        if inspect.ismethod(marked):
            marked = cast("AnyFunction", _of_one_object(marked))
        bare = getattr(marked, "__func__", marked)  # in a classmethod or staticmethod, which the class does not show
        try:
            vars(bare)["__gemini_live_tool__"] = options
        except TypeError:
            what = getattr(marked, "__name__", repr(marked))
            raise ConfigError(f"tool {what!r}: it holds no options; give a function of your own", path="tool") from None
        return marked

    return mark if function is None else mark(function)


def _of_one_object(method: Callable[..., Any]) -> Callable[..., Any]:
    """A bound method as a function, because the attributes of a bound method are those of all objects' methods."""
    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def alone(*args: Any, **kwargs: Any) -> object:  # noqa: ANN401 - passed on
            return await method(*args, **kwargs)

        return alone

    @functools.wraps(method)
    def alone_in_a_thread(*args: Any, **kwargs: Any) -> object:  # noqa: ANN401 - passed on
        return method(*args, **kwargs)

    return alone_in_a_thread


class Function:
    """A Python function, as the model sees it and as it is called.

    Args:
        function: typed, sync or async.

    Attributes:
        declaration: what the service is told.

    Raises:
        ConfigError: the function cannot be declared; names function, parameter and mend.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._is_async = inspect.iscoroutinefunction(function)
        self.options: _Options = getattr(function, "__gemini_live_tool__", _Options())
        self.name = str(self.options.name or getattr(function, "__name__", ""))
        if isinstance(function, functools.partial):
            self.name = str(self.options.name or getattr(function.func, "__name__", ""))
            # what it presets by name stays a parameter with another default; its docstring is that of partial itself
            raise self._wrong(
                "a functools.partial would let the model set what it presets; give a method or a function inside a "
                "function, which know it"
            )
        if inspect.isclass(function) or not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"tool {self.name or function!r}: not a name that the service takes; give a function, or name it with "
                "live.tool(name=…): a letter or _, then letters, digits and _ . : -, 128 at most",
                path="tools",
            )
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise self._wrong("yields; a tool returns one value")
        hints = self._hints()
        described = _described_arguments(inspect.getdoc(function) or "")
        properties = {name: self._schema(name, hint, described) for name, (hint, _) in hints.items()}
        required = [name for name, (_, default) in hints.items() if default is inspect.Parameter.empty]
        schema = {"type": "object", "properties": properties, **({"required": required} if required else {})}
        self.declaration = FunctionDeclaration(
            name=self.name,
            description=_first_paragraph(inspect.getdoc(function) or ""),
            parameters_json_schema=schema if properties else None,
            behavior=self.options.behavior,
        )
        # A struct cannot name its fields as freely as a function its parameters: in a class `__x` is another name.
        fields = {f"field_{index}": name for index, name in enumerate(hints)}
        # what is not given stays unset, so that the function's own default is used
        self._arguments = msgspec.defstruct(
            "Arguments",
            [
                (field, hints[name][0])
                if name in required
                else (field, typing.Union[hints[name][0], msgspec.UnsetType], msgspec.UNSET)  # noqa: UP007 - a hint may be an object that does not know |
                for field, name in fields.items()
            ],
            rename=fields,
            kw_only=True,
            forbid_unknown_fields=True,
        )

    def _wrong(self, what: str, parameter: str = "") -> ConfigError:
        where = f"tool {self.name!r}" + (f", parameter {parameter!r}" if parameter else "")
        return ConfigError(f"{where}: {what}", path=f"tools.{self.name}" + (f".{parameter}" if parameter else ""))

    def _hints(self) -> dict[str, tuple[Any, object]]:
        """Type and default of each parameter."""
        try:
            parameters = inspect.signature(self._function).parameters
        except Exception as error:  # noqa: BLE001 - reading annotations runs code
            raise self._wrong(f"its parameters cannot be read: {error}") from None
        bare = inspect.unwrap(self._function)
        if not inspect.isroutine(bare):
            bare = inspect.unwrap(type(bare).__call__)  # an object that can be called
        scope = getattr(bare, "__globals__", {})
        hints: dict[str, tuple[Any, object]] = {}
        for name, parameter in parameters.items():
            match parameter.kind:
                case inspect.Parameter.VAR_POSITIONAL | inspect.Parameter.VAR_KEYWORD:
                    raise self._wrong(f"the model cannot fill {parameter}; name each parameter", name)
                case inspect.Parameter.POSITIONAL_ONLY:
                    raise self._wrong("arguments come by name; remove the / from the signature", name)
                case _:
                    pass
            if parameter.annotation is inspect.Parameter.empty:
                raise self._wrong(f"has no type hint; write for example {name}: str", name)
            holder = types.SimpleNamespace(__annotations__={name: parameter.annotation})
            try:
                hint = typing.get_type_hints(holder, globalns=scope, include_extras=True)[name]
            except Exception as error:  # noqa: BLE001 - a hint is an expression, and may raise anything
                raise self._wrong(
                    f"its hint {parameter.annotation!r} cannot be evaluated ({error}); import or define what it names "
                    "at the top of the module, not under TYPE_CHECKING",
                    name,
                ) from None
            hints[name] = (hint, parameter.default)
        return hints

    def _schema(self, name: str, hint: object, described: Mapping[str, str]) -> dict[str, Any]:
        try:
            (schema,), definitions = msgspec.json.schema_components((hint,), ref_template="{name}")
            inlined = cast("dict[str, Any]", _inline(schema, definitions))
        except Exception as error:  # noqa: BLE001 - the hint is the user's, and may hold classes with code of their own
            reason = str(error).splitlines()[-1].removesuffix(" is not supported")
            raise self._wrong(
                f"there is no JSON Schema for its hint ({reason}); use str, int, float, bool, Literal, Enum, list, "
                "dict, a dataclass or a TypedDict",
                name,
            ) from None
        return inlined if name not in described else {"description": described[name], **inlined}

    def read(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call, by name and of the hinted types.

        Raises:
            msgspec.ValidationError: one is missing, unknown or of the wrong type.
        """
        read = msgspec.convert(_whole_numbers(arguments), self._arguments, str_keys=True)
        names = zip(read.__struct_encode_fields__, read.__struct_fields__, strict=True)
        given = ((name, getattr(read, field)) for name, field in names)
        return {name: value for name, value in given if value is not msgspec.UNSET}

    async def call(self, arguments: Mapping[str, Any]) -> object:
        """Call it with arguments that were `read`; a sync function in a thread, so that it may block."""
        value = self._function(**arguments) if self._is_async else await self._in_a_thread(arguments)
        return await value if inspect.isawaitable(value) else value

    async def _in_a_thread(self, arguments: Mapping[str, Any]) -> object:
        """As `asyncio.to_thread`, but in a thread of its own.

        The loop has few, and each dial needs one: functions that hang in them would keep sessions from coming back.
        """
        context = contextvars.copy_context()
        thread = ThreadPoolExecutor(1, thread_name_prefix=f"gemini-live tool {self.name}")
        try:
            return await asyncio.get_running_loop().run_in_executor(
                thread, lambda: context.run(self._blocking, arguments)
            )
        finally:
            thread.shutdown(wait=False)

    def _blocking(self, arguments: Mapping[str, Any]) -> object:
        try:
            return self._function(**arguments)
        except StopIteration as error:  # which no future takes; a coroutine does the same with it
            raise RuntimeError("the function raised StopIteration") from error

    def forgotten_when_interrupted(self, declared: FunctionDeclaration, model: str) -> bool:
        """Whether the end of a turn is the end of its call."""
        if self.options.cancel_on_interrupt is not None:
            return self.options.cancel_on_interrupt
        if declared.behavior is not None:
            return declared.behavior == "BLOCKING"
        return _WAIT_FOR_ANSWERS.match(model) is not None


def tools_from(given: object, setup_tools: Iterable[Tool]) -> tuple[list[Tool], list[Function]]:
    """Read the ``tools`` argument: functions are declared, in one `Tool`; a `Tool` or a mapping is taken as it is.

    Args:
        given: a list of functions, tools and mappings.
        setup_tools: what the setup has already.

    Returns:
        All tools, the setup's first; and the functions.

    Raises:
        ConfigError: a function that cannot be declared, a name twice, or something else.
    """
    if not isinstance(given, list | tuple):
        raise ConfigError(f"tools is a list of functions, not {type(given).__name__}", path="tools")
    items = cast("Sequence[object]", given)
    functions = [Function(item) for item in items if callable(item)]
    tools = [
        *setup_tools,
        *(struct_from(Tool, item, f"tools[{index}]") for index, item in enumerate(items) if not callable(item)),
    ]
    declared = set(declarations(tools))
    for function in functions:
        if function.name in declared:
            raise ConfigError(
                f"tool {function.name!r} is declared twice; rename one with live.tool(name=…), or attach to what the "
                "setup declares with session.tool",
                path=f"tools.{function.name}",
            )
        declared.add(function.name)
    if functions:
        tools.append(Tool(function_declarations=[function.declaration for function in functions]))
    return tools, functions


def declarations(tools: Iterable[Tool]) -> dict[str, FunctionDeclaration]:
    """The functions that a setup declares, by name."""
    return {declaration.name: declaration for one in tools for declaration in one.function_declarations}


def _first_paragraph(doc: str) -> str:
    return " ".join(doc.strip().partition("\n\n")[0].split())


# How a docstring names a parameter, and where: Google's style, NumPy's, Sphinx's.
_STYLES = (
    (
        re.compile(r"^(?:Args|Arguments|Parameters):[ \t]*\n((?:[ \t]+\S.*(?:\n|$)|[ \t]*\n)+)", re.MULTILINE),
        re.compile(r"(?P<name>\w+)\s*(?:\(.*?\))?:\s*(?P<words>.*)"),
    ),
    (
        re.compile(r"^Parameters[ \t]*\n-+[ \t]*\n((?:.*(?:\n|$))+?)(?=\S.*\n-+[ \t]*$|\Z)", re.MULTILINE),
        re.compile(r"(?P<name>\w+)\s*(?::.*)?$(?P<words>)"),
    ),
    (re.compile(r"^(:param\b(?:.*(?:\n|$))+)", re.MULTILINE), re.compile(r":param\b.*?(?P<name>\w+):\s*(?P<words>.*)")),
)


def _described_arguments(doc: str) -> dict[str, str]:
    """What a docstring says of the parameters: name → description."""
    described: dict[str, str] = {}
    for where, entry in _STYLES:
        section = where.search(doc)
        name = ""
        for line in textwrap.dedent(section[1]).splitlines() if section else ():
            if begins := entry.match(line):
                name = begins["name"]
                described[name] = begins["words"]
            elif line[:1].strip():
                name = ""  # something else
            elif name and line.strip():
                described[name] = f"{described[name]} {line.strip()}".strip()
    return described


def _inline(schema: object, definitions: Mapping[str, Any], inside: tuple[str, ...] = ()) -> object:
    """A schema without references: the model is told of one function at a time."""
    if isinstance(schema, list):
        return [_inline(item, definitions, inside) for item in cast("list[object]", schema)]
    if not isinstance(schema, dict):
        return schema
    fields = cast("dict[str, object]", schema)
    name = fields.get("$ref")
    if isinstance(name, str):
        if name in inside:
            raise TypeError(f"{name} contains itself")
        whole = {**definitions[name], **{key: value for key, value in fields.items() if key != "$ref"}}
        return _inline(whole, definitions, (*inside, name))
    inlined: dict[str, object] = {}
    for key, value in fields.items():
        if key == "properties" and isinstance(value, dict):  # by names that are the user's, such as "discriminator"
            named = cast("dict[str, object]", value)
            inlined[key] = {field: _inline(inner, definitions, inside) for field, inner in named.items()}
        elif key != "discriminator":  # which maps to the references that are gone
            inlined[key] = _inline(value, definitions, inside)
    return inlined


def _whole_numbers(value: object) -> object:
    """The same with every double that is whole as an integer, which msgspec takes for a float as well."""
    match value:
        case float() if value.is_integer() and abs(value) <= _EXACT:
            return int(value)
        case Mapping():
            return {key: _whole_numbers(item) for key, item in cast("Mapping[str, object]", value).items()}
        case list():
            return [_whole_numbers(item) for item in cast("list[object]", value)]
        case _:
            return value
