"""What every room's REST faces share. It imports the REST framework, so only faces import it: no other process loads it."""
