"""The whole path for a clip."""
