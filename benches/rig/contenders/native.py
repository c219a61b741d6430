"""The published Rust crate `gemini-live`, without Python: `benches/rust/src/bin/duplex.rs` is a process of its own."""

from rig.contenders import Contender


class Native(Contender):
    """Only what it can be asked for; nothing of it runs here."""

    loops = ("tokio",)
