"""Function calls and their answers (E34 to E39)."""

import msgspec
import numpy as np
import pytest

import emulator_client
from emulator_client import (
    DEV_MODEL,
    NO_WAITING,
    TOOLS,
    VERTEX,
    VERTEX_MODEL,
    audio,
    blob,
    contents,
    converse,
    dial,
    names,
    profile,
    run,
    said,
    silence,
    talk,
    tone,
)
from gemini_live import emulator

no_errors_inside = emulator_client.no_errors_inside


async def call(client, text):
    await client.say(realtimeInput={"text": text})
    return (await client.until("toolCall"))[-1]["toolCall"]["functionCalls"]


async def answer(client, *answers, **fields):
    responses = [{"id": id_, "name": "f", "response": {"output": output}, **fields} for id_, output in answers]
    await client.say(toolResponse={"functionResponses": responses})


async def test_e34_blocking_call_keeps_the_turn_open():
    async with talk(setup=TOOLS) as (emu, client):
        (function,) = await call(client, "turn the light on")
        assert (function["name"], function["args"]) == ("light", {})
        await client.flushed()
        assert emu.ledger.sessions[0].answers == 0
        await answer(client, (function["id"], "it is on"))
        assert said(await client.until("serverContent", "turnComplete")) == "it is on"
        assert emu.ledger.sessions[0].answers == 1
        assert emu.ledger.sessions[0].tool_responses[0]["response"] == {"output": "it is on"}


async def test_e34_non_blocking_call_ends_the_turn():
    async with talk(setup=TOOLS) as (_, client):
        (function,) = await call(client, "order tea")
        got = await client.until("serverContent", "turnComplete")
        assert contents(got) == ["generationComplete", "turnComplete"]
        await answer(client, (function["id"], "ordered"))
        assert said(await client.until("serverContent", "turnComplete")) == "ordered"


async def test_e35_answers_without_or_with_unknown_id():
    async with talk(setup=TOOLS) as (emu, client):
        await answer(client, ("nobody", "hm"))
        await client.say(realtimeInput={"text": "still there"})
        assert said(await client.until("serverContent", "turnComplete")) == "still there"
        assert len(emu.ledger.sessions[0].tool_responses) == 1
        await client.say(toolResponse={"functionResponses": [{"name": "light", "response": {}}]})
        assert (await client.closed())[0] == 1007
    async with talk(VERTEX, VERTEX_MODEL, setup=TOOLS) as (_, client):
        await call(client, "light")
        await client.say(toolResponse={"functionResponses": [{"name": "light", "response": {"a": 1}}]})
        assert said(await client.until("serverContent", "turnComplete")) == '{"a": 1}'


@pytest.mark.parametrize("inside", [False, True], ids=["beside", "inside"])
async def test_e36_scheduling(inside):
    def responses(id_, scheduling):
        response = {"output": scheduling} | ({"scheduling": scheduling} if inside else {})
        return {"id": id_, "name": "order", "response": response} | ({} if inside else {"scheduling": scheduling})

    pace = msgspec.structs.replace(NO_WAITING, hold=0.1)
    async with talk(profile=profile(pace=pace), setup=TOOLS) as (emu, client):
        ids = []
        for _ in range(3):
            ids += [function["id"] for function in await call(client, "order")]
            await client.until("serverContent", "turnComplete")
        await client.say(toolResponse={"functionResponses": [responses(ids[0], "SILENT")]})
        await client.say(realtimeInput={"text": "talk"})
        assert said(await client.until("serverContent", "generationComplete")) == "talk"
        await client.say(toolResponse={"functionResponses": [responses(ids[1], "WHEN_IDLE")]})
        assert contents(await client.until("serverContent", "turnComplete")) == ["turnComplete"]
        assert said(await client.until("serverContent", "generationComplete")) == "WHEN_IDLE"
        await client.say(toolResponse={"functionResponses": [responses(ids[2], "INTERRUPT")]})
        assert contents(await client.until("serverContent", "turnComplete")) == ["interrupted", "turnComplete"]
        assert said(await client.until("serverContent", "turnComplete")) == "INTERRUPT"
        assert emu.ledger.sessions[0].interruptions == 1


