"""The duplex rig: a server that checks every message, contenders that speak to it, and the pacing that all share."""
