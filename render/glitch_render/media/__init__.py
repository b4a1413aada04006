"""Media in and out: pictures, clips, animations, their sound and their metadata."""
