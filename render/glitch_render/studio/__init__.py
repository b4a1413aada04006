"""The studio: the whole filter in a browser page, on this machine alone (extra ``studio``).

``server.py`` listens, ``page.py`` lays out the page, ``session.py`` is what one tab of the browser
has open, ``jobs.py`` is its work. What a tab can do, the command line can do by the same functions.
"""
