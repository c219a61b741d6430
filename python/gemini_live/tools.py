"""Tools that run themselves: the tool ledger and the runner of Python functions that the model calls.

Three parts, from the ground up. A typed function with its docstring becomes a `Function`: what the service is told, and
how arguments are read. The `ToolLedger` decides, purely: facts go in, decisions come out, and every call that is live
gets exactly one answer, whatever the network does meanwhile. `Tools` carries that out, each call in a task of its own.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
import textwrap
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, assert_never, cast, overload

import msgspec

from gemini_live import codec, events
from gemini_live.config import FunctionDeclaration, Tool
from gemini_live.errors import ConfigError
from gemini_live.interop import struct_from
from gemini_live.messages import FunctionCall, FunctionResponse, Scheduling, ToolResponse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemini_live.config import Setup
    from gemini_live.fanout import Cursor, Fanout
    from gemini_live.runner import Runner

__all__ = [
    "Cancel",
    "Decision",
    "Function",
    "PendingCall",
    "Run",
    "Send",
    "ToolLedger",
    "ToolStats",
    "Tools",
    "tool",
    "tools_from",
]

_log = logging.getLogger("gemini_live")

_AnyFunction = TypeVar("_AnyFunction", bound=Callable[..., Any])

# Live API reference, FunctionDeclaration.name
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}", re.ASCII)
# Without a declared behavior these wait for the answer, and forget the call when they are interrupted. 3.8 models were
# seen to go on talking, and so does whatever is not known here: an answer too many is ignored, one too few is missed.
_WAIT_FOR_ANSWERS = re.compile(r"(?:.*/)?gemini-(?:2|3\.1)")
# Every number of a call is a double; up to here a double that is whole is the integer that the model meant.
_EXACT = 2**53
# How much of an exception's words the model gets to read.
_MOST_WORDS = 1_000
# Answers that are remembered, in case their call comes again.
_REMEMBERED = 1_024
# How long the end of a session waits for functions that do not heed their cancellation.
_PATIENCE_S = 5.0


# --- functions -------------------------------------------------------------------------------------------------------


class _Options(msgspec.Struct, frozen=True, kw_only=True):
    name: str | None = None
    behavior: Literal["BLOCKING", "NON_BLOCKING"] | None = None
    scheduling: Scheduling | None = None
    timeout_s: float | None = 60.0
    cancel_on_interrupt: bool | None = None


@overload
def tool(function: _AnyFunction, /) -> _AnyFunction: ...


@overload
def tool(
    *,
    name: str | None = None,
    behavior: Literal["BLOCKING", "NON_BLOCKING"] | None = None,
    scheduling: Scheduling | None = None,
    timeout_s: float | None = 60.0,
    cancel_on_interrupt: bool | None = None,
) -> Callable[[_AnyFunction], _AnyFunction]: ...


def tool(  # noqa: PLR0913 - each is one thing a user may want to say
    function: _AnyFunction | None = None,
    /,
    *,
    name: str | None = None,
    behavior: Literal["BLOCKING", "NON_BLOCKING"] | None = None,
    scheduling: Scheduling | None = None,
    timeout_s: float | None = 60.0,
    cancel_on_interrupt: bool | None = None,
) -> _AnyFunction | Callable[[_AnyFunction], _AnyFunction]:
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
        cancel_on_interrupt: whether a call ends when the user cuts in. By default those do that the service then
            forgets: calls that the model waits for.

    Raises:
        ConfigError: options that do not go together.
    """
    if timeout_s is not None and not timeout_s > 0:
        raise ConfigError(f"timeout_s must be above 0, got {timeout_s}; None waits for ever", path="tool.timeout_s")
    if scheduling is not None and behavior != "NON_BLOCKING":
        raise ConfigError(
            "scheduling is for functions that the model does not wait for; add behavior='NON_BLOCKING'",
            path="tool.scheduling",
        )
    options = _Options(
        name=name,
        behavior=behavior,
        scheduling=scheduling,
        timeout_s=timeout_s,
        cancel_on_interrupt=cancel_on_interrupt,
    )

    def mark(marked: _AnyFunction) -> _AnyFunction:
        vars(marked)["__gemini_live_tool__"] = options
        return marked

    return mark if function is None else mark(function)


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
        # what is not given stays unset, so that the function's own default is used
        self._arguments = msgspec.defstruct(
            "Arguments",
            [
                (name, hint) if name in required else (name, typing.Union[hint, msgspec.UnsetType], msgspec.UNSET)  # noqa: UP007 - a hint may be an object that does not know |
                for name, (hint, _) in hints.items()
            ],
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
        scope = getattr(inspect.unwrap(self._function), "__globals__", {})
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
        given = ((name, getattr(read, name)) for name in read.__struct_fields__)
        return {name: value for name, value in given if value is not msgspec.UNSET}

    async def call(self, arguments: Mapping[str, Any]) -> object:
        """Call it with arguments that were `read`; a sync function in a thread, so that it may block."""
        value = self._function(**arguments) if self._is_async else await asyncio.to_thread(self._function, **arguments)
        return await value if inspect.isawaitable(value) else value

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
    declared = set(_declarations(tools))
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


def _declarations(tools: Iterable[Tool]) -> dict[str, FunctionDeclaration]:
    """The functions that a setup declares, by name."""
    return {declaration.name: declaration for one in tools for declaration in one.function_declarations}


def _first_paragraph(doc: str) -> str:
    return " ".join(doc.strip().partition("\n\n")[0].split())


def _described_arguments(doc: str) -> dict[str, str]:
    """The ``Args:`` section of a docstring in Google's style: name → description."""
    section = re.search(r"^Args:[ \t]*\n((?:[ \t]+\S.*(?:\n|$)|[ \t]*\n)+)", doc, re.MULTILINE)
    described: dict[str, str] = {}
    name = ""
    for line in textwrap.dedent(section[1]).splitlines() if section else ():
        begins = re.match(r"(\w+)\s*(?:\([^)]*\))?:\s*(.*)", line)
        if begins:
            name, described[begins[1]] = begins[1], begins[2]
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
    # a discriminator maps to the references that are gone
    return {key: _inline(value, definitions, inside) for key, value in fields.items() if key != "discriminator"}


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


# --- the ledger ------------------------------------------------------------------------------------------------------


class Run(msgspec.Struct, frozen=True):
    """Call the function, then report `ToolLedger.answered`."""

    key: str
    call: FunctionCall


class Cancel(msgspec.Struct, frozen=True):
    """Stop the call; what becomes of it is not to be reported."""

    key: str


class Send(msgspec.Struct, frozen=True):
    """Hand this message, which answers the calls with these ids, to the session.

    Attributes:
        asks: the model will say something about it.
    """

    payload: bytes
    ids: tuple[str, ...]
    asks: bool = True


Decision: TypeAlias = Run | Cancel | Send


class PendingCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call that has not been answered yet.

    Attributes:
        id: of the call; ``""`` where the service gives none.
        name: of the function.
        age_s: for how long it has been waiting for its answer.
    """

    id: str
    name: str
    age_s: float


class ToolStats(msgspec.Struct, frozen=True, kw_only=True):
    """The accounts of a session's own tool calls: ``calls == len(pending) + answered + cancelled + dropped``.

    Calls of functions without an implementation are the user's, and not counted.

    Attributes:
        calls: that came; one that comes again counts once.
        pending: those without an answer, oldest first.
        answered: those whose answer was handed over, by hand as well.
        failed: of those, the answers that report an error.
        cancelled: by the service, by an interruption, or by the end of the session.
        dropped: because the service has forgotten the conversation that they belonged to.
        repeated: answers that were sent once more, because the service asked once more.
    """

    calls: int = 0
    pending: Sequence[PendingCall] = ()
    answered: int = 0
    failed: int = 0
    cancelled: int = 0
    dropped: int = 0
    repeated: int = 0


class _Call(msgspec.Struct):
    call: FunctionCall
    since: float
    forgotten_when_interrupted: bool
    answer: Send | None = None  # as long as there is no connection to send it on
    failed: bool = False


class ToolLedger:
    """Which calls are live, and who was answered. Pure: no I/O, no asyncio; the clock is an argument.

    * A call is run once, however often it comes; one that comes again after its answer is answered again.
    * A call gets one answer, or it is cancelled or dropped and gets none.
    * Answers wait for a connection here. A conversation that the service has forgotten takes them along.
    * An answer that was handed over is the outbox's: it keeps it until it has arrived, on whatever connection.
    """

    def __init__(self) -> None:
        self._live: dict[str, _Call] = {}
        self._answered: dict[str, Send | None] = {}  # the latest calls that are over; None gets no answer any more
        self._connected = True
        self._closed = False
        self._unnamed = 0
        self._stats = ToolStats()

    def stats(self, now: float) -> ToolStats:
        """The balance at this moment."""
        pending = [
            PendingCall(id=live.call.id, name=live.call.name, age_s=max(0.0, now - live.since))
            for live in self._live.values()
        ]
        return msgspec.structs.replace(self._stats, pending=tuple(pending))

    def _count(self, **more: int) -> None:
        now = {name: getattr(self._stats, name) + count for name, count in more.items()}
        self._stats = msgspec.structs.replace(self._stats, **now)

    # --- facts: calls ---

    def called(self, now: float, call: FunctionCall, *, forgotten_when_interrupted: bool) -> list[Decision]:
        """The model calls a function that can be run."""
        if self._closed or call.id in self._live:
            return []
        if call.id in self._answered:
            # the service would not ask again if it had the answer, and the id makes a second one safe
            answer = self._answered[call.id]
            self._count(repeated=int(answer is not None))
            return [] if answer is None else [answer]
        key = call.id
        if not key:
            self._unnamed += 1
            key = f"without id, {self._unnamed}"
        self._live[key] = _Call(call, now, forgotten_when_interrupted)
        self._count(calls=1)
        return [Run(key, call)]

    def answered(self, key: str, answer: Send, *, failed: bool = False) -> list[Decision]:
        """The function has returned, or failed, and this says so."""
        live = self._live.get(key)
        if live is None or live.answer is not None:
            return []
        live.answer = answer
        live.failed = failed
        return [*self._send(key, live)] if self._connected else []

    def expired(self, key: str, answer: Send) -> list[Decision]:
        """The function has not returned in time, and this says so."""
        return [Cancel(key), *self.answered(key, answer, failed=True)]

    def answered_by_hand(self, answer: Send, final: Iterable[str]) -> list[Cancel]:
        """The user has sent this; the answers to the calls in ``final`` are complete."""
        over = [key for key in final if key in self._live]
        for key in over:
            self._remember(key, answer)
        self._count(answered=len(over))
        return [Cancel(key) for key in over]

    def _send(self, key: str, live: _Call) -> list[Send]:
        answer = live.answer
        if answer is None:
            return []
        self._remember(key, answer)
        self._count(answered=1, failed=int(live.failed))
        return [answer]

    def _remember(self, key: str, answer: Send | None) -> None:
        """A call is over."""
        del self._live[key]
        self._answered[key] = answer
        while len(self._answered) > _REMEMBERED:
            del self._answered[next(iter(self._answered))]

    # --- facts: what ends a call ---

    def cancelled(self, ids: Iterable[str]) -> list[Cancel]:
        """The service does not want these answers any more."""
        return self._cancel([key for key in ids if key in self._live])

    def interrupted(self) -> list[Cancel]:
        """The user has cut in, and the turn is over."""
        return self._cancel([key for key, live in self._live.items() if live.forgotten_when_interrupted])

    def closing(self) -> list[Decision]:
        """The user ends the session: what is answered goes into its accounts, what is not ends here."""
        self._closed = True
        return [*self._send_what_waits(), *self._cancel(list(self._live))]

    def closed(self) -> list[Cancel]:
        """The session has ended, and takes nothing any more."""
        self._closed = True
        return self._cancel(list(self._live))

    def _cancel(self, keys: Sequence[str]) -> list[Cancel]:
        for key in keys:
            self._remember(key, None)
        self._count(cancelled=len(keys))
        return [Cancel(key) for key in keys]

    # --- facts: the connection ---

    def reconnecting(self) -> None:
        """There is no connection; answers wait."""
        self._connected = False

    def reconnected(self, *, context_restored: bool) -> list[Decision]:
        """There is a connection again."""
        self._connected = True
        if not context_restored:
            keys = list(self._live)
            self._live.clear()
            self._answered.clear()  # another conversation may use the same ids
            self._count(dropped=len(keys))
            return [Cancel(key) for key in keys]
        return [*self._send_what_waits()]

    def _send_what_waits(self) -> list[Send]:
        return [answer for key, live in list(self._live.items()) for answer in self._send(key, live)]


# --- the runner ------------------------------------------------------------------------------------------------------

# The loop itself keeps no task alive, and a session that nobody holds any more must still see its tools end.
_listening: set[asyncio.Task[None]] = set()


class Tools:
    """Runs the functions of one session: each call in a task of its own, never on the reading path.

    It holds nothing of the session but what outlives it, so that a session which nobody holds any more can end.

    Args:
        runner: of the session.
        fanout: of the session.
        setup: what it declares, and the model, which decides what an interruption means.
    """

    def __init__(self, runner: Runner, fanout: Fanout, setup: Setup) -> None:
        self._runner = runner
        self._fanout = fanout
        self._declared = _declarations(setup.tools)
        self._model = setup.model
        self._loop = asyncio.get_running_loop()
        self._functions: dict[str, Function] = {}
        self._ledger = ToolLedger()
        self._cursor: Cursor | None = None
        self._listener: asyncio.Task[None] | None = None
        self._working: dict[str, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()  # cancelled, and not yet done
        self._deadlines: dict[str, asyncio.TimerHandle] = {}

    @property
    def stats(self) -> ToolStats:
        """The ledger's accounts at this moment."""
        self._catch_up()
        return self._ledger.stats(self._loop.time())

    # --- for the session ---

    def attach(self, function: Function) -> None:
        """Run this function whenever the model calls it from now on.

        Raises:
            ConfigError: the setup does not declare it, or otherwise, or another one implements it.
        """
        name = function.name
        declared = self._declared.get(name)
        if declared is None:
            raise ConfigError(
                f"tool {name!r}: the setup declares no such function, and the service is told only once; give it to "
                "connect(…, tools=[…])",
                path=f"tools.{name}",
            )
        if function.options.behavior not in (None, declared.behavior):
            raise ConfigError(
                f"tool {name!r}: the setup declares behavior {declared.behavior!r}; say {function.options.behavior!r} "
                "there",
                path=f"tools.{name}",
            )
        if name in self._functions:
            raise ConfigError(f"tool {name!r} has an implementation already", path=f"tools.{name}")
        self._functions[name] = function
        self._listen()

    def take_over(self, calls: Sequence[FunctionCall]) -> None:
        """Run what another process of this session has left unanswered."""
        self._take(events.ToolCall(calls=calls))

    def answered_by_hand(self, answers: Sequence[FunctionResponse]) -> None:
        """The user has answered, and the message is in the outbox."""
        final = [answer.id for answer in answers if answer.id and not answer.will_continue]
        self._carry_out(self._ledger.answered_by_hand(_message(answers), final))

    def close(self) -> None:
        """Cancel what runs, and listen no more."""
        self._catch_up()
        # A tool may end its own session; it would wait for itself. It is let go.
        me = asyncio.current_task()
        for key in [key for key, task in self._working.items() if task is me]:
            del self._working[key]
            self._stop_clock(key)
        self._carry_out(self._ledger.closing())
        if self._cursor is not None:
            self._cursor.close()

    async def wait_closed(self) -> None:
        """Wait until nothing is left that `close` has ended."""
        leaving = {*self._leaving, *([self._listener] if self._listener else [])} - {asyncio.current_task()}
        if not leaving:
            return
        _, stubborn = await asyncio.wait(leaving, timeout=_PATIENCE_S)
        for task in stubborn:
            _log.warning("%s does not heed its cancellation and is left behind", task.get_name())

    # --- listening ---

    def _listen(self) -> None:
        if self._cursor is None:
            self._cursor = self._fanout.join()
            self._listener = self._loop.create_task(self._follow(self._cursor), name="gemini-live tools")
            _listening.add(self._listener)
            self._listener.add_done_callback(_listening.discard)

    async def _follow(self, cursor: Cursor) -> None:
        try:
            async for event in cursor:
                self._take(event)
        finally:
            self._carry_out(self._ledger.closed())

    def _catch_up(self) -> None:
        """Take what has happened before this moment, so that the ledger decides on nothing that is out of date."""
        while self._cursor is not None and (event := self._cursor.next_now()) is not None:
            self._take(event)

    def _take(self, event: events.Event) -> None:
        ledger = self._ledger
        match event:
            case events.ToolCall(calls=calls):
                for call in calls:
                    if call.name in self._functions:
                        forgotten = self._functions[call.name].forgotten_when_interrupted(
                            self._declared[call.name], self._model
                        )
                        self._carry_out(ledger.called(self._loop.time(), call, forgotten_when_interrupted=forgotten))
            case events.ToolCallCancellation(ids=ids):
                self._carry_out(ledger.cancelled(ids))
            case events.Interrupted():
                decisions = ledger.interrupted()
                self._settle(decision.key for decision in decisions)
                self._carry_out(decisions)
            case events.Reconnecting():
                ledger.reconnecting()
            case events.Reconnected(context_restored=context_restored):
                self._carry_out(ledger.reconnected(context_restored=context_restored))
            case events.Closed():
                self._carry_out(ledger.closed())
            case _:
                pass

    # --- decisions ---

    def _carry_out(self, decisions: Iterable[Decision]) -> None:
        for decision in decisions:
            match decision:
                case Run(key=key, call=call):
                    function = self._functions[call.name]
                    task = self._loop.create_task(self._run(key, call, function), name=f"gemini-live tool {call.name}")
                    self._working[key] = task
                    if function.options.timeout_s is not None:
                        self._deadlines[key] = self._loop.call_later(
                            function.options.timeout_s, self._expired, key, call, function
                        )
                case Cancel(key=key):
                    self._stop_clock(key)
                    if key in self._working:
                        task = self._working.pop(key)
                        self._leaving.add(task)
                        task.add_done_callback(self._leaving.discard)
                        task.cancel()
                case Send(payload=payload, ids=ids, asks=asks):
                    self._runner.submit("tool_response", payload)
                    self._settle(ids)
                    if asks:
                        self._runner.protocol.conversation.answer_asked_for(self._runner.now())
                case _:
                    assert_never(decision)

    def _settle(self, ids: Iterable[str]) -> None:
        """These calls no longer keep the session from moving to another connection."""
        for call_id in ids:
            self._runner.protocol.conversation.pending_calls.pop(call_id, None)

    def _stop_clock(self, key: str) -> None:
        if key in self._deadlines:
            self._deadlines.pop(key).cancel()

    async def _run(self, key: str, call: FunctionCall, function: Function) -> None:
        answer, failed = await _outcome(call, function)
        self._working.pop(key, None)
        self._stop_clock(key)
        self._catch_up()
        self._carry_out(self._ledger.answered(key, answer, failed=failed))

    def _expired(self, key: str, call: FunctionCall, function: Function) -> None:
        timeout_s = function.options.timeout_s
        _log.warning("the tool %s did not answer within %g s and is cancelled", call.name, timeout_s)
        self._catch_up()
        answer = _answer(call, function, {"error": f"TimeoutError: no result within {timeout_s:g} s"})
        self._carry_out(self._ledger.expired(key, answer))


async def _outcome(call: FunctionCall, function: Function) -> tuple[Send, bool]:
    """The message that answers a call, and whether it reports a failure. Raises only for our own cancellation."""
    try:
        arguments = function.read(call.args)
    except msgspec.ValidationError as error:
        return _answer(call, function, {"error": f"wrong arguments: {error}"}), True
    try:
        value = await function.call(arguments)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return _failure(call, function, error), True  # something that the function awaited was cancelled
    except Exception as error:  # noqa: BLE001 - whatever a user's function raises is the answer
        return _failure(call, function, error), True
    response = dict(cast("Mapping[str, Any]", value)) if isinstance(value, Mapping) else {"output": value}
    try:
        return _answer(call, function, response), False
    except Exception as error:  # noqa: BLE001 - an object may have an encoding of its own, which may raise anything
        _log.warning("the tool %s returned what JSON cannot hold: %s", call.name, error)
        return _answer(call, function, {"error": _words(TypeError(f"the result is not JSON: {error}"))}), True


def _failure(call: FunctionCall, function: Function, error: BaseException) -> Send:
    """The model is told what went wrong; where it did is nobody's business but ours."""
    _log.warning("the tool %s failed", call.name, exc_info=error)
    return _answer(call, function, {"error": _words(error)})


def _words(error: BaseException) -> str:
    said = str(error).encode(errors="replace").decode()[:_MOST_WORDS]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _answer(call: FunctionCall, function: Function, response: Mapping[str, Any]) -> Send:
    scheduling = function.options.scheduling
    return _message([FunctionResponse(name=call.name, id=call.id, response=response, scheduling=scheduling)])


def _message(answers: Sequence[FunctionResponse]) -> Send:
    return Send(
        codec.encode(ToolResponse(function_responses=answers)),
        tuple(answer.id for answer in answers if answer.id),
        any(answer.scheduling != "SILENT" for answer in answers),
    )
