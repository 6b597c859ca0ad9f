"""Template tags of trading's pages."""
