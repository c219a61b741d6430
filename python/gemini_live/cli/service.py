"""Which service a command talks to, and with which credential: the options, and what they amount to.

No option takes a secret: other users of the machine see every command line, and shells keep them in a file.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from gemini_live.auth import GeminiApi, VertexAi, auth_from, endpoint_for, endpoint_from
from gemini_live.cli.command import refuse_keys
from gemini_live.cli.exits import CommandError, Exit
from gemini_live.config import TransportConfig

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncGenerator

    from gemini_live.auth import Auth, Endpoint

__all__ = [
    "Service",
    "add_arguments",
    "credential_from",
    "endpoint_of",
    "service_from",
    "start_emulator",
    "transport_of",
]

_ANY_KEY: Final = "any key"
"""What the emulator takes."""
_VERTEX: Final = "vertex"
_MODEL: Final = "gemini-3.8-live"


class Service(NamedTuple):
    """Whom to connect to, and how: the arguments of `connect` of the same names."""

    model: str
    endpoint: Endpoint
    auth: Auth
    transport: TransportConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    group = parser.add_argument_group("service")
    group.add_argument("--model", default=_MODEL, metavar="NAME", help="which model answers (default: %(default)s)")
    where = group.add_mutually_exclusive_group()
    where.add_argument(
        "--endpoint",
        metavar="URL",
        help="ws:// or wss:// URL; or `vertex` for Vertex AI, with GOOGLE_CLOUD_PROJECT and Google Cloud credentials "
        "(default: the Gemini API)",
    )
    where.add_argument("--emulator", action="store_true", help="a service inside this command: no key, no network")
    group.add_argument(
        "--key-file",
        metavar="FILE",
        help="holds the API key or token, or - for standard input; by default GEMINI_API_KEY, then GOOGLE_API_KEY. A "
        "key on a command line would be seen by everybody on this machine, so no option takes it",
    )
    refuse_keys(group)
    group.add_argument(
        "--ca-file", type=Path, metavar="FILE", help="trust this certificate authority besides the system's (PEM)"
    )


def service_from(asked: argparse.Namespace) -> Service:
    """What the options say; an emulator is not started by this.

    Raises:
        ConfigError: an endpoint that cannot work, or a key that cannot be one.
        CommandError: there is no key, or a file cannot be used.
    """
    endpoint = endpoint_of(asked)
    auth = credential_from(asked.key_file, endpoint)
    return Service(asked.model, endpoint_for(endpoint, auth), auth, transport_of(asked))


def endpoint_of(asked: argparse.Namespace) -> Endpoint:
    """Whom to dial.

    Raises:
        ConfigError: not a URL that can be dialled.
    """
    return VertexAi() if asked.endpoint == _VERTEX else endpoint_from(asked.endpoint)


def transport_of(asked: argparse.Namespace) -> TransportConfig:
    """Whom to trust.

    Raises:
        CommandError: the file of the certificate authority cannot be used.
    """
    return TransportConfig(ssl=_trust(asked.ca_file))


def credential_from(key_file: str | None, endpoint: Endpoint) -> Auth:
    """The key from the file or the environment.

    Raises:
        ConfigError: what was found cannot be a key.
        CommandError: nothing was found.
    """
    if key_file is not None:
        return auth_from(_read_key(key_file), endpoint)
    if isinstance(endpoint, GeminiApi) and not (os.environ.get("GEMINI_API_KEY") or os.environ.get("GOOGLE_API_KEY")):
        raise CommandError(
            "no API key; put it into the environment as GEMINI_API_KEY or into a file for --key-file (an emulator "
            "takes any), or try --emulator, which needs none",
            Exit.CREDENTIALS,
        )
    return auth_from(None, endpoint)


def _read_key(key_file: str) -> str:
    try:
        text = sys.stdin.read() if key_file == "-" else Path(key_file).read_text("utf-8")
    except (PermissionError, IsADirectoryError) as error:
        mend = "give a file in it" if isinstance(error, IsADirectoryError) else "let this user read it"
        raise CommandError(f"cannot read the key from {key_file}: {error.strerror}; {mend}", Exit.FILE) from None
    except OSError as error:  # what is no file's name is not repeated: it may be the key
        raise CommandError(
            f"cannot read the file of --key-file: {error.strerror}; it takes the name of a file with the key in it",
            Exit.FILE,
        ) from None
    except UnicodeDecodeError:
        raise CommandError(f"{key_file} holds no key but binary data", Exit.CREDENTIALS) from None
    if not text.strip():
        where = "standard input" if key_file == "-" else key_file
        raise CommandError(f"there is no key in {where}; put nothing but the key into it", Exit.CREDENTIALS)
    return text.strip()


def _trust(ca_file: Path | None) -> ssl.SSLContext | None:
    if ca_file is None:
        return None
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(ca_file)
    except ssl.SSLError:
        raise CommandError(f"{ca_file} holds no certificate; --ca-file takes PEM", Exit.FILE) from None
    except OSError as error:
        raise CommandError(f"cannot read {ca_file}: {error.strerror}", Exit.FILE) from None
    return context


@contextlib.asynccontextmanager
async def start_emulator(model: str, *, fast: bool) -> AsyncGenerator[Service, None]:
    """A service of this process for as long as the block runs; a fast one waits for nothing."""
    from gemini_live import emulator  # noqa: PLC0415 - the extra

    async with emulator.serve(compress_time=fast, record=False) as url:
        endpoint = endpoint_from(url)
        yield Service(model, endpoint, auth_from(_ANY_KEY, endpoint), TransportConfig())
