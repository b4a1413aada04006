"""Recipes: layers with their settings, their files, and the forms made from them."""
