"""Values and protocols. No I/O, no clock and no randomness of its own.

Everything that crosses from one room to another is defined here: frozen dataclasses and
enums. The engines are functions over these values.
"""
