"""Episodes: walks as data, which are scripted, recorded, saved and replayed."""
