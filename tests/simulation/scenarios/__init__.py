"""Named situations, reached by whole members in a world that a test steers."""
