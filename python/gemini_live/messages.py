"""What the two sides say to one another after the setup: contents, parts, tool calls, and the client's messages.

Each struct is one message of the protocol; field names are snake_case here and lowerCamelCase on the wire (proto3
JSON). A field left at its default is not sent. ``bytes`` travel as standard base64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, cast

import msgspec

__all__ = [
    "Blob",
    "ClientContent",
    "CodeExecutionResult",
    "Content",
    "ContextUpdate",
    "Discreet",
    "ExecutableCode",
    "FileData",
    "FunctionCall",
    "FunctionResponse",
    "FunctionResponsePart",
    "Part",
    "RealtimeInput",
    "Scheduling",
    "Shown",
    "ToolResponse",
    "Wire",
]

Scheduling = Literal["SILENT", "WHEN_IDLE", "INTERRUPT"]
"""When the model speaks about the answer of a NON_BLOCKING call; the service's default is WHEN_IDLE."""


class Shown:
    """Words that stand for a value where it is not to be seen."""

    __slots__ = ("_words",)

    def __init__(self, words: str = "…") -> None:
        self._words = words

    def __repr__(self) -> str:
        return self._words


_HIDDEN: Final = Shown()


class Discreet:
    """What a struct is besides that holds what no log may show: neither its ``repr`` shows it, nor does `rich`.

    `rich`, which prints the locals of a traceback, has a protocol of its own, to which msgspec would give everything.
    """

    __slots__ = ()
    _discreet = frozenset[str]()
    """The fields of which only is shown that there is something, or how many bytes."""

    def _shown(self) -> list[tuple[str, Any]]:
        """What is not the default, as far as it may be seen."""
        struct = cast("msgspec.Struct", self)
        names, defaults = struct.__struct_fields__, struct.__struct_defaults__
        required = (msgspec.NODEFAULT,) * (len(names) - len(defaults))
        shown: list[tuple[str, Any]] = []
        for name, default in zip(names, required + defaults, strict=True):
            value = getattr(self, name)
            if value is default:
                continue
            if name in self._discreet:
                value = Shown(f"<{len(value)} bytes>") if isinstance(value, bytes) else value and _HIDDEN
            shown.append((name, value))
        return shown

    def __repr__(self) -> str:
        fields = [f"{name}={value!r}" for name, value in self._shown()]
        return f"{type(self).__name__}({', '.join(fields)})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Keep `rich` from showing what the ``repr`` does not."""
        return self._shown()


class Wire(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, repr_omit_defaults=True, rename="camel"):
    """A message of the protocol: immutable, camelCase on the wire."""


class Blob(Discreet, Wire, frozen=True, kw_only=True):
    """Bytes with their MIME type, such as ``audio/pcm;rate=16000`` or ``image/jpeg``.

    Attributes:
        mime_type: of the bytes.
        data: base64 on the wire.
        display_name: how prompts call it; Vertex AI only.
    """

    mime_type: str
    data: bytes
    display_name: str | None = None

    _discreet = frozenset({"data"})


class FileData(Wire, frozen=True, kw_only=True):
    """A file that the service already has.

    Attributes:
        file_uri: where it is.
        mime_type: of the file.
        display_name: how prompts call it; Vertex AI only.
    """

    file_uri: str
    mime_type: str = ""
    display_name: str | None = None


class FunctionCall(Wire, frozen=True, kw_only=True):
    """The model asks for a function to be called.

    Attributes:
        name: of the function.
        id: opaque; the answer must repeat it. Empty where the service sends none.
        args: plain JSON; every number is a double on the wire.
        partial_args: pieces of arguments that are still being written (Vertex AI), as the service gives them.
        will_continue: more pieces of the same call follow.
    """

    name: str
    id: str = ""
    args: Mapping[str, Any] = {}
    partial_args: Sequence[Mapping[str, Any]] = ()
    will_continue: bool | None = None


class FunctionResponsePart(Wire, frozen=True, kw_only=True):
    """A media result of a function.

    Attributes:
        inline_data: the bytes themselves.
        file_data: a file that the service has.
        media_processing: how the service is to read it.
        media_resolution: tokens spent on it.
        video_metadata: its part of a video, and frames per second.
        document_metadata: of a document.
        spreadsheet_metadata: of a spreadsheet.
        audio_metadata: of a recording.
    """

    inline_data: Blob | None = None
    file_data: FileData | None = None
    media_processing: str | None = None
    media_resolution: Mapping[str, Any] | None = None
    video_metadata: Mapping[str, Any] | None = None
    document_metadata: Mapping[str, Any] | None = None
    spreadsheet_metadata: Mapping[str, Any] | None = None
    audio_metadata: Mapping[str, Any] | None = None


class FunctionResponse(Wire, frozen=True, kw_only=True):
    """The answer to one `FunctionCall`.

    Attributes:
        name: of the function; required by the service's documentation.
        id: the call's id; required on the Developer API.
        response: an object; its keys ``output`` and ``error`` have a meaning, without either the whole is the output.
        scheduling: only for NON_BLOCKING functions.
        will_continue: more results of the same call follow (not on Vertex AI).
        parts: media that belong to the answer.
    """

    name: str
    id: str = ""
    response: Mapping[str, Any] = {}
    scheduling: Scheduling | None = None
    will_continue: bool | None = None
    parts: Sequence[FunctionResponsePart] = ()


