"""Figures and the self-contained HTML report.

Nothing below this floor imports it: a result reaches it through :mod:`refimpl.hooks`, by the names
``powder.view``, ``powder.panel_view``, ``powder.figures``, ``powder.plot`` and ``powder.report``::

    view = hooks.call("powder.view", title=..., image=..., model=..., ...)
    path = hooks.call("powder.report", view, folder)

Modules: ``view`` what a report is made of, ``style`` colours and fonts, ``pictures`` and ``plots``
the figures (all of them under ``figures``), ``panel_view``, ``panel_map``, ``panels``,
``panel_fields``, ``panel_plots``, ``panel_correlations`` and ``panel_sections`` the part on panels,
``numbers`` values with uncertainties as text, ``verdict`` the sentence and the checks at the top,
``page`` HTML, ``powder`` the report itself. Of near-field maps (``nearfield.report``):
``nearfield_view`` grains and neighbours, ``nearfield_colours`` and ``nearfield_key`` the colours of
crystal directions, ``nearfield_maps`` and ``nearfield_plots`` the figures.
Only Matplotlib's object interface with the Agg canvas is used: no display, no pyplot, no state
that outlives a call.
"""
