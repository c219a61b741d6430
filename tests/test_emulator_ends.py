"""goAway, cuts, closes and limits (E45 to E48)."""

import asyncio

import aiohttp
import pytest

import emulator_client
from emulator_client import DEV_MODEL, blob, dial, silence, talk
from gemini_live import emulator

no_errors_inside = emulator_client.no_errors_inside


EXPIRED = (1011, "Deadline expired before operation could complete.")


async def test_e45_go_away_on_command():
    async with talk() as (emu, client):
        await emu.go_away(time_left_s=0.05)
        assert await client.get() == {"goAway": {"timeLeft": "0.050s"}}
        await client.say(realtimeInput={"text": "x"})  # still served
        await client.until("serverContent", "turnComplete")
        assert await client.closed() == EXPIRED
        await client.ws.close()


async def test_e45_go_away_at_an_age_then_silent():
    faults = emulator.Faults(go_away_after_s=0.02, go_away_time_left_s=0.1, go_away_silent=True)
    async with talk(faults=faults) as (_, client):
        assert await client.get() == {"goAway": {"timeLeft": "0.100s"}}
        await client.say(realtimeInput={"text": "x"})
        message = await client.ws.receive()
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert (message.data, message.extra) == EXPIRED


@pytest.mark.parametrize(
    ("faults", "set_up"),
    [
        (emulator.Faults(cut_at_setup=True), False),
        (emulator.Faults(cut_after_messages=2), True),
        (emulator.Faults(cut_after_s=0.05), True),
    ],
)
async def test_e46_cut_without_a_close_frame(faults, set_up):
    async with emulator.Emulator(faults=faults, compress_time=True) as emu, dial(emu.url) as client:
        await client.say(setup={"model": DEV_MODEL})
        if set_up:
            await client.get()
            if faults.cut_after_messages:
                for text in ("one", "two", "three"):
                    await client.say(realtimeInput={"text": text})
        assert await client.closed() == (1006, "")
        if faults.cut_after_messages:
            assert emu.ledger.sessions[0].texts == ["one", "two"]
            assert emu.ledger.connections[0].messages == 2


@pytest.mark.parametrize("tls", [False, True])
async def test_e46_cut_on_command(tls):
    emu = emulator.Emulator(tls=tls, compress_time=True)
    async with emu, dial(emu.url, tls=emu.client_ssl_context() if tls else True) as client:
        await client.set_up()
        emu.cut()
        assert await client.closed() == (1006, "")


@pytest.mark.parametrize(
    "faults",
    [
        emulator.Faults(close_at_setup=True, close_code=1008, close_reason="no"),
        emulator.Faults(close_after_messages=1, close_code=1008, close_reason="no"),
        emulator.Faults(close_after_s=0.02, close_code=1008, close_reason="no"),
    ],
)
async def test_e46_close_with_any_code(faults):
    async with emulator.serve(faults=faults, compress_time=True) as url, dial(url) as client:
        await client.say(setup={"model": DEV_MODEL})
        await client.say(realtimeInput={"text": "x"})
        assert await client.closed() == (1008, "no")


async def test_e46_close_reaches_a_client_that_keeps_sending():
    async with talk() as (emu, client):
        for _ in range(200):
            await client.say(realtimeInput={"audio": blob(silence(0.1))})
        closing = asyncio.create_task(emu.close_connections(1011, "now"))
        assert await client.closed() == (1011, "now")
        await client.ws.close()
        await closing


async def test_e48_status_at_the_upgrade_for_the_first_connections_only():
    faults = emulator.Faults(http_status=429, connections=1)
    async with emulator.Emulator(faults=faults, compress_time=True) as emu:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await dial(emu.url).__aenter__()
        assert refused.value.status == 429
        async with dial(emu.url) as client:
            await client.set_up()
        emu.faults = faults  # counts from here again
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await dial(emu.url).__aenter__()
