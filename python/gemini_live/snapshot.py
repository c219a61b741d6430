"""A session packed up for another process: what the service calls it, and what it still has to say.

A snapshot opens the conversation to whoever has it together with a credential, so keep it as one keeps a session
cookie; its ``repr`` does not show the handle. It holds no credential of the client's own; what a tool of the service
proves itself with is in it where an update of the tools is still unsent.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from gemini_live.capabilities import modality_of
from gemini_live.errors import ConfigError
from gemini_live.functions import tools_from
from gemini_live.interop import setup_and_functions_from
from gemini_live.messages import Discreet, FunctionCall, Shown
from gemini_live.outbox import Unsent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Buffer

    from gemini_live.interop import SupportsModelDump
    from gemini_live.setup_message import Setup, Tool

__all__ = ["Snapshot", "setup_hash"]

_VERSION = 1


class _Versioned(msgspec.Struct, frozen=True):
    """All that must be the same in every layout."""

    version: int = _VERSION


class Snapshot(Discreet, msgspec.Struct, frozen=True, kw_only=True):
    """What `Session.snapshot` and `Session.hand_over` give and ``connect(…, resume=…)`` takes.

    Attributes:
        endpoint: the service's host; a handle means nothing to another one.
        model: the resource name; a resumed session must have the same.
        setup_hash: of the setup but its handle.
        handle: of the resumable state.
        taken_at: when, in seconds since the epoch.
        pending_calls: tool calls that wait for their answer.
        unsent: messages that the service's state lacks, oldest first; opaque.
        version: of this layout.
    """

    endpoint: str
    model: str
    setup_hash: str
    handle: str
    taken_at: float
    pending_calls: Sequence[FunctionCall] = ()
    unsent: Sequence[Unsent] = ()
    version: int = _VERSION

    def _shown(self) -> list[tuple[str, Any]]:
        counts = [("pending_calls", len(self.pending_calls)), ("unsent", len(self.unsent))]
        return [("model", self.model), ("age_s", Shown(f"{self.age_s:.0f}")), *counts]

    @property
    def age_s(self) -> float:
        """How long ago it was taken, in seconds, by this machine's clock."""
        return max(0.0, time.time() - self.taken_at)

    def to_json(self) -> bytes:
        """Pack it, for a file or a database."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, packed: Buffer | str) -> Snapshot:
        """Unpack it.

        Raises:
            ConfigError: not a snapshot, or one of a later version.
        """
        try:
            version = msgspec.json.decode(packed, type=_Versioned).version
            if version != _VERSION:
                raise ConfigError(
                    f"the snapshot has version {version}, this package reads version {_VERSION}", path="snapshot"
                )
            return msgspec.json.decode(packed, type=cls)
        except msgspec.MsgspecError as error:
            raise ConfigError(f"not a snapshot of a session: {error}", path="snapshot") from None

    def for_setup(
        self,
        setup: str | Setup | Mapping[str, Any] | SupportsModelDump,
        *,
        tools: Sequence[Callable[..., Any] | Tool | Mapping[str, Any]] = (),
    ) -> Snapshot:
        """The same for another setup, which the service allows as long as the model is the same.

        Args:
            setup: what the session is to have from now on, as `connect` will be given it.
            tools: likewise.

        Raises:
            ConfigError: as by `connect`, for a setup or a tool that cannot work.
        """
        modality = modality_of(setup) if isinstance(setup, str) else ""
        whole, functions = setup_and_functions_from(setup, modality=modality)
        if tools or functions:
            whole = msgspec.structs.replace(whole, tools=tools_from([*tools, *functions], whole.tools)[0])
        return msgspec.structs.replace(self, setup_hash=setup_hash(whole))

    def unsent_by_now(self) -> list[Unsent]:
        """What is unsent, as old as it has become since the snapshot was taken."""
        return [msgspec.structs.replace(one, age_s=one.age_s + self.age_s) for one in self.unsent]

    def check(self, setup: Setup, endpoint: str, most_age_s: float) -> None:
        """See that a session with this setup can go on from here.

        Args:
            setup: with the full model name.
            endpoint: the service's host.
            most_age_s: for how long the service keeps a session that nobody is connected to.

        Raises:
            ConfigError: expired, or of another service, model or setup.
        """
        if self.age_s > most_age_s:
            raise ConfigError(
                f"the snapshot is {self.age_s:.0f} s old; the service keeps a session for {most_age_s:.0f} s. "
                "Begin a new one with connect()",
                path="snapshot",
            )
        if self.endpoint != endpoint:
            raise ConfigError(f"the snapshot is of a session at {self.endpoint}, not at {endpoint}", path="endpoint")
        if self.model != setup.model:
            raise ConfigError(
                f"the snapshot is of a session with {self.model}, not {setup.model}; the service refuses another model",
                path="setup.model",
            )
        if self.setup_hash != setup_hash(setup):
            raise ConfigError(
                "the setup is not the one of the snapshot; give the same, or change it with "
                "resume=snapshot.for_setup(setup, tools=…)",
                path="setup",
            )


def setup_hash(setup: Setup) -> str:
    """A fingerprint of a setup, but for the model's name (which may be short or long) and the handle."""
    bare = msgspec.structs.replace(setup, model="", session_resumption=None)
    return hashlib.sha256(msgspec.json.encode(bare, order="deterministic")).hexdigest()
