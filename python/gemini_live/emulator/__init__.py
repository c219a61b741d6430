"""A Gemini Live server in one process, for demos and tests without the network and without a key.

::

    from gemini_live import emulator

    async with emulator.serve() as url:  # ws://127.0.0.1:PORT
        ...

It speaks both surfaces, by the path of the upgrade: the Gemini Developer API and Vertex AI. It hears speech by its
energy, answers with the user's own words in the user's own voice, answers texts with a hum whose transcription repeats
the text, and calls a declared function when a text names it; a `Script` makes it answer otherwise. It resumes
sessions, makes ephemeral tokens, ends connections as the service does, and fails on command (`Faults`). Afterwards its
`Ledger` says what really got across.

It shares no line with the client: it writes and reads the protocol by itself, so that a mistake cannot cancel itself
out.

A number such as E18 in a comment is a behaviour of the service; the tests ``test_e18_…`` say which. What is described
as measured was measured on the real service; what is called a choice of ours was not.
"""

try:
    from gemini_live.emulator.faults import Faults
    from gemini_live.emulator.ledger import ConnectionLedger, Entry, Ledger, SessionLedger
    from gemini_live.emulator.profiles import PROFILES, Pace, Profile
    from gemini_live.emulator.script import Close, FunctionCall, Reply, Rule, Script, When
    from gemini_live.emulator.server import Emulator, serve
except ModuleNotFoundError as error:
    if (error.name or "gemini_live").partition(".")[0] == "gemini_live":
        raise
    raise ModuleNotFoundError(
        f'the emulator needs {error.name}, which is not installed: pip install "gemini-live[emulator]"', name=error.name
    ) from error

__all__ = [
    "PROFILES",
    "Close",
    "ConnectionLedger",
    "Emulator",
    "Entry",
    "Faults",
    "FunctionCall",
    "Ledger",
    "Pace",
    "Profile",
    "Reply",
    "Rule",
    "Script",
    "SessionLedger",
    "When",
    "serve",
]
