"""The pure part of trading: no Django, no input or output, no clock, no settings, no randomness."""
