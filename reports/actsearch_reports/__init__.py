"""What a run found, for people: tables, figures and one self-contained HTML page.

`tables`, `layers` and `summary` turn the store's records into plain rows and import neither matplotlib nor jinja2;
`figures` draws those rows; `page` puts everything into a folder.
"""
