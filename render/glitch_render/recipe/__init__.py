"""Recipes: layers and their settings, files, presets, and forms."""
