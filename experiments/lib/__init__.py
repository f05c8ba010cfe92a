"""Code that experiments share."""
