"""Market conditions as pure functions of closed candles and a book: what the analyst is shown and the validator asks.

Unknown is a value: NaN in a column, None alone. What cannot be told from the data given is never guessed, and blocks where a rule
asks for it. Each function names its unit and its source; corrections of the sources are in requirements §2.7 and W-32…W-36.
"""
