"""Chaos: hundreds of sessions on a network that fails in every way we know of, and an account of every message.

From the outside in: `run` (many sessions at once, until enough faults have struck), `scene` (one session with an
emulator and a network of its own), `driver` (what its user does), `faults` (what can go wrong), `proxy` (the network
between the two), `wire` (what the client hands to it), `keys` (what makes a message recognisable), `accounts` (both
ledgers compared), `report`. `clock` makes waiting cheap. `move` measures a planned move, `soak` looks for leaks.
"""
