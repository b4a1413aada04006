"""Many pictures and clips by one recipe, into a folder that mirrors theirs."""
