"""Risk's REST faces: profiles, states, events, the kill switch."""
