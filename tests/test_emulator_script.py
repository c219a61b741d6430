"""Scripts: what they say, and what is said about a mistake in them."""

import base64
import contextlib
import wave

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import emulator_client
from emulator_client import (
    DEV_MODEL,
    TOOLS,
    audio,
    contents,
    converse,
    dial,
    names,
    run,
    said,
    silence,
    speech,
    talk,
    tone,
)
from gemini_live import emulator
from gemini_live.emulator import Close, FunctionCall, Reply, Rule, Script, When
from gemini_live.emulator.script import load
from gemini_live.errors import ConfigError

no_errors_inside = emulator_client.no_errors_inside

WEATHER = """
[[rule]]
when = { text = "weather" }
reply = [ { tool_call = { name = "get_weather", args = { city = "Paris" } } } ]

[[rule]]
when = { tool_response = "get_weather" }
reply = [ { say = "It is sunny in Paris." } ]
"""


def rules(*pairs):
    return Script(rule=tuple(Rule(when=when, reply=tuple(reply)) for when, reply in pairs))


def converse_by(*pairs, **options):
    return converse(script=rules(*pairs), **options)


async def test_the_weather():
    async with talk(script=WEATHER, setup={"outputAudioTranscription": {}}) as (_, client):
        await client.say(realtimeInput={"text": "How is the WEATHER?"})
        got = await client.until("serverContent", "turnComplete")  # NON_BLOCKING, as nothing else was declared
        (function,) = got[0]["toolCall"]["functionCalls"]
        assert (function["name"], function["args"]) == ("get_weather", {"city": "Paris"})
        response = {"id": function["id"], "name": "get_weather", "response": {"output": "sun"}}
        await client.say(toolResponse={"functionResponses": [response]})
        assert said(await client.until("serverContent", "turnComplete")) == "It is sunny in Paris."
        await client.say(realtimeInput={"text": "thanks"})  # no rule: as usual
        assert said(await client.until("serverContent", "turnComplete")) == "thanks"


@pytest.mark.parametrize("form", ["path", "str", "text", "script", "rules", "mappings"])
def test_every_form_of_a_script_is_the_same(form, tmp_path):
    path = tmp_path / "weather.toml"
    path.write_text(WEATHER)
    call = FunctionCall(name="get_weather", args={"city": "Paris"})
    structs = [
        Rule(when=When(text="weather"), reply=(Reply(tool_call=call),)),
        Rule(when=When(tool_response="get_weather"), reply=(Reply(say="It is sunny in Paris."),)),
    ]
    mappings = [
        {"when": {"text": "weather"}, "reply": [{"tool_call": {"name": "get_weather", "args": {"city": "Paris"}}}]},
        {"when": {"tool_response": "get_weather"}, "reply": [{"say": "It is sunny in Paris."}]},
    ]
    sources = {
        "path": path,
        "str": str(path),
        "text": WEATHER,
        "script": Script(rule=tuple(structs)),
        "rules": structs,
        "mappings": mappings,
    }
    assert load(sources[form]) == Script(rule=tuple(structs))


@pytest.mark.parametrize(
    ("when", "text", "fits"),
    [
        (When(text="tea"), "Some TEA, please", True),
        (When(text="tea"), "coffee", False),
        (When(text_equals="tea"), "tea", True),
        (When(text_equals="tea"), "some tea", False),
        (When(text_matches=r"^\d+ cups?$"), "2 cups", True),
        (When(text_matches=r"^\d+ cups?$"), "two cups", False),
        (When(text="tea", text_matches="^a"), "a tea", True),
        (When(text="tea", text_matches="^a"), "one tea", False),
        (When(utterance=0), "typed", False),
    ],
)
def test_what_was_typed(when, text, fits):
    conversation = converse_by((when, [Reply(raw={"x": 1})]))
    conversation.receive("realtime_input", {"text": text}, 0.0)
    assert ({"x": 1} in [message for _, message in run(conversation)]) == fits


def test_utterances_by_number_with_what_was_heard():
    conversation = converse_by(
        (When(utterance=2), [Reply(heard="And the second?"), Reply(say="That was it.")]),
        (When(utterance=0), [Reply(heard="please turn it on")]),
        setup={"tools": [{"function_declarations": [{"name": "turn"}]}]},
    )
    for number in range(3):
        conversation.receive("realtime_input", audio(np.concatenate([tone(0.5), silence(1.0)])), 100.0 * number)
        got = [message for _, message in run(conversation)]
        content = [message.get("serverContent", {}) for message in got]
        heard = [one["inputTranscription"]["text"] for one in content if "inputTranscription" in one]
        spoken = "".join(one["outputTranscription"]["text"] for one in content if "outputTranscription" in one)
        if number == 1:
            assert (heard, spoken) == (["And the second?"], "That was it.")
        else:  # understood, and then answered as usual: by a call
            assert heard == ["please turn it on"]
            assert any("toolCall" in message for message in got)
    assert conversation.memory.history[0] == ("user", "please turn it on")


