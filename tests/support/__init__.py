"""What several test modules use: pictures, clips, worlds, the program, a studio in a browser."""
