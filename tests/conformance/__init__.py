"""Our client and our emulator against code that nobody here wrote: the official SDK and the official protobuf messages.

A package, unlike the other tests, so that its conftest is not taken for the one above it.
"""
