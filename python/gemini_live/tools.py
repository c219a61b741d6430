"""Tools that run themselves: calls the Python functions that the model asks for, and answers it.

The `ToolLedger` decides: every call that is live gets exactly one answer, whatever the network does meanwhile. `Tools`
carries that out, each call in a task of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, assert_never, cast

import msgspec

from gemini_live import codec, events
from gemini_live.errors import ConfigError
from gemini_live.functions import Function, declarations
from gemini_live.messages import FunctionCall, FunctionResponse, ToolResponse
from gemini_live.tool_ledger import Cancel, Decision, Run, Send, ToolLedger, ToolStats

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemini_live.fanout import Cursor, Fanout
    from gemini_live.runner import Runner
    from gemini_live.setup_message import Setup

__all__ = ["Tools"]

_log = logging.getLogger("gemini_live")

# How much of an exception's words the model gets to read.
_MOST_WORDS = 1_000
# How long the end of a session waits for functions that do not heed their cancellation.
_PATIENCE_S = 5.0
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
        self._declared = declarations(setup.tools)
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
                    # one whose arguments come in pieces is the user's
                    if call.name in self._functions and not (call.will_continue or call.partial_args):
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
                # a fresh session that is told everything again calls anew
                calls_known = context_restored and self._runner.protocol.resuming
                self._carry_out(ledger.reconnected(calls_known=calls_known))
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
                    self._runner.submit("tool_response", codec.frame(payload))
                    self._settle(ids)
                    if asks:
                        self._runner.asked()
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
        await asyncio.sleep(0)  # an eager task would begin, and end, before it is known here
        answer, failed = await _outcome(call, function)
        if self._working.get(key) is not asyncio.current_task():
            return  # cancelled long ago, without heeding it; a call that has the same id by now is another one
        del self._working[key]
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
    except Exception as error:  # noqa: BLE001 - a hint may be a class with code of its own
        return _failure(call, function, error), True
    try:
        value = await function.call(arguments)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return _failure(call, function, error), True  # something that the function awaited was cancelled
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise  # they end the loop, or this coroutine
    except BaseException as error:  # noqa: BLE001 - whatever a user's function raises is the answer, a panic in Rust too
        return _failure(call, function, error), True
    try:
        response = dict(cast("Mapping[str, Any]", value)) if isinstance(value, Mapping) else {"output": value}
        return _answer(call, function, response), False
    except Exception as error:  # noqa: BLE001 - an object may have an encoding of its own, which may raise anything
        _log.warning("the tool %s returned what JSON cannot hold: %s", call.name, error)
        return _answer(call, function, {"error": _words(TypeError(f"the result is not JSON: {error}"))}), True


def _failure(call: FunctionCall, function: Function, error: BaseException) -> Send:
    """The model is told what went wrong; where it did is nobody's business but ours."""
    _log.warning("the tool %s failed", call.name, exc_info=error)
    return _answer(call, function, {"error": _words(error)})


def _words(error: BaseException) -> str:
    try:
        said = str(error).encode(errors="replace").decode()[:_MOST_WORDS]
    except Exception:  # noqa: BLE001 - an exception's words are the user's code, too
        said = ""
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
