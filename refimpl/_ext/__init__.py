"""Compiled twins of the hot loops; see :mod:`refimpl.dispatch`.

Each ``.pyx`` here has the module name, function names and arguments of its NumPy definition.
Nothing here imports the rest of refimpl: a twin can be read alone.
"""
