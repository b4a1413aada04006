"""Episodes: walks as data, written by hand, recorded or saved, and replayed."""
