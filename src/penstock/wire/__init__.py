"""The REST contract: JSON to domain values and back.

What comes in is checked here once and for all: a handler hands the engine valid domain values,
and renders what the store has. Handlers read, call and answer; every rule about state is the
engine's. Errors are rendered in one place, from `Refusal`.
"""