def test_a_rule_may_fire_so_many_times_and_the_first_that_fits_wins():
    script = Script(
        rule=(
            Rule(when=When(text=""), reply=(Reply(raw={"first": 1}),), times=2),
            Rule(when=When(text=""), reply=(Reply(raw={"second": 1}),)),
        )
    )
    conversation = converse(script=script)
    got = []
    for number in range(3):
        conversation.receive("realtime_input", {"text": "x"}, 10.0 * number)
        got += [message for _, message in run(conversation)]
    assert got == [{"first": 1}, {"first": 1}, {"second": 1}]


def test_no_reply_is_no_answer():
    conversation = converse_by((When(text="psst"), []))
    conversation.receive("realtime_input", {"text": "psst"}, 0.0)
    assert run(conversation) == []
    assert conversation.idle
    conversation.receive("realtime_input", {"text": "hello"}, 0.0)
    assert names(run(conversation))[-1] == "turnComplete"


def test_a_whole_turn_keeps_its_times():
    conversation = converse_by(
        (When(text="x"), [Reply(thought="Hm."), Reply(say="12345"), Reply(wait_s=2.0), Reply(say="67890")])
    )
    conversation.receive("realtime_input", {"text": "x"}, 10.0)
    got = run(conversation)
    assert got[0][1]["serverContent"]["modelTurn"]["parts"] == [{"text": "Hm.", "thought": True}]
    assert names(got)[-2:] == ["generationComplete", "turnComplete"]
    # half a second to think, 0.3 s five times as fast, two seconds of waiting, and 0.3 s played to their end
    assert got[-1][0] == pytest.approx(10.5 + 0.06 + 2.0 + 0.3)
    assert (
        "".join(
            message["serverContent"]["outputTranscription"]["text"]
            for _, message in got
            if "outputTranscription" in message.get("serverContent", {})
        )
        == "1234567890"
    )


def test_the_rest_of_a_reply_waits_for_a_blocking_call():
    calls = (FunctionCall(name="a", id="1", blocking=True), FunctionCall(name="b", id="2", blocking=True))
    conversation = converse_by((When(text="x"), [Reply(tool_calls=calls), Reply(say="Both are done.")]))
    conversation.receive("realtime_input", {"text": "x"}, 0.0)
    (message,) = [message for _, message in run(conversation)]
    assert [call["id"] for call in message["toolCall"]["functionCalls"]] == ["1", "2"]
    for number in ("1", "2"):
        assert conversation.memory.answers == 0
        conversation.receive("tool_response", {"function_responses": [{"id": number, "name": "f"}]}, 1.0)
    assert names(run(conversation))[-1] == "turnComplete"
    assert conversation.memory.history[-1] == ("model", "Both are done.")


def test_interrupted_by_a_script():
    conversation = converse_by(
        (When(text="x"), [Reply(say="I was just"), Reply(interrupted=True), Reply(raw={"a": 1})])
    )
    conversation.receive("realtime_input", {"text": "x"}, 0.0)
    got = run(conversation)
    found = names(got)
    assert found[-2:] == ["interrupted", "turnComplete"]
    assert "generationComplete" not in found
    assert got[-1][1] == {"a": 1}
    assert conversation.idle


def test_at_the_setup_and_at_a_time():
    conversation = converse_by(
        (When(setup=True), [Reply(say="Good morning.")]),
        (When(after_s=1.0), [Reply(raw={"aside": 1})]),
        (When(after_s=1.1), [Reply(say="Are you still there?")]),
        (When(after_s=30.0), [Reply(interrupted=True)]),
    )
    got = run(conversation)
    assert conversation.memory.history == [("model", "Good morning."), ("model", "Are you still there?")]
    (aside,) = [now for now, message in got if message == {"aside": 1}]
    assert aside == pytest.approx(1.5)  # an aside takes its time to think too, and waits for no turn
    assert aside < next(now for now, message in got if "turnComplete" in message.get("serverContent", {})) + 30
    assert got[-1][0] >= 30
    assert names(got)[-1] == "interrupted"


