from __future__ import annotations

import asyncio
import json
import time

import numpy as np
import pytest

import gemini_live as live
from conftest import on_fake_clock
from gemini_live import emulator, opening
from memory_transport import MemoryNetwork

MODEL = "gemini-3.8-live"
SPEECH = (8_000 * np.sin(np.arange(32_000) * 2 * np.pi * 300 / 16_000)).astype(np.int16)


@pytest.fixture
async def server():
    async with emulator.Emulator(compress_time=True) as running:
        yield running


@pytest.fixture
async def vertex():
    async with emulator.Emulator(compress_time=True, profile="vertex") as running:
        yield running


def dev(server, **options):
    return live.connect(MODEL, endpoint=server.url, auth="k", **options)


def on_vertex(server, **options):
    endpoint = live.VertexAi(project="p", base_url=server.url)
    return live.connect(MODEL, endpoint=endpoint, auth=live.BearerToken("t"), **options)


async def until(session, kind):
    async for event in session:
        if isinstance(event, kind):
            return event
    raise AssertionError(f"the stream ended without {kind.__name__}")


async def test_another_process_goes_on_where_this_one_stopped(server):
    async with dev(server) as session:
        await until(session, live.SessionResumption)
        await session.send_text("first")
        await until(session, live.TurnComplete)
        packed = (await session.hand_over()).to_json()
        assert session.status is live.SessionStatus.CLOSED
        assert [event async for event in session][-1].kind is live.CloseKind.HANDED_OVER

    async with dev(server, resume=packed) as successor:
        await successor.send_text("second")
        await until(successor, live.TurnComplete)
    (kept,) = server.ledger.sessions
    assert kept.texts == ["first", "second"]


async def test_speech_that_is_handed_over_on_vertex_is_exact(vertex):
    async with on_vertex(vertex) as session:
        await session.send_text("Hello")
        await until(session, live.SessionResumption)
        await session.send_audio(SPEECH[:10_000])
        snapshot = await session.hand_over()
    assert [one.kind for one in snapshot.unsent] == ["audio"] * 32
    async with on_vertex(vertex, resume=snapshot) as successor:
        await successor.send_audio(SPEECH[10_000:])
        await successor.audio_stream_end()
        await until(successor, live.TurnComplete)
        assert successor.stats.replayed == 0, "what a predecessor wrote is written for the first time here"
    assert np.array_equal(vertex.ledger.sessions[0].audio, SPEECH)


async def test_what_waited_is_said_by_the_successor(server):
    slow = live.ReconnectPolicy(base_s=1_000.0, cap_s=1_000.0)
    async with dev(server, reconnect=slow) as session:
        await until(session, live.SessionResumption)
        server.cut()
        await session.wait_for_status(live.SessionStatus.RECONNECTING)
        await session.send_text("said while down")
        snapshot = await session.hand_over()
    async with dev(server, resume=snapshot) as successor:
        await until(successor, live.TurnComplete)
    assert server.ledger.sessions[0].texts == ["said while down"]


async def test_a_pending_tool_call_is_answered_by_the_successor(server):
    setup = {"model": MODEL, "tools": [{"function_declarations": [{"name": "lookup"}]}]}
    async with live.connect(setup, endpoint=server.url, auth="k") as session:
        await until(session, live.SessionResumption)
        await session.send_text("lookup this")
        call = (await until(session, live.ToolCall)).calls[0]
        snapshot = await session.hand_over()
    assert list(snapshot.pending_calls) == [call]
    async with live.connect(setup, endpoint=server.url, auth="k", resume=snapshot) as successor:
        await successor.send_tool_response({"id": call.id, "name": call.name, "response": {"output": "7"}})
        await until(successor, live.TurnComplete)


@on_fake_clock
async def test_a_handle_that_is_withdrawn_during_the_goodbye_does_not_cost_the_session(monkeypatch):
    network = MemoryNetwork()
    monkeypatch.setattr(opening, "dial", network)
    session = await live.connect(MODEL, auth="k")
    await session.next_event()
    await session.next_event()
    handing_over = asyncio.create_task(session.hand_over())
    await asyncio.sleep(0.001)
    network.last.say(b'{"sessionResumptionUpdate":{}}')
    assert (await handing_over).handle == "h-1"


@on_fake_clock
async def test_what_other_threads_have_handed_in_is_part_of_a_snapshot_and_of_a_drain(monkeypatch):
    network = MemoryNetwork()
    monkeypatch.setattr(opening, "dial", network)
    async with live.connect(MODEL, auth="k", reconnect=live.ReconnectPolicy(base_s=5.0)) as session:
        await session.next_event()
        await session.next_event()
        network.last.lose()
        session.feed_video(b"\xff\xd8\xff image")
        assert [one.kind for one in session.snapshot().unsent] == ["video"]
        session.feed_audio(b"\0\0" * 320)
        await session.drain()
        assert session.stats.waiting == 0


