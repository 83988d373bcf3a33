"""Puts two invoices of yesterday into invoices.db, so that there is something to book: `python sample.py`."""

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

yesterday = datetime.now(ZoneInfo("Europe/Berlin")).date() - timedelta(days=1)
with closing(sqlite3.connect("invoices.db")) as database, database:
    database.execute("CREATE TABLE IF NOT EXISTS invoices (id TEXT PRIMARY KEY, day TEXT, amount INT, currency TEXT)")
    for number, amount in ((1, 120), (2, 80)):
        row = (f"{yesterday}-{number}", str(yesterday), amount, "EUR")
        database.execute("INSERT OR REPLACE INTO invoices VALUES (?, ?, ?, ?)", row)