@pytest.mark.parametrize(("name", "cancelled"), [("3.8", False), ("2.5", True)])
async def test_e37_interrupting_a_pending_call(name, cancelled):
    async with talk(profile=profile(name), setup=TOOLS) as (_, client):
        (function,) = await call(client, "light")
        await client.say(realtimeInput={"text": "light, please"})
        got = await client.until("toolCall")
        assert contents(got) == ["interrupted", "turnComplete"]
        ids = [message["toolCallCancellation"]["ids"] for message in got if "toolCallCancellation" in message]
        assert ids == ([[function["id"]]] if cancelled else [])
        assert got[-1]["toolCall"]["functionCalls"][0]["id"] != function["id"]


async def test_e38_parallel_calls_survive_a_resume():
    tools = {
        "tools": [{"functionDeclarations": [{"name": name, "behavior": "BLOCKING"} for name in ("light", "heat")]}],
        "outputAudioTranscription": {},
    }
    async with talk(setup={**tools, "sessionResumption": {}}) as (emu, client):
        handle = (await client.handle())["newHandle"]
        light, heat = await call(client, "light and heat")
        await answer(client, (light["id"], "bright"))
        await client.flushed()
        emu.cut()
        assert (await client.closed())[0] == 1006
        async with dial(emu.url) as again:
            await again.set_up(**tools, sessionResumption={"handle": handle})
            await answer(again, (heat["id"], "warm"))
            assert said(await again.until("serverContent", "turnComplete")) == "bright warm"


@pytest.mark.parametrize(
    ("name", "declared", "behavior"),
    [
        ("3.8", None, "NON_BLOCKING"),
        ("3.8", "BLOCKING", "BLOCKING"),
        ("2.5", None, "BLOCKING"),
        ("2.5", "NON_BLOCKING", "NON_BLOCKING"),
        ("3.1", "NON_BLOCKING", "BLOCKING"),
        ("3.8-extended-thinking", None, "NON_BLOCKING"),
    ],
)
def test_e34_what_a_function_is_by_default(name, declared, behavior):
    function = {"name": "light"} | ({"behavior": declared} if declared else {})
    conversation = converse(name=name, setup={"tools": [{"function_declarations": [function]}]})
    conversation.receive("realtime_input", {"text": "light"}, 0.0)
    got = run(conversation)
    assert ("turnComplete" in names(got)) == (behavior == "NON_BLOCKING")


async def test_e34_extended_thinking_refuses_blocking_functions():
    async with emulator.serve(profile="3.8-extended-thinking") as url, dial(url) as client:
        await client.say(setup={"model": "models/gemini-3.8-live-extended-thinking", **TOOLS})
        assert await client.closed() == (1007, "Request contains an invalid argument.")


async def test_e34_too_many_functions():
    tools = [{"functionDeclarations": [{"name": f"f{number}"} for number in range(513)]}]
    async with emulator.serve() as url, dial(url) as client:
        await client.say(setup={"model": DEV_MODEL, "tools": tools})
        assert (await client.closed())[0] == 1007


async def test_e35_knobs():
    faults = emulator.Faults(answers_without_id=True, close_on_unknown_call=True)
    async with talk(setup=TOOLS, faults=faults) as (_, client):
        await call(client, "light")
        await client.say(toolResponse={"functionResponses": [{"name": "light", "response": {"output": "on"}}]})
        assert said(await client.until("serverContent", "turnComplete")) == "on"
        await answer(client, ("nobody", "hm"))
        assert await client.closed() == (1008, "Requested entity was not found.")


async def test_e35_calls_without_an_id():
    async with talk(VERTEX, VERTEX_MODEL, setup=TOOLS, profile=profile("vertex", call_ids=False)) as (_, client):
        (function,) = await call(client, "light")
        assert function == {"name": "light", "args": {}}
        await client.say(toolResponse={"functionResponses": [{"name": "light", "response": {"output": "on"}}]})
        assert said(await client.until("serverContent", "turnComplete")) == "on"


def test_e36_scheduling_is_not_heeded_by_extended_thinking():
    conversation = converse(
        name="3.8-extended-thinking", setup={"tools": [{"function_declarations": [{"name": "light"}]}]}
    )
    conversation.receive("realtime_input", {"text": "light"}, 0.0)
    run(conversation)
    (call_id,) = conversation.memory.calls
    response = {"id": call_id, "name": "light", "response": {"output": "on"}, "scheduling": "SILENT"}
    conversation.receive("tool_response", {"function_responses": [response]}, 5.0)
    assert "modelTurn" in names(run(conversation))