async def test_many_sessions_are_handed_over_at_once(server):
    sessions = await asyncio.gather(*(dev(server) for _ in range(20)))
    for session in sessions:
        await until(session, live.SessionResumption)
    snapshots = await asyncio.gather(*(session.hand_over() for session in sessions))
    assert len({snapshot.handle for snapshot in snapshots}) == 20
    assert not server.connections
    successors = await asyncio.gather(*(dev(server, resume=snapshot) for snapshot in snapshots))
    await asyncio.gather(*(session.close() for session in successors))
    assert len(server.ledger.sessions) == 20


async def test_a_snapshot_can_be_taken_without_ending(server):
    async with dev(server) as session:
        await until(session, live.SessionResumption)
        assert session.snapshot().model == f"models/{MODEL}"
        await session.send_text("still here")
        await until(session, live.TurnComplete)


async def test_without_a_handle_there_is_nothing_to_hand_over(vertex):
    async with on_vertex(vertex) as session:
        with pytest.raises(live.NotResumable, match="no handle"):
            await session.hand_over()
        assert session.status is live.SessionStatus.CONNECTED
    async with on_vertex(vertex, reconnect=live.ReconnectPolicy(enabled=False)) as session:
        with pytest.raises(live.NotResumable, match=r"reconnect\.enabled"):
            session.snapshot()


def snapshot(**changes):
    setup = live.Setup(model=MODEL, generation_config=live.GenerationConfig(response_modalities=("AUDIO",)))
    given = {
        "endpoint": "generativelanguage.googleapis.com",
        "model": f"models/{MODEL}",
        "setup_hash": "",
        "handle": "sk-handle",
        "taken_at": time.time(),
    }
    return live.Snapshot(**{**given, **changes}).for_setup(setup)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"taken_at": time.time() - 7_300}, "7200 s"),
        ({"endpoint": "elsewhere.example"}, "elsewhere"),
        ({"model": "models/other"}, "another model"),
    ],
)
def test_a_snapshot_that_cannot_be_resumed(changes, words):
    with pytest.raises(live.ConfigError, match=words):
        live.connect(MODEL, auth="k", resume=snapshot(**changes))


def test_another_setup_must_be_meant():
    other = {"model": MODEL, "system_instruction": {"parts": [{"text": "new"}]}}
    with pytest.raises(live.ConfigError, match="for_setup"):
        live.connect(other, auth="k", resume=snapshot())
    setup = live.Setup(model=MODEL, system_instruction=live.Content(parts=[live.Part(text="new")]))
    live.connect(other, auth="k", resume=snapshot().for_setup(setup))


def greet(name: str) -> str:
    """Greet somebody."""
    return f"Hello {name}"


def test_so_must_other_tools():
    """An edited docstring is enough."""
    with pytest.raises(live.ConfigError, match=r"for_setup\(setup, tools=…\)"):
        live.connect(MODEL, auth="k", tools=[greet], resume=snapshot())
    by_name = {"model": MODEL, "response_modalities": ["AUDIO"]}
    for setup in (MODEL, by_name, live.Setup(model=MODEL)):
        for tools in ([], [greet], [greet, {"google_search": {}}]):
            live.connect(setup, auth="k", tools=tools, resume=snapshot().for_setup(setup, tools=tools))
    among_others = {"model": MODEL, "tools": [greet]}
    live.connect(among_others, auth="k", resume=snapshot().for_setup(among_others))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, bytes.decode])
def test_a_snapshot_may_come_out_of_any_store(kind):
    packed = snapshot().to_json()
    assert live.Snapshot.from_json(kind(packed)).to_json() == packed
    live.connect(MODEL, auth="k", resume=kind(packed))


def test_what_is_not_even_packed():
    with pytest.raises(live.ConfigError, match="resume takes a Snapshot, or one that was packed, not dict"):
        live.connect(MODEL, auth="k", resume=json.loads(snapshot().to_json()))


@pytest.mark.parametrize(
    ("packed", "words"),
    [
        (b'{"version":2,"of":"a later layout"}', "version 2"),
        (b"", "not a snapshot"),
        (b"{}", "endpoint"),
        (b"\xff", "not a snapshot"),
        pytest.param(
            json.dumps({**json.loads(snapshot().to_json()), "version": 99}).encode(),
            "version 99",
            id="version 99",  # its own words would hold the time, and each process would collect another test
        ),
    ],
)
def test_what_is_no_snapshot(packed, words):
    with pytest.raises(live.ConfigError, match=words):
        live.connect(MODEL, auth="k", resume=packed)


def test_packing_keeps_everything_and_the_repr_shows_no_handle():
    original = snapshot()
    assert live.Snapshot.from_json(original.to_json()).to_json() == original.to_json()
    assert "sk-handle" not in repr(original)
    pretty = pytest.importorskip("rich.pretty")  # which has a protocol of its own for what to print
    assert pretty.pretty_repr(original, max_width=200) == repr(original)


async def test_a_handle_that_the_service_has_forgotten_is_a_setup_error(server):
    async with dev(server) as session:
        await until(session, live.SessionResumption)
        kept = await session.hand_over()
    import msgspec  # noqa: PLC0415 - only to forge a handle

    with pytest.raises(live.SetupError, match="not found"):
        await dev(server, resume=msgspec.structs.replace(kept, handle="forgotten"))
