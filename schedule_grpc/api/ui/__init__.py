"""The dashboard: HTML pages below ``/ui``, made on the server, kept up to date by a few scripts of our own.

The pages read the same `Service` as every other edge. They change nothing themselves: their scripts call the routes of
JSON, so there is one way in, one guard and one audit log. `api/ui/pages.py` adds the routes to the application.
"""