@pytest.mark.parametrize(
    ("reply", "end"),
    [
        ("{ close = { code = 1008, reason = 'enough' } }", (1008, "enough")),
        ("{ cut = true }", (1006, "")),
        ("{ go_away = 0.02 }", (1011, "Deadline expired before operation could complete.")),
    ],
)
async def test_ends_by_a_script(reply, end):
    script = f'[[rule]]\nwhen = {{ text = "bye" }}\nreply = [ {{ say = "Bye." }}, {reply} ]'
    async with talk(script=script) as (_, client):
        await client.say(realtimeInput={"text": "bye"})
        assert len(speech([await client.get()])) > 0
        assert await client.closed() == end


async def test_a_setup_that_is_closed_by_a_script():
    script = [Rule(when=When(setup=True), reply=(Reply(close=Close(code=4000, reason="no")),))]
    async with emulator.serve(script=script, compress_time=True) as url, dial(url) as client:
        await client.say(setup={"model": DEV_MODEL})
        assert await client.closed() == (4000, "no")


@pytest.mark.parametrize(("rate", "channels"), [(24_000, 1), (16_000, 1), (48_000, 2)])
async def test_speech_from_a_file_beside_the_script(rate, channels, tmp_path):
    samples = tone(0.5, rate)
    with wave.open(str(tmp_path / "answer.wav"), "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes(np.repeat(samples, channels).tobytes())
    path = tmp_path / "script.toml"
    path.write_text('[[rule]]\nwhen = { text = "play" }\nreply = [ { audio = "answer.wav", text = "la la" } ]')
    async with talk(script=path, setup={"outputAudioTranscription": {}}) as (_, client):
        await client.say(realtimeInput={"text": "play"})
        got = await client.until("serverContent", "turnComplete")
        assert said(got) == "la la"
        assert len(speech(got)) == 12_000
        assert np.corrcoef(speech(got), tone(0.5, 24_000))[0, 1] > 0.99


async def test_a_mute_session_keeps_to_no_script():
    async with talk(script=WEATHER, faults=emulator.Faults(mute_after_turns=0)) as (emu, client):
        await client.say(realtimeInput={"text": "weather"})
        await client.flushed()
        assert emu.ledger.sessions[0].answers == 0


async def test_scripts_and_declared_functions():
    script = '[[rule]]\nwhen = { text = "go" }\nreply = [ { tool_call = { name = "light" } }, { say = "It is on." } ]'
    async with talk(script=script, setup=TOOLS) as (_, client):
        await client.say(realtimeInput={"text": "go"})
        (function,) = (await client.get())["toolCall"]["functionCalls"]
        await client.say(toolResponse={"functionResponses": [{"id": function["id"], "name": "light", "response": {}}]})
        got = await client.until("serverContent", "turnComplete")
        assert said(got) == "It is on."
        assert contents(got)[-2:] == ["generationComplete", "turnComplete"]


def test_zero_and_the_empty_text_are_said():
    script = """
[[rule]]
when = { utterance = 0 }
reply = [ { wait_s = 0 }, { go_away = 0 }, { raw = {} }, { heard = "" } ]
[[rule]]
when = { after_s = 0 }
reply = [ { say = "" } ]
[[rule]]
when = { text = "" }
"""
    first, second, third = load(script).rule
    assert (first.when.utterance, second.when.after_s, third.when.text) == (0, 0, "")
    assert names(run(converse(script=load(script))))[-1] == "turnComplete"


# --- mistakes ---

RULE = "\n[[rule]]\nwhen = { text = 'x' }\nreply = []\n"


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[[rule]]\nwhen = { text = }\n", ["line 2", "Invalid value"]),
        ("[[rule]]\nwhen = { text = 'x' }\nreply = [", ["line 3"]),
        ("[[rules]]\nwhen = { text = 'x' }\n", ["no key 'rules'", "did you mean 'rule'"]),
        (RULE + "\n[[rule]]\nwhem = { text = 'x' }\n", ["line 6", "rule 2", "no key 'whem'", "did you mean 'when'"]),
        (RULE + "[[rule]]\nwhen = { txt = 'x' }\n", ["rule 2, when", "no key 'txt'", "did you mean 'text'"]),
        ("[[rule]]\nwhen = { colour = 'x' }\n", ["rule 1, when", "no key 'colour'", "there are text, text_equals"]),
        ("[[rule]]\nreply = []\n", ["rule 1", "missing required field `when`"]),
        ("[[rule]]\nwhen = { text = 5 }\n", ["rule 1, when.text", "Expected `str | null`, got `int`"]),
        ("[[rule]]\nwhen = {}\n", ["rule 1, when: no condition"]),
        ("[[rule]]\nwhen = { text = 'x', setup = true }\n", ["rule 1", "setup and text cannot come together"]),
        ("[[rule]]\nwhen = { text_matches = '(' }\n", ["rule 1, when.text_matches", "unterminated"]),
        (
            RULE.replace("[]", "[{ say = 'a' }, { tool_call = { nam = 'f' } }]"),
            ["line 2, rule 1, reply[2].tool_call", "no key 'nam'", "did you mean 'name'"],
        ),
        (RULE.replace("[]", "[{ sya = 'x' }]"), ["rule 1, reply[1]", "did you mean 'say'"]),
        (RULE.replace("[]", "[{ say = 'x', cut = true }]"), ["rule 1, reply[1]", "got cut and say"]),
        (RULE.replace("[]", "[{ }]"), ["rule 1, reply[1]", "got none"]),
        (RULE.replace("[]", "[{ text = 'la' }]"), ["rule 1, reply[1]", "got text"]),
        (RULE.replace("[]", "[{ cut = false }]"), ["rule 1, reply[1]", "got none"]),
        (RULE.replace("[]", "[{ raw = { at = 2026-10-10 } }]"), ["rule 1, reply[1]", "JSON cannot hold it", "date"]),
        (RULE.replace("[]", "[{ tool_call = { name = 'f', args = { x = inf } } }]"), ["JSON cannot hold it"]),
        (RULE.replace("[]", "[{ wait_s = -1 }]"), ["rule 1, reply[1].wait_s"]),
        (RULE.replace("[]", "[{ audio = 'none.wav' }]"), ["rule 1, reply[1].audio", "none.wav", "No such file"]),
        (RULE.replace("[]", "[{ close = { code = 1006 } }]"), ["rule 1, reply[1].close", "1006"]),
        (
            RULE.replace("[]", "[{ tool_calls = [{ name = 'f', id = '1' }, { name = 'g', id = '1' }] }]"),
            ["rule 1, reply[1].tool_calls", "two calls with the id '1'"],
        ),
        # and what would never fire, or spoil the order of those that do
        (RULE + "times = -1\n", ["rule 1, times", "-1"]),
        ("[[rule]]\nwhen = { utterance = -1 }\n", ["rule 1, when.utterance", "-1"]),
        ("[[rule]]\nwhen = { after_s = -0.5 }\n", ["rule 1, when.after_s", "not a time: -0.5"]),
        ("[[rule]]\nwhen = { after_s = nan }\n", ["rule 1, when.after_s", "not a time: nan"]),
        ("[[rule]]\nwhen = { after_s = inf }\n", ["rule 1, when.after_s", "not a time: inf"]),
    ],
)
def test_mistakes_are_named_with_their_place(toml, words, tmp_path):
    path = tmp_path / "script.toml"
    path.write_text(toml)
    with pytest.raises(ConfigError) as error:
        emulator.serve(script=path)
    assert error.value.path == "script"
    for word in [str(path), *words]:
        assert word in str(error.value)
    with pytest.raises(ConfigError) as error:
        emulator.serve(script=toml)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("no/such.toml", "no/such.toml: No such file"),
        (5, "not int"),
        ([{"when": {"text": "x"}, "replies": []}], "rule 1: no key 'replies'; did you mean 'reply'"),
        ([Rule(when=When(text="x"), reply=(Reply(),))], "rule 1, reply[1]"),
        ([5], "rule 1"),
        ([RULE, object()], "a rule is a Rule or a mapping"),
        (b"[[rule]]", "not bytes"),
    ],
)
def test_other_mistakes(source, words):
    with pytest.raises(ConfigError) as error:
        emulator.serve(script=source)
    assert words in str(error.value)


@pytest.mark.parametrize("content", [b"RIFF", b"", b"\xff" * 100])
def test_files_that_are_no_wav(content, tmp_path):
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(ConfigError, match=r"a\.wav"):
        load([Rule(when=When(text="x"), reply=(Reply(audio=str(tmp_path / "a.wav")),))])


def test_a_script_that_is_no_text(tmp_path):
    path = tmp_path / "script.toml"
    path.write_bytes(base64.b64decode("//79"))
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(path)


@given(st.text(max_size=60), st.sampled_from(["", "[[rule]]\n", "[[rule]]\nwhen = ", RULE]))
@settings(max_examples=100, deadline=None)
def test_any_text_is_a_script_or_a_mistake(text, before):
    with contextlib.suppress(ConfigError):
        load(before + text + "\n")
