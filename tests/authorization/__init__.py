"""Who may reach what: every address of the platform, what is expected of it, and rows of somebody else to try it with."""