@pytest.mark.parametrize("reissues", [False, True])
def test_e37_the_call_may_come_again_with_a_new_id(reissues):
    conversation = converse(setup=SNAKE_TOOLS, model={"reissues_calls": reissues})
    conversation.receive("realtime_input", {"text": "light"}, 0.0)
    run(conversation)
    (first,) = conversation.memory.calls
    conversation.receive("realtime_input", audio(np.concatenate([tone(0.5), silence(1.0)])), 5.0)
    got = run(conversation)
    assert names(got)[:2] == ["interrupted", "turnComplete"]
    calls = [message["toolCall"]["functionCalls"] for _, message in got if "toolCall" in message]
    assert [call["name"] for (call,) in calls] == ["light"] * reissues
    assert first not in conversation.memory.calls
    assert len(conversation.memory.calls) == reissues


SNAKE_TOOLS = {"tools": [{"function_declarations": [{"name": "light", "behavior": "BLOCKING"}]}]}


@pytest.mark.parametrize("message", [{"text": "well?"}, {"audio": blob(tone(0.1))}])
async def test_e39_input_while_a_call_is_pending(message):
    faults = emulator.Faults(close_on_input_during_call=True)
    async with talk(profile=profile("2.5"), setup=TOOLS, faults=faults) as (_, client):
        (function,) = await call(client, "light")
        await answer(client, (function["id"], "on"))  # an answer is no such input
        await client.until("serverContent", "turnComplete")
        await call(client, "light")
        await client.say(realtimeInput=message)
        assert await client.closed() == (1008, "Operation is not implemented, or supported, or enabled.")


@pytest.mark.parametrize("behavior", ["BLOCKING", "NON_BLOCKING"])
def test_e34_a_call_counts_as_tokens_of_the_response(behavior):
    function = {"name": "light", "behavior": behavior}
    conversation = converse(setup={"tools": [{"function_declarations": [function]}]})
    conversation.receive("realtime_input", {"text": "light"}, 0.0)
    run(conversation)
    before = conversation.memory.tokens.copy()
    conversation.receive("realtime_input", {"text": "stop"}, 5.0)  # which ends a blocking one
    ends = [message["usageMetadata"] for _, message in run(conversation) if "usageMetadata" in message]
    if behavior == "BLOCKING":
        assert ends[0]["responseTokensDetails"] == [{"modality": "TEXT", "tokenCount": 2}]
        assert ends[0]["totalTokenCount"] == ends[0]["promptTokenCount"] + 2
    else:
        assert before["TEXT"] == 2 + 2  # the question and the call


def test_e36_partial_results_are_scheduled_one_by_one():
    conversation = converse(setup={"tools": [{"function_declarations": [{"name": "order"}]}]})
    conversation.receive("realtime_input", {"text": "order"}, 0.0)
    run(conversation)
    (call_id,) = conversation.memory.calls

    def answer(now, **fields):
        response = {"id": call_id, "name": "order", "response": {}} | fields
        conversation.receive("tool_response", {"function_responses": [response]}, now)
        return run(conversation)

    for now, words in ((10.0, "brewing"), (20.0, "poured")):
        assert said(message for _, message in answer(now, response={"output": words}, will_continue=True)) == words
        assert list(conversation.memory.calls) == [call_id]
    assert answer(30.0, will_continue=False, scheduling="SILENT") == []
    assert not conversation.memory.calls


def test_e34_a_blocking_call_waits_for_the_last_of_its_results():
    conversation = converse(setup=SNAKE_TOOLS)
    conversation.receive("realtime_input", {"text": "light"}, 0.0)
    run(conversation)
    (call_id,) = conversation.memory.calls
    response = {"id": call_id, "name": "light", "response": {"output": "on"}}
    conversation.receive("tool_response", {"function_responses": [response | {"will_continue": True}]}, 5.0)
    assert run(conversation) == []
    conversation.receive("tool_response", {"function_responses": [response]}, 6.0)
    assert names(run(conversation))[-1] == "turnComplete"
