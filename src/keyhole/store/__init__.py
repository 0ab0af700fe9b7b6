"""What is remembered: shares, visits, keys and the trail, in SQLite, PostgreSQL or memory, behind one contract."""
