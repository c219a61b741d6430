"""``gemini-live emulator``, the emulator as a program."""

import argparse
import signal
import socket
import ssl
import sys

import pytest

import emulator_client
from emulator_client import dial, start_command
from gemini_live.emulator import command

no_errors_inside = emulator_client.no_errors_inside


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_command_serves_until_a_signal(number):
    process = await start_command("--tls", "--compress-time", "--api-key", "k")
    url = (await process.stdout.readline()).decode().strip()
    ca_file = (await process.stdout.readline()).decode().split()[-1]
    trusting = ssl.create_default_context(cafile=ca_file)
    async with dial(url, key="k", tls=trusting) as client:
        await client.set_up()
        assert b"new session 1" in await process.stdout.readline()
        process.send_signal(number)
        assert (await client.closed())[0] == 1001
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert b"closed with 1001" in out
    with pytest.raises(FileNotFoundError):
        ssl.create_default_context(cafile=ca_file)


async def test_command_says_that_the_port_is_in_use():
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        args = parser.parse_args(["--port", str(taken.getsockname()[1])])
        with pytest.raises(OSError, match="address already in use"):
            await command.run(args)


@pytest.mark.parametrize(("encoding", "text"), [("ascii", "こんにちは"), ("utf-8", "\ud800")])
async def test_what_the_terminal_cannot_show_disturbs_nobody(encoding, text, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    process = await start_command("--compress-time")
    url = (await process.stdout.readline()).decode().strip()
    async with dial(url) as client:
        await client.set_up()
        await client.say(realtimeInput={"text": text})
        await client.until("serverContent", "turnComplete")
        await client.flushed()
    process.terminate()
    out, err = await process.communicate()
    assert err == b""
    assert text.encode("ascii", "backslashreplace") in out


@pytest.mark.skipif(sys.platform == "win32", reason="a broken pipe is another error there")
async def test_nobody_need_read_what_it_writes():
    process = await start_command("--compress-time")
    url = (await process.stdout.readline()).decode().strip()
    process._transport.get_pipe_transport(1).close()
    async with dial(url) as client:
        await client.set_up()
        await client.say(realtimeInput={"text": "hello"})
        await client.until("serverContent", "turnComplete")
    process.terminate()
    assert (await process.communicate())[1] == b""
    assert process.returncode == 0