class ExecutableCode(Wire, frozen=True, kw_only=True):
    """Code that the model wrote to be run by the service.

    Attributes:
        code: its text.
        language: such as ``PYTHON``.
        id: repeated by its result.
    """

    code: str = ""
    language: str = ""
    id: str = ""


class CodeExecutionResult(Wire, frozen=True, kw_only=True):
    """What the service's run of an `ExecutableCode` gave.

    Attributes:
        outcome: such as ``OUTCOME_OK``.
        output: what was printed.
        id: of the code.
    """

    outcome: str = ""
    output: str = ""
    id: str = ""


class Part(Wire, frozen=True, kw_only=True):
    """One piece of a `Content`; normally exactly one of the data fields is set.

    Attributes:
        text: a piece of text.
        thought: reasoning rather than answer.
        thought_signature: opaque; repeats a thought to the service.
        inline_data: bytes: an image, or sound.
        file_data: a file that the service has.
        function_call: refused by the service in client content, like ``function_response``.
        function_response: see ``function_call``.
        executable_code: code that the model wrote, to be run by the service.
        code_execution_result: what the run of that code gave.
        tool_call: of a tool that the service runs itself, as it gives it; not on Vertex AI.
        tool_response: what that tool answered, as the service gives it.
        media_processing: how the service is to read it.
        media_resolution: tokens spent on it.
        video_metadata: its part of a video, and frames per second.
        part_metadata: free for the client.
        audio_transcription: what is said in it.
        speech_metadata: who speaks in it, and how.
        document_metadata: of a document.
        spreadsheet_metadata: of a spreadsheet.
        audio_metadata: of a recording.
    """

    text: str | None = None
    thought: bool = False
    thought_signature: bytes | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    executable_code: ExecutableCode | None = None
    code_execution_result: CodeExecutionResult | None = None
    tool_call: Mapping[str, Any] | None = None
    tool_response: Mapping[str, Any] | None = None
    media_processing: str | None = None
    media_resolution: Mapping[str, Any] | None = None
    video_metadata: Mapping[str, Any] | None = None
    part_metadata: Mapping[str, Any] | None = None
    audio_transcription: Mapping[str, Any] | None = None
    speech_metadata: Mapping[str, Any] | None = None
    document_metadata: Mapping[str, Any] | None = None
    spreadsheet_metadata: Mapping[str, Any] | None = None
    audio_metadata: Mapping[str, Any] | None = None


class Content(Wire, frozen=True, kw_only=True):
    """Parts of one speaker. A missing role means the user.

    Attributes:
        parts: in order.
        role: ``system``, in mid-session, is documented on Vertex AI; the Developer API refuses it.
    """

    parts: Sequence[Part] = ()
    role: Literal["user", "model", "system"] | None = None


class ClientContent(Wire, frozen=True, kw_only=True):
    """Turns that are appended to the history, in order, interrupting a running generation.

    Attributes:
        turns: appended in order; none is allowed.
        turn_complete: true starts the model's answer; false adds and waits.
    """

    turns: Sequence[Content] = ()
    turn_complete: bool = False


class RealtimeInput(Wire, frozen=True, kw_only=True):
    """Live input. The wire allows several fields in one message; this package sends one.

    Attributes:
        audio: 16-bit little-endian mono PCM, its rate in the MIME type.
        video: one image.
        text: counts as the user's activity, and is answered.
        audio_stream_end: the microphone pauses; with automatic activity detection only.
        activity_start: speech begins; with the detection disabled only.
        activity_end: speech ends; with the detection disabled only.
    """

    audio: Blob | None = None
    video: Blob | None = None
    text: str | None = None
    audio_stream_end: bool = False
    activity_start: Mapping[str, Any] | None = None
    activity_end: Mapping[str, Any] | None = None


class ToolResponse(Wire, frozen=True, kw_only=True):
    """Answers to tool calls.

    Attributes:
        function_responses: one for each call.
    """

    function_responses: Sequence[FunctionResponse] = ()


class ContextUpdate(Discreet, Wire, frozen=True, kw_only=True):
    """New instructions or tools in mid-session. A field left out stays as it was; ``tools={}`` clears all tools.

    Attributes:
        system_instruction: replaces the setup's.
        tools: ``{"tools": […]}`` replaces the setup's.
    """

    system_instruction: Content | None = None
    tools: Mapping[str, Any] | None = None

    _discreet = frozenset({"tools"})


def plain(value: object) -> object:
    """What msgspec does not know as something that it knows: numbers and text of other libraries, arrays and models.

    Raises:
        TypeError: JSON cannot hold it.
    """
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(exclude_none=True)
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    listed = getattr(value, "tolist", None)  # of NumPy's numbers and arrays
    if callable(listed):
        return listed()
    raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported")
