"""The engine: stamps executed in time order on a frame, in far less work than one by one.

The result is *defined* by running each effect's plain function on the pixels, stamp by stamp: step
by step, and within a step by agent. The engine keeps that order but not that work. While stamps are
executed (``execute``) each cell is a symbol of where its pixels will come from (``symbols``), and
operations on pixels are put on a list; only when there is a frame are they done (``schedule``,
``painting``, ``pixel_ops``), each once. As neither holds pixels, a whole history of stamps can be
painted on any number of frames (``canvas``): that is how a clip keeps its trails.
"""
