"""Models with further parameters or buffers, which an objective uses."""
