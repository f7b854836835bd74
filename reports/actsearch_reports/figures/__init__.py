"""One module a figure. Each has `draw(…, width) -> Figure`, which lays itself out for a width in inches.

matplotlib is used through its objects, never through pyplot: nothing global changes, and no display is asked for.
`style.render` gives the bytes. Text from a run is drawn as it stands; only our own LaTeX is read as mathematics.
"""
