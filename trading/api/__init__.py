"""Trading's REST faces: bots, and what happened to their accounts."""
