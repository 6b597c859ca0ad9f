"""What writes: plain functions with keyword arguments. Services never queue tasks; the face does, on commit."""
