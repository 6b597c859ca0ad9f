"""What every room's models share: fields, owner querysets, constraint helpers. No table of its own."""
